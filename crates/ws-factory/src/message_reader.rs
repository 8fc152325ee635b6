//! One message in parts, on its way to the event that reads it (RFC 6455 §5.4).
//!
//! Between the driver, which holds the [`Feed`], and the event, which holds the [`MessageReader`],
//! lies a slot for one part. The driver reads on only while the slot is empty; that is the
//! back-pressure, and the bound: a part is at most what one read brought.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use ws_core::{MessageKind, Partial};

use crate::{SessionError, ending::End};

/// One message that is read in parts, as they arrive: what [`crate::Endpoint::on_stream`] is
/// given.
///
/// It is read by [`Self::next`], as a [`Stream`], or as an [`AsyncRead`]; all three may be mixed.
/// The parts of a text end at a character, those of a binary message where the network cut them;
/// none is empty, and none larger than `Policy::max_read_bytes`.
///
/// # Back-pressure
///
/// While a part waits to be taken nothing more of the message is read, so a peer that is faster
/// than the reader is stopped by its own full socket. Held are the part that waits and, where
/// control frames are looked for behind it, one read more; whatever the length of the message.
///
/// # Errors
///
/// A message that breaks off ends in an error, never in what looks like its end:
///
/// | [`io::ErrorKind`] | |
/// |---|---|
/// | `UnexpectedEof` | the peer closed, or went away |
/// | `InvalidData` | the peer broke the protocol, also by text that is not UTF-8; or passed a limit |
/// | `TimedOut` | a deadline of the session passed |
/// | `ConnectionAborted` | the session was aborted, or `on_stream` returned before the message ended |
///
/// Return it from `on_stream` as it is: it is not held against the endpoint, and `on_error` and
/// `on_close` tell what happened.
///
/// # Cancel safety
///
/// Whatever it is read by, a future that is dropped before it resolves has taken nothing.
#[derive(Debug)]
pub struct MessageReader {
    slot: Arc<Slot>,
    kind: MessageKind,
    /// What [`AsyncRead`] has begun to read.
    part: Bytes,
    /// Whether [`Self::next`] has told of the error that the message ended in.
    told: bool,
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Feed(Arc<Slot>);

#[derive(Debug)]
struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    part: Option<Bytes>,
    ended: bool,
    failure: Option<Failure>,
    /// Whether nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
    driver: Option<Waker>,
}

/// Why a message broke off.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: io::ErrorKind,
    text: Cow<'static, str>,
}

impl MessageReader {
    /// A reader of the message that begins with `part`, and how it is fed.
    pub(crate) fn begin(part: Partial) -> (Feed, Self) {
        let kind = part.piece().kind();
        let slot = Arc::new(Slot(Mutex::default()));
        let feed = Feed(Arc::clone(&slot));
        feed.put(part);
        let reader = Self {
            slot,
            kind,
            part: Bytes::new(),
            told: false,
        };
        (feed, reader)
    }

    /// What the message carries.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The next part; `None` when the message has ended.
    ///
    /// # Errors
    ///
    /// See [`Self`]; after it, `None`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped before it resolves, it has taken nothing.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        poll_fn(|cx| self.poll_part(cx)).await
    }

    fn poll_part(&mut self, cx: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.part.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.part))));
        }
        let part = ready!(self.slot.poll_take(cx)).transpose();
        let fails = matches!(part, Some(Err(_)));
        if fails && std::mem::replace(&mut self.told, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(part)
    }
}

impl AsyncRead for MessageReader {
    /// What is left unread of a part is the next that is read. Unlike [`MessageReader::next`], it
    /// tells an error as often as it is asked: an end would say that the message is whole.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.part.is_empty() {
            match ready!(self.slot.poll_take(cx))? {
                Some(part) => self.part = part,
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.part.len().min(buf.remaining());
        buf.put_slice(&self.part[..len]);
        self.part.advance(len);
        if self.part.is_empty() {
            // An empty slice would keep the read buffer from being used again.
            self.part = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for MessageReader {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_part(cx)
    }
}

impl Drop for MessageReader {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        state.unread = true;
        state.part = None;
        let driver = state.driver.clone();
        drop(state);
        wake(driver);
    }
}

impl Feed {
    /// Whether the next part of the message can be taken now. If not, `cx` is woken when it can.
    pub(crate) fn wants_part(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        let known = state.driver.as_ref();
        let stale = match known.is_some_and(|known| known.will_wake(cx.waker())) {
            true => None,
            false => state.driver.replace(cx.waker().clone()),
        };
        let wants = state.wants_part();
        drop(state);
        drop(stale);
        wants
    }

    /// Whether it is the peer that the message waits for.
    pub(crate) fn awaits_peer(&self) -> bool {
        self.0.lock().wants_part()
    }

    pub(crate) fn put(&self, part: Partial) {
        let mut state = self.0.lock();
        state.ended = part.is_last();
        let piece = part.into_piece().into_bytes();
        if !piece.is_empty() && !state.unread {
            state.part = Some(piece);
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Breaks the message off, unless it has ended.
    pub(crate) fn fail(&self, failure: impl FnOnce() -> Failure) {
        let mut state = self.0.lock();
        if state.ended || state.failure.is_some() {
            return;
        }
        state.failure = Some(failure());
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

impl Drop for Feed {
    /// A reader that is kept longer than its event reads what has come, and no more.
    fn drop(&mut self) {
        self.fail(|| Failure {
            kind: io::ErrorKind::ConnectionAborted,
            text: Cow::Borrowed("message given up before its end"),
        });
    }
}

impl Slot {
    fn poll_take(&self, cx: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.lock();
        if let Some(part) = state.part.take() {
            let driver = state.driver.clone();
            drop(state);
            wake(driver);
            return Poll::Ready(Ok(Some(part)));
        }
        if let Some(failure) = &state.failure {
            let error = io::Error::new(failure.kind, failure.clone());
            return Poll::Ready(Err(error));
        }
        if state.ended {
            return Poll::Ready(Ok(None));
        }
        let stale = state.reader.replace(cx.waker().clone());
        drop(state);
        drop(stale);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and if it did the state would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn wants_part(&self) -> bool {
        self.part.is_none() && !self.ended && self.failure.is_none() && !self.unread
    }
}

/// Always without the lock: what a waker runs or drops may come back to the slot.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Failure {
    /// What an end of the session is for the message that it breaks off.
    pub(crate) fn of(end: &End) -> Self {
        let (kind, text) = match end {
            End::PeerClosed(_) => (
                io::ErrorKind::UnexpectedEof,
                Cow::Borrowed("peer closed before the message ended"),
            ),
            End::Error(error) => {
                let kind = match error {
                    SessionError::ConnectionLost(_) => io::ErrorKind::UnexpectedEof,
                    SessionError::Protocol(_) => io::ErrorKind::InvalidData,
                    SessionError::IdleTimeout
                    | SessionError::PongTimeout
                    | SessionError::WriteTimeout
                    | SessionError::CloseTimeout => io::ErrorKind::TimedOut,
                    _ => io::ErrorKind::ConnectionAborted,
                };
                (kind, Cow::Owned(error.to_string()))
            }
        };
        Self { kind, text }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}
