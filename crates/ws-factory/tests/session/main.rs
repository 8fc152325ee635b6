//! The life of a session over a pipe and on a paused clock: every row of the table "how sessions
//! end", what leaves and in which order, and what a hostile peer gains. No port, no sleep: a paused
//! clock jumps to the next deadline as soon as nobody has anything to do.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

// The two ends.
#[path = "../wire/frame.rs"]
mod frame;
mod peer;

mod recorder;

mod streamer;

// The life.
mod connecting;

mod receiving;

mod streaming;

mod streaming_budget;

mod breaking_off;

mod frames;

mod sending;

mod writing;

mod splitting;

mod buffering;

mod flushing;

mod flooding;

mod unread;

mod deadlines;

mod changing;

// The end.
mod closing;

mod closed_by_peer;

mod failing;

mod application_faults;

mod dropping;

mod misuse;

mod destructors;

// Many.
mod groups;

mod slow_members;

mod waiting;

mod topics;

mod many_members;

// Anything.
mod chance;

mod schedules;

mod storms;
