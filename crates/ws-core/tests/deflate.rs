//! RFC 7692: what a peer may send and what it may not, byte for byte, through a whole connection.

#[path = "peer/deflate.rs"]
mod oracle;
#[path = "peer/wire.rs"]
mod peer;

use oracle::Oracle;
use ws_core::extension::DeflateConfig;
use ws_core::{
    CloseCode, Connection, Delivery, Event, Frame, Limits, Message, ProtocolError, Role,
};

/// First bytes and payloads.
type Frames<'a> = &'a [(u8, &'a [u8])];

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn server() -> Connection {
    server_of(Delivery::Messages, Limits::default())
}

fn server_of(delivery: Delivery, limits: Limits) -> Connection {
    let (server, _) = oracle::both_ends(DeflateConfig::default());
    oracle::connection(Role::Server, server, limits, delivery)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    peer::frame(Role::Server, first, payload)
}

/// The messages that `frames` lead to, or the code to fail with.
fn verdict(connection: &mut Connection, bytes: &[u8]) -> Result<Vec<Message>, u16> {
    let (events, end) = peer::told(connection, bytes);
    end.map_err(|error| error.close_code().get())?;
    Ok(messages(events))
}

fn messages(events: Vec<Event>) -> Vec<Message> {
    let message = |event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    };
    events.into_iter().filter_map(message).collect()
}

/// §7.2.3.1 to §7.2.3.6: the examples of the RFC, for both roles, cut at every byte.
#[test]
fn examples_of_the_rfc_are_understood() {
    let cases: [(&str, Frames<'_>, &[&str]); 7] = [
        ("§7.2.3.1", &[(0xc1, HELLO)], &["Hello"]),
        (
            "§7.2.3.1, in two frames",
            &[(0x41, &HELLO[..3]), (0x80, &HELLO[3..])],
            &["Hello"],
        ),
        (
            "§7.2.3.2",
            &[(0xc1, HELLO), (0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])],
            &["Hello", "Hello"],
        ),
        (
            "§7.2.3.3",
            &[(0xc1, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")],
            &["Hello"],
        ),
        (
            "§7.2.3.4",
            &[(0xc1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])],
            &["Hello"],
        ),
        (
            "§7.2.3.5",
            &[(
                0xc1,
                b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            )],
            &["Hello"],
        ),
        ("§7.2.3.6", &[(0xc1, &[0x00])], &[""]),
    ];

    for (section, frames, want) in cases {
        let want: Vec<_> = want.iter().map(|text| Message::text(*text)).collect();
        for role in [Role::Server, Role::Client] {
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(first, payload)| peer::frame(role, *first, payload))
                .collect();
            for cut in 0..bytes.len() {
                let (server, client) = oracle::both_ends(DeflateConfig::default());
                let ours = if role == Role::Server { server } else { client };
                let mut connection =
                    oracle::connection(role, ours, Limits::default(), Delivery::Messages);

                let mut got = verdict(&mut connection, &bytes[..cut]).unwrap();
                got.extend(verdict(&mut connection, &bytes[cut..]).unwrap());

                assert_eq!(got, want, "{section}, {role:?}, cut at {cut}");
            }
        }
    }
}

/// §7.2.3.1 and §7.2.3.2, the other way round.
#[test]
fn examples_of_the_rfc_are_what_we_send() {
    let (ours, _) = oracle::both_ends(DeflateConfig::default().with_threshold_bytes(0));
    let mut server = oracle::connection(Role::Server, ours, Limits::default(), Delivery::Messages);

    let first = oracle::sent(&mut server, Frame::text("Hello"));
    let second = oracle::sent(&mut server, Frame::text("Hello"));

    assert_eq!((first.0, first.1.as_ref()), (0xc1, HELLO));
    let again = &[0xf2, 0x00, 0x11, 0x00, 0x00][..];
    assert_eq!((second.0, second.1.as_ref()), (0xc1, again));
}

/// Hostile input C6.
#[test]
fn rsv1_where_it_has_no_meaning_fails_the_connection() {
    for (bytes, place) in [
        (frame(0xc9, b""), "ping"),
        (frame(0xc8, b""), "close"),
        (
            [frame(0x41, &HELLO[..3]), frame(0xc0, &HELLO[3..])].concat(),
            "continuation",
        ),
        (
            [frame(0x01, b"Hel"), frame(0xc0, b"lo")].concat(),
            "continuation of a plain message",
        ),
    ] {
        assert_eq!(verdict(&mut server(), &bytes), Err(1002), "{place}");
    }
    let mut without = peer::open(Role::Server, Delivery::Messages);
    assert_eq!(verdict(&mut without, &frame(0xc1, HELLO)), Err(1002));
}

/// Hostile input C7: and what came before is not told either.
#[test]
fn data_that_cannot_be_inflated_fails_the_connection() {
    let truncated: Vec<(String, Vec<u8>)> = (1..HELLO.len())
        .map(|len| (format!("cut at {len}"), HELLO[..len].to_vec()))
        .collect();
    let cases = [
        ("reserved block type", vec![0x06]),
        ("garbage", b"\xff\xff\xff\xff\xff\xff".to_vec()),
        ("lengths that differ", b"\x00\x05\x00\x00\x00Hello".to_vec()),
        // §7.2.3.2's second message without the first: it refers to bytes that never were.
        ("distance too far", vec![0xf2, 0x00, 0x11, 0x00, 0x00]),
        ("no end of block", vec![0x00, 0x04, 0x00, 0xfb, 0xff]),
        ("half a stored block", b"\x00\x05\x00\xfa\xffHe".to_vec()),
    ];

    let cases = cases.map(|(why, payload)| (why.to_owned(), payload));
    for (why, payload) in cases.into_iter().chain(truncated) {
        assert_eq!(
            verdict(&mut server(), &frame(0xc2, &payload)),
            Err(1007),
            "{why}"
        );
    }
}

/// Hostile input C8: whatever is taken is taken alike the second time, and leaves nothing behind.
#[test]
fn odd_but_harmless_data_has_one_meaning() {
    let cases: [(&str, &[u8], &str); 7] = [
        ("one empty block", &[0x00], ""),
        ("no payload", &[], ""),
        (
            "empty blocks",
            &[0, 0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0],
            "",
        ),
        (
            "empty blocks with codes",
            &[0x02, 0x08, 0x20, 0x00, 0x00],
            "",
        ),
        (
            "final block, nothing behind it",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            "Hello",
        ),
        (
            "final block, empty block",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            "Hello",
        ),
        ("final empty block", &[0x03, 0x00], ""),
    ];

    for (what, payload, want) in cases {
        let mut connection = server();
        let bytes = [
            frame(0xc1, payload),
            frame(0xc1, payload),
            frame(0xc1, HELLO),
        ]
        .concat();

        let got = verdict(&mut connection, &bytes);

        let want = [want, want, "Hello"].map(Message::text);
        assert_eq!(got.as_deref(), Ok(&want[..]), "{what}");
    }
}

/// Hostile inputs C8 and C9: nothing that is left over begins the next message.
#[test]
fn data_behind_the_end_of_a_message_fails_the_connection() {
    let last = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..];
    let cases = [
        ("tail left on", [HELLO, &[0, 0, 0xff, 0xff]].concat()),
        (
            "tail left on behind a final block",
            [last, &[0, 0, 0, 0xff, 0xff]].concat(),
        ),
        ("final block, second message", [last, HELLO].concat()),
        ("final block, final block", [last, last].concat()),
        ("final block, two bytes", [last, &[0, 0]].concat()),
        ("final block, garbage", [last, &[0xff]].concat()),
    ];

    for (what, payload) in cases {
        for cut in 0..payload.len() {
            let (head, tail) = payload.split_at(cut);
            let bytes = [frame(0x41, head), frame(0x80, tail), frame(0xc1, HELLO)].concat();
            let mut connection = server();

            let (events, end) = peer::told(&mut connection, &bytes);

            let code = end.map_err(ProtocolError::close_code);
            assert_eq!(
                code,
                Err(CloseCode::INVALID_PAYLOAD),
                "{what}, cut at {cut}"
            );
            assert_eq!(events, [], "{what}, cut at {cut}");
        }
    }
}

