//! One task per connection: bytes in, events to the endpoint, bytes out.
//!
//! Read this first to know how a session lives. [`Driver::run`] is its life as a straight line:
//! connect, live, finish. [`Link`] is everything but the endpoint. What can wake the task is a
//! closed list: the socket can be read, the socket can be written, somebody queued something (or
//! closed, or aborted), a deadline has come, and the endpoint's own event makes progress.
//!
//! A *turn* is what happens between two sleeps: one read, every event in it handed to the
//! endpoint, and everything that was sent meanwhile in one write. While an event is pending, what
//! need not wait for it goes on: queued messages leave, Pings are answered, the peer's Close is
//! noticed. The next data frame is not parsed; that is the back-pressure.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use ws_core::{
    CloseFrame, Connection, Event, Frame, OpCode, Role, Step,
    generator::{self, MaskKeys},
};

use crate::{
    BoxError, Close, Endpoint, FrameAction, Policy, Session, SessionError, Transport, buffers,
    clocks::{Alarm, Clocks, Waiting},
    ending::End,
    outbox::Orders,
    sessions::Registration,
    wire::Wire,
};

/// A session's endpoint and its link.
#[derive(Debug)]
pub(crate) struct Driver<E> {
    pub(crate) endpoint: E,
    pub(crate) session: Session,
    pub(crate) link: Link,
}

/// Everything of a session but the endpoint.
pub(crate) struct Link {
    pub(crate) io: Transport,
    pub(crate) connection: Connection,
    wire: Wire,
    pub(crate) session: Session,
    pub(crate) policy: Arc<Policy>,
    clocks: Clocks,
    keys: Option<Box<dyn MaskKeys>>,
    role: Role,
    /// Control frames that were served while an event was running, for the endpoint to see.
    controls: VecDeque<Event>,
    /// The end that was met while an event was running.
    stop: Option<Stop>,
    /// Whether the endpoint wants no more messages: it answered one with a Close.
    discards: bool,
    /// How many events this turn has had.
    turn_events: u32,
    /// Whether something was written that the transport may still hold.
    unflushed: bool,
    pub(crate) registration: Registration,
}

/// An end, and whether our Close was already queued when it came.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) end: End,
    pub(crate) we_began: bool,
}

/// How many events one turn may have: about as many small messages as fit in a page, so that a
/// connection that is always ready still lets the others run.
const TURN_EVENTS: u32 = 256;

/// How many control frames wait for the endpoint while an event runs; of more, the oldest are
/// answered but not shown.
const MAX_WAITING_CONTROLS: usize = 16;

impl<E: Endpoint> Driver<E> {
    /// Runs the session from the 101 to its end.
    pub(crate) async fn run(mut self) {
        let stop = match self.connect().await {
            Ok(()) => self.live().await,
            Err(stop) => stop,
        };
        // Boxed, so that a living session does not carry the room that its end will need.
        Box::pin(self.finish(stop)).await;
    }

    /// `on_connect`, before anything is delivered.
    async fn connect(&mut self) -> Result<(), Stop> {
        let limit = self.link.policy.connect_deadline();
        self.link.clocks.limit_event(limit);
        let Self {
            endpoint,
            session,
            link,
        } = self;
        let outcome = link.serve(endpoint.on_connect(session)).await.map(|_| ());
        link.clocks.unlimit_event();
        outcome
    }

    /// One event after the other, until there is an end.
    async fn live(&mut self) -> Stop {
        loop {
            let event = match poll_fn(|cx| self.link.poll_event(cx)).await {
                Ok(event) => event,
                Err(stop) => return stop,
            };
            if let Err(stop) = self.deliver(event).await {
                return stop;
            }
        }
    }

    async fn deliver(&mut self, event: Event) -> Result<(), Stop> {
        if self.link.discards && is_data(&event) {
            return Ok(());
        }
        match event {
            Event::Frame(frame) => match self.offer_frame(frame).await? {
                Some(event) => self.dispatch(event).await,
                None => Ok(()),
            },
            event => self.dispatch(event).await,
        }
    }

    /// Shows a frame to the endpoint; returns what it completes, unless the endpoint took it.
    async fn offer_frame(&mut self, frame: Frame) -> Result<Option<Event>, Stop> {
        let Self {
            endpoint,
            session,
            link,
        } = self;
        let action = link.serve(endpoint.on_frame(session, &frame)).await?;
        link.after_frame(frame, action.unwrap_or(FrameAction::Consume))
    }

