//! `echo-broadcast`: a message in, the same message out to everybody.
//!
//! A message is passed on whole, in the frames that it came in, so that two of them never mix. One
//! connection holds one message and at most [`MAX_CUTS`] of its frame boundaries, and in its outbox
//! what it has not read yet.

use ws_handler::{
    BoxError, Close, CloseCode, Endpoint, EventResult, Frame, FrameAction, Group, Membership,
    Message, OpCode, Prepared, Session,
};

use crate::{protocols::MAX_MESSAGE_BYTES, reply};

/// Sends every message to every session of its group, the sender included.
#[derive(Debug)]
pub(crate) struct Broadcast {
    group: Group,
    membership: Option<Membership>,
    /// Where the frames of the message under way begin, but for the first.
    cuts: Vec<usize>,
    /// How long that message is so far.
    bytes: usize,
}

/// How many frame boundaries of one message are kept: 512 KiB of them. Who sends more, of frames
/// of one byte, is not here to broadcast.
const MAX_CUTS: usize = 65_536;

/// How much may wait for a member: four of the largest messages, each with as much as the headers
/// of [`MAX_CUTS`] frames can have. A member who reads is not to be closed because several others
/// send at once. Members share the bytes of what is large.
const MAX_OUTBOX_BYTES: usize = 4 * (MAX_MESSAGE_BYTES as usize + 10 * (MAX_CUTS + 1));

/// How many messages may wait for a member, so that small ones fill the outbox's bytes, not its
/// count.
const MAX_OUTBOX_MESSAGES: usize = 65_536;

impl Broadcast {
    pub(crate) const fn new(group: Group) -> Self {
        Self {
            group,
            membership: None,
            cuts: Vec::new(),
            bytes: 0,
        }
    }
}

impl Endpoint for Broadcast {
    const FRAMES: bool = true;

    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let policy = session.policy().as_ref().clone();
        session.set_policy(
            policy
                .with_max_outbox_messages(MAX_OUTBOX_MESSAGES)
                .with_max_outbox_bytes(MAX_OUTBOX_BYTES),
        );
        self.membership = Some(self.group.join(session));
        Ok(())
    }

    async fn on_frame(
        &mut self,
        _session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => {
                self.cuts.clear();
                self.bytes = 0;
            }
            OpCode::Continuation => {
                if self.cuts.len() == MAX_CUTS {
                    let close = Close::new(CloseCode::POLICY_VIOLATION, "too many frames");
                    return Err(close.into());
                }
                self.cuts.push(self.bytes);
            }
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(FrameAction::Continue),
        }
        self.bytes += frame.payload().len();
        Ok(FrameAction::Continue)
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        let cuts = std::mem::take(&mut self.cuts);
        self.group.broadcast(Prepared::cut(&message, cuts));
        // Nobody waits for a slow member, so it is by its own copy that a sender is held back.
        reply::queued(session.flush().await)
    }
}
