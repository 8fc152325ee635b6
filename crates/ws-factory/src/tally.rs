//! What went through a session, counted without a shared word per message.
//!
//! The driver counts in plain integers (a [`Traffic`] of its own), and adds them to the session's
//! and the factory's totals when it is about to sleep, and at its end: once a turn. A session's
//! totals have one writer. A factory's are spread over [`SHARDS`] lines of cache, one for a thread
//! where there are no more threads than that.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ws_core::{Event, Frame, OpCode};

use crate::{Traffic, counters::Counters, link::Link, queue::Load};

/// What is counted; the place of each in [`Traffic`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    MessagesIn,
    BytesIn,
    PingsIn,
    PongsIn,
    MessagesOut,
    BytesOut,
    PingsOut,
    PongsOut,
    Dropped,
}

/// How many counts there are.
pub(crate) const COUNTS: usize = 9;

impl Traffic {
    pub(crate) const fn of(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    const fn add(&mut self, count: Count, more: usize) {
        self.counts[count as usize] += more as u64;
    }

    /// What arrived, each once: as a message, as its pieces, or as its frames.
    pub(crate) fn received(&mut self, event: &Event) {
        match event {
            Event::Message(message) => self.received_message(message.len()),
            Event::Partial(part) => {
                self.add(Count::BytesIn, part.piece().len());
                self.add(Count::MessagesIn, usize::from(part.is_last()));
            }
            Event::Frame(frame) => self.received_frame(frame),
            Event::Ping(_) => self.add(Count::PingsIn, 1),
            Event::Pong(_) => self.add(Count::PongsIn, 1),
            _ => {}
        }
    }

    pub(crate) const fn received_message(&mut self, bytes: usize) {
        self.add(Count::BytesIn, bytes);
        self.add(Count::MessagesIn, 1);
    }

    fn received_frame(&mut self, frame: &Frame) {
        match frame.opcode() {
            OpCode::Ping => self.add(Count::PingsIn, 1),
            OpCode::Pong => self.add(Count::PongsIn, 1),
            OpCode::Close => {}
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {
                self.add(Count::BytesIn, frame.payload().len());
                self.add(Count::MessagesIn, usize::from(frame.fin()));
            }
        }
    }

    /// What the driver took from the outbox, of which some are frames that do not end a message.
    pub(crate) const fn took(&mut self, load: Load, unfinished: usize) {
        self.add(Count::MessagesOut, load.messages.saturating_sub(unfinished));
        self.add(Count::BytesOut, load.bytes);
    }

    /// The Pings and Pongs that the driver took from the outbox.
    pub(crate) const fn took_controls(&mut self, (pings, pongs): (usize, usize)) {
        self.add(Count::PingsOut, pings);
        self.add(Count::PongsOut, pongs);
    }

    /// How much has waited in the outbox.
    pub(crate) fn waited(&mut self, load: Load) {
        let [messages, bytes] = &mut self.peaks;
        *messages = (*messages).max(load.messages as u64);
        *bytes = (*bytes).max(load.bytes as u64);
    }

    pub(crate) const fn sent_ping(&mut self) {
        self.add(Count::PingsOut, 1);
    }

    pub(crate) const fn sent_pong(&mut self) {
        self.add(Count::PongsOut, 1);
    }
}

/// Counts that many may read, and one or many write.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: [AtomicU64; COUNTS],
    peaks: [AtomicU64; 2],
}

impl Totals {
    /// Adds what the only writer of these counts has counted (`Dropped` is not among them), and
    /// to `shared` as one of many.
    fn add_alone(&self, more: &Traffic, shared: Option<&Self>) {
        for (count, &more) in more.counts.iter().enumerate() {
            if more > 0 {
                let sum = self.counts[count].load(Ordering::Relaxed) + more;
                self.counts[count].store(sum, Ordering::Relaxed);
                if let Some(shared) = shared {
                    shared.counts[count].fetch_add(more, Ordering::Relaxed);
                }
            }
        }
        self.raise(more);
        if let Some(shared) = shared {
            shared.raise(more);
        }
    }

    /// Adds what one of many has counted.
    fn add_shared(&self, more: &Traffic) {
        for (total, more) in self.counts.iter().zip(more.counts) {
            if more > 0 {
                total.fetch_add(more, Ordering::Relaxed);
            }
        }
        self.raise(more);
    }

    fn raise(&self, more: &Traffic) {
        for (peak, seen) in self.peaks.iter().zip(more.peaks) {
            // Looked at first: a peak is seldom passed, and a write would take the line away.
            if seen > peak.load(Ordering::Relaxed) {
                peak.fetch_max(seen, Ordering::Relaxed);
            }
        }
    }

    /// Adds these totals to a reading.
    fn read_into(&self, traffic: &mut Traffic) {
        for (sum, total) in traffic.counts.iter_mut().zip(&self.counts) {
            *sum += total.load(Ordering::Relaxed);
        }
        for (highest, peak) in traffic.peaks.iter_mut().zip(&self.peaks) {
            *highest = (*highest).max(peak.load(Ordering::Relaxed));
        }
    }
}

/// A factory's totals, spread so that threads do not fight for them.
#[derive(Debug, Default)]
pub(crate) struct ShardedTotals([Shard; SHARDS]);

/// Two lines of cache: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Totals);

const SHARDS: usize = 16;

impl ShardedTotals {
    /// Where this thread adds.
    pub(crate) fn mine(&self) -> &Totals {
        &self.0[this_shard()].0
    }

    pub(crate) fn read(&self) -> Traffic {
        let mut traffic = Traffic::default();
        for shard in &self.0 {
            shard.0.read_into(&mut traffic);
        }
        traffic
    }
}

/// The shard of this thread; its number is given out in turn.
fn this_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    // A runtime may be dropped, and its sessions with it, by a thread whose locals are gone.
    MINE.try_with(|mine| *mine).unwrap_or_default()
}

/// A session's totals, and where else they are added.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    own: Totals,
    factory: Option<Arc<Counters>>,
}

impl Meter {
    pub(crate) fn new(factory: Option<Arc<Counters>>) -> Self {
        Self {
            own: Totals::default(),
            factory,
        }
    }

    /// Adds what the driver has counted; nobody else may.
    fn add(&self, more: &Traffic) {
        let shared = self.factory.as_ref().map(|factory| factory.traffic(more));
        self.own.add_alone(more, shared);
    }

    /// Messages were dropped, instead of queued or behind later ones. For anybody.
    pub(crate) fn dropped(&self, messages: usize) {
        let mut more = Traffic::default();
        more.add(Count::Dropped, messages);
        self.own.add_shared(&more);
        if let Some(factory) = &self.factory {
            factory.traffic(&more).add_shared(&more);
        }
    }

    pub(crate) fn read(&self) -> Traffic {
        let mut traffic = Traffic::default();
        self.own.read_into(&mut traffic);
        traffic
    }
}

impl Link {
    /// Adds what was counted since the last time to the totals: before every sleep, so that
    /// nothing is missing when the task is dropped in it.
    pub(crate) fn settle(&mut self) {
        self.session.meter().add(&self.tally);
        self.tally = Traffic::default();
    }
}
