//! The application's handle on a connection.
//!
//! A [`Session`] is a cheap clone; it may be kept anywhere, used from any task, and outlive the
//! endpoint and the connection. It holds no socket: everything goes through the outbox.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ws_core::{CloseCode, CloseFrame, Frame, Message, MessageKind, OpCode, Prepared, Text};

use crate::{
    CloseEvent, MessageWriter, Policy, RequestSnapshot, SendError, SessionExtensions, SessionId,
    Traffic, outbox::Outbox, queue::Encoding, roster::Joined, sending::Sending, tally::Meter,
};

/// One WebSocket connection, as the application sees it.
///
/// Messages of many senders leave whole, one after the other, and in the order of each sender.
/// `send*` waits while the outbox is full (`Policy::with_max_outbox_messages` and `_bytes`),
/// `try_send*` gives the message back instead. Both mean *queued*, not *received*: only an answer
/// from the peer's application proves that.
///
/// ```
/// use ws_factory::{EventResult, Session, StatelessEndpoint, Text};
///
/// struct Greeter;
///
/// impl StatelessEndpoint for Greeter {
///     async fn on_connect(&self, session: &Session) -> EventResult {
///         let name = session.request().path_param("name").unwrap_or("stranger");
///         session.send_text(format!("hello, {name}")).await?;
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    id: SessionId,
    outbox: Outbox,
    request: RequestSnapshot,
    policy: Mutex<Arc<Policy>>,
    ended: OnceLock<Box<CloseEvent>>,
    /// The last round trip in nanoseconds; 0 while there was none.
    round_trip: AtomicU64,
    extensions: SessionExtensions,
    /// The groups that it is in.
    joined: Joined,
    meter: Meter,
}

impl Session {
    pub(crate) fn new(
        request: RequestSnapshot,
        policy: Arc<Policy>,
        encoding: Encoding,
        extensions: SessionExtensions,
        meter: Meter,
    ) -> Self {
        Self(Arc::new(Shared {
            id: SessionId::next(),
            outbox: Outbox::new(&policy, encoding),
            request,
            policy: Mutex::new(policy),
            ended: OnceLock::new(),
            round_trip: AtomicU64::new(0),
            extensions,
            joined: Joined::default(),
            meter,
        }))
    }

    /// Queues a text message (RFC 6455 §5.6).
    ///
    /// Waits while the outbox is full.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the session is closing; the message comes back in it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing was queued.
    pub async fn send_text(&self, text: impl Into<Text>) -> Result<(), SendError> {
        self.send(Message::Text(text.into())).await
    }

    /// Queues a binary message (RFC 6455 §5.6).
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub async fn send_binary(&self, data: impl Into<Bytes>) -> Result<(), SendError> {
        self.send(Message::Binary(data.into())).await
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub fn send(&self, message: Message) -> impl Future<Output = Result<(), SendError>> + Send {
        Sending::new(&self.0.outbox, message)
    }

    /// Queues a message that was encoded before, in the frames that it has.
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub async fn send_prepared(&self, prepared: &Prepared) -> Result<(), SendError<()>> {
        let attempt = |outbox: &Outbox, ()| outbox.try_prepared(prepared);
        self.0.outbox.when_room((), attempt).await
    }

    /// Queues a message that is not compressed, whatever was agreed: for one that holds a secret
    /// beside what somebody else may choose, whose compressed length would tell of it (CRIME,
    /// BREACH).
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub async fn send_uncompressed(&self, message: Message) -> Result<(), SendError> {
        let prepared = Prepared::from(&message).uncompressed();
        self.send_prepared(&prepared)
            .await
            .map_err(|error| error.map(|()| message))
    }

    /// Queues one data frame, for gateways and tests; Pings and Pongs go to [`Self::ping`] and
    /// [`Self::pong`].
    ///
    /// From the first frame of a message to its last, everybody else's messages wait. Text is the
    /// caller's promise: its frames are sent unchecked.
    ///
    /// # Errors
    ///
    /// [`SendError::OutOfSequence`] for a frame that may not follow the one before (§5.4), and for
    /// a Close; [`SendError::Closed`] once the session is closing. The frame comes back.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub async fn send_frame(&self, frame: Frame) -> Result<(), SendError<Frame>> {
        match frame.opcode() {
            OpCode::Ping | OpCode::Pong => self.send_control(frame).await,
            OpCode::Close | OpCode::Continuation | OpCode::Text | OpCode::Binary => {
                self.0.outbox.when_room(frame, Outbox::try_frame).await
            }
        }
    }

