//! What a factory counts, for `stats` and, behind the feature `metrics`, for the metrics facade.

use std::{
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    CloseEvent, FactoryStats, RefusalReason, Traffic,
    refusal::REASONS,
    stats::{CLOSE_GROUPS, group_of},
    tally::{Meter, Totals},
};

/// The counters of one factory. Each call is for one handshake or session.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    opened: AtomicU64,
    refused: [AtomicU64; REASONS],
    failed_upgrades: AtomicU64,
    cut_events: AtomicU64,
    closed: [AtomicU64; CLOSE_GROUPS],
    /// Of those that have closed, with and without a closing handshake.
    clean: AtomicU64,
    unclean: AtomicU64,
    /// What went through the sessions that are over, and what was dropped.
    traffic: Totals,
    /// Held by a session that ends, together with others, and by who adds up alone: a session is
    /// either among those that live or among those that are over.
    endings: RwLock<()>,
    /// Whether it has been told that messages come to nothing.
    pub(crate) untaken: AtomicBool,
    #[cfg(feature = "metrics")]
    meters: crate::meters::Meters,
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meters.opened();
    }

    pub(crate) fn closed(&self, event: &CloseEvent, lasted: Duration) {
        let group = group_of(event.status());
        self.closed[group].fetch_add(1, Ordering::Relaxed);
        // With the order that a shutdown needs, which reads them when all tasks have ended.
        match event.is_clean() {
            true => self.clean.fetch_add(1, Ordering::SeqCst),
            false => self.unclean.fetch_add(1, Ordering::SeqCst),
        };
        #[cfg(feature = "metrics")]
        self.meters.closed(group, lasted);
        #[cfg(not(feature = "metrics"))]
        let _ = lasted;
    }

    /// How many sessions have ended with, and without, a closing handshake.
    pub(crate) fn endings(&self) -> (u64, u64) {
        (
            self.clean.load(Ordering::SeqCst),
            self.unclean.load(Ordering::SeqCst),
        )
    }

    pub(crate) fn refused(&self, reason: RefusalReason) {
        self.refused[reason.index()].fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meters.refused(reason);
    }

    pub(crate) fn upgrade_failed(&self) {
        self.failed_upgrades.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meters.upgrade_failed();
    }

    pub(crate) fn event_cut(&self) {
        self.cut_events.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meters.event_cut();
    }

    /// Lets a session leave those that live.
    pub(crate) fn leaving(&self) -> RwLockReadGuard<'_, ()> {
        self.endings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no session leave.
    pub(crate) fn holding(&self) -> RwLockWriteGuard<'_, ()> {
        self.endings.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what went through a session that is over.
    pub(crate) fn retired(&self, session: &Meter) {
        self.traffic.retire(session);
    }

    pub(crate) fn dropped(&self, messages: usize) {
        self.traffic.dropped(messages);
        #[cfg(feature = "metrics")]
        self.meters.dropped(messages);
    }

    /// Shows the recorder what went through a session.
    #[cfg(feature = "metrics")]
    pub(crate) fn traffic(&self, more: &Traffic) {
        self.meters.traffic(more);
    }

    /// All but what is open now, and went through it, which the live set knows.
    pub(crate) fn read(&self) -> FactoryStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut traffic = Traffic::default();
        self.traffic.read_into(&mut traffic);
        FactoryStats {
            open: 0,
            handshakes: 0,
            peers: 0,
            opened: read(&self.opened),
            refused: std::array::from_fn(|reason| read(&self.refused[reason])),
            failed_upgrades: read(&self.failed_upgrades),
            cut_events: read(&self.cut_events),
            closed: std::array::from_fn(|group| read(&self.closed[group])),
            traffic,
        }
    }
}
