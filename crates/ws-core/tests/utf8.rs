//! RFC 6455 §8.1: text is UTF-8, and is refused at the first byte that shows that it is not.
//! Hostile inputs U1–U9, except U7 (`extension.rs`).

#[path = "peer/wire.rs"]
mod peer;

use ws_core::Role::Server;
use ws_core::{CloseCode, Delivery, Event, Message, Partial, ProtocolError, Step};

const DELIVERIES: [Delivery; 4] = [
    Delivery::Messages,
    Delivery::Partials,
    Delivery::Frames,
    Delivery::FramesAndPartials,
];

fn text(payload: &[u8]) -> Vec<u8> {
    peer::frame(Server, 0x81, payload)
}

/// U1. Offsets are those of the first byte of what is no character.
#[test]
fn text_that_is_not_utf8_fails_with_1007() {
    for (bad, at) in [
        (&b"\xff"[..], 0),
        (b"a\x80", 1),
        (b"\xc0\x80", 0),
        (b"ab\xed\xa0\x80", 2),
        (b"\xf4\x90\x80\x80", 0),
        (b"\xf8\x88\x80\x80\x80", 0),
        (b"caf\xc3", 3),
        (b"\xe2\x82", 0),
        (b"\xf0\x9d\x84", 0),
    ] {
        for delivery in DELIVERIES {
            let mut connection = peer::open(Server, delivery);

            let (events, end) = peer::told(&mut connection, &text(bad));

            assert_eq!(events, [], "{bad:x?} as {delivery:?}");
            assert_eq!(end, Err(ProtocolError::InvalidUtf8 { at }), "{bad:x?}");
            assert_eq!(end.unwrap_err().close_code(), CloseCode::INVALID_PAYLOAD);
        }
    }
}

/// U2.
#[test]
fn character_split_over_frames_and_segments_is_delivered() {
    let message = "κόσμε𝄞";
    for cut in 0..=message.len() {
        let (head, tail) = message.as_bytes().split_at(cut);
        let bytes = [
            peer::frame(Server, 0x01, head),
            peer::frame(Server, 0x80, tail),
        ]
        .concat();
        let mut connection = peer::open(Server, Delivery::Messages);

        let mut events = Vec::new();
        for byte in bytes {
            events.extend(peer::told(&mut connection, &[byte]).0);
        }

        assert_eq!(
            events,
            [Event::Message(Message::text(message))],
            "cut at {cut}"
        );
    }
}

/// U3.
#[test]
fn first_fragment_is_judged_before_the_second_comes() {
    let mut connection = peer::open(Server, Delivery::Messages);

    let (_, end) = peer::told(&mut connection, &peer::frame(Server, 0x01, b"ok \xff"));

    assert_eq!(end, Err(ProtocolError::InvalidUtf8 { at: 3 }));
}

/// U3, where the fragments are fine by themselves.
#[test]
fn character_that_the_next_fragment_breaks_fails_there() {
    let mut connection = peer::open(Server, Delivery::Messages);

    let (_, first) = peer::told(&mut connection, &peer::frame(Server, 0x01, b"ab\xe2\x82"));
    let (_, second) = peer::told(&mut connection, &peer::frame(Server, 0x00, b"c"));

    assert_eq!(first, Ok(Step::NeedInput));
    assert_eq!(second, Err(ProtocolError::InvalidUtf8 { at: 2 }));
}

/// U4.
#[test]
fn frame_that_has_not_arrived_whole_is_judged_as_it_arrives() {
    for delivery in DELIVERIES {
        let payload = [b"ok \xf4\x90".as_slice(), &[b'x'; 1000]].concat();
        let bytes = text(&payload);
        // Eight bytes of header, "ok ", and the two that no character begins with.
        let (possible, rest) = bytes.split_at(8 + 4);
        let mut connection = peer::open(Server, delivery);

        let (_, before) = peer::told(&mut connection, possible);
        let (_, after) = peer::told(&mut connection, &rest[..1]);

        assert_eq!(before, Ok(Step::NeedInput), "{delivery:?}");
        assert_eq!(
            after,
            Err(ProtocolError::InvalidUtf8 { at: 3 }),
            "{delivery:?}"
        );
    }
}

