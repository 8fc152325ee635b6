//! tokio-tungstenite 0.30: as its documentation shows it, or with `batched` tuned by hand.
//!
//! Untuned it has its default read buffer of 128 KiB, which it fills with zeros twice for each message.
//! Tuned it has one of 8 KiB, and writes once for all messages that were ready.

use std::{env, io};

use tokio::net::TcpStream;
use tokio_tungstenite::{accept_async_with_config, tungstenite::protocol::WebSocketConfig};
use ws_bench::{echo, serving};

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some("batched") {
        serving::run_each(|stream| async move {
            let config = config().read_buffer_size(8 << 10);
            if let Ok(socket) = accept_async_with_config(stream, Some(config)).await {
                echo::batched(socket).await;
            }
        })
    } else {
        serving::run_each(|stream: TcpStream| async move {
            if let Ok(socket) = accept_async_with_config(stream, Some(config())).await {
                echo::one_by_one(socket).await;
            }
        })
    }
}

/// The defaults, but for room for the largest message.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_frame_size(Some(64 << 20))
}
