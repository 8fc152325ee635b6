//! From a WebSocket handshake to a running session: factory, registry, endpoints, driver.
//!
//! ```text
//!   HTTP request ─▶ WebSocketFactory ─▶ 101 ─▶ upgrade ─▶ Driver (one task)
//!                      │ refused                            │
//!                      ▼                                    ▼
//!                   Rejection        bytes ─▶ ws-core ─▶ Endpoint
//!                                    bytes ◀─ ws-core ◀─ Outbox ◀─ Session
//! ```
//!
//! Read `factory` to know how a handshake is answered, `driver` to know how a session lives.
//! Modules are declared below in the order in which a connection meets them. Everything of
//! `ws-core` is re-exported, so that one dependency is enough.
#![forbid(unsafe_code)]

pub use async_trait::async_trait;
pub use bytes::{Bytes, BytesMut};
pub use http;
pub use ws_core::{
    CloseCode, CloseFrame, CloseStatus, Extension, ExtensionStack, Frame, FramePart, Limits,
    Message, MessageKind, OpCode, Partial, Prepared, ProtocolError, ReservedBits, Role, Text,
    extension, generator::MaskKeys,
};

// Negotiate: from a request to its answer.
mod headers;

mod extension_list;
pub use extension_list::{ExtensionOffer, MalformedExtensions};

mod handshake;

mod origin;
pub use origin::{OriginError, OriginPolicy};

mod rejection;
pub use rejection::Rejection;

mod request;
pub use request::{ConnectionInfo, PathParams, UpgradeRequest};

mod negotiation;
pub use negotiation::HeaderError;

mod blob;
mod snapshot;
pub use snapshot::{KeptHeaders, RequestSnapshot};

mod extensions;
pub use extensions::{AgreedExtension, ExtensionNegotiator, OfferedFragment, OfferedIdentity};

mod acceptor;
pub use acceptor::{Accept, Accepted, Acceptor};

mod registry;
pub use registry::{ConfigError, EndpointRegistry};

// Accept: from the answer to a connection.
mod policy;
pub use policy::Policy;

mod factory;
pub use factory::{WebSocketFactory, WebSocketFactoryBuilder};

mod upgrade;

mod transport;
pub use transport::{Io, Transport};

mod launch;
pub use launch::Established;

// Drive: the life of a session.
mod driver;

mod streaming;

mod link;

mod clocks;

mod buffers;

mod wire;

mod queue;

mod droppable;

mod outbox;

mod finish;

mod ending;
pub use ending::{BoxError, Close, CloseEvent, Initiator, SessionError};

// The application's side.
mod endpoint;
pub use endpoint::{Endpoint, EventResult, FrameAction, StatelessEndpoint};

mod from_fn;
pub use from_fn::{FromFn, from_fn};

mod session;
pub use session::{Session, SessionId};

mod message_reader;
pub use message_reader::MessageReader;

mod message_writer;
pub use message_writer::MessageWriter;

mod session_extensions;
pub use session_extensions::SessionExtensions;

mod send_error;
pub use send_error::SendError;

mod roster;
pub use roster::Membership;

mod broadcast_report;
pub use broadcast_report::{BroadcastReport, GroupStats};

mod together;

mod group;
pub use group::{Group, SlowMember};

mod topics;
pub use topics::{TopicError, Topics};

mod sessions;
pub use sessions::ShutdownReport;

mod stats;
pub use stats::FactoryStats;
