//! axum 0.8's own extractor, which stands on tokio-tungstenite 0.29; as its documentation shows it.

use std::io;

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    response::Response,
    routing::any,
    serve::ListenerExt,
};
use ws_bench::serving;

fn main() -> io::Result<()> {
    serving::run(|listener| async {
        let listener = listener.tap_io(|stream| {
            let _refused = stream.set_nodelay(true);
        });
        axum::serve(listener, Router::new().route("/", any(answer))).await
    })
}

async fn answer(upgrade: WebSocketUpgrade) -> Response {
    // The defaults, but for room for the largest message.
    upgrade.max_frame_size(64 << 20).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let data = matches!(message, Message::Text(_) | Message::Binary(_));
        if data && socket.send(message).await.is_err() {
            return;
        }
    }
}
