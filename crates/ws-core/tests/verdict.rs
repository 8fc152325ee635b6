//! RFC 6455 §8.1 and §10.4 at once: what is too long and no text fails by the same rule however it
//! was cut into reads. Where the length is announced that is 1009; where only extensions can tell
//! it, the first byte that breaks a rule decides.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "peer/deflate.rs"]
#[expect(dead_code, reason = "nothing is sent here")]
mod oracle;
#[path = "peer/wire.rs"]
#[expect(dead_code, reason = "every connection here has limits of its own")]
mod peer;

use bytes::BytesMut;
use oracle::Oracle;
use proptest::prelude::*;
use proptest::{collection::vec, sample::select};
use ws_core::extension::{DeflateConfig, Identity};
use ws_core::{
    CloseCode, Connection, Delivery, Event, Extension, ExtensionStack, Limits, ProtocolError, Role,
    Step,
};

const DELIVERIES: [Delivery; 4] = [
    Delivery::Messages,
    Delivery::Partials,
    Delivery::Frames,
    Delivery::FramesAndPartials,
];

/// The longest text.
const LONGEST: usize = 20;

/// A frame may be longer than the longest message.
fn limits(longest: usize) -> Limits {
    Limits::default()
        .with_max_text_bytes(longest as u64)
        .with_max_frame_bytes(1 << 20)
}

fn open(delivery: Delivery, longest: usize, extension: Option<Box<dyn Extension>>) -> Connection {
    let mut stack = ExtensionStack::default();
    if let Some(extension) = extension {
        stack.push(extension).unwrap();
    }
    Connection::new(Role::Server, limits(longest), delivery, stack)
}

fn identity() -> Box<dyn Extension> {
    Box::<Identity>::default()
}

/// A text message in frames with these payloads.
fn text(payloads: &[Vec<u8>]) -> Vec<u8> {
    let last = payloads.len() - 1;
    let frames = payloads.iter().enumerate().map(|(at, payload)| {
        let opcode = u8::from(at == 0);
        let fin = u8::from(at == last) << 7;
        peer::frame(Role::Server, fin | opcode, payload)
    });
    frames.flatten().collect()
}

/// As many bytes of text, but for the one at `bad`, which is none.
fn spoilt(len: usize, bad: usize) -> Vec<u8> {
    let mut payload = vec![b'a'; len];
    payload[bad] = 0xff;
    payload
}

/// What a connection fails by that reads `bytes` in pieces; `None` if it does not.
fn verdict(connection: &mut Connection, bytes: &[u8], cuts: &[usize]) -> Option<ProtocolError> {
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        let read = &bytes[from..to];
        from = to;
        if let Err(error) = take(connection, read) {
            return Some(error);
        }
    }
    None
}

/// One read, straight to where it belongs if it is the rest of a large frame.
fn take(connection: &mut Connection, mut read: &[u8]) -> Result<(), ProtocolError> {
    while let Some((buffer, room)) = connection.direct_buffer(|_| None) {
        let (direct, rest) = read.split_at(room.min(read.len()));
        read = rest;
        buffer.extend_from_slice(direct);
        let event = connection.recv_direct(direct.len())?;
        follow(connection, event)?;
        if read.is_empty() {
            return Ok(());
        }
    }
    connection.recv(BytesMut::from(read));
    while let Step::Event(event) = connection.poll_event()? {
        follow(connection, Some(event))?;
    }
    Ok(())
}

fn follow(connection: &mut Connection, event: Option<Event>) -> Result<(), ProtocolError> {
    if let Some(Event::Frame(frame)) = event {
        connection.resume(frame)?;
    }
    Ok(())
}

