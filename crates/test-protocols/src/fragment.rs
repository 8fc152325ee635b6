//! `echo-fragment`: a message in, the same message in two frames out.

use ws_handler::{Endpoint, EventResult, Message, Prepared, Session};

use crate::reply;

/// Sends every message back as exactly two frames, cut at half its bytes, which may be within a
/// character.
#[derive(Debug)]
pub(crate) struct Fragment;

impl Endpoint for Fragment {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        let halves = Prepared::cut(&message, [message.len() / 2]);
        reply::queued(session.send_prepared(&halves).await)
    }
}
