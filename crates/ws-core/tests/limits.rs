//! What a peer can make a connection hold (RFC 6455 §10.4), and what an announced length costs:
//! nothing.

#[path = "peer/wire.rs"]
mod peer;

use bytes::BytesMut;
use ws_core::Role::Server;
use ws_core::{
    CloseCode, Connection, Delivery, Event, ExtensionStack, Limits, Message, MessageKind,
    ProtocolError, Step,
};

const DELIVERIES: [Delivery; 4] = [
    Delivery::Messages,
    Delivery::Partials,
    Delivery::Frames,
    Delivery::FramesAndPartials,
];

fn limited(limits: Limits, delivery: Delivery) -> Connection {
    Connection::new(Server, limits, delivery, ExtensionStack::default())
}

/// The first ten bytes of a frame: enough to know its length, without key and payload.
fn announce(first: u8, len: u64) -> Vec<u8> {
    [&[first, 0xff][..], &len.to_be_bytes()].concat()
}

/// Hostile input L6, and the table at `Limits`.
#[test]
fn defaults_are_64_kib() {
    let limits = Limits::default();

    for kind in [MessageKind::Text, MessageKind::Binary] {
        assert_eq!(limits.max_message_bytes(kind), 65_536);
        assert_eq!(limits.max_frame_bytes(kind), 65_536);
    }
}

/// Hostile inputs L1 and L2, where frame and message are one.
#[test]
fn frame_at_the_limit_passes_and_one_byte_more_fails_at_its_header() {
    let limits = Limits::default().with_max_binary_bytes(1_000);
    for delivery in DELIVERIES {
        let mut connection = limited(limits, delivery);
        let (_, at) = peer::told(&mut connection, &peer::frame(Server, 0x82, &[0; 1_000]));
        let (_, over) = peer::told(&mut connection, b"\x82\xfe\x03\xe9");

        let error = ProtocolError::FrameTooBig {
            bytes: 1_001,
            max_bytes: 1_000,
        };
        assert_eq!(
            (at, over),
            (Ok(Step::NeedInput), Err(error)),
            "{delivery:?}"
        );
        assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
    }
}

#[test]
fn text_and_binary_have_limits_of_their_own_also_when_they_continue() {
    let limits = Limits::default()
        .with_max_text_bytes(4)
        .with_max_binary_bytes(8);
    for (first, len, passes) in [
        (0x01, 2, true),
        (0x01, 5, false),
        (0x02, 5, true),
        (0x02, 9, false),
    ] {
        let mut connection = limited(limits, Delivery::Messages);
        let bytes = [
            peer::frame(Server, first, b""),
            peer::frame(Server, 0x80, &vec![b'x'; len]),
        ];

        let (_, end) = peer::told(&mut connection, &bytes.concat());

        assert_eq!(end.is_ok(), passes, "{first:#x} of {len}");
    }
}

/// Hostile input L2: a frame limit below the message's.
#[test]
fn frame_limit_holds_for_each_fragment() {
    let limits = Limits::default().with_max_frame_bytes(10);
    let mut connection = limited(limits, Delivery::Messages);
    let fragments = [
        peer::frame(Server, 0x02, &[1; 10]),
        peer::frame(Server, 0x00, &[2; 10]),
        peer::frame(Server, 0x80, &[3; 10]),
    ];

    let (events, _) = peer::told(&mut connection, &fragments.concat());
    let (_, over) = peer::told(&mut connection, &peer::frame(Server, 0x82, &[4; 11]));

    assert!(matches!(&events[..], [Event::Message(message)] if message.len() == 30));
    assert_eq!(
        over,
        Err(ProtocolError::FrameTooBig {
            bytes: 11,
            max_bytes: 10
        })
    );
}

