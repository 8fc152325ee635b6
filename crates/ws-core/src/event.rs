//! What a connection has to tell, and how it is asked to tell it.

use bytes::Bytes;

use crate::{CloseFrame, Frame, Message, Partial};

/// How messages are delivered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Delivery {
    /// Whole messages.
    #[default]
    Messages,
    /// Pieces of messages, as they arrive.
    Partials,
    /// Every frame first, as [`Event::Frame`]; then, unless the frame was consumed, what it
    /// completes.
    Frames,
    /// Every frame first, then pieces of messages.
    FramesAndPartials,
}

impl Delivery {
    /// Whether frames come first.
    #[must_use]
    pub const fn frames(self) -> bool {
        matches!(self, Self::Frames | Self::FramesAndPartials)
    }

    /// Whether messages come in pieces.
    #[must_use]
    pub const fn partials(self) -> bool {
        matches!(self, Self::Partials | Self::FramesAndPartials)
    }
}

/// What the peer did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A frame arrived. [`crate::Connection::resume`] or [`crate::Connection::consume`] comes next.
    Frame(Frame),
    /// A message is complete.
    Message(Message),
    /// A piece of a message arrived.
    Partial(Partial),
    /// A Ping; a Pong with the same payload is owed (§5.5.2).
    Ping(Bytes),
    /// A Pong, asked for or not (§5.5.3).
    Pong(Bytes),
    /// The closing handshake: nothing comes after it (§5.5.1).
    Close(CloseFrame),
}

/// What asking a connection for its next event leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller must treat each: there is an event, or one of three reasons for none"
)]
pub enum Step {
    /// Something happened.
    Event(Event),
    /// Everything that was received has been told.
    NeedInput,
    /// A data frame is next, and only control frames were asked for.
    DataWaits,
    /// The peer's Close has been told, or it broke the protocol: nothing will come.
    Closed,
}
