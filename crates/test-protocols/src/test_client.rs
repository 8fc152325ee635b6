//! The run of `test-client`: connect, send in rounds, wait for the replies, close, sum up.
//!
//! What Jetty's `TestClient` does, with what was wrong in it put right: without a subprotocol it
//! sends Pings and times Pongs; replies are waited for before the connections are closed, and are
//! told from what others sent.

use std::{io::Write, pin::pin, sync::Arc, time::Duration};

use tokio::{
    select,
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep_until},
};
use ws_client::{
    Bytes, CloseCode, CloseEvent, ConnectError, ConnectRequest, HttpVersion, Message, OpCode,
    Policy, Prepared, RequestError, Session, connect,
};

use crate::{
    ClientOptions, EventLog, Summary,
    lines::Lines,
    log::Logged,
    payload,
    protocols::MAX_MESSAGE_BYTES,
    replies::{Expects, Ledger, Replies},
    round_trips::{Digest, RoundTrips, Scope},
};

/// Runs `test-client` as `options` say: header and replies go to `out`, and the events of a verbose
/// run, and what is worth knowing beside the counts, to `log`. The summary is the caller's to
/// print.
///
/// # Errors
///
/// [`ClientError`] if a connection cannot be opened; those before it are aborted.
///
/// # Cancel safety
///
/// Dropped before it resolves, the connections are aborted.
///
/// ```no_run
/// use test_protocols::{ClientOptions, run_client};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = ClientOptions::parse(["test-client", "-P", "echo", "-c", "3"])?;
/// let summary = run_client(&options, std::io::stdout(), std::io::stderr()).await?;
/// println!("{summary}");
/// assert_eq!(summary.missing, 0);
/// # Ok(())
/// # }
/// ```
pub async fn run_client(
    options: &ClientOptions,
    out: impl Write + Send + 'static,
    log: impl Write + Send + 'static,
) -> Result<Summary, ClientError> {
    let mut run = Run::connect(options, Lines::new(out), Lines::new(log)).await?;
    run.send_rounds().await;
    run.await_replies().await;
    run.close().await;
    Ok(run.summary())
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The options make no request.
    #[error("cannot connect")]
    Request(#[from] RequestError),

    /// The server cannot be reached, or refused.
    #[error("cannot connect to {authority}")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why not.
        source: ConnectError,
    },
}

/// A run under way.
struct Run<'a> {
    options: &'a ClientOptions,
    scope: Scope,
    ledger: Arc<Ledger>,
    clients: Vec<Client>,
    log: Lines,
}

/// One connection, and how it will have ended.
struct Client {
    session: Session,
    end: oneshot::Receiver<CloseEvent>,
}

impl Drop for Client {
    /// Nothing of a run outlives it.
    fn drop(&mut self) {
        self.session.abort();
    }
}

impl<'a> Run<'a> {
    /// Opens the connections, one by one.
    async fn connect(
        options: &'a ClientOptions,
        out: Lines,
        log: Lines,
    ) -> Result<Self, ClientError> {
        let request = request(options)?;
        let scope = scope(options);
        let mut run = Self {
            options,
            scope,
            ledger: Arc::new(Ledger::new(RoundTrips::new(options.clients, scope))),
            clients: Vec::with_capacity(options.clients),
            log,
        };
        let host = Arc::from(host(options));
        let shown = (!options.quiet).then(|| (out.clone(), host));
        for number in 0..options.clients {
            let client = run.open(number, &request, shown.clone()).await;
            run.clients.push(client.map_err(|source| {
                let authority = format!("{}:{}", self::host(options), request.port());
                ClientError::Connect { authority, source }
            })?);
        }
        run.show_header(&out, request.port());
        if scope == Scope::Everyone {
            run.greet().await;
        }
        Ok(run)
    }

    /// Waits until the server has seen every connection: what is broadcast before misses some. The
    /// 101 does not say so, the answer to a Ping does.
    async fn greet(&self) {
        for client in &self.clients {
            // A session that ended has been counted for that.
            client.session.ping("").await.ok();
        }
        let ledger = &self.ledger;
        let all = |_: &RoundTrips| ledger.greeted() >= self.clients.len();
        ledger.wait(PATIENCE, all).await;
    }

