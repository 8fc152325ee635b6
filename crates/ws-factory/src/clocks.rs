//! Every deadline of one session behind a single timer.
//!
//! A deadline is a point in time that is looked at when the driver is about to sleep. The timer is
//! set to the nearest one, and left alone when that moves away: it then fires early, and is set
//! again. A busy session so never touches it.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep, sleep_until},
};

use crate::{Policy, Transport, flushing::Flushing};

/// The deadlines of one session.
#[derive(Debug)]
pub(crate) struct Clocks {
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether something was received or sent since the clock was last read.
    active: bool,
    last_activity: Instant,
    /// Mostly none of them runs, and that takes a word.
    timeouts: Option<Box<Timeouts>>,
    /// Where Pings are sent; for the others that is 40 bytes less.
    pings: Option<Box<Pings>>,
    /// Since when an event runs: the peer's clocks stand still meanwhile.
    handling_since: Option<Instant>,
    /// For whom the timer is set, while no deadline has come nearer than it was then.
    armed: Option<Waiting>,
}

#[derive(Debug, Default)]
struct Timeouts {
    /// Since when the socket has taken nothing of what is being written.
    blocked_since: Option<Instant>,
    /// The flush that waits, while it is no write that does.
    flushing: Option<Flushing>,
    /// Since when the peer's Close is expected.
    closing_since: Option<Instant>,
    /// When the running event has to be over.
    event_at: Option<Instant>,
}

#[derive(Debug)]
struct Pings {
    last_at: Instant,
    sent: u64,
    /// The last Ping that was answered.
    answered: u64,
    /// Since when a Ping waits for its Pong.
    unanswered_since: Option<Instant>,
}

/// What the driver is doing while it waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Waiting {
    /// For the peer.
    Peer,
    /// For an event of the endpoint.
    Event,
    /// For an event that still runs after the end was met: only its own deadline counts.
    LastEvent,
}

/// A deadline that has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alarm {
    Idle,
    Ping,
    Pong,
    Write,
    Close,
    Event,
}

impl Pings {
    const fn new(now: Instant) -> Self {
        Self {
            last_at: now,
            sent: 0,
            answered: 0,
            unanswered_since: None,
        }
    }
}

/// How late a timer has to be found for the process not to have run.
const LATE: Duration = Duration::from_secs(1);

/// How much longer a peer gets then.
const GRACE: Duration = Duration::from_secs(1);

