//! A complete echo server, twice: an endpoint for each connection, and one for all of them.
//!
//! Run it with `cargo run --example echo`, then connect to `ws://127.0.0.1:8080/` with the
//! subprotocol `shared`, or with none.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::sync::atomic::{AtomicU64, Ordering};

use ws_handler::{
    CloseEvent, ConfigError, Endpoint, EventResult, Message, NotFound, Server, Session,
    StatelessEndpoint, WebSocketFactory, WebSocketHandler, shutdown_signal,
};

/// One for each connection: it may keep what it likes.
#[derive(Default)]
struct Echo {
    messages: u64,
}

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        self.messages += 1;
        session.send(message).await?;
        Ok(())
    }

    async fn on_close(&mut self, session: &Session, event: &CloseEvent) {
        let (id, messages, status) = (session.id(), self.messages, event.status());
        println!("session {id}: {messages} messages, closed with {status}");
    }
}

/// One for all connections: what it keeps is shared.
#[derive(Default)]
struct SharedEcho {
    messages: AtomicU64,
}

impl StatelessEndpoint for SharedEcho {
    async fn on_message(&self, session: &Session, message: Message) -> EventResult {
        let messages = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        println!("message {messages} of all sessions");
        session.send(message).await?;
        Ok(())
    }
}

/// Makes of each handshake a session with one of the two.
pub(crate) fn echoes() -> Result<WebSocketFactory, ConfigError> {
    WebSocketFactory::builder()
        .shared("shared", SharedEcho::default())
        .fallback(|_request| Echo::default())
        .build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = WebSocketHandler::new(echoes()?, NotFound);
    let server = Server::bind("127.0.0.1:8080").await?;
    println!("listening on ws://{}/", server.local_addr());
    server.serve(handler, shutdown_signal()).await;
    Ok(())
}