    async fn dispatch(&mut self, event: Event) -> Result<(), Stop> {
        let Self {
            endpoint,
            session,
            link,
        } = self;
        let served = match event {
            Event::Message(message) => link.serve(endpoint.on_message(session, message)).await,
            Event::Partial(part) => link.serve(endpoint.on_partial(session, part)).await,
            Event::Ping(payload) => link.serve(endpoint.on_ping(session, payload)).await,
            Event::Pong(payload) => link.serve(endpoint.on_pong(session, payload)).await,
            Event::Close(close) => Err(link.stopped(End::PeerClosed(close))),
            // A frame within a frame does not exist, and what else there may come to be is for
            // nobody yet.
            _ => Ok(None),
        };
        served.map(|_| ())
    }
}

impl Link {
    pub(crate) fn new(
        io: Transport,
        role: Role,
        connection: Connection,
        session: Session,
        keys: Option<Box<dyn MaskKeys>>,
        registration: Registration,
    ) -> Self {
        Self {
            io,
            connection,
            wire: Wire::default(),
            policy: session.policy(),
            session,
            clocks: Clocks::new(),
            keys,
            role,
            controls: VecDeque::new(),
            stop: None,
            discards: false,
            turn_events: 0,
            unflushed: false,
            registration,
        }
    }

    /// Polls an event of the endpoint to its end, and serves the connection while it is pending.
    ///
    /// `None` if the event asked for a Close; an end if the event failed, or was cut off.
    async fn serve<T>(
        &mut self,
        event: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<Option<T>, Stop> {
        let mut event = pin!(event);
        let outcome = poll_fn(|cx| {
            self.session.outbox().unpark();
            // A panic ends this session, and no other.
            match catch_unwind(AssertUnwindSafe(|| event.as_mut().poll(cx))) {
                Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
                Ok(Poll::Pending) => self.poll_meanwhile(cx).map(Err),
                Err(_panic) => Poll::Ready(Err(self.stopped(SessionError::Panicked.into()))),
            }
        })
        .await?;
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.downcast::<Close>() {
                Ok(close) => {
                    self.session.outbox().close(close.frame);
                    self.discards = true;
                    Ok(None)
                }
                Err(error) => Err(self.stopped(SessionError::Endpoint(error).into())),
            },
        }
    }

