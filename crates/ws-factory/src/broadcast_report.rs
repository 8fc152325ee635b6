//! What came of a broadcast, and of all broadcasts of a group, in plain numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Who got a broadcast.
///
/// A member is counted in one of `queued`, `dropped` and `closed`, or in none if its session was
/// closing already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BroadcastReport {
    pub(crate) queued: usize,
    pub(crate) displaced: usize,
    pub(crate) dropped: usize,
    pub(crate) closed: usize,
    pub(crate) timed_out: usize,
}

/// A reading of a group's counters, from its beginning on.
///
/// ```
/// use ws_factory::{Group, SlowMember};
/// let group = Group::new(SlowMember::DropNewest);
/// group.broadcast("is anybody there?");
/// assert_eq!((group.stats().broadcasts(), group.stats().queued()), (1, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GroupStats {
    members: usize,
    broadcasts: u64,
    queued: u64,
    displaced: u64,
    dropped: u64,
    closed: u64,
    timed_out: u64,
}

/// What a group has done so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    broadcasts: AtomicU64,
    queued: AtomicU64,
    displaced: AtomicU64,
    dropped: AtomicU64,
    closed: AtomicU64,
    timed_out: AtomicU64,
}

/// A broadcast that is being counted; what is known of it when it is dropped goes to the counters.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    pub(crate) report: BroadcastReport,
    /// Members that are still waited for: they miss it if nobody waits any longer.
    pub(crate) waiting: usize,
    counters: &'a Counters,
}

impl BroadcastReport {
    /// Members whose outbox took the message.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Earlier broadcasts that were dropped to make room for this one
    /// ([`SlowMember::DropOldest`](crate::SlowMember::DropOldest)): messages, summed over members.
    #[must_use]
    pub const fn displaced(&self) -> usize {
        self.displaced
    }

    /// Members that missed it: their outbox was full.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Members that were closed: their outbox was full.
    #[must_use]
    pub const fn closed(&self) -> usize {
        self.closed
    }

    /// Members that found no room until the deadline
    /// ([`Group::broadcast_within`](crate::Group::broadcast_within)); each is also counted by what
    /// came of it then.
    #[must_use]
    pub const fn timed_out(&self) -> usize {
        self.timed_out
    }
}

impl GroupStats {
    /// How many members there are now.
    #[must_use]
    pub const fn members(&self) -> usize {
        self.members
    }

    /// Broadcasts that have ended.
    #[must_use]
    pub const fn broadcasts(&self) -> u64 {
        self.broadcasts
    }

    /// Deliveries: messages that a member's outbox took.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        self.queued
    }

    /// Deliveries that were taken back, to make room for later ones.
    #[must_use]
    pub const fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Messages that a member missed, because its outbox was full or the broadcast was cancelled.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Members that were closed, because their outbox was full.
    #[must_use]
    pub const fn closed(&self) -> u64 {
        self.closed
    }

    /// Times that a member was waited for in vain.
    #[must_use]
    pub const fn timed_out(&self) -> u64 {
        self.timed_out
    }
}

impl Counters {
    pub(crate) fn read(&self, members: usize) -> GroupStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GroupStats {
            members,
            broadcasts: read(&self.broadcasts),
            queued: read(&self.queued),
            displaced: read(&self.displaced),
            dropped: read(&self.dropped),
            closed: read(&self.closed),
            timed_out: read(&self.timed_out),
        }
    }
}

impl<'a> Tally<'a> {
    pub(crate) fn new(counters: &'a Counters) -> Self {
        Self {
            report: BroadcastReport::default(),
            waiting: 0,
            counters,
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let add = |counter: &AtomicU64, count: usize| {
            if count > 0 {
                counter.fetch_add(count as u64, Ordering::Relaxed);
            }
        };
        let Self {
            report, counters, ..
        } = self;
        add(&counters.broadcasts, 1);
        add(&counters.queued, report.queued);
        add(&counters.displaced, report.displaced);
        add(&counters.dropped, report.dropped + self.waiting);
        add(&counters.closed, report.closed);
        add(&counters.timed_out, report.timed_out);
    }
}
