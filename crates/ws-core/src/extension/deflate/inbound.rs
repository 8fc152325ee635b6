//! Parts as they arrive in, inflated parts out (RFC 7692 §6.2).
//!
//! A part becomes as many as it takes, none of them larger than one buffer; each is inflated when
//! it is asked for. What goes in as one frame comes out as one frame.

use bytes::Bytes;

use super::{
    NAME,
    inflate::{Fault, Inflater},
    pool,
};
use crate::{CloseCode, FramePart, OpCode, ProtocolError, ReservedBits};

/// The way from the peer.
#[derive(Debug)]
pub(super) struct Inbound {
    keeps_context: bool,
    inflater: Option<Inflater>,
    /// Whether the message under way is compressed.
    compressed: bool,
    /// Whether a piece of the frame under way has been handed on.
    begun: bool,
    /// What is left of the part that was pushed last.
    part: Option<FramePart>,
}

impl Inbound {
    pub(super) const fn new(keeps_context: bool) -> Self {
        Self {
            keeps_context,
            inflater: None,
            compressed: false,
            begun: false,
            part: None,
        }
    }

    pub(super) fn push(&mut self, part: FramePart) {
        if part.first {
            self.begun = false;
            if part.header.opcode != OpCode::Continuation {
                self.compressed = is_marked(&part);
            }
        }
        self.part = Some(part);
    }

    pub(super) fn poll(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        let Some(part) = self.part.take() else {
            return Ok(None);
        };
        // §6.1: the bit belongs to the first frame of a message.
        if part.header.opcode == OpCode::Continuation && is_marked(&part) {
            return Err(error(CloseCode::PROTOCOL_ERROR, "RSV1 on a continuation"));
        }
        if !self.compressed {
            return Ok(Some(part));
        }
        self.inflate(part)
            .map_err(|rule| error(CloseCode::INVALID_PAYLOAD, rule))
    }

    fn inflate(&mut self, mut part: FramePart) -> Result<Option<FramePart>, Fault> {
        let mut buffer = pool::take_buffer();
        let inflater = self.inflater.get_or_insert_with(Inflater::new);
        let written = inflater.inflate(&mut part.payload, &mut buffer)?;
        // A full buffer may be all that there was; the next call tells.
        let used_up = written < buffer.len();
        // Copied, so that what is kept of a message is no larger than the message.
        let piece = Bytes::copy_from_slice(&buffer[..written]);
        pool::give_buffer(buffer);

        if used_up && part.ends_message() {
            inflater.finish()?;
            if !self.keeps_context {
                self.release();
            }
        }

        let last = used_up && part.last;
        let inflated = (last || !piece.is_empty()).then(|| FramePart {
            header: part.header,
            payload: piece,
            first: !self.begun,
            last,
            left_plain: false,
        });
        self.begun |= inflated.is_some();
        if !used_up {
            self.part = Some(part);
        }
        Ok(inflated.map(unmarked))
    }

    fn release(&mut self) {
        if let Some(inflater) = self.inflater.take() {
            inflater.release();
        }
    }
}

const fn is_marked(part: &FramePart) -> bool {
    part.header.reserved.contains(ReservedBits::RSV1)
}

fn unmarked(part: FramePart) -> FramePart {
    let others = part.header.reserved.without(ReservedBits::RSV1);
    part.with_reserved(others)
}

const fn error(code: CloseCode, rule: &'static str) -> ProtocolError {
    ProtocolError::Extension {
        extension: NAME,
        rule,
        code,
    }
}