impl Clocks {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            timer: None,
            active: false,
            last_activity: now,
            timeouts: None,
            pings: None,
            handling_since: None,
            armed: None,
        }
    }

    /// Looks at every deadline again before the next sleep: one may have come nearer, or another
    /// task is to be woken.
    pub(crate) fn rearm(&mut self) {
        self.armed = None;
    }

    /// Something was received.
    pub(crate) const fn touch(&mut self) {
        self.active = true;
    }

    /// The socket took something. What leaves while we are closing is our Close, or comes before
    /// it: the peer could not answer yet.
    pub(crate) fn wrote(&mut self) {
        self.active = true;
        let Some(timeouts) = &mut self.timeouts else {
            return;
        };
        // It went behind what waits to be flushed.
        if timeouts.flushing.is_some() {
            return;
        }
        timeouts.blocked_since = None;
        if timeouts.closing_since.is_some() {
            timeouts.closing_since = Some(Instant::now());
        }
        self.forget_timeouts();
    }

    /// The socket takes nothing.
    pub(crate) fn blocked(&mut self) {
        let timeouts = self.timeouts.get_or_insert_default();
        let flushing = timeouts.flushing.take();
        if timeouts.blocked_since.is_none() || flushing.is_some_and(|it| it.take_moved()) {
            timeouts.blocked_since = Some(Instant::now());
            self.rearm();
        }
    }

    /// Has the transport pass on what it may still hold. While that is pending, the socket has taken
    /// something whenever it was woken for it.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Transport,
    ) -> Poll<io::Result<()>> {
        let timeouts = self.timeouts.as_ref();
        if timeouts.is_none_or(|timeouts| timeouts.flushing.is_none()) {
            let flushed = Pin::new(&mut *io).poll_flush(cx);
            if flushed.is_ready() {
                return flushed;
            }
        }
        self.poll_flush_noting(cx, io)
    }

    #[cold]
    fn poll_flush_noting(&mut self, cx: &Context<'_>, io: &mut Transport) -> Poll<io::Result<()>> {
        let timeouts = self.timeouts.get_or_insert_default();
        let begun = timeouts.flushing.take();
        let moved = begun.as_ref().is_none_or(Flushing::take_moved);
        let flushing = match begun {
            Some(flushing) if flushing.is_for(cx) => flushing,
            _ => Flushing::new(cx),
        };
        let flushed = flushing.poll(io);
        if moved || flushed.is_ready() {
            self.wrote();
        }
        if flushed.is_pending() {
            let timeouts = self.timeouts.get_or_insert_default();
            timeouts.flushing = Some(flushing);
            if timeouts.blocked_since.is_none() {
                timeouts.blocked_since = Some(Instant::now());
                self.rearm();
            }
        }
        flushed
    }

    /// Our Close is queued; the peer's is expected within the close timeout, counted from the last
    /// time that the socket took something.
    pub(crate) fn closing(&mut self) {
        let timeouts = self.timeouts.get_or_insert_default();
        if timeouts.closing_since.is_none() {
            timeouts.closing_since = Some(Instant::now());
            self.rearm();
        }
    }

    /// The running event may take `limit` from now on.
    pub(crate) fn limit_event(&mut self, limit: Duration) {
        self.timeouts.get_or_insert_default().event_at = Instant::now().checked_add(limit);
        self.rearm();
    }

    pub(crate) fn unlimit_event(&mut self) {
        if let Some(timeouts) = &mut self.timeouts {
            timeouts.event_at = None;
            self.forget_timeouts();
        }
    }

    fn forget_timeouts(&mut self) {
        let none = |timeouts: &Timeouts| {
            timeouts.blocked_since.is_none()
                && timeouts.flushing.is_none()
                && timeouts.closing_since.is_none()
                && timeouts.event_at.is_none()
        };
        if self.timeouts.as_deref().is_some_and(none) {
            self.timeouts = None;
        }
    }

    /// A Ping leaves; returns its payload.
    pub(crate) fn ping_sent(&mut self) -> [u8; 8] {
        let now = Instant::now();
        self.rearm();
        let pings = self.pings.get_or_insert_with(|| Box::new(Pings::new(now)));
        pings.last_at = now;
        pings.sent += 1;
        pings.unanswered_since.get_or_insert(now);
        pings.sent.to_be_bytes()
    }

    /// A Ping would not leave now; it is due again an interval later.
    pub(crate) fn ping_skipped(&mut self) {
        if let Some(pings) = &mut self.pings {
            pings.last_at = Instant::now();
        }
    }

    /// A Pong arrived; returns the round-trip time if it answers the last Ping. An answer to an
    /// earlier one, from a peer further away than the interval, shows as well that it lives, and the
    /// last one then has its own time to be answered.
    pub(crate) fn pong_received(&mut self, payload: &[u8]) -> Option<Duration> {
        let number = u64::from_be_bytes(payload.try_into().ok()?);
        let pings = self.pings.as_mut()?;
        if number <= pings.answered || number > pings.sent {
            return None;
        }
        pings.answered = number;
        pings.unanswered_since = (number < pings.sent).then_some(pings.last_at);
        (number == pings.sent).then(|| pings.last_at.elapsed())
    }

    /// Resolves when the next deadline has come. For when [`Self::is_armed`] is false.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        policy: &Policy,
        waiting: Waiting,
    ) -> Poll<Alarm> {
        loop {
            let now = Instant::now();
            self.account(now, waiting);
            if self.pings.is_none() && policy.ping_interval().is_some() {
                self.pings = Some(Box::new(Pings::new(now)));
            }
            self.armed = Some(waiting);
            let Some((at, alarm)) = self.next(policy, waiting) else {
                return Poll::Pending;
            };
            if at <= now {
                if self.excuses(alarm, now, policy) {
                    continue;
                }
                self.rearm();
                return Poll::Ready(alarm);
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if timer.deadline() > at || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether the timer is set for a deadline that can only have moved away: nothing to do but
    /// to note when the peer was last heard of. So it is in nearly every turn: 85 instructions in
    /// the place of 400.
    #[inline]
    pub(crate) fn is_armed(&mut self, waiting: Waiting) -> bool {
        if self.armed != Some(waiting)
            || self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
        {
            return false;
        }
        if waiting == Waiting::Peer && std::mem::take(&mut self.active) {
            self.last_activity = Instant::now();
        }
        true
    }

    /// Books what happened since the clock was last read.
    fn account(&mut self, now: Instant, waiting: Waiting) {
        if std::mem::take(&mut self.active) {
            self.last_activity = now;
        }
        match waiting {
            Waiting::Event | Waiting::LastEvent => {
                self.handling_since.get_or_insert(now);
            }
            Waiting::Peer => {
                if let Some(since) = self.handling_since.take() {
                    self.last_activity = now;
                    if let Some(Pings {
                        unanswered_since: Some(sent),
                        ..
                    }) = self.pings.as_deref_mut()
                    {
                        *sent += now - since;
                    }
                }
            }
        }
    }

    /// Whether a silence is not the peer's fault, since it was us who did not look for so long: the
    /// process was stopped, or its thread blocked. What the peer sent meanwhile may be in a socket
    /// that the runtime has not asked yet, so it gets a little longer.
    fn excuses(&mut self, alarm: Alarm, now: Instant, policy: &Policy) -> bool {
        let due = self.timer.as_ref().map(|timer| timer.deadline());
        if due.is_none_or(|due| now.saturating_duration_since(due) < LATE) {
            return false;
        }
        match alarm {
            Alarm::Pong => {
                let limit = policy.pong_deadline().unwrap_or_default();
                let sent = (now + GRACE).checked_sub(limit);
                let (Some(pings), Some(sent)) = (&mut self.pings, sent) else {
                    return false;
                };
                pings.unanswered_since = Some(sent);
            }
            Alarm::Idle => {
                let timeout = policy.idle_timeout().unwrap_or_default();
                let Some(active) = (now + GRACE).checked_sub(timeout) else {
                    return false;
                };
                self.last_activity = active;
            }
            Alarm::Ping | Alarm::Write | Alarm::Close | Alarm::Event => return false,
        }
        true
    }

    fn next(&self, policy: &Policy, waiting: Waiting) -> Option<(Instant, Alarm)> {
        let none = Timeouts::default();
        let Timeouts {
            blocked_since,
            closing_since,
            event_at,
            ..
        } = *self.timeouts.as_deref().unwrap_or(&none);
        if waiting == Waiting::LastEvent {
            return event_at.map(|at| (at, Alarm::Event));
        }
        let after = |since: Option<Instant>, limit: Option<Duration>| since?.checked_add(limit?);
        let open = closing_since.is_none().then_some(());
        let peer = open.filter(|()| waiting == Waiting::Peer);
        let pings = self.pings.as_deref();
        [
            (event_at, Alarm::Event),
            (
                after(closing_since, Some(policy.close_timeout())),
                Alarm::Close,
            ),
            (after(blocked_since, policy.write_deadline()), Alarm::Write),
            (
                after(
                    peer.and(pings).and_then(|pings| pings.unanswered_since),
                    policy.pong_deadline(),
                ),
                Alarm::Pong,
            ),
            (
                after(peer.and(Some(self.last_activity)), policy.idle_timeout()),
                Alarm::Idle,
            ),
            (
                after(
                    open.and(pings).map(|pings| pings.last_at),
                    policy.ping_interval(),
                ),
                Alarm::Ping,
            ),
        ]
        .into_iter()
        .filter_map(|(at, alarm)| at.map(|at| (at, alarm)))
        .min_by_key(|(at, _)| *at)
    }
}
