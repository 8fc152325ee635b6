//! WebSockets in an axum application: the handler is a service like any other.
//!
//! Run it with `cargo run --example axum`; `GET /` is axum's, `/chat/{room}` is a servlet's.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use axum::{Router, routing::get};
use ws_handler::{
    Endpoint, EventResult, Group, Membership, Message, NotFound, Prepared, Servlets, Session,
    SlowMember, WebSocketFactoryBuilder,
};

/// Everybody in the room gets every message.
struct Chat {
    room: Group,
    membership: Option<Membership>,
}

impl Endpoint for Chat {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.membership = Some(self.room.join(session));
        let name = session.request().path_param("room").unwrap_or_default();
        session.send_text(format!("welcome to {name}")).await?;
        Ok(())
    }

    async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
        self.room.broadcast(&Prepared::from(&message));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let room = Group::new(SlowMember::DropNewest);
    let chat = move |factory: WebSocketFactoryBuilder| {
        let room = room.clone();
        factory.fallback(move |_request| Chat {
            room: room.clone(),
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
