//! How a session ends, and what the endpoint is told about it.

use std::{borrow::Cow, io, sync::Arc};

use ws_core::{CloseCode, CloseFrame, CloseStatus, ProtocolError, Text};

/// The error type of an endpoint's events: whatever `?` can produce.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error that closes the session with a code of the application's choice (Jetty's
/// `CloseException`); any other error closes it with 1011.
///
/// It is not a failure: `on_error` is not called. No further message is delivered, the peer's
/// answer is waited for, and its code is what `on_close` is told.
///
/// ```
/// use ws_factory::{BoxError, Close, CloseCode};
/// fn check(age: u8) -> Result<(), BoxError> {
///     if age < 18 {
///         return Err(Close::new(CloseCode::POLICY_VIOLATION, "too young").into());
///     }
///     Ok(())
/// }
/// assert!(check(7).unwrap_err().is::<Close>());
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("close with {} {:?}", frame.status(), frame.reason())]
pub struct Close {
    pub(crate) frame: CloseFrame,
}

impl Close {
    /// A code and its reason, which is cut to 123 bytes at a character.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<Text>) -> Self {
        Self {
            frame: CloseFrame::new(code, reason),
        }
    }
}

/// Which side began the end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Initiator {
    /// We did: by a Close of ours, by giving up on the peer, or by an error of our own.
    Local,
    /// The peer did: by a Close of its own, or by going away without one.
    Remote,
}

/// How a session ended.
///
/// ```
/// use ws_factory::{CloseEvent, SessionError};
///
/// /// For the log of an operator, who need not know of every peer that went away.
/// fn is_worth_a_look(event: &CloseEvent) -> bool {
///     match event.cause() {
///         Some(SessionError::Endpoint(_) | SessionError::Panicked) => true,
///         _ => event.status().get() == 1002,
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CloseEvent {
    pub(crate) status: CloseStatus,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) initiator: Initiator,
    pub(crate) clean: bool,
    pub(crate) cause: Option<Arc<SessionError>>,
}

impl CloseEvent {
    /// The code: the peer's, or ours where we ended the session without waiting for one; 1005 for
    /// a Close without a code, 1006 for an end without a Close (RFC 6455 §7.1.5).
    #[must_use]
    pub const fn status(&self) -> CloseStatus {
        self.status
    }

    /// The reason that came, or went, with the code; empty where there was none.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Who began the end.
    #[must_use]
    pub const fn initiator(&self) -> Initiator {
        self.initiator
    }

    /// Whether both sides said Close (§7.1.4).
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.clean
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn cause(&self) -> Option<&SessionError> {
        self.cause.as_deref()
    }
}

/// Why a session ended otherwise than by a closing handshake, divided by whose fault it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer broke the protocol; or it passed a limit, which is no fault by RFC 6455, but more
    /// than our [`Policy`](crate::Policy) takes: then [`ProtocolError::close_code`] is 1009, and it
    /// is `Policy::with_max_text_bytes`, `with_max_binary_bytes` or `with_max_frame_bytes` to raise.
    #[error("{whose}: {0}", whose = whose(*.0))]
    Protocol(#[source] ProtocolError),
    /// The network: the stream ended, or failed, without a Close.
    #[error("connection lost")]
    ConnectionLost(#[source] io::Error),
    /// Nothing was received and nothing sent for the idle timeout.
    #[error("idle timeout")]
    IdleTimeout,
    /// The peer did not answer a Ping in time.
    #[error("no pong in time")]
    PongTimeout,
    /// The peer took nothing of what was written for the write deadline.
    #[error("no write progress in time")]
    WriteTimeout,
    /// The peer did not answer our Close in time.
    #[error("no answer to our Close in time")]
    CloseTimeout,
    /// The application: `on_connect` did not return in time.
    #[error("on_connect did not return in time")]
    ConnectTimeout,
    /// The application: an event returned an error.
    #[error("endpoint failed")]
    Endpoint(#[source] BoxError),
    /// The application: an event panicked.
    #[error("endpoint panicked")]
    Panicked,
    /// The application gave up: `Session::abort`, or a shutdown whose deadline passed.
    #[error("aborted")]
    Aborted,
    /// The task or the runtime went away under the session.
    #[error("task dropped")]
    TaskDropped,
}

/// An operator has to know a rule that a peer broke from a limit that we set.
fn whose(error: ProtocolError) -> &'static str {
    match error.close_code() {
        CloseCode::MESSAGE_TOO_BIG => "past a limit of our policy",
        _ => "peer broke the protocol",
    }
}

/// Why the driver stopped taking events.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer's Close arrived, on its own or as an answer to ours.
    PeerClosed(CloseFrame),
    /// Anything else.
    Error(SessionError),
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Error(SessionError::ConnectionLost(error))
    }
}

