//! The client over HTTP/2 (RFC 8441) against servers that are not ours.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../peer/recorder.rs"]
mod recorder;

mod hostile;
mod over_streams;
mod serving;
mod sessions;
