//! What an application does with a session: the events.
//!
//! An [`Endpoint`] belongs to one session and is told its events one at a time. A
//! [`StatelessEndpoint`] serves any number of sessions at once, through an [`Arc`]. A closure does
//! where a type would be too much: [`crate::from_fn()`].

use std::{
    future::{Future, ready},
    sync::Arc,
};

use bytes::Bytes;
use ws_core::{Frame, Message, Partial, Text};

use crate::{BoxError, CloseEvent, MessageReader, Session, SessionError, trace};

/// What an event returns.
///
/// An error ends the session: with its code if it is a [`crate::Close`], with 1011 otherwise. The
/// peer never sees an error's text.
pub type EventResult = Result<(), BoxError>;

/// What becomes of a frame after [`Endpoint::on_frame`] has seen it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a frame goes on or it does not")]
pub enum FrameAction {
    /// The frame goes on as if nobody had looked: into its message, or to `on_ping`, `on_pong`.
    Continue,
    /// The frame ends here. Consuming the first frame of a message consumes the message: its
    /// later frames are shown, never assembled, and count against the frame limit only. Of a
    /// message whose first frame went on, a later frame cannot be consumed.
    ///
    /// Consuming a control frame suppresses its event; Pings are answered and a Close closes all
    /// the same.
    Consume,
}

