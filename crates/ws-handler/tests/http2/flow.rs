//! Windows: what is not read, or not taken, stops its own stream and nothing else.

use std::time::Duration;

use ws_handler::{Initiator, Policy, WebSocketFactory, WebSocketHandler};

use crate::{
    bounded::bounded,
    recorder::{Seen, recorder},
    serving::{fickle, pages, recording, serve},
    wire::{DATA, FLOW_CONTROL_ERROR, PROTOCOL_ERROR, WINDOW_UPDATE, Wire, frame, window_update},
};

const STREAM_WINDOW: usize = 64 * 1024;

/// The largest window that there may be.
const MOST: u32 = (1 << 31) - 1;

/// `"stop"` and `"x"`, masked with zeros.
const STOP: &[u8] = b"\x81\x84\0\0\0\0stop";
const X: &[u8] = b"\x81\x81\0\0\0\0x";

/// Hostile input P9: small frames, each of its own, until the window is full.
#[tokio::test]
async fn session_that_does_not_read_stops_its_own_stream_only() {
    let addr = fickle(Policy::default()).await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;
    wire.open(3).await;

    wire.send(&frame(DATA, 0, 1, STOP)).await;
    // What is read before the endpoint has stopped is given back to the window.
    let frames = (STREAM_WINDOW - STOP.len()) / X.len();
    wire.send(&frame(DATA, 0, 1, X).repeat(frames)).await;
    for _ in 0..10 {
        wire.echoes(3).await;
    }
    wire.is_alive().await;

    // It is pushed back: what is over its window is an error of that stream alone.
    wire.send(&frame(DATA, 0, 1, &[0; 16 * 1024]).repeat(5))
        .await;
    assert_eq!(wire.reset(1).await, FLOW_CONTROL_ERROR);
    wire.echoes(3).await;
}

/// Hostile input P9: so many of them that hyper's own windows would have no room for one more.
#[tokio::test]
async fn sessions_that_do_not_read_leave_room_for_the_others() {
    let addr = fickle(Policy::default()).await;
    let mut wire = Wire::connect(addr).await;
    for stream in (1..=99).step_by(2) {
        wire.open(stream).await;
        wire.send(&frame(DATA, 0, stream, STOP)).await;
        let rest = STREAM_WINDOW - STOP.len() - 16 * 1024 * 3;
        for piece in [16 * 1024, 16 * 1024, 16 * 1024, rest] {
            wire.send(&frame(DATA, 0, stream, &vec![0; piece])).await;
        }
    }

    wire.open(101).await;
    wire.echoes(101).await;
}

/// Hostile input P15: a client that opens no window, and one that opens it at last.
#[tokio::test]
async fn session_whose_window_is_shut_ends_at_its_write_deadline_and_its_neighbour_does_not() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let (make, mut log) = recorder();
    let deadline = Duration::from_millis(200);
    let policy = Policy::default()
        .with_write_deadline(Some(deadline))
        .with_close_timeout(deadline)
        .with_max_message_bytes(1 << 20);
    let factory = WebSocketFactory::builder()
        .fallback(make)
        .with_policy(policy)
        .build()
        .unwrap();
    let addr = serve(WebSocketHandler::new(factory, pages())).await;
    let mut wire = Wire::connect_with(addr, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    wire.open(1).await;

    // An echo of more than what waits between the session and HTTP/2.
    let mut message = b"\x82\xff\0\0\0\0\0\x08\0\0\0\0\0\0".to_vec();
    message.resize(message.len() + (512 << 10), b'x');
    wire.send(&window_update(0, 1 << 20)).await;
    for piece in message.chunks(16 * 1024) {
        // As the window of the server opens.
        wire.send(&frame(DATA, 0, 1, piece)).await;
        wire.is_alive().await;
    }

    let mut life = log.life().await;
    life.retain(|seen| !matches!(seen, Seen::Message(_)));
    let closed = Seen::Closed(1006, Initiator::Local, false);
    assert_eq!(life, [Seen::Connected, Seen::Error, closed, Seen::Dropped]);
    wire.open(3).await;
    wire.send(&window_update(3, 100)).await;
    wire.echoes(3).await;
}

/// Hostile input P15.
#[tokio::test]
async fn window_updates_that_break_a_rule_end_their_stream_or_the_connection() {
    let (addr, _log) = recording().await;

    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;
    wire.open(3).await;
    wire.send(&window_update(3, MOST)).await;
    assert_eq!(wire.reset(3).await, FLOW_CONTROL_ERROR);
    wire.echoes(1).await;

    // RFC 9113 §6.9 makes nothing an error of the stream, h2 one of the connection.
    for (stream, update, error) in [
        (1, 0, PROTOCOL_ERROR),
        (0, 0, PROTOCOL_ERROR),
        (0, MOST, FLOW_CONTROL_ERROR),
    ] {
        let mut wire = Wire::connect(addr).await;
        wire.open(1).await;
        wire.send(&window_update(stream, update)).await;
        assert_eq!(wire.go_away().await, error, "{update} for {stream}");
    }
}

/// A client that reads slowly gets everything, and the window of the server opens as it reads.
#[tokio::test]
async fn window_of_the_server_opens_as_the_session_reads() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;
    let message = frame(
        DATA,
        0,
        1,
        &[b"\x82\xfe\x20\x00\0\0\0\0".as_slice(), &[7; 0x2000]].concat(),
    );

    // Four times the window, a message at a time.
    let mut opened = 0;
    for _ in 0..32 {
        wire.send(&message).await;
        let mut echo = 0;
        while echo < 4 + 0x2000 {
            let next = bounded(wire.next()).await.unwrap();
            if next.kind == DATA {
                echo += next.payload.len();
                let taken = u32::try_from(next.payload.len()).unwrap();
                wire.send(&window_update(0, taken)).await;
                wire.send(&window_update(1, taken)).await;
            } else if (next.kind, next.stream) == (WINDOW_UPDATE, 1) {
                opened += u32::from_be_bytes(next.payload[..].try_into().unwrap());
            }
        }
    }
    assert!(opened >= 3 * 64 * 1024, "{opened}");
}
