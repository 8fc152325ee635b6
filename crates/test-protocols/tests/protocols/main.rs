//! The test protocols over real sockets, with tokio-tungstenite as the other side.
//!
//! It makes the handshakes and reads and writes messages; where frames matter, which it does not
//! show, `peer` reads and writes them by the definitions of RFC 6455 §5.2.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod peer;

mod broadcast;
#[cfg(unix)]
mod compression;
mod echo;
mod http2;
mod isolation;
mod messages;
mod names;
#[cfg(unix)]
mod program;
mod stats;
