//! An echo server with a thread, a listener and a runtime for each core.
//!
//! Run it with `cargo run --example per_core`, then connect to `ws://127.0.0.1:8080/` some times:
//! it says which thread each session is on.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::thread;

use ws_handler::{
    Endpoint, EventResult, Message, NotFound, PerCore, Session, WebSocketFactory, WebSocketHandler,
    shutdown_signal,
};

struct Echo;

impl Endpoint for Echo {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let (id, thread) = (session.id(), thread::current());
        println!("session {id} is on {}", thread.name().unwrap_or("?"));
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

// This runtime only waits for the signal; the threads have their own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let factory = WebSocketFactory::builder()
        .fallback(|_request| Echo)
        .build()?;
    let threads = thread::available_parallelism()?;
    let server = PerCore::bind("127.0.0.1:8080", threads).await?;
    println!(
        "listening on ws://{}/ with {threads} threads",
        server.local_addr()
    );
    let report = server
        .serve(WebSocketHandler::new(factory, NotFound), shutdown_signal())
        .await?;
    println!("{} sessions ended cleanly", report.clean());
    Ok(())
}
