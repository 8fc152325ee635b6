//! RFC 7692 §7.2.1: what we compress, what goes plain, and that the agreed window is kept to.

#[path = "peer/deflate.rs"]
#[expect(dead_code, reason = "nothing is received here")]
mod oracle;

use oracle::Oracle;
use ws_core::extension::DeflateConfig;
use ws_core::{Connection, Delivery, Frame, FramePart, Limits, Role};

const EAGER: fn() -> DeflateConfig = || DeflateConfig::default().with_threshold_bytes(0);

fn server(config: DeflateConfig) -> Connection {
    let (server, _) = oracle::both_ends(config);
    oracle::connection(Role::Server, server, Limits::default(), Delivery::Messages)
}

/// Bytes that no window helps with.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| byte()).collect()
}

#[test]
fn message_below_the_threshold_goes_plain() {
    let mut server = server(DeflateConfig::default());

    let (below, payload) = oracle::sent(&mut server, Frame::binary(vec![1; 1023]));
    let (at, compressed) = oracle::sent(&mut server, Frame::binary(vec![1; 1024]));

    assert_eq!((below, payload.len()), (0x82, 1023));
    assert_eq!(at, 0xc2);
    assert!(compressed.len() < 30);
}

/// Hostile input C17: a secret is not compressed beside what an attacker chose, and is not kept for
/// later messages either.
#[test]
fn message_that_is_left_plain_never_meets_the_compressor() {
    let secret = noise(2_000, 3);
    let mut server = server(EAGER());
    let left = FramePart::whole(Frame::binary(secret.clone())).left_plain();

    let (first, plain) = oracle::sent(&mut server, left);
    let (second, compressed) = oracle::sent(&mut server, Frame::binary(secret.clone()));

    assert_eq!((first, plain.as_ref()), (0x82, &secret[..]));
    assert_eq!(second, 0xc2);
    assert!(compressed.len() >= 2_000, "it does not refer to the first");
}

#[test]
fn message_in_several_frames_is_left_plain_as_a_whole() {
    let mut server = server(EAGER());
    let left = FramePart::whole(Frame::text("aaaa").not_final()).left_plain();

    let sent = [
        oracle::sent(&mut server, left),
        oracle::sent(&mut server, Frame::continuation("aaaa").not_final()),
        oracle::sent(&mut server, Frame::continuation("aaaa")),
        oracle::sent(&mut server, Frame::text("aaaa")),
    ];

    assert_eq!(sent.map(|(first, _)| first), [0x01, 0x00, 0x80, 0xc1]);
}

/// §6.1 and §7.2.1: RSV1 on the first frame, the tail missing from the last, every boundary kept.
#[test]
fn message_in_several_frames_keeps_their_boundaries() {
    let mut server = server(EAGER());
    let mut oracle = Oracle::new(false);
    let frames = [
        (Frame::text("").not_final(), 0x41),
        (Frame::continuation("Hel").not_final(), 0x00),
        (Frame::continuation("").not_final(), 0x00),
        (Frame::continuation("lo").not_final(), 0x00),
        (Frame::continuation(""), 0x80),
    ];

    let mut payloads = Vec::new();
    for (frame, want) in frames {
        let (first, payload) = oracle::sent(&mut server, frame);
        assert_eq!(first, want);
        payloads.push(payload);
    }

    // Each frame ends with a flush, so that the peer has it all when the frame has come.
    assert!(payloads[1].ends_with(&[0x00, 0x00, 0xff, 0xff]));
    assert_eq!(payloads[4].as_ref(), [0x00]);
    assert_eq!(oracle.inflate(&payloads.concat()), b"Hello");
}

#[test]
fn message_that_does_not_become_smaller_goes_plain_where_no_context_is_kept() {
    let noise = noise(5_000, 5);
    let mut anew = server(EAGER().with_server_no_context_takeover());
    let mut keeps = server(EAGER());
    for _ in 0..3 {
        let (first, payload) = oracle::sent(&mut anew, Frame::binary(noise.clone()));

        assert_eq!((first, payload.as_ref()), (0x82, &noise[..]));
    }

    let (first, payload) = oracle::sent(&mut keeps, Frame::binary(noise.clone()));
    let (_, again) = oracle::sent(&mut keeps, Frame::binary(noise.clone()));

    // The context has taken it in: the peer must, too, and the second time it has paid off.
    assert_eq!(first, 0xc2);
    assert!(payload.len() < noise.len() + 32);
    assert!(again.len() < 100);
}