    /// Begins a message that is sent in parts, as they come. Waits for its turn: until the message
    /// in parts before it has ended. From then on everybody else's messages wait until this one
    /// ends; see [`MessageWriter`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the session is closing.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has not had its turn.
    pub async fn message_writer(&self, kind: MessageKind) -> Result<MessageWriter, SendError<()>> {
        MessageWriter::begin(self, kind).await
    }

    /// Queues a text message if there is room.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when there is no room, [`SendError::Closed`] once the session is
    /// closing; the message comes back.
    pub fn try_send_text(&self, text: impl Into<Text>) -> Result<(), SendError> {
        self.try_send(Message::Text(text.into()))
    }

    /// Queues a binary message if there is room.
    ///
    /// # Errors
    ///
    /// As [`Self::try_send_text`].
    pub fn try_send_binary(&self, data: impl Into<Bytes>) -> Result<(), SendError> {
        self.try_send(Message::Binary(data.into()))
    }

    /// Queues a message if there is room.
    ///
    /// # Errors
    ///
    /// As [`Self::try_send_text`].
    ///
    /// ```
    /// # use ws_factory::{Established, Message, Policy, Role, SendError, Transport};
    /// # let (near, _far) = tokio::io::duplex(64);
    /// # let mut established = Established::new(Transport::boxed(near), Role::Server)
    /// #     .with_policy(Policy::default().with_max_outbox_messages(1));
    /// # let session = established.session();
    /// session.try_send(Message::text("one"))?;
    /// // The outbox is full: in this session's policy it has room for one.
    /// let refused = session.try_send(Message::text("two"));
    /// assert_eq!(refused, Err(SendError::Full(Message::text("two"))));
    /// # Ok::<(), SendError>(())
    /// ```
    pub fn try_send(&self, message: Message) -> Result<(), SendError> {
        self.0.outbox.try_message(message)
    }

    /// Queues a message that was encoded before, if there is room.
    ///
    /// # Errors
    ///
    /// As [`Self::try_send_text`].
    pub fn try_send_prepared(&self, prepared: &Prepared) -> Result<(), SendError<()>> {
        self.0.outbox.try_prepared(prepared)
    }

