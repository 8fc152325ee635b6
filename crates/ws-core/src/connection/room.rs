//! Text that is too long and no text breaks two rules (RFC 6455 §8.1, §10.4). Which of them it fails
//! by depends on its bytes, never on how they were cut into reads.

use super::Connection;
use crate::{FramePart, MessageKind, ProtocolError};

impl Connection {
    /// How many bytes of a part are looked at; of those behind them it is enough to know that they
    /// are too many.
    ///
    /// What headers announce is known before any payload, and so comes first: here is a frame's first
    /// part, the only one to be looked at. Where extensions may make something else of a frame only
    /// what has come is known, and the first byte that breaks a rule decides. Where frames are told
    /// whoever takes one is not held to the length of a message; the others have passed every other
    /// rule when they are assembled.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::MessageTooBig`] for a message that cannot have this frame.
    pub(super) fn admit(&self, part: &FramePart) -> Result<usize, ProtocolError> {
        let len = part.payload.len();
        let limits = self.parser.limits();
        let max_bytes = limits.max_message_bytes(self.kind());
        let room = match (self.extended.is_some(), self.delivery.frames()) {
            (false, true) => return Ok(len),
            (false, false) => {
                let whole = self.assembler.len().saturating_add(part.header.payload_len);
                return match part.first && whole > max_bytes {
                    true => Err(ProtocolError::MessageTooBig { max_bytes }),
                    false => Ok(len),
                };
            }
            (true, true) => {
                let held = self.frames.held() as u64;
                limits
                    .max_told_frame_bytes(self.kind())
                    .saturating_sub(held)
            }
            (true, false) => max_bytes.saturating_sub(self.assembler.len()),
        };
        Ok(usize::try_from(room).map_or(len, |room| len.min(room)))
    }

    /// Of the message under way.
    pub(super) fn kind(&self) -> MessageKind {
        match self.in_text {
            true => MessageKind::Text,
            false => MessageKind::Binary,
        }
    }
}
