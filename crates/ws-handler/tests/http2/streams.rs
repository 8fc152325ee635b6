//! Streams that end, are reset, or come in odd pieces: what the endpoint sees, and what other
//! streams do not.

use tokio_tungstenite::tungstenite::Message as Foreign;
use ws_handler::{Initiator, Message, Policy};

use crate::{
    client::{Client, hear, say},
    recorder::Seen,
    serving::{fickle, recording},
    wire::{
        CANCEL, CONNECT, DATA, END_HEADERS, END_STREAM, HI, HI_ECHOED, PADDED, PROTOCOL_ERROR,
        RST_STREAM, Wire, frame, headers, rst_stream,
    },
};

/// What a session sees that is lost without a Close.
fn lost() -> Vec<Seen> {
    let closed = Seen::Closed(1006, Initiator::Remote, false);
    vec![Seen::Connected, Seen::Error, closed, Seen::Dropped]
}

/// Hostile input P7.
#[tokio::test]
async fn connect_that_ends_its_stream_is_a_session_that_is_lost_at_once() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    wire.send(&headers(1, END_HEADERS | END_STREAM, CONNECT))
        .await;

    assert!(wire.on(1).await.is_ok());
    assert_eq!(log.life().await, lost());
    wire.open(3).await;
    wire.echoes(3).await;
}

/// Hostile input P8.
#[tokio::test]
async fn stream_that_ends_or_is_reset_within_a_frame_ends_its_session_and_no_other() {
    let half = |stream| frame(DATA, 0, stream, b"\x81\x85\0\0\0\0he");
    let ends = [
        (
            "END_STREAM mid frame",
            vec![frame(DATA, END_STREAM, 3, b"\x81\x85\0\0\0\0he")],
        ),
        (
            "END_STREAM behind it",
            vec![half(3), frame(DATA, END_STREAM, 3, b"")],
        ),
        ("RST_STREAM CANCEL", vec![half(3), rst_stream(3, CANCEL)]),
        (
            "RST_STREAM with an error",
            vec![half(3), rst_stream(3, PROTOCOL_ERROR)],
        ),
        ("END_STREAM at rest", vec![frame(DATA, END_STREAM, 3, b"")]),
        ("RST_STREAM at rest", vec![rst_stream(3, CANCEL)]),
    ];
    for (row, frames) in ends {
        let (addr, mut log) = recording().await;
        let mut wire = Wire::connect(addr).await;
        wire.open(1).await;
        wire.open(3).await;

        wire.send(&frames.concat()).await;

        assert_eq!(
            log.life().await[2..],
            lost()[1..],
            "{row}: the other is connected, too"
        );
        wire.echoes(1).await;
        wire.open(5).await;
        wire.echoes(5).await;
    }
}

#[tokio::test]
async fn reset_within_a_message_is_told_once_to_a_session_that_has_fragments() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    let fragment = frame(DATA, 0, 1, b"\x01\x82\0\0\0\0hi");
    wire.send(&[fragment, rst_stream(1, CANCEL)].concat()).await;

    assert_eq!(log.life().await, lost());
}

#[tokio::test]
async fn connection_that_is_lost_ends_all_of_its_sessions_once() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    for stream in [1, 3, 5] {
        wire.open(stream).await;
    }

    drop(wire);

    let mut all = Vec::new();
    for _ in 0..3 {
        all.extend(log.life().await);
    }
    let count = |wanted: &Seen| all.iter().filter(|seen| *seen == wanted).count();
    let seen = lost().iter().map(count).collect::<Vec<_>>();
    assert_eq!((all.len(), seen), (12, vec![3; 4]));
}

#[tokio::test]
async fn close_of_either_side_is_answered_and_then_the_stream_ends() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    wire.send(&frame(DATA, 0, 1, b"\x88\x82\0\0\0\0\x03\xe8"))
        .await;
    let mut answer = Vec::new();
    loop {
        let next = wire.on(1).await;
        assert_eq!(next.kind, DATA, "{next:?}");
        answer.extend_from_slice(&next.payload);
        if next.flags & END_STREAM != 0 {
            break;
        }
    }

    assert_eq!(answer, b"\x88\x02\x03\xe8");
    let closed = Seen::Closed(1000, Initiator::Remote, true);
    // Our half has ended; the session waits for the client's, as it does for a FIN.
    wire.send(&frame(DATA, END_STREAM, 1, b"")).await;
    assert_eq!(log.life().await, [Seen::Connected, closed, Seen::Dropped]);
    wire.is_alive().await;
}

