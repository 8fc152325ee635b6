//! Every limit and deadline of a session, as one value.
//!
//! A server has a policy, a route may begin with the server's and change it, a session may change
//! its own while it lives; the value in force can be read at the session.

use std::time::Duration;

use ws_core::{Limits, extension::DeflateConfig};

use crate::snapshot::KeptHeaders;

/// What a session may hold, and how long it may take.
///
/// | setting | default | reached |
/// |---|---|---|
/// | `max_text_bytes`, `max_binary_bytes` | 64 KiB each | Close 1009 |
/// | `max_frame_bytes` | the message's limit | Close 1009, at the header |
/// | `max_read_bytes` | 64 KiB | cap on one read; no buffer per connection |
/// | `max_outbox_messages`, `max_outbox_bytes` | 1,024; 1 MiB | `send` waits, `try_send` gives the message back |
/// | `idle_timeout` | 300 s | Close 1001 |
/// | `ping_interval`, `pong_deadline` | off | ends with 1006 |
/// | `write_deadline` | 60 s without progress | ends with 1006 |
/// | `close_timeout` | 10 s | ends with 1006 |
/// | `connect_deadline` | 10 s for `on_connect` | Close 1011 |
/// | `accept_deadline` | 10 s for the endpoint factory | 503 |
/// | `max_sessions` | 1,000,000 per factory | 503 |
/// | `max_sessions_per_peer` | off; per factory | 503 |
/// | `max_handshakes` | 10,000 per factory | 503 |
/// | `compression` | off | |
/// | `auto_pong` | on | |
/// | `kept_headers` | all but the handshake's own | |
///
/// The three that are *per factory* count over all of its sessions, so a session's own policy does
/// not change them; with servlets, each mounted path has a factory of its own.
///
/// ```
/// use std::time::Duration;
/// use ws_factory::Policy;
///
/// let policy = Policy::default()
///     .with_max_text_bytes(1 << 20)
///     .with_idle_timeout(Some(Duration::from_secs(30)));
/// assert_eq!(policy.max_text_bytes(), 1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    limits: Limits,
    max_read_bytes: usize,
    max_outbox_messages: usize,
    max_outbox_bytes: usize,
    idle_timeout: Option<Duration>,
    ping_interval: Option<Duration>,
    pong_deadline: Option<Duration>,
    write_deadline: Option<Duration>,
    close_timeout: Duration,
    connect_deadline: Duration,
    accept_deadline: Duration,
    max_sessions: usize,
    max_sessions_per_peer: Option<usize>,
    max_handshakes: usize,
    compression: Option<DeflateConfig>,
    auto_pong: bool,
    kept_headers: KeptHeaders,
}

impl Policy {
    /// The longest text message accepted, in bytes. Default: 65,536. A longer one ends the session
    /// with 1009.
    #[must_use]
    pub fn with_max_text_bytes(mut self, bytes: u64) -> Self {
        self.limits = self.limits.with_max_text_bytes(bytes);
        self
    }

    /// The longest binary message accepted, in bytes. Default: 65,536. A longer one ends the
    /// session with 1009.
    #[must_use]
    pub fn with_max_binary_bytes(mut self, bytes: u64) -> Self {
        self.limits = self.limits.with_max_binary_bytes(bytes);
        self
    }

    /// The longest text and the longest binary message accepted, in bytes.
    #[must_use]
    pub fn with_max_message_bytes(self, bytes: u64) -> Self {
        self.with_max_text_bytes(bytes).with_max_binary_bytes(bytes)
    }

    /// The longest payload of one data frame accepted, in bytes. Default: the limit of the message
    /// that it belongs to.
    #[must_use]
    pub fn with_max_frame_bytes(mut self, bytes: u64) -> Self {
        self.limits = self.limits.with_max_frame_bytes(bytes);
        self
    }

    /// The most that one read takes from the socket, in bytes; Jetty's `inputBufferSize`. Default:
    /// 65,536. Kept between 1 and 65,536. The buffer belongs to the thread, not to the session. A
    /// read of the rest of a large message, straight to where it belongs, takes four times that.
    #[must_use]
    pub fn with_max_read_bytes(mut self, bytes: usize) -> Self {
        self.max_read_bytes = bytes.clamp(1, MAX_READ_BYTES);
        self
    }

