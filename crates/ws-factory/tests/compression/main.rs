//! Compression and other extensions through whole sessions: what is agreed, what is on the wire,
//! what a hostile peer gains. Over pipes, on a paused clock; what leaves is inflated by flate2 (on
//! miniz_oxide), which shares no code with the product.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

// The other end.
mod codec;
#[path = "../wire/frame.rs"]
mod frame;
mod peer;
#[path = "../wire/serving.rs"]
mod serving;

// Extensions to watch a pipeline with.
mod extensions;

mod negotiation;

mod messages;

mod streams;

mod order;

mod broadcast;

mod hostile;