/// The application's side of one session.
///
/// Every event has a default that does nothing; that a message came to nothing by it is told to
/// `tracing` once ([the table](crate#seen-from-outside)), since mostly it is a mistake. They are called one at a time, in this order:
/// `on_connect`; then any number of messages, frames, Pings and Pongs; `on_error` at most once;
/// `on_close` exactly once, last. While an event is pending no further data frame is read; that is
/// the back-pressure. Pings are answered and queued messages leave meanwhile.
///
/// Implement the events as `async fn`.
///
/// # Panics and blocking
///
/// An event that panics ends its own session with 1011, and no other; compiled with
/// `panic = "abort"` it ends the process. An event that blocks takes one thread of the runtime
/// away from the other sessions, and its own session answers no Ping meanwhile: what blocks or
/// computes for long belongs into `tokio::task::spawn_blocking`.
///
/// # Cancel safety
///
/// An event's future is dropped before it is ready in three cases: `on_connect` past
/// `Policy::connect_deadline`; an event that still runs `Policy::close_timeout` after the session
/// met its end; any event when `Session::abort` is called, or a shutdown's deadline passes.
///
/// ```
/// use ws_factory::{Endpoint, EventResult, Session, Text};
///
/// struct Echo;
///
/// impl Endpoint for Echo {
///     async fn on_text(&mut self, session: &Session, text: Text) -> EventResult {
///         session.send_text(text).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait Endpoint: Send + 'static {
    /// Whether every frame is shown to [`Self::on_frame`] first, which otherwise is never called.
    const FRAMES: bool = false;

    /// Whether messages are delivered in pieces, to [`Self::on_partial`] instead of
    /// [`Self::on_message`]. Otherwise `on_partial` is never called.
    const PARTIAL: bool = false;

    /// Whether messages are read as they arrive, by [`Self::on_stream`] instead of
    /// [`Self::on_message`]. Otherwise `on_stream` is never called.
    ///
    /// Goes with neither [`Self::FRAMES`] nor [`Self::PARTIAL`]: such an endpoint does not compile
    /// where it is run.
    ///
    /// ```compile_fail
    /// # use ws_factory::{Endpoint, Established, Role, Transport};
    /// struct Both;
    ///
    /// impl Endpoint for Both {
    ///     const STREAM: bool = true;
    ///     const FRAMES: bool = true;
    /// }
    /// # let (near, _far) = tokio::io::duplex(1);
    /// # drop(Established::new(Transport::boxed(near), Role::Server).run(Both));
    /// ```
    const STREAM: bool = false;

    /// The session is open. No message is delivered before this returns; sending is fine.
    fn on_connect(&mut self, session: &Session) -> impl Future<Output = EventResult> + Send {
        let _ = session;
        ready(Ok(()))
    }

    /// A message is complete. The default calls [`Self::on_text`] or [`Self::on_binary`].
    fn on_message(
        &mut self,
        session: &Session,
        message: Message,
    ) -> impl Future<Output = EventResult> + Send {
        async {
            match message {
                Message::Text(text) => self.on_text(session, text).await,
                Message::Binary(data) => self.on_binary(session, data).await,
            }
        }
    }

    /// A text message is complete.
    fn on_text(
        &mut self,
        session: &Session,
        text: Text,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_text", Self::FRAMES);
        drop(text);
        ready(Ok(()))
    }

    /// A binary message is complete.
    fn on_binary(
        &mut self,
        session: &Session,
        data: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_binary", Self::FRAMES);
        drop(data);
        ready(Ok(()))
    }

    /// A piece of a message arrived; never called unless [`Self::PARTIAL`] is `true`. Pieces of a
    /// text end at a character.
    fn on_partial(
        &mut self,
        session: &Session,
        part: Partial,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_partial", Self::FRAMES);
        drop(part);
        ready(Ok(()))
    }

    /// A message began, and is read from `message`; never called unless [`Self::STREAM`] is `true`.
    ///
    /// The event runs for as long as it likes to read: Pings are answered and queued messages
    /// leave meanwhile, while what it does not read stays with the peer. When it returns, the rest
    /// of the message is passed over, and a reader that was kept breaks off; whoever reads in
    /// another task waits for that here.
    ///
    /// `Policy::max_text_bytes` and `max_binary_bytes` hold for the whole message, read or passed
    /// over, and are 64 KiB unless they are raised. What is held is far less: see
    /// [`MessageReader`].
    ///
    /// While it waits for the peer, the idle timeout and the pong deadline run as between two
    /// messages. Past them, or when the session ends otherwise, the reader fails, and the event
    /// has `Policy::close_timeout` to return.
    ///
    /// ```
    /// use ws_factory::{Endpoint, EventResult, MessageReader, Session};
    ///
    /// struct Lines(usize);
    ///
    /// impl Endpoint for Lines {
    ///     const STREAM: bool = true;
    ///
    ///     async fn on_stream(&mut self, _: &Session, mut message: MessageReader) -> EventResult {
    ///         while let Some(part) = message.next().await {
    ///             self.0 += part?.iter().filter(|byte| **byte == b'\n').count();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    fn on_stream(
        &mut self,
        session: &Session,
        message: MessageReader,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_stream", Self::FRAMES);
        drop(message);
        ready(Ok(()))
    }

    /// A frame arrived, data or control, and broke no rule; never called unless [`Self::FRAMES`] is
    /// `true`.
    fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> impl Future<Output = Result<FrameAction, BoxError>> + Send {
        let _ = (session, frame);
        ready(Ok(FrameAction::Continue))
    }

    /// A Ping arrived. It has been answered, unless `Policy::without_auto_pong`.
    ///
    /// Of Pings and Pongs that arrive while another event runs, the latest 16 are told after it.
    fn on_ping(
        &mut self,
        session: &Session,
        payload: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        let _ = (session, payload);
        ready(Ok(()))
    }

    /// A Pong arrived, asked for or not.
    fn on_pong(
        &mut self,
        session: &Session,
        payload: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        let _ = (session, payload);
        ready(Ok(()))
    }

    /// The session ends because something went wrong. Nothing can be sent any more.
    fn on_error(
        &mut self,
        session: &Session,
        error: &SessionError,
    ) -> impl Future<Output = ()> + Send {
        let _ = (session, error);
        ready(())
    }

    /// The session has ended; the last event. Nothing can be sent any more.
    fn on_close(
        &mut self,
        session: &Session,
        event: &CloseEvent,
    ) -> impl Future<Output = ()> + Send {
        let _ = (session, event);
        ready(())
    }
}

