//! Frames by the hundred thousand: each flood ends its own connection, and no session is left of it.

use http_body_util::Empty;

use crate::{
    client::{Client, connect, echoes},
    recorder::Seen,
    serving::recording,
    wire::{
        CANCEL, CONNECT, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GET, REFUSED_STREAM,
        Wire, frame, headers, rst_stream,
    },
};

/// Hostile input P10.
#[tokio::test]
async fn empty_data_frames_end_the_connection_and_its_session() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    let hundred = frame(DATA, 0, 1, b"").repeat(100);
    for _ in 0..100 {
        wire.send(&hundred).await;
    }

    assert_eq!(wire.go_away().await, ENHANCE_YOUR_CALM);
    assert_eq!(log.life().await.last(), Some(&Seen::Dropped));
}

/// Hostile input P11.
#[tokio::test]
async fn sessions_opened_and_reset_without_end_end_the_connection_and_are_balanced() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    for stream in (1..40_001).step_by(2) {
        let opened = headers(stream, END_HEADERS, CONNECT);
        wire.send(&[opened, rst_stream(stream, CANCEL)].concat())
            .await;
    }

    assert_eq!(wire.go_away().await, ENHANCE_YOUR_CALM);
    drop(wire);
    // Whatever began has ended; the server serves others.
    let mut other = Wire::connect(addr).await;
    other.open(1).await;
    other.send(&rst_stream(1, CANCEL)).await;
    let mut seen = log.life().await;
    while seen.iter().filter(|it| **it == Seen::Connected).count()
        > seen
            .iter()
            .filter(|it| matches!(it, Seen::Closed(..)))
            .count()
    {
        seen.extend(log.life().await);
    }
}

/// Hostile input P12: it is us who are made to reset.
#[tokio::test]
async fn streams_that_make_us_reset_them_are_counted_too() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    for stream in (1..10_001).step_by(2) {
        // Two methods: malformed.
        let twice = [CONNECT, &[(":method", "GET")]].concat();
        wire.send(&headers(stream, END_HEADERS, &twice)).await;
    }

    assert_eq!(wire.go_away().await, ENHANCE_YOUR_CALM);
}

/// Hostile input P14.
#[tokio::test]
async fn session_past_the_most_streams_is_refused_and_then_there_is_room_again() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    for stream in (1..=199).step_by(2) {
        wire.open(stream).await;
    }

    wire.send(&headers(201, END_HEADERS, CONNECT)).await;
    assert_eq!(wire.reset(201).await, REFUSED_STREAM);
    wire.send(&headers(203, END_HEADERS | END_STREAM, GET))
        .await;
    assert_eq!(wire.reset(203).await, REFUSED_STREAM);
    wire.echoes(199).await;

    wire.send(&rst_stream(1, CANCEL)).await;
    wire.send(&headers(205, END_HEADERS | END_STREAM, GET))
        .await;
    assert!(wire.on(205).await.is_ok());
}

#[tokio::test]
async fn sessions_that_come_and_go_leave_room_for_more_on_one_connection() {
    let (addr, mut log) = recording().await;
    let mut client = Client::connect(addr).await;

    for _ in 0..300 {
        let request = connect("/chat").body(Empty::new()).unwrap();
        let (mut tunnel, _) = client.open_with(request).await;
        echoes(&mut tunnel).await;
        tunnel.close(None).await.unwrap();
        drop(tunnel);
        log.life().await;
    }
}
