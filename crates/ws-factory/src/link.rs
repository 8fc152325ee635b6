//! A session without its endpoint: writing, and the deadlines; `reading` is the other half.
//!
//! `driver` says when; here is how. Nothing here waits: what cannot go on is pending, and whoever
//! can make it go on knows the task.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use ws_core::{
    Connection, Event, Frame, OpCode, Prepared, Role,
    generator::{self, MaskKeys},
};

use crate::{
    Policy, Session, SessionError, Transport,
    clocks::{Alarm, Clocks, Waiting},
    driver::Turn,
    ending::End,
    message_reader::Feed,
    outbox::Anew,
    queue::Outgoing,
    reading::Reading,
    sessions::Registration,
    stop::Stop,
    wire::Wire,
};

/// Everything of a session but the endpoint.
pub(crate) struct Link {
    pub(crate) io: Transport,
    pub(crate) connection: Connection,
    wire: Wire,
    pub(crate) session: Session,
    pub(crate) policy: Arc<Policy>,
    pub(crate) clocks: Clocks,
    keys: Option<Box<dyn MaskKeys>>,
    role: Role,
    /// What the endpoint sees before anything that is still to be parsed: control frames that came
    /// while an event was running, and what a frame completed.
    #[expect(
        clippy::box_collection,
        reason = "mostly there is none, and that takes a word"
    )]
    pub(crate) ahead: Option<Box<VecDeque<Event>>>,
    /// The message that a running event reads.
    pub(crate) feed: Option<Feed>,
    /// The end that was met while an event was running.
    pub(crate) stop: Option<Box<Stop>>,
    /// Whether the endpoint wants no more messages: it answered one with a Close.
    pub(crate) discards: bool,
    pub(crate) turn: Turn,
    /// The batch of the outbox that is on the wire; 0 for none.
    batch: u64,
    /// Whether the outbox has something for when the wire is free.
    behind: bool,
    /// Whether something was written that the transport may still hold.
    unflushed: bool,
    pub(crate) reading: Reading,
    /// Who is woken for what is queued while the task sleeps.
    waker: Waker,
    pub(crate) registration: Registration,
    /// What the metrics recorder has been told.
    #[cfg(feature = "metrics")]
    pub(crate) reported: crate::Traffic,
}