#[tokio::test]
async fn frame_that_breaks_a_rule_closes_its_stream_with_1002_and_no_other() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    // Masking holds over HTTP/2, too (RFC 8441 §5).
    wire.send(&frame(DATA, 0, 1, b"\x81\x02hi")).await;

    let answer = wire.on(1).await;
    assert_eq!(
        answer.payload,
        b"\x88\x23\x03\xeaframe from a client is not masked"[..]
    );
    wire.send(&frame(DATA, END_STREAM, 1, b"")).await;
    let closed = Seen::Closed(1002, Initiator::Local, false);
    assert_eq!(
        log.life().await,
        [Seen::Connected, Seen::Error, closed, Seen::Dropped]
    );
    wire.open(3).await;
    wire.echoes(3).await;
}

/// Hostile input P19.
#[tokio::test]
async fn frames_are_the_same_however_data_frames_cut_and_pad_them() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    for byte in HI {
        wire.send(&frame(DATA, 0, 1, &[*byte])).await;
    }
    assert_eq!(wire.on(1).await.payload, HI_ECHOED, "a byte each");

    let mut padded = vec![200];
    padded.extend_from_slice(HI);
    padded.extend([0; 200]);
    wire.send(&frame(DATA, PADDED, 1, &padded)).await;
    assert_eq!(wire.on(1).await.payload, HI_ECHOED, "padded");

    wire.send(&frame(DATA, 0, 1, &HI.repeat(3))).await;
    let mut echoes = Vec::new();
    while echoes.len() < 3 * HI_ECHOED.len() {
        echoes.extend_from_slice(&wire.on(1).await.payload);
    }
    assert_eq!(echoes, HI_ECHOED.repeat(3), "three in one");

    // A frame of 16,383 bytes, the largest but one.
    let mut large = b"\x82\xfe\x3f\xf7\0\0\0\0".to_vec();
    large.extend([b'x'; 0x3ff7]);
    assert_eq!(large.len(), 16 * 1024 - 1);
    wire.send(&frame(DATA, 0, 1, &large)).await;
    let mut echo = 0;
    while echo < 4 + 0x3ff7 {
        echo += wire.on(1).await.payload.len();
    }
    assert_eq!(echo, 4 + 0x3ff7);
}

/// Hostile input P17.
#[tokio::test]
async fn data_that_comes_before_the_answer_waits_for_the_session() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    let connect = headers(1, END_HEADERS, CONNECT);
    wire.send(&[connect, frame(DATA, 0, 1, HI)].concat()).await;

    assert!(wire.on(1).await.is_ok());
    assert_eq!(wire.on(1).await.payload, HI_ECHOED);
    wire.send(&rst_stream(1, CANCEL)).await;
    let life = log.life().await;
    assert_eq!(life[1], Seen::Message(Message::text("hi")));
}

/// Hostile input P17.
#[tokio::test]
async fn data_for_a_handshake_that_is_refused_is_dropped_with_it() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    let refused = headers(1, END_HEADERS, &CONNECT[..5]);
    wire.send(&[refused, frame(DATA, 0, 1, HI)].concat()).await;

    let answer = wire.on(1).await;
    assert_eq!(
        answer.payload[0], 0x8c,
        "400, as the static table has it: {answer:?}"
    );
    while wire.on(1).await.kind != RST_STREAM {}
    wire.open(3).await;
    wire.echoes(3).await;
}

#[tokio::test]
async fn messages_of_every_size_come_back_whole() {
    let addr = fickle(Policy::default().with_max_message_bytes(1 << 20)).await;
    let mut client = Client::connect(addr).await;
    let (mut tunnel, _) = client.open("/chat").await;

    for size in [0, 1, 125, 126, 16_383, 16_384, 65_535, 65_536, 1 << 20] {
        let data: Vec<u8> = (0..size).map(|n: usize| (n % 251) as u8).collect();
        let message = Foreign::binary(data);
        say(&mut tunnel, message.clone()).await;
        assert!(hear(&mut tunnel).await == message, "{size} bytes");
    }
}