/// U4, where the frame is large enough to be read past the parser.
#[test]
fn frame_that_is_read_directly_is_judged_as_it_arrives() {
    for delivery in [Delivery::Messages, Delivery::Frames] {
        let bytes = text(&[b'x'; 60_000]);
        let mut connection = peer::open(Server, delivery);
        let (_, end) = peer::told(&mut connection, &bytes[..100]);
        assert_eq!(end, Ok(Step::NeedInput));

        let (buffer, _) = connection
            .direct_buffer(|_| None)
            .expect("a large frame is under way");
        // Masked as the x that it stands for was, it is 0xFF.
        buffer.extend_from_slice(&[bytes[100] ^ b'x' ^ 0xff]);
        let told = connection.recv_direct(1);

        assert_eq!(
            told,
            Err(ProtocolError::InvalidUtf8 { at: 92 }),
            "{delivery:?}"
        );
        assert_eq!(connection.poll_event(), Ok(Step::Closed));
        assert!(connection.direct_buffer(|_| None).is_none());
    }
}

/// U1, where the end of the message is read past the parser.
#[test]
fn message_that_is_read_directly_may_not_end_within_a_character() {
    for delivery in [Delivery::Messages, Delivery::Frames] {
        let bytes = text(&[&[b'x'; 40_000][..], b"\xe2\x82"].concat());
        let (head, rest) = bytes.split_at(22_000);
        let mut connection = peer::open(Server, delivery);
        let (_, end) = peer::told(&mut connection, head);
        assert_eq!(end, Ok(Step::NeedInput));

        let (buffer, room) = connection
            .direct_buffer(|_| None)
            .expect("a large frame is under way");
        assert_eq!(room, rest.len());
        buffer.extend_from_slice(rest);
        let told = connection.recv_direct(room);

        assert_eq!(
            told,
            Err(ProtocolError::InvalidUtf8 { at: 40_000 }),
            "{delivery:?}"
        );
    }
}

/// U2: offsets count the characters that arrived in pieces.
#[test]
fn verdict_behind_a_split_character_names_its_place_in_the_message() {
    let mut connection = peer::open(Server, Delivery::Messages);
    let fragments = [
        peer::frame(Server, 0x01, b"a\xe2\x82"),
        peer::frame(Server, 0x80, b"\xacb\xff"),
    ];

    let (_, end) = peer::told(&mut connection, &fragments.concat());

    assert_eq!(end, Err(ProtocolError::InvalidUtf8 { at: 5 }));
}

/// U5.
#[test]
fn legal_oddities_are_delivered_byte_by_byte() {
    for odd in [
        "\u{fffe}",
        "\u{10ffff}",
        "\u{feff}bom",
        "nul\0",
        "\u{fffd}",
        "\u{d7ff}\u{e000}",
    ] {
        let mut connection = peer::open(Server, Delivery::Messages);

        let (events, _) = peer::told(&mut connection, &text(odd.as_bytes()));

        assert_eq!(events, [Event::Message(Message::text(odd))]);
    }
}

/// U6.
#[test]
fn close_reason_that_is_not_utf8_fails_with_1007() {
    let mut connection = peer::open(Server, Delivery::Messages);

    let (_, end) = peer::told(
        &mut connection,
        &peer::frame(Server, 0x88, b"\x03\xe8bad \xff"),
    );

    assert_eq!(end, Err(ProtocolError::InvalidUtf8 { at: 4 }));
}

/// U8.
#[test]
fn pieces_of_text_end_at_a_character_and_lose_none() {
    let message = "aé€𝄞".repeat(3);
    let bytes = text(message.as_bytes());
    let mut connection = peer::open(Server, Delivery::Partials);

    let mut pieces = Vec::new();
    for byte in bytes {
        let (events, _) = peer::told(&mut connection, &[byte]);
        pieces.extend(events.into_iter().map(|event| match event {
            Event::Partial(partial) => partial,
            other => panic!("{other:?}"),
        }));
    }

    let spelled = pieces.iter().map(|partial| match partial.piece() {
        Message::Text(text) => text.as_str(),
        Message::Binary(_) => panic!("text became binary"),
    });
    assert_eq!(spelled.collect::<String>(), message);
    assert_eq!(pieces.len(), message.chars().count());
    assert_eq!(pieces.iter().filter(|piece| piece.is_last()).count(), 1);
    assert!(pieces.first().is_some_and(Partial::is_first));
}

/// U9.
#[test]
fn binary_is_never_judged() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let bytes = [
        peer::frame(Server, 0x02, &every_byte),
        peer::frame(Server, 0x80, b"\xff\xc0"),
        text(b"and text is, again: \xff"),
    ]
    .concat();
    let mut connection = peer::open(Server, Delivery::Messages);

    let (events, end) = peer::told(&mut connection, &bytes);

    let want = [&every_byte[..], b"\xff\xc0"].concat();
    assert_eq!(events, [Event::Message(Message::binary(want))]);
    assert_eq!(end, Err(ProtocolError::InvalidUtf8 { at: 20 }));
}