/// Hostile inputs L1 and L3: fragments that never end are cut at the limit, whatever their size.
#[test]
fn unfinished_message_fails_with_its_first_byte_past_the_limit() {
    let limits = Limits::default().with_max_text_bytes(1_000);
    for delivery in DELIVERIES {
        let mut connection = limited(limits, delivery);
        let (_, first) = peer::told(&mut connection, &peer::frame(Server, 0x01, b"a"));
        assert_eq!(first, Ok(Step::NeedInput));

        let one_more = peer::frame(Server, 0x00, b"a");
        let (_, filled) = peer::told(&mut connection, &one_more.repeat(999));
        let (events, over) = peer::told(&mut connection, &one_more);

        assert_eq!(filled, Ok(Step::NeedInput), "{delivery:?}");
        assert_eq!(
            over,
            Err(ProtocolError::MessageTooBig { max_bytes: 1_000 }),
            "{delivery:?}"
        );
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, Event::Message(_)))
        );
    }
}

/// Hostile input L4.
#[test]
fn million_fragments_of_one_byte_are_one_message_of_a_million_bytes() {
    let limits = Limits::default().with_max_binary_bytes(1_000_000);
    let mut connection = limited(limits, Delivery::Messages);
    let thousand = peer::frame(Server, 0x00, b"x").repeat(1_000);

    let (_, end) = peer::told(&mut connection, &peer::frame(Server, 0x02, b""));
    assert_eq!(end, Ok(Step::NeedInput));
    for _ in 0..1_000 {
        let (events, end) = peer::told(&mut connection, &thousand);
        assert_eq!((events, end), (vec![], Ok(Step::NeedInput)));
    }
    let (mut events, _) = peer::told(&mut connection, &peer::frame(Server, 0x80, b""));

    let Some(Event::Message(message)) = events.pop() else {
        panic!("{events:?}")
    };
    assert_eq!(message.len(), 1_000_000);
    let buffer = message
        .into_bytes()
        .try_into_mut()
        .expect("nobody shares it");
    assert!(
        buffer.capacity() <= 2 * 1_000_000 + 64,
        "{}",
        buffer.capacity()
    );
}

/// Hostile input L4.
#[test]
fn million_empty_fragments_are_one_empty_message() {
    for delivery in [Delivery::Messages, Delivery::Partials] {
        let mut connection = peer::open(Server, delivery);
        let thousand = peer::frame(Server, 0x00, b"").repeat(1_000);

        let (_, end) = peer::told(&mut connection, &peer::frame(Server, 0x01, b""));
        assert_eq!(end, Ok(Step::NeedInput));
        for _ in 0..1_000 {
            let (events, end) = peer::told(&mut connection, &thousand);
            assert_eq!((events, end), (vec![], Ok(Step::NeedInput)));
        }
        let (events, _) = peer::told(&mut connection, &peer::frame(Server, 0x80, b""));

        assert_eq!(events.len(), 1, "{delivery:?}");
    }
}

/// Hostile input F5.
#[test]
fn reserved_opcode_fails_before_its_length_is_read() {
    for first in [0x83, 0x8b] {
        let mut connection = peer::open(Server, Delivery::Messages);

        let (_, end) = peer::told(&mut connection, &announce(first, 1 << 40));

        let bits = first & 0x0F;
        assert_eq!(end, Err(ProtocolError::ReservedOpCode { bits }));
    }
}

/// Hostile input F8: refused at the header, before the key and the payload.
#[test]
fn length_past_the_limit_fails_at_the_header() {
    for bytes in [(1 << 63) - 1, 1 << 40, 1 << 32, 1 << 31, 65_537] {
        for first in [0x81, 0x82, 0x01, 0x02] {
            let mut connection = peer::open(Server, Delivery::Messages);

            let (_, end) = peer::told(&mut connection, &announce(first, bytes));

            let error = ProtocolError::FrameTooBig {
                bytes,
                max_bytes: 65_536,
            };
            assert_eq!(end, Err(error));
        }
    }
}

