//! Hostile inputs P4, P6 and P13: heads that HTTP/2 itself refuses, and what they cost.

use crate::{
    recorder::Seen,
    serving::recording,
    wire::{
        CONNECT, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GET, GOAWAY, HEADERS,
        PROTOCOL_ERROR, RST_STREAM, Wire, fields_of, frame, headers,
    },
};

/// The fields of [`CONNECT`] without one of them, and with another.
fn connect_with(
    without: &str,
    with: &[(&'static str, &'static str)],
) -> Vec<(&'static str, &'static str)> {
    let kept = CONNECT.iter().filter(|(name, _)| *name != without);
    let (pseudo, other): (Vec<_>, Vec<_>) = kept
        .chain(with)
        .copied()
        .partition(|(name, _)| name.starts_with(':'));
    [pseudo, other].concat()
}

/// Hostile inputs P4 and P6.
#[tokio::test]
async fn head_that_breaks_a_rule_of_http2_resets_its_stream_and_no_other() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;
    let rows = [
        (
            "P4: GET with :protocol",
            connect_with(":method", &[(":method", "GET")]),
        ),
        ("P4: no :path", connect_with(":path", &[])),
        ("P4: no :scheme", connect_with(":scheme", &[])),
        (
            "P4: :protocol twice",
            connect_with("", &[(":protocol", "websocket")]),
        ),
        ("P4: empty :path", connect_with(":path", &[(":path", "")])),
        (
            "P6: Connection",
            connect_with("", &[("connection", "upgrade")]),
        ),
        ("P6: Upgrade", connect_with("", &[("upgrade", "websocket")])),
        (
            "P6: Transfer-Encoding",
            connect_with("", &[("transfer-encoding", "chunked")]),
        ),
        ("P6: Keep-Alive", connect_with("", &[("keep-alive", "1")])),
    ];

    for (stream, (row, fields)) in (3..).step_by(2).zip(rows) {
        wire.send(&headers(stream, END_HEADERS, &fields)).await;
        assert_eq!(wire.reset(stream).await, PROTOCOL_ERROR, "{row}");
    }

    wire.echoes(1).await;
    wire.open(101).await;
    wire.echoes(101).await;
    drop(wire);
    let mut seen = log.life().await;
    seen.extend(log.life().await);
    let sessions = seen.iter().filter(|it| **it == Seen::Connected).count();
    assert_eq!(sessions, 2, "and no other");
}

/// Hostile input P6.
#[tokio::test]
async fn te_and_an_upper_case_name_are_refused_as_well() {
    let (addr, _log) = recording().await;
    for fields in [&[("te", "gzip")], &[("Sec-WebSocket-Key", "x")]] {
        let mut wire = Wire::connect(addr).await;
        wire.send(&headers(1, END_HEADERS, &[CONNECT, fields].concat()))
            .await;

        let ended = loop {
            match wire.next().await {
                None => break true,
                Some(frame) if frame.kind == RST_STREAM => break true,
                Some(frame) if frame.kind == GOAWAY => break true,
                Some(frame) if frame.is_ok() => break false,
                Some(_) => {}
            }
        };
        assert!(ended, "{fields:?}");
    }
}

/// Hostile input P6: hyper gives up such a connection, and no other.
#[tokio::test]
async fn body_that_a_connect_announces_ends_its_connection_only() {
    let (addr, mut log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    let mut other = Wire::connect(addr).await;
    other.open(1).await;

    let fields = connect_with("", &[("content-length", "5")]);
    wire.send(&headers(1, END_HEADERS, &fields)).await;
    while let Some(frame) = wire.next().await {
        assert!(!frame.is_ok(), "{frame:?}");
    }

    other.echoes(1).await;
    drop(other);
    assert_eq!(log.life().await.first(), Some(&Seen::Connected));
}

/// Hostile input P13.
#[tokio::test]
async fn field_block_without_end_ends_the_connection() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    wire.send(&headers(1, 0, CONNECT)).await;
    for _ in 0..10_000 {
        wire.send(&frame(CONTINUATION, 0, 1, b"\0\x01a\x01b")).await;
    }

    assert_eq!(wire.go_away().await, ENHANCE_YOUR_CALM);
}

/// Hostile input P13: one field, put into the table once and named a hundred thousand times.
#[tokio::test]
async fn head_that_unpacks_into_megabytes_is_refused_without_being_kept() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    let mut block = fields_of(GET);
    // A literal with indexing: a name of one byte, a value of 3,000.
    block.extend(b"\x40\x01x\x7f\xb9\x16");
    block.extend([b'y'; 3000]);
    // And that field again, by its index.
    block.extend([0xbe; 12_000]);

    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;

    let refused = loop {
        match wire.next().await {
            None => break true,
            Some(frame) if frame.kind == GOAWAY => break true,
            Some(frame) if frame.stream == 1 => break !frame.is_ok(),
            Some(_) => {}
        }
    };
    assert!(refused);
    let mut other = Wire::connect(addr).await;
    other.open(1).await;
}