#[test]
fn rule_that_was_broken_is_told() {
    let (_, end) = peer::told(&mut server(), &frame(0xc1, &HELLO[..4]));

    let error = end.unwrap_err();

    assert_eq!(
        error.to_string(),
        "permessage-deflate: message stops within a DEFLATE block"
    );
}

/// Hostile input C15: also between two messages that share a context.
#[test]
fn plain_message_on_a_compressed_session_is_delivered() {
    let bytes = [
        frame(0xc1, HELLO),
        frame(0x81, b"plain"),
        frame(0x01, b"pl"),
        frame(0x80, b"ain"),
        frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00]),
    ]
    .concat();

    let got = verdict(&mut server(), &bytes);

    let want = ["Hello", "plain", "plain", "Hello"].map(Message::text);
    assert_eq!(got.as_deref(), Ok(&want[..]));
}

#[test]
fn control_frames_pass_between_the_frames_of_a_compressed_message() {
    let bytes = [
        frame(0x41, &HELLO[..2]),
        frame(0x89, b"ping"),
        frame(0x00, &HELLO[2..4]),
        frame(0x8a, b"pong"),
        frame(0x80, &HELLO[4..]),
    ]
    .concat();

    let (events, _) = peer::told(&mut server(), &bytes);

    assert_eq!(events.len(), 3);
    assert_eq!(messages(events), [Message::text("Hello")]);
}

