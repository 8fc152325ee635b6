//! Any messages through any parameters, in any frames, cut at any byte, come back equal: against
//! flate2 in either direction, and against ourselves.

#[path = "peer/deflate.rs"]
mod oracle;
#[path = "peer/wire.rs"]
#[expect(dead_code, reason = "every connection here has the extension")]
mod peer;

use bytes::BytesMut;
use oracle::Oracle;
use proptest::{collection::vec, prelude::*};
use ws_core::extension::DeflateConfig;
use ws_core::generator::MaskKeys;
use ws_core::{Connection, Delivery, Event, Frame, FramePart, Limits, Message, Role, Step};

/// One message: the payloads of its frames, and what its sender does with it.
#[derive(Clone, Debug)]
struct Outgoing {
    frames: Vec<Vec<u8>>,
    left_plain: bool,
}

impl Outgoing {
    fn message(&self) -> Message {
        Message::binary(self.frames.concat())
    }

    fn frames(&self) -> Vec<FramePart> {
        let last = self.frames.len() - 1;
        let frame = |(at, payload): (usize, &Vec<u8>)| {
            let frame = match at {
                0 => Frame::binary(payload.clone()),
                _ => Frame::continuation(payload.clone()),
            };
            let frame = if at == last { frame } else { frame.not_final() };
            let part = FramePart::whole(frame);
            if self.left_plain {
                part.left_plain()
            } else {
                part
            }
        };
        self.frames.iter().enumerate().map(frame).collect()
    }
}

/// Empty, repetitive, noisy, and larger than a buffer.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        4 => vec(0..4_u8, 0..300),
        4 => vec(any::<u8>(), 0..300),
        2 => (vec(any::<u8>(), 1..40), 1..1_500_usize).prop_map(|(word, times)| word.repeat(times)),
        1 => (any::<u64>(), 1..40_000_usize).prop_map(|(seed, len)| noise(seed, len)),
    ]
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let next = |state: &u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        )
    };
    std::iter::successors(Some(seed), next)
        .map(|state| (state >> 56) as u8)
        .take(len)
        .collect()
}

fn messages() -> impl Strategy<Value = Vec<Outgoing>> {
    let message = (vec(payload(), 1..5), prop::bool::weighted(0.2))
        .prop_map(|(frames, left_plain)| Outgoing { frames, left_plain });
    vec(message, 1..6)
}

fn config() -> impl Strategy<Value = DeflateConfig> {
    let bits = 9..=15_u8;
    let flags = (any::<bool>(), any::<bool>());
    (
        flags,
        bits.clone(),
        bits,
        1..=9_u8,
        prop_oneof![Just(0), 0..2_000_usize],
    )
        .prop_map(
            |((server_anew, client_anew), server_bits, client_bits, level, threshold)| {
                let mut config = DeflateConfig::default()
                    .with_server_max_window_bits(server_bits)
                    .with_client_max_window_bits(client_bits)
                    .with_level(level)
                    .with_threshold_bytes(threshold);
                if server_anew {
                    config = config.with_server_no_context_takeover();
                }
                if client_anew {
                    config = config.with_client_no_context_takeover();
                }
                config
            },
        )
}

fn anew(config: DeflateConfig, name: &str) -> bool {
    config.offer().iter().any(|(offered, _)| offered == name)
}

fn connection(role: Role, config: DeflateConfig) -> Connection {
    let (server, client) = oracle::both_ends(config);
    let ours = if role == Role::Server { server } else { client };
    let limits = Limits::default()
        .with_max_binary_bytes(1 << 24)
        .with_max_frame_bytes(1 << 24);
    oracle::connection(role, ours, limits, Delivery::Messages)
}

/// What `connection` tells of `bytes` that come `step` at a time.
fn received(connection: &mut Connection, bytes: &[u8], step: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for read in bytes.chunks(step) {
        connection.recv(BytesMut::from(read));
        loop {
            match connection.poll_event().expect("what was sent is legal") {
                Step::Event(Event::Message(message)) => messages.push(message),
                Step::Event(_) => {}
                Step::NeedInput => break,
                end => panic!("{end:?}"),
            }
        }
    }
    messages
}

