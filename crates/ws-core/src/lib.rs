//! The WebSocket protocol (RFC 6455 §5–§8) as a state machine: no sockets, no clock, no tasks.
//!
//! ```text
//!   bytes ─▶ Parser ────▶ ExtensionStack ─▶ Utf8 ─▶ (FrameCollector) ─▶ Assembler ─▶ Event   inbound
//!   bytes ◀─ Generator ◀─ ExtensionStack ◀──────────────── Prepared ◀─────────────── Message  outbound
//!              CloseState decides which of the two may still run
//! ```
//!
//! What travels is a *part of a frame*: a frame that lies whole in the buffer is one part, a large
//! one arrives in parts, so that text is refused at its first bad byte and a large frame streams
//! through a small buffer.
//!
//! Start at [`Connection`], which wires the arrows together; every other module is one box of the
//! drawing. Modules are declared below in the order a byte meets them.
//!
//! ```
//! use bytes::BytesMut;
//! use ws_core::{Connection, Delivery, Event, ExtensionStack, Limits, Message, Role, Step};
//!
//! let mut connection =
//!     Connection::new(Role::Server, Limits::default(), Delivery::Messages, ExtensionStack::default());
//! let hello: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // RFC 6455 §5.7
//! connection.recv(BytesMut::from(hello));
//!
//! let step = connection.poll_event().unwrap();
//!
//! assert_eq!(step, Step::Event(Event::Message(Message::text("Hello"))));
//! ```
#![deny(unsafe_code)]

// Vocabulary: what travels along the arrows.
mod role;
pub use role::Role;

mod opcode;
pub use opcode::{MessageKind, OpCode};

mod close;
pub use close::{CloseCode, CloseFrame, CloseStatus};

mod frame;
pub use frame::{Frame, FrameHeader, FramePart, ReservedBits};

mod message;
pub use message::{Message, Partial, Text};

mod limits;
pub use limits::Limits;

mod error;
pub use error::ProtocolError;

// Inbound: bytes to events.
pub mod mask;

mod parser;
pub use parser::{Demand, Parsed, Parser};

pub mod extension;
pub use extension::{Extension, ExtensionStack};

mod utf8;
pub use utf8::Utf8Validator;

mod collector;

mod assembler;

mod event;
pub use event::{Delivery, Event, Step};

// The machine.
mod state;

mod connection;
pub use connection::Connection;

// Outbound: messages to bytes.
pub mod generator;

mod prepared;
pub use prepared::Prepared;
