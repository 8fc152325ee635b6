//! What a peer's compressed data can cost, and what it leaves to the next session.

#[path = "peer/deflate.rs"]
#[expect(dead_code, reason = "nothing is sent here")]
mod oracle;
#[path = "peer/wire.rs"]
#[expect(dead_code, reason = "every connection here has the extension")]
mod peer;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use oracle::Oracle;
use ws_core::extension::{DeflateConfig, PerMessageDeflate};
use ws_core::{
    Connection, Delivery, Event, Extension, ExtensionStack, FramePart, Limits, Message,
    ProtocolError, ReservedBits, Role, Step,
};

const MIB: usize = 1 << 20;

/// The most that is inflated at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// Counts what comes out of the extension.
#[derive(Debug)]
struct Counted {
    deflate: PerMessageDeflate,
    inflated: Arc<AtomicUsize>,
}

impl Extension for Counted {
    fn name(&self) -> &'static str {
        self.deflate.name()
    }

    fn reserved(&self) -> ReservedBits {
        self.deflate.reserved()
    }

    fn push_inbound(&mut self, part: FramePart) {
        self.deflate.push_inbound(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        let part = self.deflate.poll_inbound()?;
        let len = part.as_ref().map_or(0, |part| part.payload().len());
        assert!(len <= BUFFER_BYTES, "{len}");
        self.inflated.fetch_add(len, Ordering::Relaxed);
        Ok(part)
    }

    fn push_outbound(&mut self, frame: FramePart) {
        self.deflate.push_outbound(frame);
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.deflate.poll_outbound()
    }
}

fn counted(config: DeflateConfig, limits: Limits) -> (Connection, Arc<AtomicUsize>) {
    let inflated = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        deflate: oracle::both_ends(config).0,
        inflated: Arc::clone(&inflated),
    };
    let mut stack = ExtensionStack::default();
    stack.push(Box::new(counted)).expect("the only extension");
    let connection = Connection::new(Role::Server, limits, Delivery::Messages, stack);
    (connection, inflated)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    peer::frame(Role::Server, first, payload)
}

fn configs() -> [DeflateConfig; 2] {
    let keeps = DeflateConfig::default();
    [keeps, keeps.with_client_no_context_takeover()]
}

/// Hostile input C10: 64 MiB of zeroes, in one frame and in a thousand.
#[test]
fn bomb_costs_its_limit_and_one_buffer() {
    let bomb = Oracle::new(false).compress(&vec![0; 64 * MIB], true);
    let limits = Limits::default().with_max_binary_bytes(MIB as u64);
    let piece = bomb.len().div_ceil(1_000);
    let mut pieces: Vec<Vec<u8>> = bomb.chunks(piece).map(|it| frame(0x00, it)).collect();
    pieces[0][0] = 0x42;
    for (bytes, config) in [frame(0xc2, &bomb), pieces.concat()]
        .iter()
        .flat_map(|bytes| configs().map(|config| (bytes, config)))
    {
        let (mut connection, inflated) = counted(config, limits);

        let (events, end) = peer::told(&mut connection, bytes);

        assert_eq!(events, []);
        let max_bytes = MIB as u64;
        assert_eq!(end, Err(ProtocolError::MessageTooBig { max_bytes }));
        assert!(inflated.load(Ordering::Relaxed) <= MIB + BUFFER_BYTES);
    }
}

