//! A WebSocket client with the same endpoints and sessions as the server.
//!
//! ```text
//!   ConnectRequest ─▶ TCP ─▶ GET or CONNECT ─▶ answer ─▶ checked ─▶ Session, its endpoint on one task
//!         │                                      │          │
//!         ▼                                      ▼          ▼
//!    RequestError                             Refusal   HandshakeError
//! ```
//!
//! Read `connect`: it is the drawing, line by line. Everything of `ws-factory` is re-exported, so
//! that one dependency is enough; where an example says `use ws_factory::…`, say `use ws_client::…`.
//! [`HttpVersion::Http2`] opens the session over HTTP/2 (RFC 8441), over a connection of its own. TLS
//! is not built in: [`connect_over`] takes a stream of yours.
//!
//! ```no_run
//! use ws_client::{CloseCode, ConnectRequest, Message, Session, connect, from_fn};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let request = ConnectRequest::to("ws://127.0.0.1:8080/")?.with_subprotocol("echo")?;
//! let printer = from_fn(|session: Session, message: Message| async move {
//!     println!("{message:?}");
//!     session.close(CloseCode::NORMAL, "");
//!     Ok(())
//! });
//! let session = connect(request, printer).await?;
//! session.send_text("hello").await?;
//! session.closed().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub use ws_factory::*;

// What is asked.
mod request;
pub use request::ConnectRequest;

mod http_version;
pub use http_version::HttpVersion;

mod head;

mod request_error;
pub use request_error::RequestError;

// What is answered.
mod answer;
pub use answer::HandshakeError;

mod refusal;
pub use refusal::Refusal;

mod http1;

mod http2;

mod tunnel;

// What comes of it.
mod connect;
pub use connect::{ConnectError, connect, connect_over};

mod mask_keys;