/// RFC 7692 §6: the frames of a compressed message are cut anywhere, and may be empty.
#[test]
fn frames_of_a_compressed_message_are_told_as_frames() {
    let bytes = [
        frame(0x41, b""),
        frame(0x00, &HELLO[..1]),
        frame(0x00, &HELLO[1..6]),
        frame(0x00, b""),
        frame(0x80, &HELLO[6..]),
    ]
    .concat();
    let mut connection = server_of(Delivery::Frames, Limits::default());

    let (events, _) = peer::told(&mut connection, &bytes);

    let frames: Vec<Frame> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Frame(frame) => Some(frame),
            _ => None,
        })
        .collect();
    let payloads: Vec<u8> = frames.iter().flat_map(|it| it.payload().to_vec()).collect();
    let ends: Vec<bool> = frames.iter().map(Frame::fin).collect();
    assert_eq!(frames[0], Frame::text("").not_final());
    assert_eq!(ends, [false, false, false, false, true]);
    assert_eq!(payloads, b"Hello");
    assert!(frames.iter().all(|frame| frame.reserved().is_empty()));
}

#[test]
fn large_frame_is_one_frame_however_many_buffers_it_takes() {
    let payload: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let compressed = Oracle::new(false).compress(&payload, true);
    // The sizes at which a buffer ends just where the frame does.
    for len in [
        0,
        1,
        16 * 1024 - 1,
        16 * 1024,
        16 * 1024 + 1,
        32 * 1024,
        payload.len(),
    ] {
        let limits = Limits::default().with_max_binary_bytes(1 << 20);
        let compressed = match len == payload.len() {
            true => compressed.clone(),
            false => Oracle::new(false).compress(&payload[..len], true),
        };
        let mut connection = server_of(Delivery::Frames, limits);

        let (events, _) = peer::told(&mut connection, &frame(0xc2, &compressed));

        let whole = payload[..len].to_vec();
        let want = [
            Event::Frame(Frame::binary(whole.clone())),
            Event::Message(Message::binary(whole)),
        ];
        assert_eq!(events, want, "{len} bytes");
    }
}

/// RFC 6455 §8.1 is about what is left after inflating; the text need not be whole for a verdict.
#[test]
fn compressed_text_that_is_not_utf8_fails_at_its_first_bad_byte() {
    let mut oracle = Oracle::new(false);
    let bad = [&[b'x'; 20_000][..], b"\xff"].concat();
    let start = oracle.compress(&bad, false);

    let (_, end) = peer::told(&mut server(), &frame(0x41, &start));

    assert_eq!(end, Err(ProtocolError::InvalidUtf8 { at: 20_000 }));
}

#[test]
fn character_may_be_cut_by_a_buffer_or_a_frame() {
    let text = "€".repeat(20_000);
    let mut oracle = Oracle::new(false);
    let (head, tail) = text.as_bytes().split_at(10_001);
    let bytes = [
        frame(0x41, &oracle.compress(head, false)),
        frame(0x80, &oracle.compress(tail, true)),
    ]
    .concat();

    let got = verdict(&mut server(), &bytes);

    assert_eq!(got, Ok(vec![Message::text(text)]));
}

/// Hostile input C13.
#[test]
fn thousand_messages_share_a_context_or_none() {
    for no_context in [false, true] {
        let mut config = DeflateConfig::default().with_threshold_bytes(0);
        if no_context {
            config = config
                .with_server_no_context_takeover()
                .with_client_no_context_takeover();
        }
        let (ours, _) = oracle::both_ends(config);
        let mut server =
            oracle::connection(Role::Server, ours, Limits::default(), Delivery::Messages);
        let mut oracle = Oracle::new(no_context);
        for round in 0..1_000 {
            let text = format!("message {round}: {}", "so it goes ".repeat(round % 50));

            let inbound = frame(0xc1, &oracle.compress(text.as_bytes(), true));
            let got = verdict(&mut server, &inbound);
            let (first, sent) = oracle::sent(&mut server, Frame::text(text.clone()));

            assert_eq!(got, Ok(vec![Message::text(text.clone())]), "{round}");
            let plain = first == 0x81;
            let back = if plain {
                sent.to_vec()
            } else {
                oracle.inflate(&sent)
            };
            assert_eq!(back, text.as_bytes(), "{round}");
        }
    }
}
