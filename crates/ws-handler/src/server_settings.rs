//! What a ready-made server waits for at most, and how much it takes, whichever of them it is.

use std::time::Duration;

/// Every deadline of a [`crate::Server`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// From accept to the first request's head, and to each further one of HTTP/1.1.
    pub(crate) request: Duration,
    /// Without progress of what is written.
    pub(crate) write: Duration,
    /// Without a request over HTTP/2.
    pub(crate) http2_idle: Duration,
    /// Between two signs of life of an HTTP/2 client.
    pub(crate) http2_ping: Duration,
    /// From the end of accepting to the end of everything.
    pub(crate) shutdown: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            write: Duration::from_secs(60),
            http2_idle: Duration::from_secs(60),
            http2_ping: Duration::from_secs(30),
            shutdown: Duration::from_secs(10),
        }
    }
}

impl Deadlines {
    pub(crate) fn with_request(self, deadline: Duration) -> Self {
        Self {
            request: deadline.min(MAX_DEADLINE),
            ..self
        }
    }

    pub(crate) fn with_write(self, deadline: Duration) -> Self {
        Self {
            write: deadline.min(MAX_DEADLINE),
            ..self
        }
    }

    pub(crate) fn with_http2_idle(self, timeout: Duration) -> Self {
        Self {
            http2_idle: timeout.min(MAX_DEADLINE),
            ..self
        }
    }

    pub(crate) fn with_http2_ping(self, interval: Duration) -> Self {
        Self {
            http2_ping: interval.clamp(MIN_HTTP2_PING_INTERVAL, MAX_DEADLINE),
            ..self
        }
    }
}

/// hyper adds deadlines to the time of day, and panics where the sum is none.
const MAX_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long the answer to a Ping of HTTP/2 may take.
pub(crate) const HTTP2_PING_DEADLINE: Duration = Duration::from_secs(20);

/// The shortest time between two Pings of HTTP/2: more of them is a flood.
const MIN_HTTP2_PING_INTERVAL: Duration = Duration::from_secs(1);

/// The most bytes that a request's head may have; 431 beyond.
///
/// A session keeps its request's headers, so this bounds what a client can make it hold; hyper's
/// own limit is 400 KiB. Jetty's is 8 KiB, but cookies have grown.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How much of one HTTP/2 request's body, or of one session's frames, waits to be read.
pub(crate) const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// More than all streams of a connection together, so that those that are not read never stop the
/// others. Half of it is what h2 lets small DATA frames that are not read cost beyond their payload,
/// at 256 bytes each, before it ends the connection: enough for 100 streams full of frames of 120
/// bytes, or for three full of the smallest there are.
pub(crate) const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// The most requests that one HTTP/2 connection has under way, sessions among them; hyper's own
/// limit is 200, and not promised.
pub(crate) const MAX_HTTP2_STREAMS: u32 = 100;

/// The most bytes that one HTTP/2 response waits in, beside what the inner service holds; hyper's
/// own limit is 400 KiB, for each of the streams.
pub(crate) const MAX_HTTP2_SEND_BYTES: usize = 64 * 1024;