/// The application's side of any number of sessions at once: one instance, shared.
///
/// The events, their order and their promises are those of [`Endpoint`]; events of different
/// sessions run at the same time. What belongs to one session has its place in
/// `Session::extensions`.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use ws_factory::{EventResult, Session, StatelessEndpoint, Text};
///
/// #[derive(Default)]
/// struct Counter(AtomicU64);
///
/// impl StatelessEndpoint for Counter {
///     async fn on_text(&self, session: &Session, _text: Text) -> EventResult {
///         let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
///         session.send_text(count.to_string()).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait StatelessEndpoint: Send + Sync + 'static {
    /// See [`Endpoint::FRAMES`].
    const FRAMES: bool = false;

    /// See [`Endpoint::PARTIAL`].
    const PARTIAL: bool = false;

    /// See [`Endpoint::STREAM`].
    const STREAM: bool = false;

    /// See [`Endpoint::on_connect`].
    fn on_connect(&self, session: &Session) -> impl Future<Output = EventResult> + Send {
        let _ = session;
        ready(Ok(()))
    }

    /// See [`Endpoint::on_message`].
    fn on_message(
        &self,
        session: &Session,
        message: Message,
    ) -> impl Future<Output = EventResult> + Send {
        async {
            match message {
                Message::Text(text) => self.on_text(session, text).await,
                Message::Binary(data) => self.on_binary(session, data).await,
            }
        }
    }

    /// See [`Endpoint::on_text`].
    fn on_text(&self, session: &Session, text: Text) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_text", Self::FRAMES);
        drop(text);
        ready(Ok(()))
    }

    /// See [`Endpoint::on_binary`].
    fn on_binary(
        &self,
        session: &Session,
        data: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_binary", Self::FRAMES);
        drop(data);
        ready(Ok(()))
    }

    /// See [`Endpoint::on_partial`]; never called unless [`Self::PARTIAL`] is `true`.
    fn on_partial(
        &self,
        session: &Session,
        part: Partial,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_partial", Self::FRAMES);
        drop(part);
        ready(Ok(()))
    }

    /// See [`Endpoint::on_stream`]; never called unless [`Self::STREAM`] is `true`.
    fn on_stream(
        &self,
        session: &Session,
        message: MessageReader,
    ) -> impl Future<Output = EventResult> + Send {
        trace::untaken::<Self>(session, "on_stream", Self::FRAMES);
        drop(message);
        ready(Ok(()))
    }

    /// See [`Endpoint::on_frame`]; never called unless [`Self::FRAMES`] is `true`.
    fn on_frame(
        &self,
        session: &Session,
        frame: &Frame,
    ) -> impl Future<Output = Result<FrameAction, BoxError>> + Send {
        let _ = (session, frame);
        ready(Ok(FrameAction::Continue))
    }

    /// See [`Endpoint::on_ping`].
    fn on_ping(
        &self,
        session: &Session,
        payload: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        let _ = (session, payload);
        ready(Ok(()))
    }

    /// See [`Endpoint::on_pong`].
    fn on_pong(
        &self,
        session: &Session,
        payload: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        let _ = (session, payload);
        ready(Ok(()))
    }

    /// See [`Endpoint::on_error`].
    fn on_error(&self, session: &Session, error: &SessionError) -> impl Future<Output = ()> + Send {
        let _ = (session, error);
        ready(())
    }

    /// See [`Endpoint::on_close`].
    fn on_close(&self, session: &Session, event: &CloseEvent) -> impl Future<Output = ()> + Send {
        let _ = (session, event);
        ready(())
    }
}

impl<E: StatelessEndpoint> Endpoint for Arc<E> {
    const FRAMES: bool = E::FRAMES;
    const PARTIAL: bool = E::PARTIAL;
    const STREAM: bool = E::STREAM;

    fn on_connect(&mut self, session: &Session) -> impl Future<Output = EventResult> + Send {
        (**self).on_connect(session)
    }

    fn on_message(
        &mut self,
        session: &Session,
        message: Message,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_message(session, message)
    }

    fn on_text(
        &mut self,
        session: &Session,
        text: Text,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_text(session, text)
    }

    fn on_binary(
        &mut self,
        session: &Session,
        data: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_binary(session, data)
    }

    fn on_partial(
        &mut self,
        session: &Session,
        part: Partial,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_partial(session, part)
    }

    fn on_stream(
        &mut self,
        session: &Session,
        message: MessageReader,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_stream(session, message)
    }

    fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> impl Future<Output = Result<FrameAction, BoxError>> + Send {
        (**self).on_frame(session, frame)
    }

    fn on_ping(
        &mut self,
        session: &Session,
        payload: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_ping(session, payload)
    }

    fn on_pong(
        &mut self,
        session: &Session,
        payload: Bytes,
    ) -> impl Future<Output = EventResult> + Send {
        (**self).on_pong(session, payload)
    }

    fn on_error(
        &mut self,
        session: &Session,
        error: &SessionError,
    ) -> impl Future<Output = ()> + Send {
        (**self).on_error(session, error)
    }

    fn on_close(
        &mut self,
        session: &Session,
        event: &CloseEvent,
    ) -> impl Future<Output = ()> + Send {
        (**self).on_close(session, event)
    }
}