/// Hostile input F8, where the limit is no help: what is reserved follows what has arrived.
#[test]
fn announced_length_allocates_nothing() {
    let limits = Limits::default().with_max_binary_bytes(u64::MAX);
    for delivery in [Delivery::Messages, Delivery::Frames] {
        let mut connection = limited(limits, delivery);
        let header = [announce(0x82, (1 << 63) - 1), peer::KEY.to_vec()].concat();
        let (_, end) = peer::told(&mut connection, &header);
        assert_eq!(end, Ok(Step::NeedInput));
        assert!(
            connection.direct_buffer(|_| None).is_none(),
            "nothing has been paid for yet"
        );

        let mut arrived = 1;
        connection.recv(BytesMut::from(&b"x"[..]));
        assert_eq!(connection.poll_event(), Ok(Step::NeedInput));
        while arrived < 2_000_000 {
            let mut asked = false;
            let (buffer, room) = connection
                .direct_buffer(|_| {
                    asked = true;
                    None
                })
                .expect("a large frame is under way");
            assert_eq!(asked, arrived > 1, "nothing is lent for one byte");
            let least = match arrived {
                1 => 16 * 1024,
                _ => 256 * 1024,
            };
            let most = arrived.max(least);
            assert!(room <= most, "{room} offered for {arrived}");
            assert!(buffer.capacity() <= 4 * most, "{}", buffer.capacity());
            buffer.extend_from_slice(&vec![0; room]);
            arrived += room;
            assert_eq!(connection.recv_direct(room), Ok(None), "{delivery:?}");
        }
    }
}

/// Hostile input F9: lengths are added only as bytes arrive, so that no sum overflows.
#[test]
fn lengths_that_sum_past_64_bits_fail_or_wait() {
    let rows = [
        (
            Limits::default(),
            Err(ProtocolError::FrameTooBig {
                bytes: (1 << 63) - 1,
                max_bytes: 65_536,
            }),
        ),
        (
            Limits::default().with_max_binary_bytes(u64::MAX),
            Ok(Step::NeedInput),
        ),
    ];
    for (limits, want) in rows {
        let mut connection = limited(limits, Delivery::Messages);
        let (_, first) = peer::told(&mut connection, &peer::frame(Server, 0x02, &[0; 1_000]));
        assert_eq!(first, Ok(Step::NeedInput));

        let second = [
            announce(0x80, (1 << 63) - 1),
            peer::KEY.to_vec(),
            vec![0; 1_000],
        ];
        let (_, end) = peer::told(&mut connection, &second.concat());

        assert_eq!(end, want);
    }
}

#[test]
fn consumed_message_counts_against_the_frame_limit_only() {
    let limits = Limits::default()
        .with_max_text_bytes(10)
        .with_max_frame_bytes(8);
    let mut connection = limited(limits, Delivery::Frames);
    let frames = [
        peer::frame(Server, 0x01, b"12345678"),
        peer::frame(Server, 0x00, b"12345678"),
        peer::frame(Server, 0x00, b"123456789"),
    ];
    connection.recv(BytesMut::from(&frames.concat()[..]));

    for _ in 0..2 {
        let Ok(Step::Event(Event::Frame(frame))) = connection.poll_event() else {
            panic!("a frame was next")
        };
        assert_eq!(connection.consume(frame), Ok(None));
    }

    let error = ProtocolError::FrameTooBig {
        bytes: 9,
        max_bytes: 8,
    };
    assert_eq!(connection.poll_event(), Err(error));
}

/// Hostile input L7.
#[test]
fn changed_limits_hold_from_the_next_frame() {
    let mut connection = peer::open(Server, Delivery::Messages);
    connection.set_limits(Limits::default().with_max_text_bytes(3));

    let (events, end) = peer::told(&mut connection, &peer::frame(Server, 0x81, b"abc"));
    let (_, over) = peer::told(&mut connection, &peer::frame(Server, 0x81, b"abcd"));

    assert_eq!(
        (events, end),
        (
            vec![Event::Message(Message::text("abc"))],
            Ok(Step::NeedInput)
        )
    );
    assert_eq!(
        over,
        Err(ProtocolError::FrameTooBig {
            bytes: 4,
            max_bytes: 3
        })
    );
}

#[test]
fn lowered_limit_holds_for_the_rest_of_a_message() {
    let mut connection = peer::open(Server, Delivery::Messages);
    let (_, first) = peer::told(&mut connection, &peer::frame(Server, 0x01, b"ab"));
    connection.set_limits(Limits::default().with_max_text_bytes(3));

    let (_, over) = peer::told(&mut connection, &peer::frame(Server, 0x80, b"cd"));

    assert_eq!(first, Ok(Step::NeedInput));
    assert_eq!(over, Err(ProtocolError::MessageTooBig { max_bytes: 3 }));
}

