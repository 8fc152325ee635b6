//! WebSockets in an axum application: the handler is a service like any other.
//!
//! Run it with `cargo run --example axum`; `GET /` is axum's, `/chat/{room}` is a servlet's.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use axum::{Router, routing::get};
use ws_handler::{
    Endpoint, EventResult, Membership, Message, NotFound, Servlets, Session, SlowMember, Topics,
    WebSocketFactoryBuilder,
};

/// Everybody in a room gets every message.
struct Chat {
    rooms: Topics,
    membership: Option<Membership>,
}

impl Endpoint for Chat {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let name = session.request().path_param("room").unwrap_or_default();
        self.membership = Some(self.rooms.join(name, session)?);
        session.send_text(format!("welcome to {name}")).await?;
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        let name = session.request().path_param("room").unwrap_or_default();
        self.rooms.broadcast(name, message);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rooms = Topics::new(SlowMember::DropNewest);
    let chat = move |factory: WebSocketFactoryBuilder| {
        let rooms = rooms.clone();
        factory.fallback(move |_request| Chat {
            rooms: rooms.clone(),
            membership: None,
        })
    };
    let sockets = Servlets::new()
        .mount("/chat/{room}", chat)?
        .around(NotFound);
    let app = Router::new()
        .route("/", get(|| async { "open a WebSocket at /chat/anything" }))
        .fallback_service(sockets);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
