//! RFC 6455 §5.1, §5.2, §5.5 and §5.7, sentence by sentence, through the public API only.

#[path = "peer/wire.rs"]
mod peer;

use bytes::Bytes;
use ws_core::Role::{Client, Server};
use ws_core::{
    Connection, Delivery, Event, ExtensionStack, Limits, Message, ProtocolError, Role, Step,
};

/// One byte string and what it must lead to.
struct Case {
    /// Which sentence, or which hostile input, this is: so that a failure names it.
    rule: &'static str,
    role: Role,
    bytes: &'static [u8],
    want: Result<Event, ProtocolError>,
}

fn text(text: &'static str) -> Result<Event, ProtocolError> {
    Ok(Event::Message(Message::text(text)))
}

fn binary(data: impl Into<Bytes>) -> Result<Event, ProtocolError> {
    Ok(Event::Message(Message::binary(data)))
}

fn check(cases: impl IntoIterator<Item = Case>) {
    for Case {
        rule,
        role,
        bytes,
        want,
    } in cases
    {
        let mut connection = peer::open(role, Delivery::Messages);

        let (events, end) = peer::told(&mut connection, bytes);

        match want {
            Ok(event) => assert_eq!((events, end), (vec![event], Ok(Step::NeedInput)), "{rule}"),
            Err(error) => {
                assert_eq!((events, end), (vec![], Err(error)), "{rule}");
                assert_eq!(connection.poll_event(), Ok(Step::Closed), "{rule}");
            }
        }
    }
}

#[test]
fn examples_of_the_rfc_are_read_as_it_says() {
    let ping = || Ok(Event::Ping(Bytes::from_static(b"Hello")));
    let pong = || Ok(Event::Pong(Bytes::from_static(b"Hello")));
    check([
        Case {
            rule: "§5.7: a single-frame unmasked text message",
            role: Client,
            bytes: b"\x81\x05\x48\x65\x6c\x6c\x6f",
            want: text("Hello"),
        },
        Case {
            rule: "§5.7: a single-frame masked text message",
            role: Server,
            bytes: b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            want: text("Hello"),
        },
        Case {
            rule: "§5.7: a fragmented unmasked text message",
            role: Client,
            bytes: b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f",
            want: text("Hello"),
        },
        Case {
            rule: "§5.7: unmasked Ping request",
            role: Client,
            bytes: b"\x89\x05\x48\x65\x6c\x6c\x6f",
            want: ping(),
        },
        Case {
            rule: "§5.7: masked Ping response",
            role: Server,
            bytes: b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            want: pong(),
        },
    ]);
}

#[test]
fn every_length_form_is_read() {
    for (rule, len) in [
        ("§5.2: if 0-125, that is the payload length", 0),
        ("§5.2: if 0-125, that is the payload length", 125),
        (
            "§5.2: if 126, the following 2 bytes are the payload length",
            126,
        ),
        ("§5.7: 256 bytes binary message", 256),
        (
            "§5.2: if 126, the following 2 bytes are the payload length",
            65_535,
        ),
        (
            "§5.7: 64KiB binary message in a single unmasked frame",
            65_536,
        ),
    ] {
        for role in [Server, Client] {
            let payload = vec![0x5a; len];
            let mut connection = peer::open(role, Delivery::Messages);

            let (events, _) = peer::told(&mut connection, &peer::frame(role, 0x82, &payload));

            assert_eq!(
                events,
                [binary(payload).unwrap()],
                "{rule}: {len} for a {role:?}"
            );
        }
    }
}

#[test]
fn masking_rules_hold() {
    let unmasked = || Err(ProtocolError::WrongMasking { masked: false });
    let masked = || Err(ProtocolError::WrongMasking { masked: true });
    let client_frame_not_masked =
        "§5.1: the server MUST close upon receiving a frame that is not masked; hostile input F1";
    let server_frame_masked =
        "§5.1: a client MUST close if it detects a masked frame; hostile input F2";
    check(
        [
            &b"\x81\x02Hi"[..],
            b"\x82\x00",
            b"\x89\x00",
            b"\x8a\x00",
            b"\x88\x02\x03\xe8",
        ]
        .map(|bytes| Case {
            rule: client_frame_not_masked,
            role: Server,
            bytes,
            want: unmasked(),
        }),
    );
    check(
        [
            &b"\x81\x82\0\0\0\0Hi"[..],
            b"\x89\x80\0\0\0\0",
            b"\x88\x80\0\0\0\0",
        ]
        .map(|bytes| Case {
            rule: server_frame_masked,
            role: Client,
            bytes,
            want: masked(),
        }),
    );
}

