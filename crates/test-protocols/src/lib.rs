//! Jetty's `org.ietf.websocket.test-*` protocols: their endpoints, test-server and test-client.
//!
//! ```text
//!   handshake ─▶ factory ─▶ (Logged) ─▶ Echo · Broadcast · Assemble · Fragment · Ping
//!   GET /stats ─▶ StatsRoute ─▶ what the factory has counted, as JSON
//!   any other request ─▶ StaticFiles ─▶ the demo page, or a directory
//! ```
//!
//! The framework's first user, by its public API only. Modules are declared below in the order in
//! which a handshake meets them.
#![forbid(unsafe_code)]

// The endpoints.
mod protocols;
pub use protocols::factory;

mod log;
pub use log::EventLog;

mod echo;

mod broadcast;

mod broadcast_ping;

mod assemble;

mod fragment;

mod ping;

mod reply;

// What is served to requests that are no upgrade.
mod stats_route;
pub use stats_route::StatsRoute;

mod static_files;
pub use static_files::{StaticBody, StaticFiles};

mod docroot;
pub use docroot::DocrootError;

mod file_body;
pub use file_body::FileBody;

// What the programs are told.
mod command_line;
pub use command_line::Exit;

mod deflate_options;
pub use deflate_options::DeflateOptions;

mod server_options;
pub use server_options::ServerOptions;

mod client_options;
pub use client_options::ClientOptions;

// The run of test-client.
mod test_client;
pub use test_client::{ClientError, run_client};

mod summary;
pub use summary::{RoundTripTimes, Summary, Totals};

mod round_trips;

mod replies;

mod payload;

mod lines;