    /// The next event for the endpoint.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Stop>> {
        self.session.outbox().unpark();
        if let Some(event) = self.controls.pop_front() {
            return Poll::Ready(Ok(event));
        }
        if let Some(stop) = self.stop.take() {
            return Poll::Ready(Err(stop));
        }
        let end = loop {
            if self.turn_events >= TURN_EVENTS {
                self.turn_events = 0;
                if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
                    break end;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.connection.poll_event() {
                Ok(Step::Event(event)) => {
                    self.turn_events += 1;
                    self.react(&event);
                    return Poll::Ready(Ok(event));
                }
                Ok(Step::NeedInput | Step::DataWaits | Step::Closed) => {}
                Err(error) => break error.into(),
            }
            if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
                break end;
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(event))) => {
                    self.react(&event);
                    return Poll::Ready(Ok(event));
                }
                Poll::Ready(Err(end)) => break end,
                Poll::Pending => {
                    self.turn_events = 0;
                    break ready!(self.poll_clocks(cx, Waiting::ForPeer));
                }
            }
        };
        Poll::Ready(Err(self.stopped(end)))
    }

    /// What need not wait for the event that is running. Resolves when that has to be dropped.
    fn poll_meanwhile(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        loop {
            match self.poll_flush(cx) {
                Poll::Ready(Err(end @ End::Error(SessionError::Aborted))) => {
                    return Poll::Ready(self.stopped(end));
                }
                Poll::Ready(Err(end)) => self.stop_after_event(end),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if self.stop.is_some() {
                break;
            }
            match self.connection.poll_control() {
                Ok(Step::Event(event)) => {
                    self.react(&event);
                    self.keep_for_endpoint(event);
                    continue;
                }
                Ok(Step::NeedInput) => {}
                Ok(Step::DataWaits | Step::Closed) => break,
                Err(error) => {
                    self.stop_after_event(error.into());
                    continue;
                }
            }
            match self.poll_read(cx) {
                // A large frame is never under way here: its message would be data that waits.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(end)) => self.stop_after_event(end),
                Poll::Pending => break,
            }
        }
        let end = ready!(self.poll_clocks(cx, Waiting::ForEvent));
        let stop = match self.stop.take() {
            Some(stop) => {
                self.registration.event_cut();
                stop
            }
            None => self.stopped(end),
        };
        Poll::Ready(stop)
    }

    /// Remembers an end that was met while an event is running: the event may finish, within the
    /// close timeout, and what it sends before the peer's Close is answered still leaves.
    fn stop_after_event(&mut self, end: End) {
        if self.stop.is_some() {
            return;
        }
        let stop = self.stopped(end);
        match &stop.end {
            End::PeerClosed(_) => {}
            End::Error(error) => match error.close() {
                Some(close) => {
                    self.session.outbox().close(close);
                }
                None => self.session.outbox().end(),
            },
        }
        self.stop = Some(stop);
        self.clocks.limit_event(self.policy.close_timeout());
    }

    pub(crate) fn stopped(&self, end: End) -> Stop {
        Stop {
            end,
            we_began: !self.session.outbox().is_open(),
        }
    }

    /// What the protocol asks for, whatever the endpoint does.
    fn react(&mut self, event: &Event) {
        match event {
            Event::Ping(payload) => self.answer(payload),
            Event::Pong(payload) => self.take_pong(payload),
            Event::Frame(frame) if frame.opcode() == OpCode::Ping => self.answer(frame.payload()),
            Event::Frame(frame) if frame.opcode() == OpCode::Pong => {
                self.take_pong(frame.payload());
            }
            _ => {}
        }
    }

    /// §5.5.2: a Ping is answered with its own payload, unless our Close has left.
    fn answer(&mut self, payload: &Bytes) {
        if !self.policy.auto_pong() || !self.connection.may_send() {
            return;
        }
        // A copy of at most 125 bytes, so that a waiting Pong keeps no read buffer alive.
        let pong = Frame::pong(Bytes::copy_from_slice(payload));
        if let Some(pong) = self.wire.admit_pong(pong) {
            self.put_control(pong);
        }
    }

    fn take_pong(&mut self, payload: &[u8]) {
        if let Some(round_trip) = self.clocks.pong_received(payload) {
            self.session.set_round_trip(round_trip);
        }
    }

    /// Keeps a control frame that came while an event is running.
    fn keep_for_endpoint(&mut self, event: Event) {
        let closes = match &event {
            Event::Close(close) => Some(close.clone()),
            Event::Frame(frame) if frame.opcode() == OpCode::Close => {
                CloseFrame::parse(frame.payload()).ok()
            }
            _ => None,
        };
        if let Some(close) = closes {
            self.stop_after_event(End::PeerClosed(close));
        }
        if self.controls.len() == MAX_WAITING_CONTROLS {
            self.controls.pop_front();
        }
        self.controls.push_back(event);
    }

    fn after_frame(&mut self, frame: Frame, action: FrameAction) -> Result<Option<Event>, Stop> {
        let closes = frame.opcode() == OpCode::Close;
        let event = match action {
            FrameAction::Consume if !closes => self.connection.consume(frame),
            FrameAction::Consume | FrameAction::Continue => self.connection.resume(frame),
        };
        event.map_err(|error| self.stopped(error.into()))
    }

    /// Writes what there is. Pending while the socket takes no more of it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            self.exchange(cx)?;
            if self.wire.is_empty() {
                break;
            }
            match self.wire.poll_write(cx, &mut self.io) {
                Poll::Ready(Ok(_)) => {
                    self.unflushed = true;
                    self.clocks.touch();
                    self.clocks.unblocked();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    self.clocks.blocked();
                    return Poll::Pending;
                }
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what was queued, and obeys.
    fn exchange(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if let Some(pong) = self.wire.waiting_pong() {
            self.put_control(pong);
        }
        let had_control = !self.wire.takes_control();
        let had_data = !self.wire.data_is_gone();
        let outbox = self.session.outbox();
        let Orders {
            close,
            aborted,
            policy,
        } = outbox.exchange(&mut self.wire, cx.waker());
        if aborted {
            return Err(SessionError::Aborted.into());
        }
        if let Some(policy) = policy {
            self.connection.set_limits(policy.limits());
            self.policy = policy;
        }
        if !self.connection.sends_plain() {
            self.encode_again(had_control, had_data);
        }
        if let Some(close) = close {
            self.put_data(Frame::close(&close));
            self.connection.send_close();
            self.clocks.closing(self.policy.close_timeout());
        }
        Ok(())
    }

    /// Writes plain frames anew, as a client or as one whose extensions have a say.
    fn encode_again(&mut self, had_control: bool, had_data: bool) {
        if !had_control {
            let mut plain = self.wire.take_control();
            while let Some(frame) = generator::split_plain(&mut plain) {
                self.put_control(frame);
            }
        }
        if !had_data {
            let mut chunks = self.wire.take_data();
            while let Some(frame) = next_plain(&mut chunks) {
                self.put_data(frame);
            }
        }
    }

    fn put_control(&mut self, frame: Frame) {
        let keys = self.keys.as_deref_mut();
        self.connection
            .encode(frame, keys.map(|keys| keys as _), self.wire.control());
    }

    fn put_data(&mut self, frame: Frame) {
        let keys = self.keys.as_deref_mut();
        self.connection
            .encode(frame, keys.map(|keys| keys as _), self.wire.data());
    }

    /// Reads once. `Ok(None)` when bytes came, an event when they completed a large frame.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, End>> {
        let read = match self.connection.direct_buffer() {
            Some((buffer, room)) => {
                let read = ready!(poll_read_into(cx, &mut self.io, buffer, room))?;
                let event = self.connection.recv_direct(read)?;
                if event.is_some() {
                    self.clocks.touch();
                    return Poll::Ready(Ok(event));
                }
                read
            }
            None => {
                let most = self.policy.max_read_bytes();
                let bytes = ready!(poll_read_scratch(cx, &mut self.io, most))?;
                let read = bytes.len();
                self.connection.recv(bytes);
                read
            }
        };
        if read == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
        }
        self.clocks.touch();
        Poll::Ready(Ok(None))
    }

    /// Sleeps until the next deadline; resolves when one ends the session.
    fn poll_clocks(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Poll<End> {
        loop {
            let alarm = ready!(self.clocks.poll(cx, &self.policy, waiting));
            let error = match alarm {
                Alarm::Ping => {
                    let payload = self.clocks.ping_sent(&self.policy);
                    if self.wire.takes_control() {
                        self.put_control(Frame::ping(Bytes::copy_from_slice(&payload)));
                    }
                    if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
                        return Poll::Ready(end);
                    }
                    continue;
                }
                // Unless an end was met meanwhile, `on_connect` is the only event with a limit.
                Alarm::Event => SessionError::ConnectTimeout,
                Alarm::Idle => SessionError::IdleTimeout,
                Alarm::Pong => SessionError::PongTimeout,
                Alarm::Write => SessionError::WriteTimeout,
                Alarm::Close => SessionError::CloseTimeout,
            };
            return Poll::Ready(error.into());
        }
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Reads and forgets, until the peer ends.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(poll_read_scratch(
                cx,
                &mut self.io,
                crate::policy::MAX_READ_BYTES
            )) {
                Ok(bytes) if !bytes.is_empty() => {}
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Tells the peer that we shall send no more.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("session", &self.session)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        Self::Error(error)
    }
}