#[test]
fn header_rules_hold() {
    let rsv = "§5.2: RSV MUST be 0 unless an extension is negotiated; hostile input F3";
    let shortest = "§5.2: the minimal number of bytes MUST be used; hostile input F6";
    let top_bit = "§5.2: the most significant bit MUST be 0; hostile input F7";
    let long = "§5.5: control frames MUST have 125 bytes or less; hostile input F10";
    let whole = "§5.5: control frames MUST NOT be fragmented; hostile input F11";
    let reserved = |bits| Err(ProtocolError::ReservedBits { bits });
    let rows: [(_, &[u8], _); 19] = [
        (rsv, b"\xc1\x80\0\0\0\0", reserved(0b100)),
        (rsv, b"\xa1\x80\0\0\0\0", reserved(0b010)),
        (rsv, b"\x91\x80\0\0\0\0", reserved(0b001)),
        (rsv, b"\xf2\x80\0\0\0\0", reserved(0b111)),
        (rsv, b"\xc9\x80\0\0\0\0", reserved(0b100)),
        (rsv, b"\xc8\x80\0\0\0\0", reserved(0b100)),
        (rsv, b"\xba\x80\0\0\0\0", reserved(0b011)),
        (
            shortest,
            b"\x82\xfe\x00\x7d",
            Err(ProtocolError::LongLengthForm),
        ),
        (
            shortest,
            b"\x82\xfe\x00\x00",
            Err(ProtocolError::LongLengthForm),
        ),
        (
            shortest,
            b"\x82\xff\0\0\0\0\0\0\xff\xff",
            Err(ProtocolError::LongLengthForm),
        ),
        (
            shortest,
            b"\x82\xff\0\0\0\0\0\0\0\x01",
            Err(ProtocolError::LongLengthForm),
        ),
        (
            top_bit,
            b"\x82\xff\x80\0\0\0\0\0\0\0",
            Err(ProtocolError::LengthTopBit),
        ),
        (
            top_bit,
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            Err(ProtocolError::LengthTopBit),
        ),
        (
            long,
            b"\x89\xfe\x00\x7e",
            Err(ProtocolError::ControlTooLong),
        ),
        (
            long,
            b"\x8a\xfe\x00\x05",
            Err(ProtocolError::ControlTooLong),
        ),
        (
            long,
            b"\x88\xff\0\0\0\0\0\x01\0\0",
            Err(ProtocolError::ControlTooLong),
        ),
        (
            whole,
            b"\x09\x80\0\0\0\0",
            Err(ProtocolError::FragmentedControl),
        ),
        (
            whole,
            b"\x0a\x80\0\0\0\0",
            Err(ProtocolError::FragmentedControl),
        ),
        (
            whole,
            b"\x08\x80\0\0\0\0",
            Err(ProtocolError::FragmentedControl),
        ),
    ];
    check(rows.map(|(rule, bytes, want)| Case {
        rule,
        role: Server,
        bytes,
        want,
    }));
}

/// §5.2: an unknown opcode fails the connection. Hostile input F4.
#[test]
fn reserved_opcode_fails_the_connection_also_inside_a_message() {
    for role in [Server, Client] {
        for bits in (0x3..=0x7).chain(0xB..=0xF) {
            for before in [vec![], peer::frame(role, 0x01, b"half")] {
                let mut connection = peer::open(role, Delivery::Messages);
                let bytes = [before, peer::frame(role, 0x80 | bits, b"")].concat();

                let (events, end) = peer::told(&mut connection, &bytes);

                assert_eq!(events, [], "{bits:#x}");
                assert_eq!(end, Err(ProtocolError::ReservedOpCode { bits }));
            }
        }
    }
}

