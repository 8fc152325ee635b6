//! A WebSocket on a [`Raw`] connection.

use std::net::SocketAddr;

use crate::raw::{HANDSHAKE, Raw};

/// A WebSocket, opened.
pub(crate) async fn session(addr: SocketAddr) -> Raw {
    let mut raw = Raw::connect(addr).await;
    raw.send(HANDSHAKE).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw
}
