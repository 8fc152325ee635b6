//! WebSocket handlers and servlets for hyper, tower and axum.
//!
//! ```text
//!   HTTP request ─▶ WebSocketHandler ─▶ Routes ─▶ WebSocketFactory ─▶ 101, session
//!                      │ no upgrade, or no such path
//!                      ▼
//!                   inner service
//! ```
//!
//! - [`WebSocketHandler`] stands around any hyper or tower service: what asks for a WebSocket goes
//!   to a factory, everything else reaches the service untouched.
//! - [`WebSocketServlet`]s are mounted at paths by [`Servlets`], each with its own factory.
//! - [`Server`] is for those who have no HTTP server yet; [`PerCore`] is it on several threads, each
//!   with a runtime of its own.
//! - [`WebSocketFactory::accept`] is one call in a handler function of your own.
//!
//! | to | see |
//! |---|---|
//! | say what happens with a message | [`Endpoint`], [`StatelessEndpoint`], [`from_fn`] |
//! | choose by subprotocol | [`WebSocketFactoryBuilder::endpoint`] |
//! | refuse a handshake | [`WebSocketFactoryBuilder::endpoint_with`], [`Rejection`], [`OriginPolicy`] |
//! | send, close, wait for the end | [`Session`] |
//! | send to many | [`Group`], [`Topics`] |
//! | send or read what is too large to be held | [`Session::message_writer`], [`Endpoint::on_stream`] |
//! | limit | [`Policy`] |
//! | watch | [`WebSocketFactory::stats`], [`SessionListener`] |
//! | stop | [`Routes::shutdown`]; [`Server`] does so by itself |
//! | serve sessions over HTTP/2, too | [`WebSocketHandler`] |
//!
//! Everything of `ws-factory` and `ws-core` is re-exported: this dependency is enough. Where an
//! example of theirs says `use ws_factory::…`, say `use ws_handler::…`. Whole programs are in
//! `crates/ws-handler/examples`.
//!
//! ```no_run
//! use ws_handler::{
//!     NotFound, Server, WebSocketFactory, WebSocketHandler, from_fn, shutdown_signal,
//! };
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let factory = WebSocketFactory::builder()
//!         .fallback(|_request| {
//!             from_fn(|session, message| async move {
//!                 session.send(message).await?;
//!                 Ok(())
//!             })
//!         })
//!         .build()?;
//!     let handler = WebSocketHandler::new(factory, NotFound);
//!     Server::bind("127.0.0.1:8080").await?.serve(handler, shutdown_signal()).await;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

pub use hyper::service::service_fn;
pub use ws_factory::*;

// Where: paths to factories.
mod pattern;
pub use pattern::MappingError;

mod mapping;

mod init_params;
pub use init_params::{InitParamError, InitParams};

mod servlet;
pub use servlet::{ServletError, Servlets, WebSocketServlet};

mod routes;
pub use routes::Routes;

// How: a service around a service.
mod handler;
pub use handler::{HandlerBody, HandlerFuture, WebSocketHandler};

mod not_found;
pub use not_found::NotFound;

// For those without a server.
mod inner_service;
pub use inner_service::InnerService;

mod server_settings;

mod connection_limit;

mod server;
pub use server::Server;

mod http_connection;

mod http_socket;

mod exchanges;

mod per_core;
pub use per_core::PerCore;

mod shutdown;
pub use shutdown::shutdown_signal;

/// Compiles the README's program.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
