//! Why something was not sent; what was not sent comes back.

use std::{error::Error, io, iter::successors};

use bytes::Bytes;
use ws_core::{Frame, Message};

use crate::message_reader::Failure;

/// Why something could not be queued. Never the peer's fault: see `ProtocolError` for that.
///
/// ```
/// use ws_factory::{Message, SendError};
/// let error = SendError::Closed(Message::text("too late"));
/// assert_eq!(error.into_inner(), Message::text("too late"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<T = Message> {
    /// The session is closing or closed: our Close is queued or gone, or the peer is.
    #[error("session closed")]
    Closed(T),
    /// The outbox is full, or a message that is sent in parts has not ended.
    #[error("outbox full")]
    Full(T),
    /// A frame that may not follow the one before it (RFC 6455 §5.4), or that has a method of its
    /// own: `Session::close`.
    #[error("frame out of sequence")]
    OutOfSequence(T),
    /// A part of a text that is not UTF-8, or an end of a text within a character (§8.1).
    #[error("text that is not UTF-8")]
    InvalidUtf8(T),
    /// A Ping or a Pong of more than 125 bytes (§5.5).
    #[error("control frame of more than 125 bytes")]
    ControlTooLong(T),
}

impl<T> SendError<T> {
    /// What was not sent.
    #[must_use]
    pub fn into_inner(self) -> T {
        match self {
            Self::Closed(item)
            | Self::Full(item)
            | Self::OutOfSequence(item)
            | Self::InvalidUtf8(item)
            | Self::ControlTooLong(item) => item,
        }
    }

    /// Whether the session is closing or closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Whether it would have to wait.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> SendError<U> {
        match self {
            Self::Closed(item) => SendError::Closed(f(item)),
            Self::Full(item) => SendError::Full(f(item)),
            Self::OutOfSequence(item) => SendError::OutOfSequence(f(item)),
            Self::InvalidUtf8(item) => SendError::InvalidUtf8(f(item)),
            Self::ControlTooLong(item) => SendError::ControlTooLong(f(item)),
        }
    }
}

/// Whether an error, or what caused it, says no more than that a session has closed: what a send
/// failed with, or what a message that broke off ended in.
pub(crate) fn says_closed(error: &(dyn Error + 'static)) -> bool {
    // An `io::Error` does not count what it wraps among its causes.
    fn unwrapped<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        inner.map_or(error, |inner| inner)
    }
    fn closed<T: std::fmt::Debug + 'static>(error: &(dyn Error + 'static)) -> bool {
        error
            .downcast_ref::<SendError<T>>()
            .is_some_and(SendError::is_closed)
    }
    successors(Some(error), |error| (*error).source()).any(|error| {
        let error = unwrapped(error);
        error.is::<Failure>()
            || closed::<Message>(error)
            || closed::<Frame>(error)
            || closed::<Bytes>(error)
            || closed::<()>(error)
    })
}