/// Whether an event carries a message, or a piece of one.
fn is_data(event: &Event) -> bool {
    match event {
        Event::Message(_) | Event::Partial(_) => true,
        Event::Frame(frame) => !frame.opcode().is_control(),
        _ => false,
    }
}

/// The next frame of what was queued; the payload of a large one is a chunk of its own.
fn next_plain(chunks: &mut VecDeque<Bytes>) -> Option<Frame> {
    loop {
        let front = chunks.front_mut()?;
        if front.is_empty() {
            chunks.pop_front();
            continue;
        }
        if let Some(frame) = generator::split_plain(front) {
            return Some(frame);
        }
        let header = chunks.pop_front()?;
        let payload = chunks.pop_front()?;
        return generator::join_plain(&header, payload);
    }
}

/// Reads through the thread's scratch; the result is a copy of the right size.
fn poll_read_scratch(
    cx: &mut Context<'_>,
    io: &mut Transport,
    most: usize,
) -> Poll<io::Result<BytesMut>> {
    buffers::with_scratch(|scratch| {
        let most = most.min(scratch.len());
        let mut buf = ReadBuf::new(&mut scratch[..most]);
        ready!(Pin::new(io).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buffers::read_buffer(buf.filled())))
    })
}

/// Reads at most `room` bytes straight behind what `buffer` holds.
fn poll_read_into(
    cx: &mut Context<'_>,
    io: &mut Transport,
    buffer: &mut BytesMut,
    room: usize,
) -> Poll<io::Result<usize>> {
    let mut limited = buffer.limit(room);
    pin!(io.read_buf(&mut limited)).poll(cx)
}
