//! RFC 6455 §5.5.1, §7.1 and §7.4: how a connection says that it ends.

#[path = "peer/wire.rs"]
mod peer;

use bytes::{Bytes, BytesMut};
use ws_core::Role::{Client, Server};
use ws_core::{
    CloseCode, CloseFrame, CloseStatus, Connection, Delivery, Event, Frame, Message, OpCode,
    ProtocolError, Step,
};

fn close(body: &[u8]) -> Vec<u8> {
    peer::frame(Server, 0x88, body)
}

fn body(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// The Close that `bytes` lead a server to tell.
fn told_close(bytes: &[u8]) -> Result<CloseFrame, ProtocolError> {
    let mut connection = peer::open(Server, Delivery::Messages);
    match peer::told(&mut connection, bytes) {
        (_, Err(error)) => Err(error),
        (events, Ok(Step::Closed)) => match &events[..] {
            [Event::Close(close)] => Ok(close.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Hostile inputs K1, K4 and K5: all 65,536 of them.
#[test]
fn every_code_is_told_or_refused_as_the_registry_says() {
    for code in 0..=u16::MAX {
        let told = told_close(&close(&body(code, b"why")));

        if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            let want = CloseFrame::new(CloseCode::from_wire(code).unwrap(), "why");
            assert_eq!(told, Ok(want));
        } else {
            assert_eq!(told, Err(ProtocolError::InvalidCloseCode { code }));
            assert_eq!(told.unwrap_err().close_code(), CloseCode::PROTOCOL_ERROR);
        }
    }
}

/// Hostile input K1: the same code goes back.
#[test]
fn answer_carries_the_code_that_came() {
    for code in [1000, 3000, 4999] {
        let told = told_close(&close(&body(code, b""))).unwrap();

        assert_eq!(told.to_payload(), code.to_be_bytes());
        assert_eq!(told.status(), code);
    }
}

/// Hostile input K2.
#[test]
fn close_without_a_body_is_told_as_1005_and_answered_without_a_body() {
    let told = told_close(&close(b"")).unwrap();

    assert_eq!(told.status(), CloseStatus::NO_STATUS);
    assert_eq!(told.code(), None);
    assert_eq!(told.to_payload(), b"");
}

/// Hostile input K3.
#[test]
fn half_a_code_fails_with_1002() {
    let error = told_close(&close(b"\x03")).unwrap_err();

    assert_eq!(error, ProtocolError::CloseTooShort);
    assert_eq!(error.close_code(), CloseCode::PROTOCOL_ERROR);
}

/// Hostile input K6.
#[test]
fn reason_of_123_bytes_passes_and_of_124_does_not() {
    let longest = "r".repeat(CloseFrame::MAX_REASON_BYTES);

    let told = told_close(&close(&body(1000, longest.as_bytes()))).unwrap();
    let error = told_close(&close(&body(1000, &[b'r'; 124]))).unwrap_err();

    assert_eq!(told.reason(), longest);
    assert_eq!(error, ProtocolError::ControlTooLong);
}

/// Hostile input K7: §1.4 has what follows a Close discarded.
#[test]
fn nothing_behind_the_peers_close_is_told_or_judged() {
    let behind: [Vec<u8>; 4] = [
        peer::frame(Server, 0x81, b"data"),
        peer::frame(Server, 0x89, b"ping"),
        close(&body(1001, b"again")),
        b"\xff\xff\xff".to_vec(),
    ];
    for behind in behind {
        let mut connection = peer::open(Server, Delivery::Messages);

        let (events, end) = peer::told(
            &mut connection,
            &[close(&body(1000, b"")), behind.clone()].concat(),
        );
        let later = peer::told(&mut connection, &behind);

        let want = Event::Close(CloseFrame::new(CloseCode::NORMAL, ""));
        assert_eq!((events, end), (vec![want], Ok(Step::Closed)));
        assert_eq!(later, (vec![], Ok(Step::Closed)));
        assert!(!connection.has_input());
    }
}

/// Hostile input K8: the partial message is dropped.
#[test]
fn close_inside_a_fragmented_message_is_told_alone() {
    let bytes = [
        peer::frame(Server, 0x01, b"half"),
        close(&body(1000, b"bye")),
    ]
    .concat();

    let told = told_close(&bytes);

    assert_eq!(told, Ok(CloseFrame::new(CloseCode::NORMAL, "bye")));
}

#[test]
fn frame_may_leave_until_our_close_has_left() {
    let mut connection = peer::open(Server, Delivery::Messages);

    assert!(connection.may_send());
    connection.recv(BytesMut::from(&close(b"")[..]));
    let told = connection.poll_event();
    assert!(matches!(told, Ok(Step::Event(Event::Close(_)))));
    assert!(
        connection.may_send(),
        "what was queued goes before our answer"
    );
    connection.send_close();
    assert!(!connection.may_send());
}

#[test]
fn after_our_close_messages_arrive_until_the_peers() {
    let mut connection = peer::open(Server, Delivery::Messages);
    connection.send_close();
    let bytes = [peer::frame(Server, 0x81, b"still"), close(&body(4000, b""))].concat();

    let (events, end) = peer::told(&mut connection, &bytes);

    let code = CloseCode::from_wire(4000).unwrap();
    assert_eq!(
        events,
        [
            Event::Message(Message::text("still")),
            Event::Close(CloseFrame::new(code, "")),
        ]
    );
    assert_eq!(end, Ok(Step::Closed));
    assert!(!connection.may_send() && !connection.may_deliver());
}

/// Hostile input F19: a frame cut by the end of the stream is no event.
#[test]
fn end_of_stream_within_a_frame_tells_nothing_more() {
    let whole = peer::frame(Server, 0x81, b"cut");
    for cut in 0..whole.len() {
        let mut connection = peer::open(Server, Delivery::Messages);

        let (before, _) = peer::told(&mut connection, &whole[..cut]);
        connection.recv_end();
        let after = peer::told(&mut connection, &whole[cut..]);

        assert_eq!(before, [], "cut at {cut}");
        assert_eq!(after, (vec![], Ok(Step::Closed)), "cut at {cut}");
        assert!(!connection.may_send());
    }
}

#[test]
fn close_is_told_as_a_frame_first_where_frames_are_asked_for() {
    let mut connection = peer::open(Server, Delivery::Frames);

    let (events, end) = peer::told(&mut connection, &close(&body(1000, b"bye")));

    let [Event::Frame(frame), Event::Close(told)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(frame.opcode(), OpCode::Close);
    assert_eq!(told.reason(), "bye");
    assert_eq!(end, Ok(Step::Closed));
}

/// A Close that came while a frame was being looked at takes nothing from that frame.
#[test]
fn frame_told_before_the_close_still_completes_its_message() {
    let mut connection = peer::open(Server, Delivery::Frames);
    let bytes = [
        peer::frame(Server, 0x01, b"a"),
        peer::frame(Server, 0x80, b"b"),
        close(b""),
    ]
    .concat();
    connection.recv(BytesMut::from(&bytes[..]));
    let first = next_frame(&mut connection);
    assert_eq!(connection.resume(first), Ok(None));
    let last = next_frame(&mut connection);

    let control = connection.poll_control();
    let completed = connection.resume(last);

    assert!(
        matches!(control, Ok(Step::Event(Event::Frame(frame))) if frame.opcode() == OpCode::Close)
    );
    assert_eq!(completed, Ok(Some(Event::Message(Message::text("ab")))));
}

fn next_frame(connection: &mut Connection) -> Frame {
    match connection.poll_event() {
        Ok(Step::Event(Event::Frame(frame))) => frame,
        other => panic!("{other:?}"),
    }
}

/// Hostile input K15, as far as types go: what cannot be built cannot be sent.
#[test]
fn our_own_close_is_always_one_that_may_be_sent() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(CloseCode::from_wire(code), None, "{code}");
    }
    for reason in ["x".repeat(200), "é".repeat(100), "𝄞".repeat(40)] {
        let payload = CloseFrame::new(CloseCode::NORMAL, reason).to_payload();

        let mut connection = peer::open(Client, Delivery::Messages);
        let (events, end) = peer::told(&mut connection, &peer::frame(Client, 0x88, &payload));

        assert!(matches!(&events[..], [Event::Close(_)]), "{end:?}");
        assert!(payload.len() > 2 + 119 && payload.len() <= 125);
    }
}

#[test]
fn kept_reason_does_not_keep_the_read_buffer() {
    let payload = Bytes::from(body(1000, b"reason"));

    let close = CloseFrame::parse(&payload).unwrap();

    assert!(payload.is_unique(), "{close:?} holds the buffer");
}
