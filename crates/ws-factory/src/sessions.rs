//! The live set: which sessions a factory has, and how it stops them.
//!
//! A [`Registration`] stands for one handshake or session from the moment it is admitted to the
//! end of its task; dropping it is what undoes everything, so nothing can leak out of the set.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::{sync::Notify, time::Instant};
use ws_core::{CloseCode, CloseStatus};

use crate::{
    CloseEvent, Initiator, Rejection, Session, SessionError, SessionId, stats::FactoryStats,
};

/// The sessions of one factory.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: DashMap<SessionId, Session>,
    /// Admitted handshakes and running tasks.
    tasks: AtomicUsize,
    stopping: AtomicBool,
    /// Tells that a task ended, or that those left are to be cut.
    changed: Notify,
    cutting: AtomicBool,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    refused: AtomicU64,
    failed_upgrades: AtomicU64,
    cut_events: AtomicU64,
    clean: AtomicU64,
}

/// What a shutdown came to.
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

impl Sessions {
    /// Admits one more handshake.
    ///
    /// # Errors
    ///
    /// 503 while stopping, and at `max_sessions`.
    pub(crate) fn admit(self: &Arc<Self>, max_sessions: usize) -> Result<Registration, Rejection> {
        // Counted before it is looked at, so that two cannot take the last place.
        let registration = Registration::new(Some(Arc::clone(self)));
        if self.stopping.load(Ordering::SeqCst) {
            return Err(unavailable("the server is going away"));
        }
        if self.tasks.load(Ordering::SeqCst) > max_sessions {
            return Err(unavailable("too many sessions"));
        }
        Ok(registration)
    }

    pub(crate) fn refused(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
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
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FactoryStats {
            open: self.live.len(),
            opened: read(&self.counters.opened),
            refused: read(&self.counters.refused),
            failed_upgrades: read(&self.counters.failed_upgrades),
            cut_events: read(&self.counters.cut_events),
        }
    }

    /// Refuses new handshakes, closes every session with 1001, waits for the peers' answers, and
    /// cuts what is left at the deadline.
    pub(crate) async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.stopping.store(true, Ordering::SeqCst);
        let clean_before = self.counters.clean.load(Ordering::SeqCst);
        let sessions = self.all();
        for session in &sessions {
            session.close(CloseCode::GOING_AWAY, "server shutdown");
        }
        let at = Instant::now().checked_add(deadline);
        if !self.tasks_ended_by(at).await {
            self.cutting.store(true, Ordering::SeqCst);
            self.changed.notify_waiters();
            for session in self.all() {
                session.abort();
            }
            // Bounded: an aborted session has its last events to run, each with its deadline.
            self.tasks_ended_by(None).await;
        }
        let closed = self.counters.clean.load(Ordering::SeqCst) - clean_before;
        let clean = usize::try_from(closed).unwrap_or(usize::MAX);
        ShutdownReport {
            clean,
            cut: sessions.len().saturating_sub(clean),
        }
    }

    /// Waits until no task is left; false if that was not the case at `at`.
    async fn tasks_ended_by(&self, at: Option<Instant>) -> bool {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.tasks.load(Ordering::SeqCst) == 0 {
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

fn unavailable(text: &'static str) -> Rejection {
    Rejection::unavailable(text)
}

/// One handshake or session that its factory, if it has one, knows of.
#[derive(Debug)]
pub(crate) struct Registration {
    sessions: Option<Arc<Sessions>>,
    /// The session, from its connection to its end.
    live: Option<Session>,
}

impl Registration {
    /// A session without a factory, such as a client's.
    pub(crate) fn none() -> Self {
        Self::new(None)
    }

    fn new(sessions: Option<Arc<Sessions>>) -> Self {
        if let Some(sessions) = &sessions {
            sessions.tasks.fetch_add(1, Ordering::SeqCst);
        }
        Self {
            sessions,
            live: None,
        }
    }

    /// The connection is up: the session joins the live set.
    pub(crate) fn connected(&mut self, session: &Session) {
        self.live = Some(session.clone());
        if let Some(sessions) = &self.sessions {
            sessions.counters.opened.fetch_add(1, Ordering::Relaxed);
            sessions.live.insert(session.id(), session.clone());
            // Admitted before a shutdown and connected behind its back.
            if sessions.stopping.load(Ordering::SeqCst) {
                session.close(CloseCode::GOING_AWAY, "server shutdown");
            }
            if sessions.cutting.load(Ordering::SeqCst) {
                session.abort();
            }
        }
    }

    /// The session is over: it leaves the live set, and whoever waits for its end is told.
    pub(crate) fn retire(&mut self, event: CloseEvent) {
        let Some(session) = self.live.take() else {
            return;
        };
        if let Some(sessions) = &self.sessions {
            sessions.live.remove(&session.id());
            if event.is_clean() {
                sessions.counters.clean.fetch_add(1, Ordering::SeqCst);
            }
        }
        session.end(event);
    }

    /// An event was dropped at its deadline.
    pub(crate) fn event_cut(&self) {
        if let Some(sessions) = &self.sessions {
            sessions.counters.cut_events.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The 101 was sent, and no connection came of it.
    pub(crate) fn upgrade_failed(&self) {
        if let Some(sessions) = &self.sessions {
            sessions
                .counters
                .failed_upgrades
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Resolves when a shutdown's deadline has passed.
    pub(crate) fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let sessions = self.sessions.clone();
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
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Only where the task was dropped under the session: otherwise it has been retired.
        self.retire(CloseEvent {
            status: CloseStatus::ABNORMAL,
            reason: Cow::Borrowed(""),
            initiator: Initiator::Local,
            clean: false,
            cause: Some(Arc::new(SessionError::TaskDropped)),
        });
        if let Some(sessions) = &self.sessions {
            sessions.tasks.fetch_sub(1, Ordering::SeqCst);
            sessions.changed.notify_waiters();
        }
    }
}
