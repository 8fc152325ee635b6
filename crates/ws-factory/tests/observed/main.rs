//! What a factory admits, counts and tells: limits, listeners, statistics, spans, metrics; and that
//! nothing is left behind. Over pipes and on a paused clock; no port.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod pipe;
#[path = "../wire/serving.rs"]
mod serving;

// Who gets in.
mod limits;

mod refusals;

// What is told.
mod listeners;

mod statistics;

mod spans;

mod untaken;

#[cfg(feature = "metrics")]
mod exported;

// What is left.
mod leaks;

mod stopping;