#[derive(Debug)]
struct OneKey;

impl MaskKeys for OneKey {
    fn next_key(&mut self) -> [u8; 4] {
        peer::KEY
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn flate2_understands_what_we_send(messages in messages(), config in config()) {
        let mut server = connection(Role::Server, config);
        let mut oracle = Oracle::new(anew(config, "server_no_context_takeover"));
        for outgoing in messages {
            let sent: Vec<_> = outgoing
                .frames()
                .into_iter()
                .map(|frame| oracle::sent(&mut server, frame))
                .collect();
            let marks: Vec<bool> = sent.iter().map(|(first, _)| first & 0x40 != 0).collect();
            let payload: Vec<u8> = sent.iter().flat_map(|(_, payload)| payload.to_vec()).collect();

            prop_assert!(marks[1..].iter().all(|mark| !mark), "RSV1 on a continuation");
            prop_assert!(!(marks[0] && outgoing.left_plain));
            let got = if marks[0] { oracle.inflate(&payload) } else { payload };
            prop_assert_eq!(Message::binary(got), outgoing.message());
        }
    }

    #[test]
    fn we_understand_what_flate2_sends(
        messages in messages(),
        config in config(),
        role in prop_oneof![Just(Role::Server), Just(Role::Client)],
        step in prop_oneof![1..20_usize, 1..70_000_usize],
        pings in any::<bool>(),
    ) {
        let name = match role {
            Role::Server => "client_no_context_takeover",
            Role::Client => "server_no_context_takeover",
        };
        let mut ours = connection(role, config);
        let mut oracle = Oracle::new(anew(config, name));
        let mut bytes = Vec::new();
        for outgoing in &messages {
            let last = outgoing.frames.len() - 1;
            for (at, payload) in outgoing.frames.iter().enumerate() {
                let (fin, opcode) = (at == last, if at == 0 { 0x02 } else { 0x00 });
                let mark = if at == 0 && !outgoing.left_plain { 0x40 } else { 0x00 };
                let first = (u8::from(fin) << 7) | mark | opcode;
                let payload = match outgoing.left_plain {
                    true => payload.clone(),
                    false => oracle.compress(payload, fin),
                };
                bytes.extend(peer::frame(role, first, &payload));
                if pings && !fin {
                    bytes.extend(peer::frame(role, 0x89, b"between"));
                }
            }
        }

        let got = received(&mut ours, &bytes, step);

        let want: Vec<Message> = messages.iter().map(Outgoing::message).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn we_understand_ourselves(
        messages in messages(),
        config in config(),
        step in 1..70_000_usize,
    ) {
        let mut client = connection(Role::Client, config);
        let mut server = connection(Role::Server, config);
        let mut out = BytesMut::new();
        for frame in messages.iter().flat_map(Outgoing::frames) {
            client.encode(frame, Some(&mut OneKey), &mut out);
        }

        let got = received(&mut server, &out, step);

        let want: Vec<Message> = messages.iter().map(Outgoing::message).collect();
        prop_assert_eq!(got, want);
    }

    /// Hostile input C7, for every byte string: a verdict, the same twice, and no panic.
    #[test]
    fn any_bytes_have_one_verdict(
        payloads in vec(vec(any::<u8>(), 0..200), 1..4),
        step in 1..100_usize,
        damage in any::<bool>(),
    ) {
        let mut oracle = Oracle::new(false);
        let bytes: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| {
                let mut sent = if damage { oracle.compress(payload, true) } else { payload.clone() };
                if damage {
                    let at = payload.len() % sent.len();
                    sent[at] ^= 1 << (payload.len() % 8);
                }
                peer::frame(Role::Server, 0xc2, &sent)
            })
            .collect();
        let verdict = |step: usize| {
            let mut server = connection(Role::Server, DeflateConfig::default());
            let mut told = Vec::new();
            for read in bytes.chunks(step) {
                let (events, end) = peer::told(&mut server, read);
                told.extend(events);
                if let Err(error) = end {
                    return (told, Some(error));
                }
            }
            (told, None)
        };

        prop_assert_eq!(verdict(step), verdict(bytes.len()));
    }
}
