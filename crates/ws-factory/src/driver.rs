//! One task per connection: bytes in, events to the endpoint, bytes out.
//!
//! Read this first to know how a session lives. [`Driver::run`] is its life as a straight line:
//! connect, live, finish. [`Link`] is everything but the endpoint; here is its *turn*, in `link`
//! are its reading and writing. What can wake the task is a closed list: the socket can be read,
//! the socket can be written, somebody queued something (or closed, or aborted), a deadline has
//! come, and the endpoint's own event makes progress.
//!
//! A turn is what happens between two sleeps: one read, every event in it handed to the
//! endpoint, and everything that was sent meanwhile in one write. While an event is pending, what
//! need not wait for it goes on: queued messages leave, Pings are answered, the peer's Close is
//! noticed. The next data frame is not parsed; that is the back-pressure.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use ws_core::{CloseFrame, Demand, Event, Frame, Message, OpCode, Step};

use crate::{
    BoxError, Close, Endpoint, FrameAction, Session, SessionError, clocks::Waiting, ending::End,
    link::Link, send_error::says_closed, stop::Stop, streaming::stream,
};

/// A session's endpoint and its link.
#[derive(Debug)]
pub(crate) struct Driver<E> {
    pub(crate) endpoint: E,
    pub(crate) session: Session,
    pub(crate) link: Link,
}

/// How much has happened since the task last let others run.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) events: u32,
    pub(crate) bytes: u32,
}

/// How many events one turn may have: about as many small messages as fit in a page, so that a
/// connection that is always ready still lets the others run.
const TURN_EVENTS: u32 = 256;

/// How much one turn may read, in bytes: sixteen full reads, for messages that are few and large. A
/// short read counts as 4 KiB, so that no turn has more than 256.
const TURN_BYTES: u32 = 1 << 20;

/// How many control frames wait for the endpoint while an event runs; of more, the oldest are
/// answered but not shown.
const MAX_WAITING_CONTROLS: usize = 16;

impl Turn {
    const fn is_over(&self) -> bool {
        self.events >= TURN_EVENTS || self.bytes >= TURN_BYTES
    }

    /// Lets the others run before anything more is parsed or read.
    pub(crate) const fn end(&mut self) {
        self.events = TURN_EVENTS;
    }
}

impl<E: Endpoint> Driver<E> {
    /// Runs the session from the 101 to its end.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        // Not an `async fn`: that would hold the driver twice, as it was given and as it is used.
        let mut driver = self;
        async move {
            let stop = 'life: {
                if let Err(stop) = driver.connect().await {
                    break 'life stop;
                }
                driver.live().await
            };
            // Boxed, so that a living session does not carry the room that its end will need.
            Box::pin(driver.finish(stop)).await;
        }
    }

    /// `on_connect`, before anything is delivered.
    async fn connect(&mut self) -> Result<(), Box<Stop>> {
        let limit = self.link.policy.connect_deadline();
        self.link.clocks.limit_event(limit);
        let Self {
            endpoint,
            session,
            link,
        } = self;
        let connected = link.serve(|| endpoint.on_connect(session)).await;
        // An end that was met meanwhile has set a limit of its own, for what still runs.
        if link.stop.is_none() {
            link.clocks.unlimit_event();
        }
        connected.map(|_| ())
    }

    /// One event after the other, until there is an end.
    async fn live(&mut self) -> Box<Stop> {
        loop {
            let served = 'served: {
                // Messages apart, and awaited where there is no event any more: what is held while
                // `on_message` runs is room in every session, and so it is less by 48 bytes.
                let other = 'other: {
                    let message = match self.link.next_message() {
                        Some(message) => message,
                        None => match poll_fn(|cx| self.link.poll_wanted(cx)).await {
                            Ok(Event::Message(message)) => message,
                            Ok(event) => break 'other event,
                            Err(stop) => return stop,
                        },
                    };
                    let serving = self
                        .link
                        .serve(|| self.endpoint.on_message(&self.session, message));
                    break 'served serving.await;
                };
                self.serve_other(other).await
            };
            if let Err(stop) = served {
                return stop;
            }
        }
    }

    /// An event that is no message.
    fn serve_other(
        &mut self,
        event: Event,
    ) -> impl Future<Output = Result<Option<()>, Box<Stop>>> + Send {
        let Self {
            endpoint,
            session,
            link,
        } = self;
        // Not an `async fn`: that would hold the event twice.
        async move {
            match event {
                // Boxed: its room would be in every session, for few messages that are large.
                Event::Partial(part) if E::STREAM => {
                    Box::pin(stream(endpoint, session, link, part)).await
                }
                Event::Partial(part) => link.serve(|| endpoint.on_partial(session, part)).await,
                Event::Frame(frame) => {
                    match link.serve(|| endpoint.on_frame(session, &frame)).await {
                        Ok(action) => link.after_frame(frame, action),
                        Err(stop) => Err(stop),
                    }
                }
                Event::Ping(payload) => link.serve(|| endpoint.on_ping(session, payload)).await,
                Event::Pong(payload) => link.serve(|| endpoint.on_pong(session, payload)).await,
                Event::Close(close) => Err(link.closed_by_peer(close)),
                // What else there may come to be is for nobody yet.
                _ => Ok(None),
            }
        }
    }
}