#[test]
fn every_header_rule_fails_with_1002() {
    for bytes in [
        &b"\xc1"[..],
        b"\x83",
        b"\x81\x00",
        b"\x89\xfe",
        b"\x09",
        b"\x80",
        b"\x82\xfe\0\0",
    ] {
        let mut connection = peer::open(Server, Delivery::Messages);

        let (_, end) = peer::told(&mut connection, bytes);

        assert_eq!(end.unwrap_err().close_code().get(), 1002, "{bytes:x?}");
    }
}

#[test]
fn verdict_comes_with_the_byte_that_shows_it() {
    for bytes in [
        &b"\xc1"[..],
        b"\x83",
        b"\x09",
        b"\x80",
        b"\x81\x05",
        b"\x89\xfe",
        b"\x82\xfe\x00\x7d",
        b"\x82\xff\x80\0\0\0\0\0\0\0",
        b"\x82\xff\0\0\0\0\0\x01\0\x01",
    ] {
        let mut connection = peer::open(Server, Delivery::Messages);
        let (last, before) = bytes.split_last().unwrap();

        let (_, early) = peer::told(&mut connection, before);
        let (_, end) = peer::told(&mut connection, &[*last]);

        assert_eq!(early, Ok(Step::NeedInput), "{bytes:x?}");
        assert!(end.is_err(), "{bytes:x?}");
    }
}

/// §5.5.2 and §5.5.3. Hostile inputs F16 and F17.
#[test]
fn pings_and_pongs_of_0_and_125_bytes_are_told_whole() {
    for len in [0, 125] {
        let payload = vec![b'p'; len];
        let bytes = [
            peer::frame(Server, 0x89, &payload),
            peer::frame(Server, 0x8a, &payload),
        ]
        .concat();
        let mut connection = peer::open(Server, Delivery::Messages);

        let (events, end) = peer::told(&mut connection, &bytes);

        let payload = Bytes::from(payload);
        assert_eq!(events, [Event::Ping(payload.clone()), Event::Pong(payload)]);
        assert_eq!(end, Ok(Step::NeedInput));
    }
}

/// Hostile input F18, one segment.
#[test]
fn ten_thousand_frames_in_one_segment_are_ten_thousand_messages() {
    let one = peer::frame(Server, 0x82, b"x");
    let mut connection = peer::open(Server, Delivery::Messages);

    let (events, end) = peer::told(&mut connection, &one.repeat(10_000));

    assert_eq!(events, vec![binary("x").unwrap(); 10_000]);
    assert_eq!(end, Ok(Step::NeedInput));
    assert!(!connection.has_input());
}

/// Hostile input F20, through the parser: the payload begins wherever the frame before it ends.
#[test]
fn payload_of_any_size_behind_any_other_is_unmasked() {
    for before in 0..8 {
        for len in 0..=70 {
            let first = vec![b'a'; before];
            let second: Vec<u8> = (0..len).collect();
            let mut connection = peer::open(Server, Delivery::Messages);
            let bytes = [
                peer::frame(Server, 0x82, &first),
                peer::frame(Server, 0x82, &second),
            ];

            let (events, _) = peer::told(&mut connection, &bytes.concat());

            let want = [binary(first).unwrap(), binary(second).unwrap()];
            assert_eq!(events, want, "{len} bytes behind {before}");
        }
    }
}

/// Hostile input F20, the key that hides nothing.
#[test]
fn masking_key_of_zeros_is_a_masking_key() {
    check([Case {
        rule: "§5.3: the masking key is a 32-bit value; hostile input F20",
        role: Server,
        bytes: b"\x81\x85\0\0\0\0Hello",
        want: text("Hello"),
    }]);
}

/// Hostile input F22.
#[test]
fn http_answer_is_no_frame() {
    check([Case {
        rule: "§5.2: RSV MUST be 0; hostile input F22",
        role: Client,
        bytes: b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        want: Err(ProtocolError::ReservedBits { bits: 0b100 }),
    }]);
}

#[test]
fn large_frame_passes_where_the_limit_lets_it() {
    let payload = vec![7; 300_000];
    let limits = Limits::default().with_max_binary_bytes(300_000);
    let mut connection = Connection::new(
        Client,
        limits,
        Delivery::Messages,
        ExtensionStack::default(),
    );

    let (events, _) = peer::told(&mut connection, &peer::frame(Client, 0x82, &payload));

    assert_eq!(events, [binary(payload).unwrap()]);
}
