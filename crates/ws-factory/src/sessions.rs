//! The live set: which sessions a factory has, and how it stops them.
//!
//! A [`Registration`] stands for one handshake or session from the moment it is admitted to the
//! end of its task; dropping it is what undoes everything, so nothing can leak out of the set.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::{sync::Notify, time::Instant};
use tracing::Span;
use ws_core::{CloseCode, CloseStatus};

use crate::{
    CloseEvent, ConnectionGuard, ConnectionInfo, Initiator, Policy, RefusalReason, Rejection,
    RoutePattern, Session, SessionError, SessionId, UpgradeRequest,
    admission::{Place, Places},
    counters::Counters,
    listener::Listeners,
    stats::FactoryStats,
    trace::{self, Throttle},
};

/// The sessions of one factory.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: DashMap<SessionId, Session>,
    /// Those of admitted handshakes and running tasks.
    places: Places,
    stopping: AtomicBool,
    /// When a shutdown, if one is under way, cuts what is left.
    cuts_at: Mutex<Option<Instant>>,
    /// Tells that a task ended, or that those left are to be cut.
    changed: Notify,
    cutting: AtomicBool,
    counters: Arc<Counters>,
    listeners: Listeners,
    throttle: Throttle,
}

/// What a shutdown came to: how the sessions ended that were open when it began, and those that
/// connected meanwhile.
///
/// ```
/// # fn report(report: ws_factory::ShutdownReport) {
/// println!("{} ended by handshake, {} cut", report.clean(), report.cut());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ShutdownReport {
    clean: usize,
    cut: usize,
}

impl ShutdownReport {
    /// How many sessions ended with a closing handshake.
    #[must_use]
    pub const fn clean(&self) -> usize {
        self.clean
    }

    /// How many sessions ended without one: cut at the deadline, or lost on the way to it.
    #[must_use]
    pub const fn cut(&self) -> usize {
        self.cut
    }

    /// Both reports together, for a server of several factories.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            clean: self.clean + other.clean,
            cut: self.cut + other.cut,
        }
    }
}

/// How long whoever met the limit of sessions should wait: sessions last, so not for a moment.
const SESSIONS_RETRY: Duration = Duration::from_secs(10);

/// How long whoever met the limit of handshakes should wait: they take moments.
const HANDSHAKES_RETRY: Duration = Duration::from_secs(1);

/// What is said of a shutdown that never cuts.
const SHUTDOWN_RETRY: Duration = Duration::from_secs(60);

/// Where nobody listens.
static NO_SPAN: Span = Span::none();

impl Sessions {
    pub(crate) fn new(listeners: Listeners) -> Self {
        Self {
            listeners,
            ..Self::default()
        }
    }

    /// Admits one more handshake.
    ///
    /// # Errors
    ///
    /// 503 while stopping, and at a limit.
    pub(crate) fn admit(
        self: &Arc<Self>,
        policy: &Policy,
        request: &UpgradeRequest,
        guard: Option<ConnectionGuard>,
    ) -> Result<Registration, Rejection> {
        self.check_going_on()?;
        let info = request.connection_info();
        let peer = info.and_then(ConnectionInfo::peer).map(|peer| peer.ip());
        let place = self.places.take(policy, peer).map_err(at_limit)?;
        let registration = Registration {
            admitted: Some(Admitted {
                sessions: Arc::clone(self),
                place,
                _guard: guard,
            }),
            stage: Stage::Handshake(request.extensions().get().cloned()),
        };
        // Once more: a shutdown that began before the place was taken has not waited for it.
        self.check_going_on()?;
        Ok(registration)
    }

    /// 503 while stopping.
    pub(crate) fn check_going_on(&self) -> Result<(), Rejection> {
        if !self.stopping.load(Ordering::SeqCst) {
            return Ok(());
        }
        let cuts_at = *self.cuts_at.lock().unwrap_or_else(PoisonError::into_inner);
        let left = cuts_at.map_or(SHUTDOWN_RETRY, |at| {
            at.saturating_duration_since(Instant::now())
        });
        Err(Rejection::unavailable("the server is going away")
            .with_retry_after(left)
            .because(RefusalReason::ShuttingDown))
    }