    /// Queues a Ping with at most 125 bytes (§5.5.2). It overtakes messages, between two frames.
    ///
    /// Waits while 32 Pings and Pongs wait.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] for more than 125 bytes; [`SendError::Closed`] once the session is
    /// closing. The payload comes back.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub async fn ping(&self, payload: impl Into<Bytes>) -> Result<(), SendError<Bytes>> {
        let ping = Frame::ping(payload);
        self.send_control(ping)
            .await
            .map_err(|error| error.map(Frame::into_payload))
    }

    /// Queues a Pong with at most 125 bytes (§5.5.3): a heartbeat, or the answer to a Ping where
    /// `Policy::without_auto_pong` leaves it to the endpoint.
    ///
    /// # Errors
    ///
    /// As [`Self::ping`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::send_text`].
    pub async fn pong(&self, payload: impl Into<Bytes>) -> Result<(), SendError<Bytes>> {
        let pong = Frame::pong(payload);
        self.send_control(pong)
            .await
            .map_err(|error| error.map(Frame::into_payload))
    }

    /// Waits until every message queued so far has been written to the socket; over HTTP/2, to the
    /// connection, where at most 128 KiB wait for the peer's window.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the session ended first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    ///
    /// ```
    /// # use ws_factory::{Established, Role, Transport, from_fn};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ws_factory::BoxError> {
    /// # let (near, _far) = tokio::io::duplex(64);
    /// # let mut established = Established::new(Transport::boxed(near), Role::Server);
    /// # let session = established.session().clone();
    /// # tokio::spawn(established.run(from_fn(|_session, _message| async { Ok(()) })));
    /// session.send_text("the last word").await?;
    /// session.flush().await?;
    /// assert_eq!(session.queued(), (0, 0)); // it is the peer's socket that has it now
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<(), SendError<()>> {
        self.0.outbox.flush().await
    }

    /// Begins the closing handshake (§7.1.2); the Close leaves after what was queued before it.
    ///
    /// Nothing can be sent any more. Messages still arrive until the peer's Close does; then, or
    /// after `Policy::close_timeout`, the session ends. A second call changes nothing.
    pub fn close(&self, code: CloseCode, reason: impl Into<Text>) {
        self.0.outbox.close(CloseFrame::new(code, reason));
    }

    /// As [`Self::close`], with a Close that carries neither code nor reason.
    pub fn close_without_status(&self) {
        self.0.outbox.close(CloseFrame::empty());
    }

    /// Ends the session at once, without a handshake (Jetty's `disconnect`): what is queued is
    /// lost, a running event is dropped, `on_close` is told 1006.
    pub fn abort(&self) {
        self.0.outbox.abort();
    }

    /// Waits for the end of the session, and tells how it ended. Resolves before `on_close` is
    /// called.
    ///
    /// Not for an event of the session's own: the session does not end while its event runs, so
    /// that would wait for itself until `Policy::close_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    ///
    /// ```
    /// # use ws_factory::{Established, Role, Transport, from_fn};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio::task::JoinError> {
    /// # let (near, peer) = tokio::io::duplex(64);
    /// # let mut established = Established::new(Transport::boxed(near), Role::Server);
    /// # let session = established.session().clone();
    /// # tokio::spawn(established.run(from_fn(|_session, _message| async { Ok(()) })));
    /// let end = tokio::spawn(async move { session.closed().await });
    ///
    /// drop(peer); // its process ends without a Close
    /// assert_eq!(end.await?.status().get(), 1006);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn closed(&self) -> CloseEvent {
        let ended = || self.close_event().cloned();
        self.0.outbox.when_changed(ended).await
    }

    /// How the session ended, if it has.
    #[must_use]
    pub fn close_event(&self) -> Option<&CloseEvent> {
        self.0.ended.get().map(|event| &**event)
    }

    /// Whether something can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.outbox.is_open()
    }

    /// The session's name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The request that opened the session.
    #[must_use]
    pub fn request(&self) -> &RequestSnapshot {
        &self.0.request
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.request.subprotocol()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        let policy = self.0.policy.lock();
        Arc::clone(&policy.unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the session's policy: limits from the next frame on, deadlines at once, the outbox's
    /// bounds for what is sent from now on. What has passed (`connect_deadline`,
    /// `accept_deadline`, `compression`, `kept_headers`) and what is the factory's (`max_sessions`,
    /// `max_sessions_per_peer`, `max_handshakes`) stays as it was.
    ///
    /// ```
    /// # use ws_factory::Session;
    /// # fn on_connect(session: &Session) {
    /// let policy = session.policy().as_ref().clone();
    /// session.set_policy(policy.with_max_binary_bytes(16 << 20));
    /// # }
    /// ```
    pub fn set_policy(&self, policy: Policy) {
        let policy = Arc::new(policy);
        let mut current = self.0.policy.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(&policy);
        self.0.outbox.set_policy(policy);
    }

    /// How much waits to be written: messages and bytes of payload.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.0.outbox.load()
    }

    /// What went through the session, as of when it last had nothing more to do.
    #[must_use]
    pub fn stats(&self) -> Traffic {
        self.0.meter.read()
    }

    /// The round-trip time of the last Ping that `Policy::with_ping_interval` sent and the peer
    /// answered.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let nanos = self.0.round_trip.load(Ordering::Relaxed);
        (nanos > 0).then_some(Duration::from_nanos(nanos))
    }

    /// A place for the application's own state, by type: what a shared endpoint keeps of one
    /// session. Costs nothing while empty. What an endpoint factory knows is put there by
    /// [`crate::Accept::with_session_extension`].
    #[must_use]
    pub fn extensions(&self) -> &SessionExtensions {
        &self.0.extensions
    }

    async fn send_control(&self, frame: Frame) -> Result<(), SendError<Frame>> {
        // §5.5: a control frame has a payload of 125 bytes or less.
        if frame.payload().len() > 125 {
            return Err(SendError::ControlTooLong(frame));
        }
        self.0.outbox.when_room(frame, Outbox::try_control).await
    }

    // For its groups.

    pub(crate) fn joined(&self) -> &Joined {
        &self.0.joined
    }

    // For the driver.

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
        self.0.round_trip.store(nanos.max(1), Ordering::Relaxed);
    }

    /// Ends it for whoever holds a handle. The first end counts.
    pub(crate) fn end(&self, event: CloseEvent) {
        // A second end, as of a task that is dropped while it says goodbye, says nothing new.
        let _first = self.0.ended.set(Box::new(event));
        self.0.joined.end(self.0.id);
        self.0.outbox.end();
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Session {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("subprotocol", &self.subprotocol())
            .field("ended", &self.0.ended.get())
            .finish_non_exhaustive()
    }
}
