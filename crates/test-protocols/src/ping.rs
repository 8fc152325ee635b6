//! No protocol: Pings are answered, as everywhere, and nothing else is.

use ws_handler::Endpoint;

/// Takes every message and says nothing.
#[derive(Debug)]
pub(crate) struct Ping;

impl Endpoint for Ping {}