/// Hostile input L1, where the first fragment is read past the parser: the second one is announced
/// to be too much.
#[test]
fn message_that_is_read_directly_is_counted() {
    let limits = Limits::default().with_max_binary_bytes(50_000);
    let mut connection = limited(limits, Delivery::Messages);
    let first = peer::frame(Server, 0x02, &[0; 40_000]);
    let (_, end) = peer::told(&mut connection, &first[..4_000]);
    assert_eq!(end, Ok(Step::NeedInput));
    let spare = |bytes| Some(BytesMut::with_capacity(bytes));
    let (buffer, room) = connection.direct_buffer(spare).expect("it is under way");
    buffer.extend_from_slice(&first[4_000..]);
    assert_eq!(connection.recv_direct(room), Ok(None));

    let second = peer::frame(Server, 0x80, &[0; 10_001]);
    let (_, end) = peer::told(&mut connection, &second[..9]);

    let max_bytes = 50_000;
    assert_eq!(end, Err(ProtocolError::MessageTooBig { max_bytes }));
}

/// However little is missing: only then is the buffer whole, and can be used again.
#[test]
fn end_of_a_large_frame_is_read_into_its_buffer() {
    let frame = peer::frame(Server, 0x82, &[7; 40_000]);
    for delivery in [Delivery::Messages, Delivery::Frames] {
        let mut connection = limited(Limits::default(), delivery);
        let (_, end) = peer::told(&mut connection, &frame[..8_000]);
        assert_eq!(end, Ok(Step::NeedInput));

        for (from, to) in [(8_000, 39_990), (39_990, frame.len())] {
            let spare = |bytes| Some(BytesMut::with_capacity(bytes));
            let (buffer, room) = connection.direct_buffer(spare).expect("it is under way");
            assert_eq!(room, frame.len() - from, "{delivery:?}");
            buffer.extend_from_slice(&frame[from..to]);

            let told = connection.recv_direct(to - from).unwrap();

            assert_eq!(told.is_some(), to == frame.len(), "{delivery:?}");
        }
        let (_, end) = peer::told(&mut connection, &frame[..20]);
        assert_eq!(end, Ok(Step::NeedInput));
        assert!(
            connection.direct_buffer(|_| None).is_some(),
            "{delivery:?}: nothing of the frame before is left"
        );
    }
}

/// A message that lay whole in what was read is a slice of it.
#[test]
fn message_that_arrived_whole_is_not_copied() {
    let bytes = BytesMut::from(&peer::frame(Server, 0x82, &[9; 1_000])[..]);
    let read_at = bytes.as_ptr().addr();
    let mut connection = peer::open(Server, Delivery::Messages);

    connection.recv(bytes);
    let step = connection.poll_event();

    let Ok(Step::Event(Event::Message(message))) = step else {
        panic!("{step:?}")
    };
    assert_eq!(message.as_bytes().as_ptr().addr(), read_at + 8);
}

/// What was read is given back once it has been told, however it was taken apart.
#[test]
fn connection_that_waits_holds_nothing_of_what_was_read() {
    let whole = peer::frame(Server, 0x82, &[9; 1_000]);
    let ping = peer::frame(Server, 0x89, b"ping");
    let fragments = [
        peer::frame(Server, 0x02, &[9; 500]),
        peer::frame(Server, 0x80, &[9; 500]),
    ]
    .concat();
    for delivery in DELIVERIES {
        for bytes in [&whole, &ping, &fragments] {
            let mut connection = peer::open(Server, delivery);
            let mut buffer = BytesMut::with_capacity(4096);
            buffer.extend_from_slice(bytes);

            connection.recv(buffer.split());
            while connection.poll_event() != Ok(Step::NeedInput) {}

            assert!(buffer.try_reclaim(4096), "{delivery:?} {bytes:x?}");
        }
    }
}