    pub(crate) fn refused(&self, rejection: &Rejection) {
        self.counters.refused(rejection.reason());
        trace::refused(&self.throttle, rejection);
    }

    /// A snapshot: sessions that open or close meanwhile may be in it or not.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.live
            .iter()
            .map(|entry| entry.value().clone())
            .collect()
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<Session> {
        self.live.get(&id).map(|entry| entry.value().clone())
    }

    pub(crate) fn stats(&self) -> FactoryStats {
        // Nobody leaves meanwhile: what went through a session is counted once, here or there.
        let _nobody_leaves = self.counters.holding();
        let mut stats = FactoryStats {
            open: self.live.len(),
            handshakes: self.places.handshakes(),
            peers: self.places.peers(),
            ..self.counters.read()
        };
        for session in &self.live {
            stats.traffic.add(&session.meter().undropped());
        }
        stats
    }

    /// Refuses new handshakes, closes every session with 1001, waits for the peers' answers, and
    /// cuts what is left at the deadline.
    pub(crate) async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let (clean_before, unclean_before) = self.counters.endings();
        let at = Instant::now().checked_add(deadline);
        *self.cuts_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
        self.stopping.store(true, Ordering::SeqCst);
        for session in self.all() {
            session.close(CloseCode::GOING_AWAY, "server shutdown");
        }
        if !self.tasks_ended_by(at).await {
            self.cutting.store(true, Ordering::SeqCst);
            self.changed.notify_waiters();
            for session in self.all() {
                session.abort();
            }
            // Bounded: an aborted session has its last events to run, each with its deadline.
            self.tasks_ended_by(None).await;
        }
        let (clean, unclean) = self.counters.endings();
        let counted = |ended: u64| usize::try_from(ended).unwrap_or(usize::MAX);
        ShutdownReport {
            clean: counted(clean - clean_before),
            cut: counted(unclean - unclean_before),
        }
    }

    /// Waits until no task is left; false if that was not the case at `at`.
    async fn tasks_ended_by(&self, at: Option<Instant>) -> bool {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.places.taken() == 0 {
                return true;
            }
            match at {
                None => changed.await,
                Some(at) => {
                    if tokio::time::timeout_at(at, changed).await.is_err() {
                        return false;
                    }
                }
            }
        }
    }
}

fn at_limit(reason: RefusalReason) -> Rejection {
    let (text, wait) = match reason {
        RefusalReason::SessionsOfPeer => ("too many sessions from your address", SESSIONS_RETRY),
        RefusalReason::Handshakes => ("too many handshakes at once", HANDSHAKES_RETRY),
        _ => ("too many sessions", SESSIONS_RETRY),
    };
    Rejection::unavailable(text)
        .with_retry_after(wait)
        .because(reason)
}

/// One handshake or session that its factory, if it has one, knows of.
#[derive(Debug)]
pub(crate) struct Registration {
    admitted: Option<Admitted>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Not connected yet; by which route it came.
    Handshake(Option<RoutePattern>),
    /// The session, from its connection to its end.
    Live(Live),
    Over,
}

/// Where a session is registered, and what it has taken there.
#[derive(Debug)]
struct Admitted {
    sessions: Arc<Sessions>,
    place: Place,
    /// Of the connection, where its server counts those.
    _guard: Option<ConnectionGuard>,
}

#[derive(Debug)]
struct Live {
    session: Session,
    span: Option<Arc<Span>>,
    since: Instant,
}

impl Registration {
    /// A session without a factory, such as a client's.
    pub(crate) const fn none() -> Self {
        Self {
            admitted: None,
            stage: Stage::Handshake(None),
        }
    }

