//! One message in parts, on its way to the outbox (RFC 6455 §5.4).
//!
//! A [`MessageWriter`] holds the turn of its session: from its first part to its last every other
//! message waits, in the outbox's own way of waiting. It keeps at most one frame that has not
//! filled up, and the beginning of a character; the rest is the outbox's, and bounded there.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use ws_core::{CloseCode, CloseFrame, Frame, MessageKind, Utf8Validator};

use crate::{SendError, Session, outbox::Outbox};

/// One message that is sent in parts, as they come: from `Session::message_writer`.
///
/// While it is there, it has the session to itself: other messages wait, or find the outbox full;
/// control frames pass. So does a message that the holder of a writer sends by other means: it
/// would wait for itself.
///
/// [`Self::write`] sends a part at once. As an [`AsyncWrite`] it collects up to 16 KiB to a frame,
/// which `flush` sends early; there `shutdown` is [`Self::finish`]. Both may be mixed. Flushed is
/// what is queued; `Session::flush` waits until it is written.
///
/// Where extensions compress, the frames are one compressed message. It is compressed if its first
/// frame reaches the threshold.
///
/// # Unfinished
///
/// Dropped before it was finished, the session closes with 1011, so that the peer never takes the
/// part for the whole. A writer that nothing was written to only gives up its turn. When the
/// session closes before the message is finished, what was queued leaves and our Close follows it,
/// which tells the peer the same; the writer fails with [`SendError::Closed`].
///
/// ```
/// use ws_factory::{EventResult, MessageKind, Session};
///
/// async fn count(session: &Session) -> EventResult {
///     let mut message = session.message_writer(MessageKind::Text).await?;
///     for number in 0..1_000_000 {
///         message.write(format!("{number}\n")).await?;
///     }
///     message.finish().await?;
///     Ok(())
/// }
/// ```
///
/// Whatever can be read can be sent:
///
/// ```
/// use tokio::io::{AsyncRead, AsyncWriteExt};
/// use ws_factory::{EventResult, MessageKind, Session};
///
/// async fn download<R: AsyncRead + Unpin>(session: &Session, mut source: R) -> EventResult {
///     let mut message = session.message_writer(MessageKind::Binary).await?;
///     tokio::io::copy(&mut source, &mut message).await?;
///     message.shutdown().await?;
///     Ok(())
/// }
/// ```
#[must_use = "a message that is not finished closes the session"]
pub struct MessageWriter {
    session: Session,
    kind: MessageKind,
    progress: Progress,
    /// What has been written of a text, up to the end of what is collected.
    utf8: Utf8Validator,
    /// What [`AsyncWrite`] was given, and no frame has been made of.
    collected: BytesMut,
    /// The frame that [`AsyncWrite`] waits to queue.
    waiting: Option<Waiting>,
}

/// Resolves with whether the frame that it has queued is the last.
type Waiting = Pin<Box<dyn Future<Output = Result<bool, SendError<()>>> + Send + Sync>>;

/// How much of the message has been queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Nothing,
    Begun,
    Finished,
}

/// The longest frame of a message in parts, in bytes: between two frames control frames pass.
const MAX_FRAME_BYTES: usize = 64 * 1024;

/// How much [`AsyncWrite`] collects for one frame, in bytes: from there on a payload is not copied
/// once more.
const COLLECTED_BYTES: usize = crate::queue::SHARED_PAYLOAD_BYTES;

impl MessageWriter {
    /// Takes the turn of the session once it is free.
    pub(crate) async fn begin(session: &Session, kind: MessageKind) -> Result<Self, SendError<()>> {
        let attempt = |outbox: &Outbox, ()| outbox.try_begin(kind);
        session.outbox().when_room((), attempt).await?;
        Ok(Self {
            session: session.clone(),
            kind,
            progress: Progress::Nothing,
            utf8: Utf8Validator::default(),
            collected: BytesMut::new(),
            waiting: None,
        })
    }

    /// What the message carries.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Sends the next part of the message, in frames of at most 64 KiB. Waits while the outbox is
    /// full. Nothing is sent of an empty part.
    ///
    /// Of a text the parts together have to be UTF-8 (§8.1); one part may end, and the next begin,
    /// within a character.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidUtf8`] for a part that no text can go on with: nothing of it was sent,
    /// and another may follow in its place. [`SendError::Closed`] once the session is closing.
    /// [`SendError::OutOfSequence`] after `shutdown`. What was not queued comes back.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing of a part of at most 64 KiB was queued; of a longer one
    /// the first frames may have been.
    pub async fn write(&mut self, part: impl Into<Bytes>) -> Result<(), SendError<Bytes>> {
        let mut part = part.into();
        if let Err(error) = poll_fn(|cx| self.poll_send_collected(cx)).await {
            return Err(error.map(|()| part));
        }
        if self.progress == Progress::Finished {
            return Err(SendError::OutOfSequence(part));
        }
        // All of it is judged before any of it leaves.
        let Some(judged) = self.judged(&part) else {
            return Err(SendError::InvalidUtf8(part));
        };
        while part.len() > MAX_FRAME_BYTES {
            let piece = part.slice(..MAX_FRAME_BYTES);
            let reached = self.judged(&piece);
            if let Err(error) = self.queue(piece).await {
                return Err(error.map(|_| part));
            }
            part.advance(MAX_FRAME_BYTES);
            self.utf8 = reached.unwrap_or_default();
        }
        if !part.is_empty() {
            self.queue(part)
                .await
                .map_err(|error| error.map(Frame::into_payload))?;
        }
        self.utf8 = judged;
        Ok(())
    }

