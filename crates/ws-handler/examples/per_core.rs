//! An echo server with a thread, a listener and a runtime for each core.
//!
//! Run it with `cargo run --example per_core`, then connect to `ws://127.0.0.1:8080/` some times:
//! the first message of each session says which thread it is on.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::thread;

use ws_handler::{
    ConfigError, Endpoint, EventResult, Message, NotFound, PerCore, Session, WebSocketFactory,
    WebSocketHandler, shutdown_signal,
};

struct Echo;

impl Endpoint for Echo {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let thread = thread::current();
        let name = thread.name().unwrap_or("?");
        session.send_text(format!("you are on {name}")).await?;
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

pub(crate) fn echo() -> Result<WebSocketFactory, ConfigError> {
    WebSocketFactory::builder()
        .fallback(|_request| Echo)
        .build()
}

// This runtime only waits for the signal; the threads have their own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = WebSocketHandler::new(echo()?, NotFound);
    let threads = thread::available_parallelism()?;
    let server = PerCore::bind("127.0.0.1:8080", threads).await?;
    println!(
        "listening on ws://{}/ with {threads} threads",
        server.local_addr()
    );
    let report = server.serve(handler, shutdown_signal()).await?;
    println!("{} sessions ended cleanly", report.clean());
    Ok(())
}