/// Hostile input C10, where frames are told: one that inflates past what a message may have is
/// never put together, whoever would take it.
#[test]
fn frame_is_no_longer_for_being_told_than_a_message() {
    let bomb = |len| Oracle::new(false).compress(&vec![0; len], true);
    let limits = Limits::default().with_max_binary_bytes(MIB as u64);
    let wide = limits.with_max_frame_bytes(2 * MIB as u64);
    for (limits, max_bytes) in [(limits, MIB), (wide, 2 * MIB)] {
        for (len, fits) in [(max_bytes, true), (64 * MIB, false)] {
            let (deflate, _) = oracle::both_ends(DeflateConfig::default());
            let mut connection =
                oracle::connection(Role::Server, deflate, limits, Delivery::Frames);
            connection.recv(frame(0xc2, &bomb(len)).as_slice().into());

            let told = connection.poll_event();

            match told {
                Ok(Step::Event(Event::Frame(told))) => {
                    assert!(fits && told.payload().len() == len, "{len}");
                }
                Err(ProtocolError::FrameTooBig { bytes, .. }) => {
                    assert!(
                        !fits && bytes <= (max_bytes + BUFFER_BYTES) as u64,
                        "{bytes}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Hostile input C11: also at the very byte.
#[test]
fn limit_counts_what_was_inflated() {
    let limits = Limits::default();
    for (len, fits) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let compressed = Oracle::new(false).compress(&vec![7; len], true);
        assert!(compressed.len() < 1_000);
        let (mut connection, _) = counted(DeflateConfig::default(), limits);

        let (events, end) = peer::told(&mut connection, &frame(0xc2, &compressed));

        assert_eq!(end.is_ok(), fits, "{len}");
        assert_eq!(events.len(), usize::from(fits), "{len}");
    }
}

/// What cannot be compressed becomes longer, and is no longer a message for that.
#[test]
fn message_within_the_limit_may_be_longer_on_the_wire() {
    let next = |state: &u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        )
    };
    let noise: Vec<u8> = std::iter::successors(Some(1), next)
        .map(|state| (state >> 56) as u8)
        .take(64 * 1024)
        .collect();
    let compressed = Oracle::new(false).compress(&noise, true);
    assert!(compressed.len() > noise.len());
    let (mut connection, _) = counted(DeflateConfig::default(), Limits::default());

    let (events, end) = peer::told(&mut connection, &frame(0xc2, &compressed));

    assert_eq!(end, Ok(Step::NeedInput));
    assert_eq!(events, [Event::Message(Message::binary(noise))]);
}

/// Hostile input C12: what yields nothing is looked at once.
#[test]
fn flood_of_empty_blocks_is_read_once() {
    let stored = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(MIB / 5);
    // Four empty blocks with fixed codes: ten bits each.
    let fixed = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(MIB / 5);
    for flood in [stored, fixed] {
        let mut deflate = oracle::both_ends(DeflateConfig::default()).0;
        let mut polls = 0;
        for (at, piece) in flood.chunks(1_000).enumerate() {
            let part = match at {
                0 => FramePart::whole(ws_core::Frame::binary(piece.to_vec()).not_final()),
                _ => FramePart::whole(ws_core::Frame::continuation(piece.to_vec()).not_final()),
            };
            let mark = if at == 0 {
                ReservedBits::RSV1
            } else {
                ReservedBits::NONE
            };
            deflate.push_inbound(part.with_reserved(mark));
            while let Some(part) = deflate.poll_inbound().unwrap() {
                assert!(part.payload().is_empty());
                polls += 1;
            }
        }

        // One for each frame: frames keep their boundaries.
        assert_eq!(polls, flood.len().div_ceil(1_000));
    }
}

#[test]
fn nothing_is_inflated_before_it_is_wanted() {
    let compressed = Oracle::new(false).compress(&vec![1; MIB], true);
    let limits = Limits::default().with_max_binary_bytes(MIB as u64);
    let inflated = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        deflate: oracle::both_ends(DeflateConfig::default()).0,
        inflated: Arc::clone(&inflated),
    };
    let mut stack = ExtensionStack::default();
    stack.push(Box::new(counted)).unwrap();
    let mut connection = Connection::new(Role::Server, limits, Delivery::Partials, stack);
    connection.recv(frame(0xc2, &compressed)[..].into());

    for told in 1..=MIB / BUFFER_BYTES {
        let step = connection.poll_event();

        assert!(matches!(step, Ok(Step::Event(Event::Partial(_)))));
        assert_eq!(inflated.load(Ordering::Relaxed), told * BUFFER_BYTES);
    }
}

/// A window larger than agreed is the peer's own breach, and has one meaning all the same.
#[test]
fn distance_beyond_the_agreed_window_is_understood_and_beyond_the_first_byte_is_not() {
    let noise: Vec<u8> = (0..30_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (deflate, _) = DeflateConfig::default()
        .accept(&[("client_max_window_bits", Some("9"))])
        .unwrap();
    let mut peer_side = Oracle::new(false);
    let first = peer_side.compress(&noise, true);
    let again = peer_side.compress(&noise, true);
    assert!(again.len() < 1_000, "it refers to the first");
    let limits = Limits::default();
    let mut connection = oracle::connection(Role::Server, deflate, limits, Delivery::Messages);

    let both = [frame(0xc2, &first), frame(0xc2, &again)].concat();
    let (events, end) = peer::told(&mut connection, &both);
    let (mut fresh, _) = counted(DeflateConfig::default(), limits);
    let (_, refused) = peer::told(&mut fresh, &frame(0xc2, &again));

    assert_eq!(end, Ok(Step::NeedInput));
    assert_eq!(events, vec![Event::Message(Message::binary(noise)); 2]);
    assert_eq!(refused.unwrap_err().close_code().get(), 1007);
}

/// Hostile input C16: states go from session to session on one thread, what they have seen does not.
#[test]
fn session_that_ends_within_a_message_leaves_nothing_to_the_next() {
    let none = DeflateConfig::default().with_client_no_context_takeover();
    let hello = Oracle::new(true).compress(b"Hello", true);
    let refers_back = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    let endings: [(&str, Vec<u8>); 4] = [
        ("cut off", frame(0x41, &hello[..4])),
        ("error", frame(0xc1, &[0xff; 20])),
        ("truncated", frame(0xc1, &hello[..4])),
        ("well", frame(0xc1, &hello)),
    ];

    for (how, bytes) in endings {
        let (mut ending, _) = counted(none, Limits::default());
        let _ = peer::told(&mut ending, &bytes);
        drop(ending);
        let (mut next, _) = counted(none, Limits::default());
        let (events, _) = peer::told(&mut next, &frame(0xc1, &hello));
        let (_, refused) = peer::told(&mut next, &frame(0xc1, refers_back));

        assert_eq!(events, [Event::Message(Message::text("Hello"))], "{how}");
        assert!(refused.is_err(), "{how}: nothing to refer back to");
    }
}

/// §7.1.1.2: a client that has said so starts every message anew, and is held to it.
#[test]
fn message_that_refers_to_the_last_one_fails_where_no_context_is_kept() {
    let mut keeps = Oracle::new(false);
    let bytes = [
        keeps.compress(b"again and again", true),
        keeps.compress(b"again and", true),
    ]
    .map(|payload| frame(0xc1, &payload))
    .concat();
    for (config, fits) in configs().into_iter().zip([true, false]) {
        let (mut connection, _) = counted(config, Limits::default());

        let (_, end) = peer::told(&mut connection, &bytes);

        assert_eq!(end.is_ok(), fits);
    }
}

/// Many messages under way at once on one thread: more states than the pool keeps.
#[test]
fn messages_that_arrive_in_pieces_do_not_share_a_state() {
    let none = DeflateConfig::default().with_client_no_context_takeover();
    let payload = |at: usize| format!("session {at} has a message of its own").into_bytes();
    let halves: Vec<(Vec<u8>, Vec<u8>)> = (0..20)
        .map(|at| Oracle::new(true).compress(&payload(at), true))
        .map(|bytes| (bytes[..8].to_vec(), bytes[8..].to_vec()))
        .collect();
    let mut sessions: Vec<Connection> = (0..20)
        .map(|_| counted(none, Limits::default()).0)
        .collect();
    for _ in 0..3 {
        for (session, (head, _)) in sessions.iter_mut().zip(&halves) {
            assert_eq!(peer::told(session, &frame(0x42, head)).0, []);
        }
        for (at, (session, (_, tail))) in sessions.iter_mut().zip(&halves).enumerate() {
            let (events, _) = peer::told(session, &frame(0x80, tail));

            assert_eq!(events, [Event::Message(Message::binary(payload(at)))]);
        }
    }
}