    /// Ends the message. Waits while the outbox is full.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidUtf8`] for a text that ends within a character; the session then closes
    /// with 1011, as for any message that stays unfinished. [`SendError::Closed`] once the session
    /// is closing.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the message is unfinished, and the session closes with 1011.
    pub async fn finish(mut self) -> Result<(), SendError<()>> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        ready!(self.poll_waiting(cx))?;
        if self.progress != Progress::Finished {
            if self.utf8.clone().finish().is_err() {
                return Poll::Ready(Err(SendError::InvalidUtf8(())));
            }
            self.queue_collected(true)?;
        }
        self.poll_waiting(cx)
    }

    fn poll_send_collected(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        ready!(self.poll_waiting(cx))?;
        if !self.collected.is_empty() {
            self.queue_collected(false)?;
        }
        self.poll_waiting(cx)
    }

    /// Goes on with the frame that waits for room.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        if let Some(waiting) = &mut self.waiting {
            let queued = ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
            self.queued(queued?);
        }
        Poll::Ready(Ok(()))
    }

    /// Makes a frame of what is collected, and queues it or has it wait.
    fn queue_collected(&mut self, ends: bool) -> Result<(), SendError<()>> {
        let payload = self.collected.split().freeze();
        match self.session.outbox().try_part(self.frame(payload, ends)) {
            Ok(()) => self.queued(ends),
            Err(SendError::Full(frame)) => {
                let session = self.session.clone();
                self.waiting = Some(Box::pin(async move {
                    let queued = session.outbox().when_room(frame, Outbox::try_part).await;
                    queued.map(|()| ends).map_err(|error| error.map(drop))
                }));
            }
            Err(error) => return Err(error.map(drop)),
        }
        Ok(())
    }

    async fn queue(&mut self, payload: Bytes) -> Result<(), SendError<Frame>> {
        let frame = self.frame(payload, false);
        let outbox = self.session.outbox();
        outbox.when_room(frame, Outbox::try_part).await?;
        self.queued(false);
        Ok(())
    }

    const fn queued(&mut self, ends: bool) {
        self.progress = match ends {
            true => Progress::Finished,
            false => Progress::Begun,
        };
    }

    fn frame(&self, payload: Bytes, ends: bool) -> Frame {
        let frame = match (self.progress, self.kind) {
            (Progress::Begun | Progress::Finished, _) => Frame::continuation(payload),
            (Progress::Nothing, MessageKind::Binary) => Frame::binary(payload),
            (Progress::Nothing, MessageKind::Text) => Frame::text(payload),
        };
        match ends {
            true => frame,
            false => frame.not_final(),
        }
    }

    /// Where the message stands in terms of UTF-8 with `part` added; `None` if it could not be
    /// text.
    fn judged(&self, part: &[u8]) -> Option<Utf8Validator> {
        let mut utf8 = self.utf8.clone();
        match self.kind {
            MessageKind::Text => utf8.feed(part).ok().map(|()| utf8),
            MessageKind::Binary => Some(utf8),
        }
    }
}

impl AsyncWrite for MessageWriter {
    /// Collects; sends what is collected when 16 KiB are, and then waits while the outbox is full.
    ///
    /// Cancel safe: what was taken is what was returned.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_waiting(cx)).map_err(as_io)?;
        if self.collected.len() == COLLECTED_BYTES {
            ready!(self.poll_send_collected(cx)).map_err(as_io)?;
        }
        if self.progress == Progress::Finished {
            return Poll::Ready(Err(as_io(SendError::OutOfSequence(()))));
        }
        if !self.session.is_open() {
            return Poll::Ready(Err(as_io(SendError::Closed(()))));
        }
        let taken = &buf[..buf.len().min(COLLECTED_BYTES - self.collected.len())];
        let Some(judged) = self.judged(taken) else {
            return Poll::Ready(Err(as_io(SendError::InvalidUtf8(()))));
        };
        self.utf8 = judged;
        self.collected.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send_collected(cx).map_err(as_io)
    }

    /// Ends the message. Cancel safe: it can be called again.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map_err(as_io)
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        let untouched = self.progress == Progress::Nothing
            && self.collected.is_empty()
            && self.waiting.is_none();
        if self.progress == Progress::Finished {
            return;
        }
        let outbox = self.session.outbox();
        if !untouched {
            // Before the turn is given up: nobody's message may follow the beginning of this one.
            let reason = "message left unfinished";
            outbox.close(CloseFrame::new(CloseCode::INTERNAL_ERROR, reason));
        }
        outbox.give_up_turn();
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("session", &self.session)
            .field("kind", &self.kind)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

fn as_io(error: SendError<()>) -> io::Error {
    let kind = match &error {
        SendError::Closed(()) => io::ErrorKind::BrokenPipe,
        SendError::InvalidUtf8(()) => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::InvalidInput,
    };
    io::Error::new(kind, error)
}