#[test]
fn empty_message_goes_plain() {
    let mut server = server(EAGER());

    let (first, payload) = oracle::sent(&mut server, Frame::text(""));

    assert_eq!((first, payload.len()), (0x81, 0));
}

/// §7.1.2: what lies further back than the agreed window is not referred to, within a message and
/// across messages; what lies within it is.
#[test]
fn compressor_keeps_to_the_agreed_window() {
    // Six bits a byte, so that a block is worth its codes.
    let noise = |len, seed| -> Vec<u8> { noise(len, seed).iter().map(|it| it & 63).collect() };
    let (block, other) = (noise(200, 7), noise(200, 9));
    for bits in 9..=15_u8 {
        let config = EAGER().with_server_max_window_bits(bits);
        // zlib stops short of the window by 262 bytes: the longest match, and a little.
        let (near, far) = ((1 << bits) - 263 - block.len(), 1 << bits);
        for (gap, refers) in [(near, true), (far, false)] {
            let head = [block.clone(), noise(gap, 8)].concat();
            let lengths = |tail: &[u8]| {
                let whole = [&head, tail].concat();
                let (_, one) = oracle::sent(&mut server(config), Frame::binary(whole));
                let mut server = server(config);
                let (_, first) = oracle::sent(&mut server, Frame::binary(head.clone()));
                let (_, second) = oracle::sent(&mut server, Frame::binary(tail.to_vec()));
                let mut oracle = Oracle::new(false);
                assert_eq!(oracle.inflate(&first), head);
                assert_eq!(oracle.inflate(&second), tail);
                (one.len(), second.len())
            };

            let (again, anew) = (lengths(&block), lengths(&other));

            assert_eq!(
                again.0 + 100 < anew.0,
                refers,
                "{bits} bits, gap {gap}, one message"
            );
            assert_eq!(
                again.1 + 100 < anew.1,
                refers,
                "{bits} bits, gap {gap}, two messages"
            );
        }
    }
}

/// §7.1.1.1, and what a message for many rests upon: with no context equal messages are equal bytes,
/// whatever went before, and whichever state of the pool they meet.
#[test]
fn message_without_a_context_is_compressed_alike_every_time() {
    let text = "again ".repeat(500);
    let anew = EAGER().with_server_no_context_takeover();
    let mut wanted = None;
    for round in 0..20 {
        let mut server = server(anew);
        let other = "something else ".repeat(round + 1);
        oracle::sent(&mut server, Frame::text(other));

        let (_, payload) = oracle::sent(&mut server, Frame::text(text.clone()));

        assert_eq!(*wanted.get_or_insert_with(|| payload.clone()), payload);
    }
}

#[test]
fn states_of_different_settings_do_not_stand_in_for_each_other() {
    let text: String = (0..2_000).map(|at| format!("{at} {} ", at * 7)).collect();
    let settings = [(15, 9), (9, 9), (12, 5), (15, 1), (10, 3), (9, 1)];
    let config = |(bits, level)| {
        EAGER()
            .with_server_no_context_takeover()
            .with_server_max_window_bits(bits)
            .with_level(level)
    };
    let lengths = |_| {
        settings.map(|setting| {
            let mut server = server(config(setting));
            let (_, payload) = oracle::sent(&mut server, Frame::text(text.clone()));
            assert_eq!(Oracle::new(true).inflate(&payload), text.as_bytes());
            payload.len()
        })
    };

    let rounds = [1, 2, 3].map(lengths);

    assert_eq!(rounds[0], rounds[1]);
    assert_eq!(rounds[0], rounds[2]);
    assert!(
        rounds[0][0] < rounds[0][5],
        "the settings make a difference"
    );
}
