//! WebSockets over HTTP/2 (RFC 8441): the ready-made server and others, by clients that are not ours.
//!
//! `client` is hyper's client under tungstenite's frames, for what is to work; `wire` writes frames
//! of HTTP/2 by hand, for what is not.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/bounded.rs"]
mod bounded;
#[path = "../support/recorder.rs"]
mod recorder;

mod client;
mod floods;
mod flow;
mod heads;
mod mounting;
mod opening;
mod own_client;
mod serving;
mod sharing;
mod stopping;
mod streams;
mod wire;
