//! This project by its public path: hyper, `WebSocketHandler`, `Endpoint`, as its README shows it.
//!
//! With `deflate`: permessage-deflate without contexts, its default level.

use std::{env, future, io};

use ws_bench::serving;
use ws_handler::{
    Endpoint, EventResult, Message, NotFound, Policy, Server, Session, WebSocketFactory,
    WebSocketHandler, extension::DeflateConfig,
};

struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

fn main() -> io::Result<()> {
    // The defaults, but for room for the largest message.
    let mut policy = Policy::default().with_max_message_bytes(64 << 20);
    if env::args().nth(1).as_deref() == Some("deflate") {
        let config = DeflateConfig::default()
            .with_server_no_context_takeover()
            .with_client_no_context_takeover();
        policy = policy.with_compression(Some(config));
    }
    let factory = WebSocketFactory::builder()
        .fallback(|_request| Echo)
        .with_policy(policy)
        .build()
        .map_err(io::Error::other)?;
    serving::run(|listener| async {
        let server = Server::from_listener(listener)?;
        let handler = WebSocketHandler::new(factory, NotFound);
        server.serve(handler, future::pending()).await;
        Ok(())
    })
}
