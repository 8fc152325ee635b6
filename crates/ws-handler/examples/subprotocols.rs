//! Endpoints by subprotocol: plain, shared, asynchronous with a rejection and a header for the
//! 101, and one for clients with which none is agreed.
//!
//! Run it with `cargo run --example subprotocols`.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::time::Duration;

use ws_handler::{
    Accept, Close, CloseCode, ConfigError, Endpoint, EventResult, NotFound, OriginPolicy, Policy,
    Rejection, Server, Session, StatelessEndpoint, Text, UpgradeRequest, WebSocketFactory,
    WebSocketHandler, shutdown_signal,
};

/// `upper`: one for each connection.
struct Upper;

impl Endpoint for Upper {
    async fn on_text(&mut self, session: &Session, text: Text) -> EventResult {
        session.send_text(text.to_uppercase()).await?;
        Ok(())
    }
}

/// `length`: one for all, without any state.
struct Length;

impl StatelessEndpoint for Length {
    async fn on_text(&self, session: &Session, text: Text) -> EventResult {
        session.send_text(text.len().to_string()).await?;
        Ok(())
    }
}

/// `greet`: knows the user, whom the handshake had to name.
struct Greet {
    user: String,
}

impl Endpoint for Greet {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        session.send_text(format!("hello, {}", self.user)).await?;
        Ok(())
    }
}

/// Looks the user up; a real one would ask a database here.
async fn greet(request: UpgradeRequest) -> Result<Accept<Greet>, Rejection> {
    let Some(user) = request.cookie("user") else {
        return Err(Rejection::forbidden(
            "who are you? send a cookie named user",
        ));
    };
    let endpoint = Greet {
        user: user.to_owned(),
    };
    Ok(Accept::new(endpoint).with_header("x-greeted", user)?)
}

/// No subprotocol: says so, and closes.
struct Nothing;

impl Endpoint for Nothing {
    async fn on_connect(&mut self, _session: &Session) -> EventResult {
        Err(Close::new(CloseCode::POLICY_VIOLATION, "name a subprotocol").into())
    }
}

pub(crate) fn factory() -> Result<WebSocketFactory, ConfigError> {
    let policy = Policy::default()
        .with_max_text_bytes(4096)
        .with_idle_timeout(Some(Duration::from_secs(60)));
    WebSocketFactory::builder()
        .endpoint("upper", |_request| Upper)
        .shared("length", Length)
        .endpoint_with("greet", greet)
        .fallback(|_request| Nothing)
        .with_origin(OriginPolicy::same_origin())
        .with_policy(policy)
        .build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = WebSocketHandler::new(factory()?, NotFound);
    let server = Server::bind("127.0.0.1:8080").await?;
    println!("listening on ws://{}/", server.local_addr());
    server.serve(handler, shutdown_signal()).await;
    Ok(())
}
