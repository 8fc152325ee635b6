//! WebSockets in an axum application: the handler is a service like any other.
//!
//! Run it with `cargo run --example axum`; `GET /` is axum's, `/chat/{room}` is a servlet's.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::time::Duration;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use ws_handler::{
    BoxError, Endpoint, EventResult, Membership, Message, NotFound, Servlets, Session, SlowMember,
    Topics, WebSocketFactoryBuilder, shutdown_signal,
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

/// Serves until `stop` resolves.
pub(crate) async fn serve(
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), BoxError> {
    let rooms = Topics::new(SlowMember::DropNewest);
    let chat = move |factory: WebSocketFactoryBuilder| {
        factory.fallback(move |_request| Chat {
            rooms: rooms.clone(),
            membership: None,
        })
    };
    let sockets = Servlets::new()
        .mount("/chat/{room}", chat)?
        .around(NotFound);
    let routes = sockets.routes().clone();
    let app = Router::new()
        .route("/", get(|| async { "open a WebSocket at /chat/anything" }))
        .fallback_service(sockets);

    let stop = async move {
        stop.await;
        // Sessions have tasks of their own: axum does not wait for them, and the end of `main` would
        // cut them. Until they are over, handshakes get 503, and requests are served.
        let report = routes.shutdown(Duration::from_secs(8)).await;
        println!(
            "{} ended by handshake, {} cut",
            report.clean(),
            report.cut()
        );
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}/", listener.local_addr()?);
    serve(listener, shutdown_signal()).await
}
