//! Echo loops over a library's `Stream` and `Sink`.

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};

/// A library's message, as far as an echo needs to know it.
pub trait Data {
    /// Whether it is text or binary, and so to be sent back.
    fn is_data(&self) -> bool;
}

/// One message in, one message out and flushed: what every library's documentation shows.
pub async fn one_by_one<M, E, S>(mut socket: S)
where
    M: Data,
    S: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        if message.is_data() && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Batched by hand: feeds whatever is ready, and flushes only when nothing is.
pub async fn batched<M, E, S>(mut socket: S)
where
    M: Data,
    S: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
{
    loop {
        let next = match socket.next().now_or_never() {
            Some(next) => next,
            None => {
                if socket.flush().await.is_err() {
                    return;
                }
                socket.next().await
            }
        };
        let Some(Ok(message)) = next else { return };
        if message.is_data() && socket.feed(message).await.is_err() {
            return;
        }
    }
}

impl Data for tokio_tungstenite::tungstenite::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}

impl Data for tokio_websockets::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}
