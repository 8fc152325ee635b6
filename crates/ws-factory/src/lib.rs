//! From a WebSocket handshake to a running session: factory, registry, endpoints, driver.
//!
//! ```text
//!   HTTP request ─▶ WebSocketFactory ─▶ 101 or, over HTTP/2, 200 ─▶ upgrade ─▶ Driver (one task)
//!                      │ refused                            │
//!                      ▼                                    ▼
//!                   Rejection        bytes ─▶ ws-core ─▶ Endpoint
//!                                    bytes ◀─ ws-core ◀─ Outbox ◀─ Session
//! ```
//!
//! Read `factory` to know how a handshake is answered, `driver` to know how a session lives.
//! Modules are declared below in the order in which a connection meets them. Everything of
//! `ws-core` is re-exported, so that one dependency is enough.
//!
//! # Seen from outside
//!
//! **Numbers**: [`WebSocketFactory::stats`] and [`Session::stats`]. **Sessions**:
//! [`WebSocketFactory::sessions`], and a [`SessionListener`] that is told of each.
//!
//! **`tracing`**: every session has a span `session` at info, target `ws_factory::session`, with `id`,
//! `route` (a [`RoutePattern`], if whoever mapped the path set one), `subprotocol` and `peer`, and at
//! the end `code`, `initiator`, `clean` and `duration_ms`. The session's task is in it whenever it
//! runs, so what handlers tell `tracing` is in it, too. It is entered once for each time the task is
//! polled, not for each message; where nobody listens to it, that is one branch.
//!
//! | event | level | target | fields |
//! |---|---|---|---|
//! | session opened, session closed | debug | `ws_factory::session` | those of the span's end |
//! | endpoint failed, endpoint panicked | error | `ws_factory::session` | `error` |
//! | message dropped | warn | `ws_factory::session` | `endpoint`, the type; `event`, that it lacks |
//! | handshake refused | info | `ws_factory::handshake` | `status`, `reason`: [`RefusalReason::as_str`] |
//! | endpoint factory failed | warn | `ws_factory::handshake` | `status`, `error` |
//! | no connection came of an accepted handshake | warn | `ws_factory::handshake` | `cause` |
//!
//! A message is dropped when it comes to an event that the endpoint leaves to its default: mostly it
//! implements `on_stream`, `on_partial` or `on_frame` and not the constant ([`Endpoint::STREAM`],
//! [`PARTIAL`](Endpoint::PARTIAL), [`FRAMES`](Endpoint::FRAMES)) without which that is never called.
//! Told once for each factory, and once for all sessions without one, such as a client's. An endpoint
//! that takes no messages on purpose says so by an `on_message` that does nothing.
//!
//! Peers choose how often those of the handshake happen: of each factory's, ten a second are told at
//! their level, the rest at debug; `left_out` says how many since the last. None has a payload, a
//! header, a path, a query or the reason of a Close in it; an `error` is the application's own.
//!
//! **Metrics**: with the feature `metrics` the numbers of all factories go to the recorder of the
//! [`metrics`](https://docs.rs/metrics) crate, too. Install it before the first handshake; each
//! factory asks for its instruments once. Messages and bytes are added when a session goes to sleep.
//!
//! | name | type | labels |
//! |---|---|---|
//! | `websocket_sessions_open` | gauge | |
//! | `websocket_sessions_opened_total` | counter | |
//! | `websocket_sessions_closed_total` | counter | `code`: `1000` to `1015`, `1016-2999`, `3000-3999`, `4000-4999` |
//! | `websocket_session_duration_seconds` | histogram | |
//! | `websocket_handshakes_refused_total` | counter | `reason` |
//! | `websocket_upgrades_failed_total` | counter | |
//! | `websocket_events_cut_total` | counter | |
//! | `websocket_messages_total` | counter | `direction`: `in`, `out` |
//! | `websocket_payload_bytes_total` | counter | `direction` |
//! | `websocket_pings_total`, `websocket_pongs_total` | counter | `direction` |
//! | `websocket_messages_dropped_total` | counter | |
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
// `ws-client` reads its answers with it; it is no part of the API.
#[doc(hidden)]
pub mod headers;

mod extension_list;
pub use extension_list::{ExtensionOffer, MalformedExtensions};

mod handshake;

mod origin;
pub use origin::{OriginError, OriginPolicy};

mod refusal;
pub use refusal::RefusalReason;

mod rejection;
pub use rejection::Rejection;

mod request;
pub use request::{ConnectionInfo, PathParams, RoutePattern, UpgradeRequest};

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

mod admission;

mod builder;
pub use builder::WebSocketFactoryBuilder;

mod factory;
pub use factory::WebSocketFactory;

mod upgrade;
pub use upgrade::UnwrapUpgraded;

mod connection_guard;
pub use connection_guard::ConnectionGuard;

mod tunnel;

mod socket;
mod transport;
pub use transport::{Io, Transport};

mod launch;
pub use launch::Established;

// Drive: the life of a session.
mod driver;

mod streaming;

mod link;

mod reading;

mod stop;

mod clocks;

mod flushing;

mod buffers;

mod pieces;

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

mod session_id;
pub use session_id::SessionId;

mod session;
pub use session::Session;

mod sending;

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

mod listener;
pub use listener::SessionListener;

// Seen from outside.
mod stats;
pub use stats::{FactoryStats, Traffic};

mod tally;

mod counters;

#[cfg(feature = "metrics")]
mod meters;

mod trace;