    /// Where the session's traffic is counted, too.
    pub(crate) fn counters(&self) -> Option<Arc<Counters>> {
        let sessions = self.sessions()?;
        Some(Arc::clone(&sessions.counters))
    }

    /// The connection is up: the session joins the live set. Returns the span that it lives in.
    pub(crate) fn connected(&mut self, session: &Session) -> Option<Arc<Span>> {
        let route = match &self.stage {
            Stage::Handshake(route) => route.as_ref(),
            Stage::Live(_) | Stage::Over => None,
        };
        let shared = trace::session(session, route);
        self.stage = Stage::Live(Live {
            session: session.clone(),
            span: shared.clone(),
            since: Instant::now(),
        });
        let span = shared.as_deref().unwrap_or(&NO_SPAN);
        trace::opened(span);
        if let Some(sessions) = self.sessions() {
            sessions.places.shaken();
            sessions.counters.opened();
            sessions.live.insert(session.id(), session.clone());
            span.in_scope(|| sessions.listeners.opened(session));
            // Admitted before a shutdown and connected behind its back.
            if sessions.stopping.load(Ordering::SeqCst) {
                session.close(CloseCode::GOING_AWAY, "server shutdown");
            }
            if sessions.cutting.load(Ordering::SeqCst) {
                session.abort();
            }
        }
        shared
    }

    /// The session is over: it leaves the live set, and whoever waits for its end is told.
    pub(crate) fn retire(&mut self, event: CloseEvent) {
        let Stage::Live(live) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let Live {
            session,
            span,
            since,
        } = live;
        let span = span.as_deref().unwrap_or(&NO_SPAN);
        let lasted = since.elapsed();
        if let Some(sessions) = self.sessions() {
            let _leaving = sessions.counters.leaving();
            sessions.live.remove(&session.id());
            sessions.counters.retired(session.meter());
            sessions.counters.closed(&event, lasted);
        }
        session.end(event.clone());
        trace::closed(span, &event, lasted);
        if let Some(sessions) = self.sessions() {
            span.in_scope(|| sessions.listeners.closed(&session, &event));
        }
    }

    /// An event was dropped at its deadline.
    pub(crate) fn event_cut(&self) {
        if let Some(sessions) = self.sessions() {
            sessions.counters.event_cut();
        }
    }

    /// The 101 was sent, and no connection came of it.
    pub(crate) fn upgrade_failed(&self, cause: &'static str) {
        if let Some(sessions) = self.sessions() {
            sessions.counters.upgrade_failed();
            trace::upgrade_failed(&sessions.throttle, cause);
        }
    }

    /// Resolves when a shutdown's deadline has passed.
    pub(crate) fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let sessions = self.sessions().cloned();
        async move {
            let Some(sessions) = sessions else {
                return std::future::pending().await;
            };
            loop {
                let changed = sessions.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if sessions.cutting.load(Ordering::SeqCst) {
                    return;
                }
                changed.await;
            }
        }
    }

    const fn sessions(&self) -> Option<&Arc<Sessions>> {
        match &self.admitted {
            Some(admitted) => Some(&admitted.sessions),
            None => None,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let shaking = matches!(self.stage, Stage::Handshake(_));
        // Only where the task was dropped under the session: otherwise it has been retired.
        self.retire(CloseEvent {
            status: CloseStatus::ABNORMAL,
            reason: Cow::Borrowed(""),
            initiator: Initiator::Local,
            clean: false,
            cause: Some(Arc::new(SessionError::TaskDropped)),
        });
        if let Some(Admitted {
            sessions, place, ..
        }) = &mut self.admitted
        {
            if shaking {
                sessions.places.shaken();
            }
            sessions.places.give_back(place);
            sessions.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is in every session's task, whose size goes in steps.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn registration_takes_64_bytes() {
        assert_eq!(size_of::<Registration>(), 64);
    }
}
