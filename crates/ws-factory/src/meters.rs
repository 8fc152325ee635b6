//! The factory's counters through the `metrics` facade, behind the feature `metrics`.
//!
//! The names, and what each counts, are in the crate's own documentation. The recorder
//! is asked for its instruments once, when a factory first counts something: install it before.

use std::{sync::OnceLock, time::Duration};

use metrics::{Counter, Gauge, Histogram, Unit};

use crate::{
    RefusalReason, Traffic,
    refusal::REASONS,
    stats::{CLOSE_GROUPS, codes},
    tally::Count,
};

/// One factory's instruments, once the recorder has been asked for them.
#[derive(Debug, Default)]
pub(crate) struct Meters(OnceLock<Box<Instruments>>);

struct Instruments {
    open: Gauge,
    opened: Counter,
    closed: [Counter; CLOSE_GROUPS],
    duration: Histogram,
    refused: [Counter; REASONS],
    failed_upgrades: Counter,
    cut_events: Counter,
    /// With what of a [`Traffic`] each counts.
    traffic: [(Count, Counter); 8],
    dropped: Counter,
}

impl Meters {
    pub(crate) fn opened(&self) {
        let instruments = self.instruments();
        instruments.open.increment(1);
        instruments.opened.increment(1);
    }

    pub(crate) fn closed(&self, group: usize, lasted: Duration) {
        let instruments = self.instruments();
        instruments.open.decrement(1);
        instruments.closed[group].increment(1);
        instruments.duration.record(lasted);
    }

    pub(crate) fn refused(&self, reason: RefusalReason) {
        self.instruments().refused[reason.index()].increment(1);
    }

    pub(crate) fn upgrade_failed(&self) {
        self.instruments().failed_upgrades.increment(1);
    }

    pub(crate) fn event_cut(&self) {
        self.instruments().cut_events.increment(1);
    }

    pub(crate) fn dropped(&self, messages: usize) {
        self.instruments().dropped.increment(messages as u64);
    }

    pub(crate) fn traffic(&self, more: &Traffic) {
        for (count, counter) in &self.instruments().traffic {
            let more = more.of(*count);
            if more > 0 {
                counter.increment(more);
            }
        }
    }

    fn instruments(&self) -> &Instruments {
        self.0.get_or_init(|| {
            describe();
            Box::new(Instruments::of_recorder())
        })
    }
}

impl Instruments {
    fn of_recorder() -> Self {
        let directed = |name: &'static str, direction: &'static str| -> Counter {
            metrics::counter!(name, "direction" => direction)
        };
        Self {
            open: metrics::gauge!(OPEN),
            opened: metrics::counter!(OPENED),
            closed: std::array::from_fn(|group| metrics::counter!(CLOSED, "code" => label(group))),
            duration: metrics::histogram!(DURATION),
            refused: RefusalReason::ALL
                .map(|reason| metrics::counter!(REFUSED, "reason" => reason.as_str())),
            failed_upgrades: metrics::counter!(FAILED_UPGRADES),
            cut_events: metrics::counter!(CUT_EVENTS),
            traffic: [
                (Count::MessagesIn, directed(MESSAGES, "in")),
                (Count::MessagesOut, directed(MESSAGES, "out")),
                (Count::BytesIn, directed(BYTES, "in")),
                (Count::BytesOut, directed(BYTES, "out")),
                (Count::PingsIn, directed(PINGS, "in")),
                (Count::PingsOut, directed(PINGS, "out")),
                (Count::PongsIn, directed(PONGS, "in")),
                (Count::PongsOut, directed(PONGS, "out")),
            ],
            dropped: metrics::counter!(DROPPED),
        }
    }
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instruments").finish_non_exhaustive()
    }
}

const OPEN: &str = "websocket_sessions_open";
const OPENED: &str = "websocket_sessions_opened_total";
const CLOSED: &str = "websocket_sessions_closed_total";
const DURATION: &str = "websocket_session_duration_seconds";
const REFUSED: &str = "websocket_handshakes_refused_total";
const FAILED_UPGRADES: &str = "websocket_upgrades_failed_total";
const CUT_EVENTS: &str = "websocket_events_cut_total";
const MESSAGES: &str = "websocket_messages_total";
const BYTES: &str = "websocket_payload_bytes_total";
const PINGS: &str = "websocket_pings_total";
const PONGS: &str = "websocket_pongs_total";
const DROPPED: &str = "websocket_messages_dropped_total";

/// `"1000"`, or `"3000-3999"` for a group.
fn label(group: usize) -> String {
    let codes = codes(group);
    if codes.start() == codes.end() {
        codes.start().to_string()
    } else {
        format!("{}-{}", codes.start(), codes.end())
    }
}

fn describe() {
    metrics::describe_gauge!(OPEN, Unit::Count, "Sessions that are open now");
    metrics::describe_counter!(OPENED, Unit::Count, "Sessions that were opened");
    metrics::describe_counter!(CLOSED, Unit::Count, "Sessions that ended, by close code");
    metrics::describe_histogram!(DURATION, Unit::Seconds, "How long sessions lasted");
    metrics::describe_counter!(REFUSED, Unit::Count, "Handshakes refused, by reason");
    metrics::describe_counter!(
        FAILED_UPGRADES,
        Unit::Count,
        "Handshakes accepted whose connection never came"
    );
    metrics::describe_counter!(CUT_EVENTS, Unit::Count, "Events dropped at their deadline");
    metrics::describe_counter!(MESSAGES, Unit::Count, "Messages, by direction");
    metrics::describe_counter!(BYTES, Unit::Bytes, "Payload of messages, by direction");
    metrics::describe_counter!(PINGS, Unit::Count, "Pings, by direction");
    metrics::describe_counter!(PONGS, Unit::Count, "Pongs, by direction");
    metrics::describe_counter!(
        DROPPED,
        Unit::Count,
        "Messages that groups dropped for slow members"
    );
}
