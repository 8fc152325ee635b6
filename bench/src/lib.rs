//! What the measured servers and their load have in common.
//!
//! ```text
//!   load ── frames made beforehand ─▶ one of the servers, each a program of its own
//!   load ◀── replies, checked ─────── (src/bin: echo-*, broadcast-*)
//! ```
//!
//! The programs are run by `cargo xtask bench`, which reads what each of them cost from the operating
//! system. A server says its address in one line and ends when its stdin does.
#![forbid(unsafe_code)]

// Servers.
pub mod echo;
pub mod serving;
pub mod spread;

// The load, from the wire to the run.
pub mod frame;
pub mod handshake;
pub mod payload;
pub mod replies;

pub mod connection;
pub mod run;