/// How many writes one turn may have.
const TURN_WRITES: u32 = 256;

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
            ahead: None,
            feed: None,
            stop: None,
            discards: false,
            turn: Turn::default(),
            batch: 0,
            behind: false,
            unflushed: false,
            reading: Reading::default(),
            waker: Waker::noop().clone(),
            registration,
            #[cfg(feature = "metrics")]
            reported: crate::Traffic::default(),
        }
    }

    /// What the protocol asks for, whatever the endpoint does.
    pub(crate) fn react(&mut self, event: &Event) {
        self.session.meter().received(event);
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
            self.put_pong(pong);
        }
    }

    fn take_pong(&mut self, payload: &[u8]) {
        if let Some(round_trip) = self.clocks.pong_received(payload) {
            self.session.set_round_trip(round_trip);
        }
    }

    /// Whether there is anything to write, or to be told by the outbox. Asked before every read:
    /// mostly there is not.
    pub(crate) fn has_output(&self) -> bool {
        self.session.outbox().has_news()
            || self.behind
            || self.unflushed
            || self.batch != 0
            || !self.wire.is_empty()
    }

    /// Writes what there is. Pending while the socket takes no more of it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.poll_flush_news(cx)
    }

    /// As [`Self::poll_flush`], for what is on the way of every message.
    ///
    /// Mostly there are a few small messages, or a large one, which the socket takes in one call:
    /// for them this is the short way, half of the instructions of the other.
    #[inline(always)]
    pub(crate) fn poll_flush_news(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.has_only_news()
            && let Some((batch, data)) = self.session.outbox().take_plain(self.session.meter())
        {
            let (written, len) = match data.as_two() {
                Some([small, []]) => (or_nothing(self.io.try_write(cx, small))?, small.len()),
                Some(two) => (self.try_write_two(cx, two)?, two[0].len() + two[1].len()),
                None => (0, usize::MAX),
            };
            if written < len {
                self.wire.go_on(data, written);
            } else {
                data.give_back();
            }
            if self.wrote_of(batch, written) {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_flush_all(cx)
    }

    /// Writes what it can of a large message and its header, or of one that many receive.
    #[inline(never)]
    fn try_write_two(&mut self, cx: &mut Context<'_>, two: [&[u8]; 2]) -> io::Result<usize> {
        or_nothing(match two {
            [[], shared] => self.io.try_write(cx, shared),
            two => self.io.try_write_two(cx, two),
        })
    }

    /// Whether all that there is to write waits in the outbox.
    #[inline(always)]
    fn has_only_news(&self) -> bool {
        !self.behind && self.wire.is_empty() && self.session.outbox().has_news()
    }

    /// Notes what was written of a batch; what is left of it is on the wire. True if that is
    /// nothing, and nothing is to be flushed.
    #[inline(always)]
    fn wrote_of(&mut self, batch: u64, written: usize) -> bool {
        if written > 0 {
            self.unflushed = self.io.buffers();
            self.clocks.wrote();
        }
        if !self.wire.is_empty() {
            self.batch = batch;
            return false;
        }
        self.batch = 0;
        self.session.outbox().wrote(batch);
        !self.unflushed
    }

    /// Whatever there is to write, in as many calls as it takes. Apart, so that the short way need
    /// not make room for this one's variables.
    #[inline(never)]
    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        for _ in 0..TURN_WRITES {
            if self.behind || self.session.outbox().has_news() {
                self.exchange()?;
            }
            if let Some(pong) = self.wire.waiting_pong() {
                self.put_pong(pong);
            }
            if self.batch != 0 && self.wire.data_is_gone() {
                self.session.outbox().wrote(std::mem::take(&mut self.batch));
            }
            if self.wire.is_empty() {
                if self.behind {
                    continue;
                }
                return self.poll_flush_io(cx);
            }
            match self.wire.poll_write(cx, &mut self.io) {
                Poll::Ready(Ok(_)) => {
                    self.unflushed = self.io.buffers();
                    self.clocks.wrote();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    self.clocks.blocked();
                    return Poll::Pending;
                }
            }
        }
        // Others queue as fast as this writes: it goes on in the next turn.
        self.turn.end();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Has the transport pass on what it may still hold.
    fn poll_flush_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.unflushed {
            ready!(self.clocks.poll_flush(cx, &mut self.io))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes sure that whoever queues something wakes the task; false if there is something to do
    /// before it may sleep.
    #[inline(always)]
    pub(crate) fn park(&mut self, cx: &Context<'_>) -> bool {
        if !self.waker.will_wake(cx.waker()) {
            self.waker.clone_from(cx.waker());
            self.session.outbox().register(cx.waker());
            self.clocks.rearm();
        }
        self.session.outbox().park()
    }

    /// Takes what was queued, and obeys.
    fn exchange(&mut self) -> Result<(), End> {
        let had_control = !self.wire.takes_control();
        let outbox = self.session.outbox();
        let orders = outbox.exchange(&mut self.wire, self.session.meter());
        if outbox.is_aborted() {
            return Err(SessionError::Aborted.into());
        }
        self.behind = orders.behind;
        if orders.batch != 0 {
            self.batch = orders.batch;
        }
        if orders.policy {
            self.take_policy();
        }
        if !self.connection.sends_plain() {
            self.encode_anew(had_control, orders.anew);
        }
        if orders.closing {
            self.clocks.closing();
        }
        if orders.close {
            self.put_close();
        }
        Ok(())
    }

    fn take_policy(&mut self) {
        if let Some(policy) = self.session.outbox().take_policy() {
            self.connection.set_limits(policy.limits());
            self.policy = policy;
            self.clocks.rearm();
        }
    }

    fn put_close(&mut self) {
        let Some(close) = self.session.outbox().take_close() else {
            return;
        };
        // §5.5.1: nothing follows our Close, so a Pong that waits leaves now.
        if let Some(pong) = self.wire.take_pong() {
            self.put_pong(pong);
        }
        self.put_data(Frame::close(&close));
        self.connection.send_close();
    }

    /// Writes plain frames anew, as a client or as one whose extensions have a say.
    fn encode_anew(&mut self, had_control: bool, data: bool) {
        if !had_control {
            let mut plain = self.wire.take_control();
            while let Some(frame) = generator::split_plain(&mut plain) {
                self.put_control(frame);
            }
        }
        if !data {
            return;
        }
        let Anew {
            batch,
            mut items,
            spare,
        } = self.session.outbox().take_anew(self.session.meter());
        self.batch = batch;
        while let Some(outgoing) = items.pop_front() {
            match outgoing {
                Outgoing::Plain(mut plain) => {
                    while let Some(frame) = generator::split_plain(&mut plain) {
                        self.put_data(frame);
                    }
                    // What is left is the header of a large frame, whose payload comes next.
                    if !plain.is_empty()
                        && let Some(Outgoing::Plain(payload)) = items.pop_front()
                        && let Some(frame) = generator::join_plain(&plain, payload)
                    {
                        self.put_data(frame);
                    }
                }
                Outgoing::Prepared(prepared) => self.put_prepared(&prepared),
            }
        }
        // All slices of it are gone.
        drop(spare);
    }

    fn put_prepared(&mut self, prepared: &Prepared) {
        let keys = self.keys.as_deref_mut();
        let keys = keys.map(|keys| keys as _);
        let shared = self
            .connection
            .encode_prepared(prepared, keys, self.wire.data());
        if let Some(form) = shared {
            self.wire.put_shared(form);
        }
    }

    fn put_pong(&mut self, pong: Frame) {
        self.session.meter().sent_pong();
        self.put_control(pong);
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

    /// Sleeps until the next deadline; resolves when one ends the session.
    #[inline]
    pub(crate) fn poll_clocks(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Poll<End> {
        match self.clocks.is_armed(waiting) {
            true => Poll::Pending,
            false => self.poll_deadlines(cx, waiting),
        }
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Poll<End> {
        loop {
            let alarm = ready!(self.clocks.poll(cx, &self.policy, waiting));
            let error = match alarm {
                Alarm::Ping => {
                    if !self.wire.takes_control() {
                        // The peer takes nothing, so there is nothing that it could answer.
                        self.clocks.ping_skipped();
                        continue;
                    }
                    let payload = self.clocks.ping_sent();
                    self.put_control(Frame::ping(Bytes::copy_from_slice(&payload)));
                    self.session.meter().sent_ping();
                    if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
                        return Poll::Ready(end);
                    }
                    self.settle();
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

/// How much was written, also when that is nothing.
fn or_nothing(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(written) => written,
        Poll::Pending => Ok(0),
    }
}