impl From<ProtocolError> for End {
    fn from(error: ProtocolError) -> Self {
        Self::Error(SessionError::Protocol(error))
    }
}

/// What an end means for the wire and for the endpoint: the table "how sessions end" of
/// ARCHITECTURE.md, as a function.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Whether the peer can still be told something.
    pub(crate) talks: bool,
    /// The Close that is still owed to the peer.
    pub(crate) say: Option<CloseFrame>,
    /// Whether `on_error` is called with the event's cause.
    pub(crate) tell_error: bool,
    /// What `on_close` and `Session::closed` are told.
    pub(crate) event: CloseEvent,
}

impl Verdict {
    /// `ours` is our Close, if it was queued before the end came.
    pub(crate) fn of(end: End, ours: Option<CloseFrame>) -> Self {
        match end {
            End::PeerClosed(theirs) if ours.is_some() => {
                Self::closed(theirs, Initiator::Local, None)
            }
            End::PeerClosed(theirs) => {
                // §5.5.1: the answer carries the same code; with the reason, as browsers show it.
                let answer = theirs.clone();
                Self::closed(theirs, Initiator::Remote, Some(answer))
            }
            End::Error(error) => Self::failed(error, ours),
        }
    }

    fn closed(theirs: CloseFrame, initiator: Initiator, say: Option<CloseFrame>) -> Self {
        Self {
            talks: true,
            say,
            tell_error: false,
            event: CloseEvent {
                status: theirs.status(),
                reason: Cow::Owned(theirs.reason().to_owned()),
                initiator,
                clean: true,
                cause: None,
            },
        }
    }

    fn failed(error: SessionError, ours: Option<CloseFrame>) -> Self {
        let we_began = ours.is_some();
        // §5.5.1: nothing follows our Close, so what the peer is told is what it was told.
        let say = error.close().map(|close| ours.unwrap_or(close));
        let initiator = match &error {
            SessionError::ConnectionLost(_) if !we_began => Initiator::Remote,
            _ => Initiator::Local,
        };
        // An end that we had begun, or asked for, is not an error on top.
        let tell_error = match &error {
            SessionError::Aborted | SessionError::CloseTimeout | SessionError::TaskDropped => false,
            SessionError::ConnectionLost(_) | SessionError::WriteTimeout => !we_began,
            _ => true,
        };
        Self {
            talks: say.is_some(),
            tell_error,
            event: CloseEvent {
                status: say
                    .as_ref()
                    .map_or(CloseStatus::ABNORMAL, CloseFrame::status),
                reason: say
                    .as_ref()
                    .map_or(Cow::Borrowed(""), |say| Cow::Owned(say.reason().to_owned())),
                initiator,
                clean: false,
                cause: Some(Arc::new(error)),
            },
            say,
        }
    }
}

impl SessionError {
    /// The Close that tells the peer, where it can still be told. Never the text of an
    /// application's error.
    pub(crate) fn close(&self) -> Option<CloseFrame> {
        match self {
            Self::Protocol(error) => Some(CloseFrame::new(error.close_code(), error.to_string())),
            Self::IdleTimeout => Some(CloseFrame::new(CloseCode::GOING_AWAY, "idle timeout")),
            Self::ConnectTimeout | Self::Endpoint(_) | Self::Panicked => {
                Some(CloseFrame::new(CloseCode::INTERNAL_ERROR, "internal error"))
            }
            Self::ConnectionLost(_)
            | Self::PongTimeout
            | Self::WriteTimeout
            | Self::CloseTimeout
            | Self::Aborted
            | Self::TaskDropped => None,
        }
    }
}