pin_project! {
    /// An event of the endpoint that is running, while the connection is served.
    ///
    /// Resolves with `None` if the event wants nothing more than the Close that is queued; with an
    /// end if the event failed, or was cut off.
    pub(crate) struct Serve<'a, Fut> {
        link: &'a mut Link,
        // `None` where there is no future: the call that makes it panicked.
        #[pin]
        event: Option<Fut>,
    }
}

impl<T, Fut> Future for Serve<'_, Fut>
where
    Fut: Future<Output = Result<T, BoxError>>,
{
    type Output = Result<Option<T>, Box<Stop>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let link = this.link;
        let Some(event) = this.event.as_pin_mut() else {
            return Poll::Ready(Err(link.failed(SessionError::Panicked)));
        };
        link.session.outbox().unpark();
        // A panic ends this session, and no other.
        match catch_unwind(AssertUnwindSafe(|| event.poll(cx))) {
            Ok(Poll::Ready(Ok(value))) => Poll::Ready(Ok(Some(value))),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(link.after_error(error).map(|()| None)),
            Ok(Poll::Pending) => link.poll_meanwhile(cx).map(Err),
            Err(_panic) => Poll::Ready(Err(link.failed(SessionError::Panicked))),
        }
    }
}

/// The turn.
impl Link {
    /// Polls an event of the endpoint to its end, and serves the connection while it is pending.
    pub(crate) fn serve<Fut>(&mut self, event: impl FnOnce() -> Fut) -> Serve<'_, Fut> {
        Serve {
            link: self,
            event: catch_unwind(AssertUnwindSafe(event)).ok(),
        }
    }

    /// What the error of an event comes to.
    fn after_error(&mut self, error: BoxError) -> Result<(), Box<Stop>> {
        let error = match error.downcast::<Close>() {
            Ok(close) => {
                self.session.outbox().close(close.frame);
                self.discards = true;
                return Ok(());
            }
            Err(error) => error,
        };
        // That our Close is queued or the connection gone is no failure of an event that found out
        // by sending: an echo, when the last messages arrive behind our Close. Nor is it one of an
        // event that found out by reading.
        let over = self.stop.is_some() || !self.session.outbox().is_open();
        if over && says_closed(&*error) {
            return Ok(());
        }
        Err(self.failed(SessionError::Endpoint(error)))
    }

    /// The next message, if it has been read and nothing comes before it: the short way to what
    /// [`Self::poll_wanted`] would find. So come the messages of a burst but for the first.
    #[inline(always)]
    fn next_message(&mut self) -> Option<Message> {
        if !self.connection.is_busy() {
            return None;
        }
        let first = self.discards || self.ahead.is_some() || self.stop.is_some();
        if first || self.turn.is_over() || self.session.outbox().is_aborted() {
            return None;
        }
        let message = self.connection.next_message()?;
        self.turn.events += 1;
        self.session.meter().received_message(message.len());
        Some(message)
    }

    /// The next event that the endpoint wants.
    #[inline]
    fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Box<Stop>>> {
        match self.discards {
            true => self.poll_no_message(cx),
            false => self.poll_event(cx),
        }
    }

    /// The next event that is no message.
    #[cold]
    fn poll_no_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Box<Stop>>> {
        loop {
            let event = ready!(self.poll_event(cx));
            if !event.as_ref().is_ok_and(is_data) {
                return Poll::Ready(event);
            }
        }
    }

    /// The next event for the endpoint.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Box<Stop>>> {
        self.session.outbox().unpark();
        if (self.session.outbox().is_aborted() || self.ahead.is_some() || self.stop.is_some())
            && let Some(first) = self.comes_first()
        {
            return Poll::Ready(first);
        }
        let end = loop {
            if self.turn.is_over() {
                break ready!(self.poll_yield(cx));
            }
            match self.connection.poll_event() {
                Ok(Step::Event(event)) => {
                    self.turn.events += 1;
                    match &event {
                        Event::Message(message) => {
                            self.session.meter().received_message(message.len());
                        }
                        event => self.react(event),
                    }
                    return Poll::Ready(Ok(event));
                }
                Ok(Step::NeedInput | Step::DataWaits | Step::Closed) => {}
                Err(error) => break error.into(),
            }
            if self.has_output()
                && let Poll::Ready(Err(end)) = self.poll_flush_news(cx)
            {
                break end;
            }
            match self.poll_read(cx, Demand::Any) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(event))) => return Poll::Ready(Ok(event)),
                Poll::Ready(Err(end)) => break end,
                Poll::Pending => {
                    self.turn.bytes = 0;
                    if !self.park(cx) {
                        // Others may queue as fast as this writes.
                        self.turn.events += 1;
                        continue;
                    }
                    self.turn.events = 0;
                    self.settle();
                    break ready!(self.poll_clocks(cx, Waiting::Peer));
                }
            }
        };
        Poll::Ready(Err(self.stopped(end)))
    }

    /// What there is before anything is parsed or read.
    #[cold]
    fn comes_first(&mut self) -> Option<Result<Event, Box<Stop>>> {
        if self.session.outbox().is_aborted() {
            return Some(Err(self.stopped(SessionError::Aborted.into())));
        }
        if let Some(event) = self.ahead.as_mut().and_then(|ahead| ahead.pop_front()) {
            return Some(Ok(event));
        }
        self.ahead = None;
        self.stop.take().map(Err)
    }

    /// Ends the turn of a connection that is always ready: others run first. The deadlines are
    /// looked at here, too, since such a connection never sleeps.
    fn poll_yield(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.turn = Turn::default();
        if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
            return Poll::Ready(end);
        }
        self.settle();
        let end = self.poll_clocks(cx, Waiting::Peer);
        if end.is_pending() {
            cx.waker().wake_by_ref();
        }
        end
    }

    /// What need not wait for the event that is running. Resolves when that has to be dropped.
    fn poll_meanwhile(&mut self, cx: &mut Context<'_>) -> Poll<Box<Stop>> {
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
            if self.turn.is_over() {
                cx.waker().wake_by_ref();
                break;
            }
            match self.step_meanwhile(cx) {
                Ok(Step::Event(event)) => {
                    self.turn.events += 1;
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
            match self.poll_read(cx, Demand::Control) {
                // A large frame is never under way here: its message would be data that waits.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(end)) => self.stop_after_event(end),
                Poll::Pending => break,
            }
        }
        self.turn = Turn::default();
        if !self.park(cx) {
            cx.waker().wake_by_ref();
        }
        self.settle();
        self.poll_event_limit(cx)
    }

    /// Resolves when a deadline has come past which the running event is dropped.
    fn poll_event_limit(&mut self, cx: &mut Context<'_>) -> Poll<Box<Stop>> {
        loop {
            let waiting = match self.stop {
                None => self.event_waits_for(),
                Some(_) => Waiting::LastEvent,
            };
            match ready!(self.poll_clocks(cx, waiting)) {
                // The socket is done for, or the peer is whose message is being read; the event may
                // go on, as after any other end.
                end @ End::Error(
                    SessionError::WriteTimeout
                    | SessionError::ConnectionLost(_)
                    | SessionError::IdleTimeout
                    | SessionError::PongTimeout,
                ) if self.stop.is_none() => self.stop_after_event(end),
                end => {
                    self.registration.event_cut();
                    let met = self.stop.take();
                    return Poll::Ready(met.unwrap_or_else(|| self.stopped(end)));
                }
            }
        }
    }

    /// Keeps a control frame that came while an event is running.
    fn keep_for_endpoint(&mut self, event: Event) {
        let event = match event {
            Event::Partial(part) => return self.feed(part),
            event => event,
        };
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
        let ahead = self.ahead.get_or_insert_default();
        if ahead.len() == MAX_WAITING_CONTROLS {
            ahead.pop_front();
        }
        ahead.push_back(event);
    }

    /// What comes of a frame that the endpoint has seen: the event that it completes is next,
    /// unless the endpoint took the frame.
    fn after_frame(
        &mut self,
        frame: Frame,
        action: Option<FrameAction>,
    ) -> Result<Option<()>, Box<Stop>> {
        let takes = action != Some(FrameAction::Continue);
        let completed = match takes && frame.opcode() != OpCode::Close {
            true => self.connection.consume(frame),
            false => self.connection.resume(frame),
        };
        match completed {
            Ok(Some(event)) => self.ahead.get_or_insert_default().push_front(event),
            Ok(None) => {}
            Err(error) => return Err(self.stopped(error.into())),
        }
        Ok(None)
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
