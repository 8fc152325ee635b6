//! RFC 6455 §5.4, sentence by sentence, in each way of delivery.

#[path = "peer/wire.rs"]
mod peer;

use bytes::{Bytes, BytesMut};
use ws_core::Role::Server;
use ws_core::{
    Connection, Delivery, Event, Frame, Message, MessageKind, OpCode, ProtocolError, Step,
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CONTINUATION: u8 = 0x80;
const PING: u8 = 0x89;
/// Clears FIN.
const MORE: u8 = 0x7F;

/// First bytes and payloads.
type Frames<'a> = &'a [(u8, &'a [u8])];

fn wire(frames: Frames<'_>) -> Vec<u8> {
    let frames = frames
        .iter()
        .map(|(first, payload)| peer::frame(Server, *first, payload));
    frames.collect::<Vec<_>>().concat()
}

#[test]
fn legal_sequences_are_the_messages_they_spell() {
    let rows: [(_, Frames<'_>, Vec<Event>); 8] = [
        (
            "§5.4: an unfragmented message is a single frame with FIN set",
            &[(TEXT, b"whole")],
            vec![Event::Message(Message::text("whole"))],
        ),
        (
            "§5.4: a fragmented message is the concatenation of its frames",
            &[
                (TEXT & MORE, b"a"),
                (CONTINUATION & MORE, b"b"),
                (CONTINUATION, b"c"),
            ],
            vec![Event::Message(Message::text("abc"))],
        ),
        (
            "§5.4: control frames MAY be injected in the middle; hostile input F14",
            &[(BINARY & MORE, b"a"), (PING, b"p"), (CONTINUATION, b"b")],
            vec![
                Event::Ping(Bytes::from_static(b"p")),
                Event::Message(Message::binary("ab")),
            ],
        ),
        (
            "hostile input F15: an empty message",
            &[(TEXT, b"")],
            vec![Event::Message(Message::text(""))],
        ),
        (
            "hostile input F15: empty fragments and nothing else",
            &[
                (BINARY & MORE, b""),
                (CONTINUATION & MORE, b""),
                (CONTINUATION, b""),
            ],
            vec![Event::Message(Message::binary(""))],
        ),
        (
            "hostile input F15: an empty first fragment",
            &[(TEXT & MORE, b""), (CONTINUATION, b"late")],
            vec![Event::Message(Message::text("late"))],
        ),
        (
            "hostile input F15: an empty final fragment",
            &[(TEXT & MORE, b"early"), (CONTINUATION, b"")],
            vec![Event::Message(Message::text("early"))],
        ),
        (
            "§5.4: the type is that of the first fragment, for each message anew",
            &[
                (TEXT & MORE, b"t"),
                (CONTINUATION, b""),
                (BINARY & MORE, b"\xff"),
                (CONTINUATION, b"\xfe"),
            ],
            vec![
                Event::Message(Message::text("t")),
                Event::Message(Message::binary(&b"\xff\xfe"[..])),
            ],
        ),
    ];

    for (rule, frames, want) in rows {
        let mut connection = peer::open(Server, Delivery::Messages);

        let got = peer::told(&mut connection, &wire(frames));

        assert_eq!(got, (want, Ok(Step::NeedInput)), "{rule}");
    }
}

#[test]
fn illegal_sequences_fail_the_connection() {
    let nothing_to_continue = ProtocolError::UnexpectedContinuation;
    let not_yet_ended = ProtocolError::ExpectedContinuation;
    let rows: [(_, Frames<'_>, _); 6] = [
        (
            "§5.4: a continuation continues a message; hostile input F12",
            &[(CONTINUATION, b"x")],
            nothing_to_continue,
        ),
        (
            "hostile input F12: not FIN either",
            &[(CONTINUATION & MORE, b"x")],
            nothing_to_continue,
        ),
        (
            "hostile input F12: after the last frame",
            &[
                (TEXT & MORE, b"a"),
                (CONTINUATION, b"b"),
                (CONTINUATION, b"c"),
            ],
            nothing_to_continue,
        ),
        (
            "§5.4: fragments of messages MUST NOT be interleaved; hostile input F13",
            &[(TEXT & MORE, b"a"), (TEXT, b"b")],
            not_yet_ended,
        ),
        (
            "hostile input F13: of another type",
            &[(TEXT & MORE, b"a"), (BINARY & MORE, b"b")],
            not_yet_ended,
        ),
        (
            "hostile input F13: behind a control frame",
            &[
                (BINARY & MORE, b"a"),
                (CONTINUATION & MORE, b""),
                (BINARY, b"b"),
            ],
            not_yet_ended,
        ),
    ];

    for (rule, frames, want) in rows {
        let mut connection = peer::open(Server, Delivery::Messages);

        let (events, end) = peer::told(&mut connection, &wire(frames));

        assert_eq!(end, Err(want), "{rule}");
        assert!(events.len() <= 1, "{rule}: {events:?}");
        assert_eq!(want.close_code().get(), 1002, "{rule}");
    }
}

#[test]
fn partials_are_told_as_they_arrive_and_spell_the_message() {
    let mut connection = peer::open(Server, Delivery::Partials);
    let whole = wire(&[(TEXT & MORE, "é€".as_bytes()), (CONTINUATION, b"!")]);
    // Within the Euro sign: two bytes and six of header, then é and one byte more.
    let (before, after) = whole.split_at(6 + 3);

    let (mut events, _) = peer::told(&mut connection, before);
    events.extend(peer::told(&mut connection, after).0);

    let pieces = events.into_iter().map(|event| match event {
        Event::Partial(partial) => {
            let ends = (partial.is_first(), partial.is_last());
            (partial.into_piece(), ends)
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(
        pieces.collect::<Vec<_>>(),
        [
            (Message::text("é"), (true, false)),
            (Message::text("€"), (false, false)),
            (Message::text("!"), (false, true)),
        ]
    );
}

#[test]
fn empty_message_is_one_empty_partial() {
    for kind in [MessageKind::Text, MessageKind::Binary] {
        let mut connection = peer::open(Server, Delivery::Partials);
        let first = kind.opcode().bits();

        let (events, _) = peer::told(
            &mut connection,
            &wire(&[
                (first, b""),
                (CONTINUATION & MORE, b""),
                (CONTINUATION, b""),
            ]),
        );

        let [Event::Partial(only)] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(only.is_first() && only.is_last() && only.piece().is_empty());
        assert_eq!(only.piece().kind(), kind);
    }
}

#[test]
fn frames_are_told_before_what_they_complete() {
    let mut connection = peer::open(Server, Delivery::Frames);
    let bytes = wire(&[(TEXT & MORE, b"a"), (PING, b"p"), (CONTINUATION, b"b")]);

    let (events, _) = peer::told(&mut connection, &bytes);

    let [first, ping_frame, ping, last, message] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(first, &Event::Frame(Frame::text("a").not_final()));
    assert!(matches!(ping_frame, Event::Frame(frame) if frame.opcode() == OpCode::Ping));
    assert_eq!(ping, &Event::Ping(Bytes::from_static(b"p")));
    assert_eq!(last, &Event::Frame(Frame::continuation("b")));
    assert_eq!(message, &Event::Message(Message::text("ab")));
}

/// The next event, which must be a frame.
fn next_frame(connection: &mut Connection) -> Frame {
    match connection.poll_event() {
        Ok(Step::Event(Event::Frame(frame))) => frame,
        other => panic!("{other:?}"),
    }
}

#[test]
fn consuming_the_first_frame_consumes_the_message_and_not_the_next() {
    let mut connection = peer::open(Server, Delivery::Frames);
    let bytes = wire(&[
        (TEXT & MORE, b"a"),
        (CONTINUATION & MORE, b"b"),
        (CONTINUATION, b"c"),
        (TEXT, b"next"),
    ]);
    connection.recv(BytesMut::from(&bytes[..]));

    let first = next_frame(&mut connection);
    assert_eq!(connection.consume(first), Ok(None));
    for _ in 0..2 {
        let continuation = next_frame(&mut connection);
        assert_eq!(connection.resume(continuation), Ok(None));
    }
    let next = next_frame(&mut connection);

    let told = connection.resume(next);
    assert_eq!(told, Ok(Some(Event::Message(Message::text("next")))));
}

#[test]
fn later_frame_cannot_be_consumed_out_of_its_message() {
    let mut connection = peer::open(Server, Delivery::Frames);
    let bytes = wire(&[(TEXT & MORE, b"a"), (CONTINUATION, b"b")]);
    connection.recv(BytesMut::from(&bytes[..]));

    let first = next_frame(&mut connection);
    assert_eq!(connection.resume(first), Ok(None));
    let last = next_frame(&mut connection);

    let told = connection.consume(last);
    assert_eq!(told, Ok(Some(Event::Message(Message::text("ab")))));
}

#[test]
fn consumed_whole_frame_and_control_frame_are_nobody_elses() {
    let mut connection = peer::open(Server, Delivery::Frames);
    let bytes = wire(&[(BINARY, b"mine"), (PING, b"mine"), (BINARY, b"yours")]);
    connection.recv(BytesMut::from(&bytes[..]));

    for _ in 0..2 {
        let frame = next_frame(&mut connection);
        assert_eq!(connection.consume(frame), Ok(None));
    }
    let frame = next_frame(&mut connection);

    let told = connection.resume(frame);
    assert_eq!(told, Ok(Some(Event::Message(Message::binary("yours")))));
}

/// What follows a message is asked for while it is handled, also when its header has come in halves.
#[test]
fn data_frame_waits_for_whoever_asks_for_control_frames() {
    let mut connection = peer::open(Server, Delivery::Messages);
    let bytes = wire(&[(BINARY, b"later")]);
    for (from, to) in [(0, 1), (1, 3), (3, 8)] {
        connection.recv(BytesMut::from(&bytes[from..to]));

        assert_eq!(
            connection.poll_control(),
            Ok(Step::DataWaits),
            "{from}..{to}"
        );
        if to < 6 {
            assert_eq!(connection.poll_event(), Ok(Step::NeedInput), "{from}..{to}");
            assert_eq!(
                connection.poll_control(),
                Ok(Step::DataWaits),
                "{from}..{to}"
            );
        }
    }
    connection.recv(BytesMut::from(&bytes[8..]));

    let told = connection.poll_event();
    assert_eq!(
        told,
        Ok(Step::Event(Event::Message(Message::binary("later"))))
    );
    assert_eq!(connection.poll_control(), Ok(Step::NeedInput));
}
