//! What went through a session, counted without a word that threads would have to share.
//!
//! A session's counts have one writer, its driver, so counting is an addition and nothing more. A
//! factory's are those of the sessions that are over, added up as each ends, and of those that
//! live, added up when somebody asks. Only what is dropped, which anybody may do to a session, is
//! counted by all.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
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
}

/// Counts that many may read.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: [AtomicU64; COUNTS],
    peaks: [AtomicU64; 2],
}

impl Totals {
    /// Adds these totals to a reading.
    pub(crate) fn read_into(&self, traffic: &mut Traffic) {
        for (sum, total) in traffic.counts.iter_mut().zip(&self.counts) {
            *sum += total.load(Ordering::Relaxed);
        }
        for (highest, peak) in traffic.peaks.iter_mut().zip(&self.peaks) {
            *highest = (*highest).max(peak.load(Ordering::Relaxed));
        }
    }

    /// Adds what a session came to that is over; what was dropped has been counted by then.
    pub(crate) fn retire(&self, session: &Meter) {
        let came_to = session.undropped();
        for (total, more) in self.counts.iter().zip(came_to.counts) {
            total.fetch_add(more, Ordering::Relaxed);
        }
        for (peak, seen) in self.peaks.iter().zip(came_to.peaks) {
            peak.fetch_max(seen, Ordering::Relaxed);
        }
    }

    pub(crate) fn dropped(&self, messages: usize) {
        self.counts[Count::Dropped as usize].fetch_add(messages as u64, Ordering::Relaxed);
    }
}

/// A session's counts, and whose they are, too.
///
/// All but [`Self::dropped`] are for the session's driver alone.
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

    /// What arrived, each once: as a message, as its pieces, or as its frames.
    pub(crate) fn received(&self, event: &Event) {
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

    pub(crate) fn received_message(&self, bytes: usize) {
        self.add(Count::BytesIn, bytes);
        self.add(Count::MessagesIn, 1);
    }

    fn received_frame(&self, frame: &Frame) {
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
    pub(crate) fn took(&self, load: Load, unfinished: u32) {
        self.add(
            Count::MessagesOut,
            load.messages.saturating_sub(unfinished as usize),
        );
        self.add(Count::BytesOut, load.bytes);
    }

    /// The Pings and Pongs that the driver took from the outbox.
    pub(crate) fn took_controls(&self, (pings, pongs): (u32, u32)) {
        self.add(Count::PingsOut, pings as usize);
        self.add(Count::PongsOut, pongs as usize);
    }

    /// How much has waited in the outbox.
    pub(crate) fn waited(&self, load: Load) {
        for (peak, seen) in self.own.peaks.iter().zip([load.messages, load.bytes]) {
            if seen as u64 > peak.load(Ordering::Relaxed) {
                peak.store(seen as u64, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn sent_ping(&self) {
        self.add(Count::PingsOut, 1);
    }

    pub(crate) fn sent_pong(&self) {
        self.add(Count::PongsOut, 1);
    }

    /// Messages were dropped, instead of queued or behind later ones. For anybody.
    pub(crate) fn dropped(&self, messages: usize) {
        self.own.dropped(messages);
        if let Some(factory) = &self.factory {
            factory.dropped(messages);
        }
    }

    /// Whether no message has come to nothing before: in the factory, or in the process where there
    /// is none.
    pub(crate) fn is_first_untaken(&self) -> bool {
        static WITHOUT_FACTORY: AtomicBool = AtomicBool::new(false);
        let factory = self.factory.as_deref();
        let told = factory.map_or(&WITHOUT_FACTORY, |factory| &factory.untaken);
        // Mostly only read, so that nobody waits for the word.
        !told.load(Ordering::Relaxed) && !told.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn read(&self) -> Traffic {
        let mut traffic = Traffic::default();
        self.own.read_into(&mut traffic);
        traffic
    }

    /// All that only the driver counts.
    pub(crate) fn undropped(&self) -> Traffic {
        let mut traffic = self.read();
        traffic.counts[Count::Dropped as usize] = 0;
        traffic
    }

    /// The only writer need not hold the word while it adds.
    fn add(&self, count: Count, more: usize) {
        let count = &self.own.counts[count as usize];
        count.store(
            count.load(Ordering::Relaxed) + more as u64,
            Ordering::Relaxed,
        );
    }
}

impl Link {
    /// Shows the metrics recorder what was counted since the last time: before every sleep.
    #[cfg(feature = "metrics")]
    pub(crate) fn settle(&mut self) {
        let meter = self.session.meter();
        let now = meter.undropped();
        if let Some(factory) = &meter.factory {
            let mut more = now;
            for (more, reported) in more.counts.iter_mut().zip(self.reported.counts) {
                *more -= reported;
            }
            factory.traffic(&more);
        }
        self.reported = now;
    }

    /// There is no recorder.
    #[cfg(not(feature = "metrics"))]
    #[inline]
    pub(crate) const fn settle(&self) {}
}