    /// How many messages may wait to be written. Default: 1,024. At least 1.
    #[must_use]
    pub fn with_max_outbox_messages(mut self, messages: usize) -> Self {
        self.max_outbox_messages = messages.max(1);
        self
    }

    /// How many bytes may wait to be written. Default: 1 MiB. A message larger than this passes
    /// when nothing else waits.
    #[must_use]
    pub const fn with_max_outbox_bytes(mut self, bytes: usize) -> Self {
        self.max_outbox_bytes = bytes;
        self
    }

    /// How long nothing may be received and nothing sent, before the session is closed with 1001.
    /// Default: 300 s; `None` for ever.
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How often a Ping is sent. Default: `None`, never. At least 1 ms: more often would leave no
    /// time for anything else.
    #[must_use]
    pub fn with_ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = interval.map(|interval| interval.max(Duration::from_millis(1)));
        self
    }

    /// How long the answer to such a Ping may take, before the session ends with 1006. Default:
    /// `None`, for ever.
    #[must_use]
    pub const fn with_pong_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.pong_deadline = deadline;
        self
    }

    /// How long the peer may take nothing of what is being written, before the session ends with
    /// 1006. Default: 60 s; `None` for ever.
    ///
    /// However little it takes, it has as long again. What the operating system has taken counts as
    /// taken. Over HTTP/2 a server sees what its client takes 16 KiB at a time. What a transport of
    /// one's own has taken, such as TLS, counts once that could be flushed, or went on: whenever it
    /// wakes the waker that its `poll_flush` was given last. So one that wakes it without need prolongs
    /// the deadline, and one whose `poll_flush` does not wait for the socket has none until it takes no
    /// more.
    #[must_use]
    pub const fn with_write_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.write_deadline = deadline;
        self
    }

    /// How long the closing handshake, and each event that still runs or is yet to run when the
    /// session ends, may take. Default: 10 s. The handshake's begins anew whenever the peer takes some
    /// of what leaves before our Close.
    #[must_use]
    pub const fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long `on_connect` may take, before the session is closed with 1011. Default: 10 s.
    #[must_use]
    pub const fn with_connect_deadline(mut self, deadline: Duration) -> Self {
        self.connect_deadline = deadline;
        self
    }

    /// How long the endpoint factory may take, before the handshake is refused with 503. Default:
    /// 10 s.
    #[must_use]
    pub const fn with_accept_deadline(mut self, deadline: Duration) -> Self {
        self.accept_deadline = deadline;
        self
    }

    /// How many sessions one factory may have, handshakes under way included; one more is refused
    /// with 503. Default: 1,000,000. A place is free again once the socket is: where the peer keeps
    /// it open after the closing handshake, up to 2 s after `on_close`.
    #[must_use]
    pub const fn with_max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How many sessions one peer may have with one factory, handshakes under way included; one more
    /// is refused with 503. Default: `None`, no such limit. A place is free again as with
    /// [`Self::with_max_sessions`].
    ///
    /// A peer is an IPv4 address, or the first 64 bits of an IPv6 address, which are one host's to
    /// choose addresses in. It is the `ConnectionInfo` of the request that says who the peer is:
    /// behind a proxy everybody has the proxy's address, unless a layer before the handler that
    /// trusts the proxy replaces it. Where nobody says, there is no limit.
    #[must_use]
    pub const fn with_max_sessions_per_peer(mut self, sessions: Option<usize>) -> Self {
        self.max_sessions_per_peer = sessions;
        self
    }

    /// How many handshakes may be under way in one factory: admitted, and their connection not yet
    /// up; one more is refused with 503. Default: 10,000, which a burst of reconnecting clients
    /// passes, and which bounds what slow endpoint factories can pile up.
    #[must_use]
    pub const fn with_max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes;
        self
    }

    /// Compresses messages where the peer agrees to `permessage-deflate` (RFC 7692). Default:
    /// `None`, off: it costs memory and time, and what is compressed together with a secret tells
    /// of it by its length (CRIME, BREACH); see `Session::send_uncompressed`.
    ///
    /// ```
    /// use ws_factory::{Policy, extension::DeflateConfig};
    ///
    /// let small = DeflateConfig::default().with_server_no_context_takeover();
    /// let policy = Policy::default().with_compression(Some(small));
    /// ```
    #[must_use]
    pub fn with_compression(mut self, compression: Option<DeflateConfig>) -> Self {
        self.compression = compression;
        self
    }

    /// Leaves Pings to the endpoint: `on_ping` has to call `Session::pong`. Default: they are
    /// answered before the endpoint sees them.
    #[must_use]
    pub const fn without_auto_pong(mut self) -> Self {
        self.auto_pong = false;
        self
    }

    /// Which of the request's headers the session keeps. Default: all but the handshake's own.
    #[must_use]
    pub fn with_kept_headers(mut self, headers: KeptHeaders) -> Self {
        self.kept_headers = headers;
        self
    }

    /// See [`Self::with_max_text_bytes`].
    #[must_use]
    pub const fn max_text_bytes(&self) -> u64 {
        self.limits.max_text_bytes()
    }

    /// See [`Self::with_max_binary_bytes`].
    #[must_use]
    pub const fn max_binary_bytes(&self) -> u64 {
        self.limits.max_binary_bytes()
    }

    /// The limits of what a peer may make the session hold.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// See [`Self::with_max_read_bytes`].
    #[must_use]
    pub const fn max_read_bytes(&self) -> usize {
        self.max_read_bytes
    }

    /// See [`Self::with_max_outbox_messages`].
    #[must_use]
    pub const fn max_outbox_messages(&self) -> usize {
        self.max_outbox_messages
    }

    /// See [`Self::with_max_outbox_bytes`].
    #[must_use]
    pub const fn max_outbox_bytes(&self) -> usize {
        self.max_outbox_bytes
    }

    /// See [`Self::with_idle_timeout`].
    #[must_use]
    pub const fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// See [`Self::with_ping_interval`].
    #[must_use]
    pub const fn ping_interval(&self) -> Option<Duration> {
        self.ping_interval
    }

    /// See [`Self::with_pong_deadline`].
    #[must_use]
    pub const fn pong_deadline(&self) -> Option<Duration> {
        self.pong_deadline
    }

    /// See [`Self::with_write_deadline`].
    #[must_use]
    pub const fn write_deadline(&self) -> Option<Duration> {
        self.write_deadline
    }

    /// See [`Self::with_close_timeout`].
    #[must_use]
    pub const fn close_timeout(&self) -> Duration {
        self.close_timeout
    }

    /// See [`Self::with_connect_deadline`].
    #[must_use]
    pub const fn connect_deadline(&self) -> Duration {
        self.connect_deadline
    }

    /// See [`Self::with_accept_deadline`].
    #[must_use]
    pub const fn accept_deadline(&self) -> Duration {
        self.accept_deadline
    }

    /// See [`Self::with_max_sessions`].
    #[must_use]
    pub const fn max_sessions(&self) -> usize {
        self.max_sessions
    }

    /// See [`Self::with_max_sessions_per_peer`].
    #[must_use]
    pub const fn max_sessions_per_peer(&self) -> Option<usize> {
        self.max_sessions_per_peer
    }

    /// See [`Self::with_max_handshakes`].
    #[must_use]
    pub const fn max_handshakes(&self) -> usize {
        self.max_handshakes
    }

    /// See [`Self::with_compression`].
    #[must_use]
    pub const fn compression(&self) -> Option<&DeflateConfig> {
        self.compression.as_ref()
    }

    /// See [`Self::without_auto_pong`].
    #[must_use]
    pub const fn auto_pong(&self) -> bool {
        self.auto_pong
    }

    /// See [`Self::with_kept_headers`].
    #[must_use]
    pub const fn kept_headers(&self) -> &KeptHeaders {
        &self.kept_headers
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_read_bytes: MAX_READ_BYTES,
            max_outbox_messages: 1024,
            max_outbox_bytes: 1 << 20,
            idle_timeout: Some(Duration::from_secs(300)),
            ping_interval: None,
            pong_deadline: None,
            write_deadline: Some(Duration::from_secs(60)),
            close_timeout: Duration::from_secs(10),
            connect_deadline: Duration::from_secs(10),
            accept_deadline: Duration::from_secs(10),
            max_sessions: 1_000_000,
            max_sessions_per_peer: None,
            max_handshakes: 10_000,
            compression: None,
            auto_pong: true,
            kept_headers: KeptHeaders::default(),
        }
    }
}

/// The most that one read can take, in bytes: large enough that a burst is one system call, small
/// enough to stay in a core's cache.
pub(crate) const MAX_READ_BYTES: usize = 64 * 1024;