    async fn open(
        &self,
        number: usize,
        request: &ConnectRequest,
        shown: Option<(Lines, Arc<str>)>,
    ) -> Result<Client, ConnectError> {
        let expects = match self.options.protocol {
            Some(_) => Expects::Messages,
            None => Expects::Pongs,
        };
        let ledger = Arc::clone(&self.ledger);
        let (endpoint, end) = Replies::new(number, expects, ledger, shown);
        let session = match self.options.verbose {
            true => {
                let events = EventLog::new(self.log.clone());
                let endpoint = Logged::new(endpoint, CLASS, events);
                connect(request.clone(), endpoint).await?
            }
            false => connect(request.clone(), endpoint).await?,
        };
        Ok(Client { session, end })
    }

    fn show_header(&self, out: &Lines, port: u16) {
        let Some(first) = self.clients.first() else {
            return;
        };
        let host = host(self.options);
        let protocol = self.options.protocol.as_deref();
        let name = host.trim_matches(['[', ']']);
        let address = first.session.request().peer();
        let address = address.map_or_else(String::new, |peer| format!("{name}/{peer}"));
        out.line(format_args!(
            "Jetty WebSocket PING {host}:{port} ({address}) {} clients {}",
            self.clients.len(),
            protocol.unwrap_or("ping"),
        ));
        if first.session.subprotocol() != protocol {
            let offered = protocol.unwrap_or_default();
            self.log.line(format_args!(
                "test-client: the server did not choose `{offered}`"
            ));
        }
    }

    /// One message on each connection, every `delay`, until all are sent or none can be.
    async fn send_rounds(&self) {
        let mut next = Instant::now();
        for _ in 0..self.options.count {
            if !self.sleep_until(next).await {
                return;
            }
            next = Instant::now() + self.options.delay;
            for number in 0..self.clients.len() {
                if !self.send(number).await {
                    return;
                }
            }
        }
    }

    /// `false` if all connections ended before that.
    async fn sleep_until(&self, deadline: Instant) -> bool {
        if deadline <= Instant::now() {
            // The timer would take a millisecond; the connections need their turn.
            yield_now().await;
            let mut clients = self.clients.iter();
            return clients.any(|client| client.session.close_event().is_none());
        }
        let mut woken = pin!(sleep_until(deadline));
        for client in &self.clients {
            select! {
                () = &mut woken => return true,
                _ = client.session.closed() => {}
            }
        }
        false
    }

    /// Sends one message, if that connection is still there; `false` if replies no longer come.
    async fn send(&self, number: usize) -> bool {
        let session = &self.clients[number].session;
        if !session.is_open() {
            return true;
        }
        let window = match self.options.protocol {
            Some(_) => MESSAGE_WINDOW,
            None => PING_WINDOW,
        };
        let has_room = |trips: &RoundTrips| trips.waiting(number) < window;
        if !self.ledger.wait(PATIENCE, has_room).await {
            return false;
        }
        let frames = match self.options.protocol {
            None => self.send_ping(number, session).await,
            Some(_) => self.send_message(number, session).await,
        };
        match frames {
            Some(frames) => self.ledger.trips().sent(frames),
            None => self.ledger.trips().give_up(number),
        }
        true
    }

    async fn send_ping(&self, number: usize, session: &Session) -> Option<u64> {
        let payload = payload::binary(self.options.size_bytes);
        self.show_frame(true, OpCode::Ping, &payload);
        self.expect(number, OpCode::Pong, &payload);
        session.ping(payload).await.ok()?;
        Some(1)
    }

    async fn send_message(&self, number: usize, session: &Session) -> Option<u64> {
        let message = match self.options.binary {
            true => Message::binary(payload::binary(self.options.size_bytes)),
            false => Message::text(payload::text(self.options.size_bytes)),
        };
        let most = self.options.fragment_bytes.map(usize::from);
        let cuts = payload::cuts(&message, most);
        self.show_frames(&message, cuts.clone());
        let frames = cuts.clone().count() as u64 + 1;
        let prepared = Prepared::cut(&message, cuts);
        self.expect(number, message.kind().opcode(), message.as_bytes());
        session.send_prepared(&prepared).await.ok()?;
        Some(frames)
    }

    fn expect(&self, number: usize, opcode: OpCode, payload: &[u8]) {
        let digest = Digest::of(opcode, payload);
        let now = Instant::now();
        self.ledger.trips().expect(number, digest, now);
    }

