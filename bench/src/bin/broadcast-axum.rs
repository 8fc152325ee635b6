//! What axum's own chat example does: `tokio::sync::broadcast`, two tasks for each member.
//!
//! A message is shared on its way to the members' tasks, and encoded by each of them. A member that falls
//! behind by more than the channel holds misses messages.

use std::io;

use axum::{
    Router,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::any,
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::broadcast::{self, Sender, error::RecvError};
use ws_bench::serving;

fn main() -> io::Result<()> {
    serving::run(|listener| async {
        let listener = listener.tap_io(|stream| {
            let _refused = stream.set_nodelay(true);
        });
        let (room, _) = broadcast::channel::<Message>(ROOM_MESSAGES);
        let router = Router::new().route("/", any(answer)).with_state(room);
        axum::serve(listener, router).await
    })
}

/// As many as an outbox of this project's holds unless told otherwise.
const ROOM_MESSAGES: usize = 1_024;

async fn answer(upgrade: WebSocketUpgrade, State(room): State<Sender<Message>>) -> Response {
    upgrade.on_upgrade(|socket| take_part(socket, room))
}

async fn take_part(socket: WebSocket, room: Sender<Message>) {
    let mut messages = room.subscribe();
    let (mut sender, mut receiver) = socket.split();
    let mut sends = tokio::spawn(async move {
        loop {
            match messages.recv().await {
                Ok(message) => {
                    if sender.send(message).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    let mut receives = tokio::spawn(async move {
        while let Some(Ok(message)) = receiver.next().await {
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                // There is always a receiver: this member.
                let _members = room.send(message);
            }
        }
    });
    tokio::select! {
        _ = &mut sends => receives.abort(),
        _ = &mut receives => sends.abort(),
    }
}
