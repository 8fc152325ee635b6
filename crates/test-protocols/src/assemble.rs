//! `echo-assemble`: a message in, the same message in a single frame out.

use ws_handler::{Endpoint, EventResult, Message, Session};

use crate::reply;

/// Sends every message back as exactly one frame.
#[derive(Debug)]
pub(crate) struct Assemble;

impl Endpoint for Assemble {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        reply::queued(session.send(message).await)
    }
}