    fn show_frames(&self, message: &Message, cuts: impl Iterator<Item = usize>) {
        let payload = message.as_bytes();
        let (mut opcode, mut start) = (message.kind().opcode(), 0);
        for cut in cuts {
            self.show_frame(false, opcode, &payload[start..cut]);
            (opcode, start) = (OpCode::Continuation, cut);
        }
        self.show_frame(true, opcode, &payload[start..]);
    }

    fn show_frame(&self, fin: bool, opcode: OpCode, payload: &[u8]) {
        if self.options.verbose {
            let (flags, bits) = (u8::from(fin) << 3, opcode.bits());
            let shown = payload.len().min(MAX_SHOWN_BYTES);
            let hex = Bytes::copy_from_slice(&payload[..shown]);
            let rest = match payload.len() - shown {
                0 => String::new(),
                _ => format!("… ({} bytes)", payload.len()),
            };
            self.log.line(format_args!(
                "{CLASS}#sendFrame {flags:02X}|{bits:02X} {hex:X}{rest}"
            ));
        }
    }

    /// Waits until all replies are here, or none came for a while.
    async fn await_replies(&self) {
        for client in &self.clients {
            // A session that ended has nothing left to write.
            client.session.flush().await.ok();
        }
        self.ledger.wait(PATIENCE, RoundTrips::is_settled).await;
    }

    /// Closes all connections, and waits until the last event of each.
    async fn close(&mut self) {
        let mut sessions = self.clients.iter().map(|client| &client.session);
        if let Some(event) = sessions.find_map(Session::close_event) {
            let (status, reason) = (event.status().get(), event.reason());
            self.log.line(format_args!(
                "test-client: a connection ended early: {status} {reason:?}"
            ));
        }
        for client in &self.clients {
            client.session.close(CloseCode::NORMAL, "");
        }
        for client in &mut self.clients {
            // An endpoint that is dropped without its last event has ended as well.
            (&mut client.end).await.ok();
        }
    }

    fn summary(&self) -> Summary {
        let trips = self.ledger.trips();
        let totals = trips.totals();
        let clients = self.options.clients as u64;
        let receivers = match self.scope {
            Scope::Sender => 1,
            Scope::Everyone => clients,
        };
        let expected = self.options.count * clients * receivers;
        Summary {
            host: host(self.options).to_owned(),
            clients: self.options.clients,
            totals,
            times: trips.times(),
            elapsed: trips.elapsed(),
            missing: expected.saturating_sub(totals.messages_received),
        }
    }
}

fn host(options: &ClientOptions) -> &str {
    options.url.host().unwrap_or_default()
}

fn request(options: &ClientOptions) -> Result<ConnectRequest, RequestError> {
    let policy = Policy::default()
        .with_max_message_bytes(MAX_MESSAGE_BYTES)
        // From one round to the next may be an hour.
        .with_idle_timeout(None)
        .with_compression(options.deflate.config());
    let version = match options.http2 {
        true => HttpVersion::Http2,
        false => HttpVersion::Http1,
    };
    let request = ConnectRequest::to(&options.url.to_string())?
        .with_policy(policy)
        .with_http_version(version);
    match &options.protocol {
        Some(protocol) => request.with_subprotocol(protocol),
        None => Ok(request),
    }
}

fn scope(options: &ClientOptions) -> Scope {
    let name = options.protocol.as_deref().unwrap_or_default();
    let name = name
        .strip_prefix("org.ietf.websocket.test-")
        .unwrap_or(name);
    match name {
        "echo-broadcast" | "echo-broadcast-ping" => Scope::Everyone,
        _ => Scope::Sender,
    }
}

/// How much of one payload is shown, in bytes; as much as of one that is received.
const MAX_SHOWN_BYTES: usize = 1024;

/// The name in Jetty's lines.
const CLASS: &str = "TestClient";

/// How long a reply may take after the one before it, or after the last message was written.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many messages a connection may wait for; a bound on what is remembered.
const MESSAGE_WINDOW: usize = 256;

/// The same of Pings. A server that cannot keep up may leave out all Pongs but the last (RFC 6455
/// §5.5.3); so few it can.
const PING_WINDOW: usize = 16;
