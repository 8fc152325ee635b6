//! No protocol: Pings are answered, as everywhere, and nothing else is.

use ws_handler::{Endpoint, EventResult, Message, Session};

/// Takes every message and says nothing.
#[derive(Debug)]
pub(crate) struct Ping;

impl Endpoint for Ping {
    async fn on_message(&mut self, _session: &Session, _message: Message) -> EventResult {
        Ok(())
    }
}