#[test]
fn text_that_is_announced_too_long_fails_with_1009_whatever_it_says() {
    let rows = [
        text(&[spoilt(LONGEST + 1, 0)]),
        text(&[spoilt(LONGEST + 1, LONGEST)]),
        text(&[b"ab".to_vec(), spoilt(LONGEST - 1, 0)]),
        text(&[b"ab".to_vec(), vec![], spoilt(LONGEST + 9, LONGEST)]),
    ];
    for delivery in [Delivery::Messages, Delivery::Partials] {
        for bytes in &rows {
            for cut in 0..=bytes.len() {
                let mut connection = open(delivery, LONGEST, None);

                let failed = verdict(&mut connection, bytes, &[cut]).unwrap();

                let max_bytes = LONGEST as u64;
                let error = ProtocolError::MessageTooBig { max_bytes };
                assert_eq!(failed, error, "{delivery:?} cut at {cut}: {bytes:x?}");
            }
        }
    }
}

#[test]
fn text_that_goes_wrong_before_the_frame_that_is_too_much_fails_with_1007() {
    let bytes = text(&[spoilt(LONGEST, 3), vec![b'a'; 10]]);
    for delivery in DELIVERIES {
        for cut in 0..=bytes.len() {
            let mut connection = open(delivery, LONGEST, None);

            let failed = verdict(&mut connection, &bytes, &[cut]).unwrap();

            let error = ProtocolError::InvalidUtf8 { at: 3 };
            assert_eq!(failed, error, "{delivery:?} cut at {cut}");
        }
    }
}

#[test]
fn compressed_text_fails_by_the_rule_that_its_first_bad_byte_breaks() {
    for (bad, code) in [
        (0, CloseCode::INVALID_PAYLOAD),
        (LONGEST - 1, CloseCode::INVALID_PAYLOAD),
        (LONGEST, CloseCode::MESSAGE_TOO_BIG),
        (LONGEST + 5, CloseCode::MESSAGE_TOO_BIG),
    ] {
        let payload = Oracle::new(false).compress(&spoilt(2 * LONGEST, bad), true);
        let bytes = peer::frame(Role::Server, 0xc1, &payload);
        for delivery in [Delivery::Messages, Delivery::Partials] {
            for cut in 0..=bytes.len() {
                let (deflate, _) = oracle::both_ends(DeflateConfig::default());
                let mut connection = open(delivery, LONGEST, Some(Box::new(deflate)));

                let failed = verdict(&mut connection, &bytes, &[cut]).unwrap();

                let is = failed.close_code();
                assert_eq!(is, code, "{delivery:?}, bad at {bad}, cut at {cut}");
            }
        }
    }
}

/// The payloads of a text message's frames: too long, no text, both, or neither.
fn payloads(longest: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = (0..longest * 3 / 2, prop::option::of(0..longest * 3 / 2));
    let payload = payload.prop_map(|(len, bad)| match bad {
        Some(bad) if bad < len => spoilt(len, bad),
        _ => vec![b'a'; len],
    });
    vec(payload, 1..4)
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..5)
}

fn verdicts(
    longest: usize,
    delivery: Delivery,
    extended: bool,
    payloads: &[Vec<u8>],
    cuts: &[prop::sample::Index],
) -> [Option<CloseCode>; 2] {
    let bytes = text(payloads);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    cuts.sort_unstable();
    [&[], &cuts[..]].map(|cuts| {
        let mut connection = open(delivery, longest, extended.then(identity));
        verdict(&mut connection, &bytes, cuts).map(ProtocolError::close_code)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn verdict_is_the_same_however_a_message_is_cut(
        delivery in select(DELIVERIES.to_vec()),
        extended in any::<bool>(),
        payloads in payloads(LONGEST),
        cuts in cuts(),
    ) {
        let [whole, cut] = verdicts(LONGEST, delivery, extended, &payloads, &cuts);

        prop_assert_eq!(cut, whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn verdict_is_the_same_for_a_message_that_is_read_directly(
        delivery in select(DELIVERIES.to_vec()),
        payloads in payloads(40_000),
        cuts in cuts(),
    ) {
        let [whole, cut] = verdicts(40_000, delivery, false, &payloads, &cuts);

        prop_assert_eq!(cut, whole);
    }
}
