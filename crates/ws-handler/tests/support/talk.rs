//! What a foreign client says and hears in a session that is expected to be fine.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::{bounded::bounded, client::Client};

/// Sends a message.
pub(crate) async fn say(client: &mut Client, message: Message) {
    let sent = bounded(client.send(message)).await;
    sent.expect("an open session");
}

/// The next message.
pub(crate) async fn hear(client: &mut Client) -> Message {
    let message = bounded(client.next()).await.expect("an open session");
    message.expect("a good frame")
}
