//! A ready-made server: bind, serve, stop gracefully.
//!
//! Deliberately small: HTTP/1.1 and HTTP/2 by hyper-util, deadlines against clients that say or take
//! nothing, an accept loop that survives a full file table, and a shutdown that waits for sessions
//! and requests alike. Anything more is a hyper server of your own around a [`WebSocketHandler`].

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    ConnectionInfo, InnerService, ShutdownReport, WebSocketHandler,
    connection_limit::ConnectionLimit, http_connection::HttpConnection, server_settings::Deadlines,
};

/// Serves a [`WebSocketHandler`] on a TCP port.
///
/// | setting | default | reached |
/// |---|---|---|
/// | `request_deadline` | 10 s from accept to the first request's head, and to each further one of HTTP/1.1 | connection closed |
/// | `write_deadline` | 60 s in which the client takes nothing of a response | connection closed |
/// | `http2_idle_timeout` | 60 s in which an HTTP/2 client asks and takes nothing | GOAWAY, connection closed |
/// | `http2_ping_interval` | 30 s of silence on HTTP/2, then 20 s for the answer to a Ping | connection closed |
/// | `shutdown_deadline` | 10 s | what is left is cut |
/// | `max_connections` | as many as the process may have files | nobody is accepted until one ends |
///
/// The deadlines concern HTTP alone: once a connection has become a session, it is the session's
/// [`crate::Policy`] that counts. A connection that the inner service has upgraded by itself keeps the
/// write deadline.
///
/// Over HTTP/2 (by prior knowledge: without TLS there is nothing to negotiate by) a session has one
/// stream of a connection (RFC 8441), which stays HTTP's: it lives as long as a session on it, the
/// idle timeout begins with the end of the last one, and the write deadline and the Pings hold for
/// all who share it. A session that reads nothing, or a client that takes nothing of it, stops
/// that session only.
///
/// None of them runs while the inner service is at work, however long it takes to answer. The body of
/// a request is read when the inner service asks for it, so how long that may take and how much it
/// may be is the inner service's to say, for instance by [`tokio::time::timeout`] and
/// `http_body_util::Limited`.
///
/// The head of a request may have 64 KiB and 100 headers; it is answered with 431 beyond. Over
/// HTTP/2 the headers may have 16 KiB, and a connection 100 requests and sessions at a time, each of
/// which holds at most 64 KiB of its response beside what the inner service does (a session 128 KiB
/// beside its outbox), and at most 64 KiB that were sent to it and are not read.
///
/// It sets [`ConnectionInfo`], so that sessions know their peer.
///
/// The `tracing` events of this project about hostile clients are few, whatever those do. The crate
/// `h2` warns of each connection that it ends for its misbehaviour: a subscriber that faces the
/// world should have the target `h2` from ERROR on only.
///
/// ```no_run
/// # async fn example(factory: ws_handler::WebSocketFactory) -> std::io::Result<()> {
/// use ws_handler::{NotFound, Server, WebSocketHandler, shutdown_signal};
///
/// let server = Server::bind("127.0.0.1:8080").await?;
/// println!("listening on {}", server.local_addr());
/// let report = server
///     .serve(WebSocketHandler::new(factory, NotFound), shutdown_signal())
///     .await;
/// println!("{} sessions ended cleanly", report.clean());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is accepted until it serves"]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    deadlines: Deadlines,
    connections: ConnectionLimit,
}

impl Server {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As the operating system says, for instance that the port is taken.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::from_listener(TcpListener::bind(address).await?)
    }

    /// Serves a socket that listens already.
    ///
    /// # Errors
    ///
    /// If the socket has no local address.
    pub fn from_listener(listener: TcpListener) -> io::Result<Self> {
        Ok(Self {
            local: listener.local_addr()?,
            listener,
            deadlines: Deadlines::default(),
            connections: ConnectionLimit::default(),
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How long a connection may take from its accept until the head of its first request is
    /// there, whatever bytes come meanwhile. Default: 10 s. At most a year.
    ///
    /// The head of each further HTTP/1.1 request has as long, from when the client has taken the
    /// response before it.
    pub fn with_request_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines = self.deadlines.with_request(deadline);
        self
    }

    /// How long a client may take nothing at all of a response that is ready for it. Default: 60 s.
    /// At most a year.
    ///
    /// However little it takes, it has as long again. Of a session, it is
    /// [`crate::Policy::with_write_deadline`] that counts.
    pub fn with_write_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines = self.deadlines.with_write(deadline);
        self
    }

    /// How long an HTTP/2 connection may be without a request, or with no other requests than
    /// those whose client leaves no room for more of the response. Default: 60 s. At most a year.
    ///
    /// Then it is told to end (GOAWAY), and has [`Self::with_write_deadline`] to do so. The time
    /// does not run while the inner service is at work on a request, nor while there is a session;
    /// nor once the inner service has answered a CONNECT with success, which leaves it to the Pings
    /// to end the connection.
    ///
    /// Of HTTP/1.1, it is [`Self::with_request_deadline`] that counts.
    pub fn with_http2_idle_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines = self.deadlines.with_http2_idle(timeout);
        self
    }

    /// After how much silence of its client an HTTP/2 connection is sent a Ping, which has to be
    /// answered within 20 s. Default: 30 s. At least a second, at most a year.
    pub fn with_http2_ping_interval(mut self, interval: Duration) -> Self {
        self.deadlines = self.deadlines.with_http2_ping(interval);
        self
    }

    /// How long a shutdown waits for sessions and requests before it cuts them. Default: 10 s.
    pub const fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.shutdown = deadline;
        self
    }

    /// How many connections there may be at a time; until one of them ends nobody else is accepted,
    /// and waits where the operating system keeps those that are to be accepted (1,024 of them, in
    /// each thread's listener; beyond that it refuses or ignores them). Default: `None`, as many as
    /// the process may have open files, which it survives: how many that should be is set there
    /// (`ulimit -n`), and no other number suits every machine. `Some(0)` accepts nobody.
    ///
    /// All connections count, from their accept to when we have closed the socket: those that say
    /// nothing yet, those that wait for their next request, those that are answered, and those that
    /// have become sessions or were upgraded by the inner service. An HTTP/2 connection is one,
    /// however many requests it has. A client that vanishes without a word counts until a deadline
    /// of ours notices.
    ///
    /// So sessions alone can take all the places, and then no request is answered either, not even
    /// one that asks how the server is. [`crate::Policy::with_max_sessions`] refuses handshakes with
    /// a 503 instead: set lower, it leaves places for requests.
    pub fn with_max_connections(mut self, most: Option<usize>) -> Self {
        self.connections = ConnectionLimit::new(most);
        self
    }

    pub(crate) fn with_connection_limit(mut self, connections: ConnectionLimit) -> Self {
        self.connections = connections;
        self
    }

    pub(crate) const fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Accepts and serves until `shutdown` resolves; then closes every session with 1001, lets
    /// requests finish, and returns how the sessions ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it stops accepting and cuts the HTTP connections, and with them
    /// the sessions over HTTP/2; those over HTTP/1 live on.
    pub async fn serve<S: InnerService>(
        self,
        handler: WebSocketHandler<S>,
        shutdown: impl Future<Output = ()>,
    ) -> ShutdownReport {
        let shutdown_deadline = self.deadlines.shutdown;
        let routes = handler.routes().clone();
        let requests = self.accept_until(Arc::new(handler), shutdown).await;
        // Side by side: a handshake whose endpoint is still being made counts as a session that is
        // not over, and ends only with its HTTP connection.
        let (report, ()) = tokio::join!(
            routes.shutdown(shutdown_deadline),
            requests.finish(shutdown_deadline),
        );
        report
    }

    /// Accepts and serves until `stop` resolves; then nobody listens any more, and what is left
    /// of HTTP is returned.
    pub(crate) async fn accept_until<S: InnerService>(
        self,
        handler: Arc<WebSocketHandler<S>>,
        stop: impl Future<Output = ()>,
    ) -> Requests {
        let Self {
            listener,
            local,
            deadlines,
            connections: limit,
        } = self;
        let (stopping, _) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = limit.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, peer, guard)) => {
                    let info = ConnectionInfo::new().with_peer(peer).with_local(local);
                    // Frames are written when they are ready; waiting for more would only delay
                    // them. A socket that refuses is about to fail anyway.
                    let _refused = stream.set_nodelay(true);
                    let connection = HttpConnection {
                        handler: Arc::clone(&handler),
                        info: info_of(&stream, info),
                        deadlines,
                        guard,
                        stopping: stopping.subscribe(),
                    };
                    // Boxed, since its room is moved about until it runs.
                    connections.spawn(Box::pin(connection.serve(stream)));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    if !is_of_one_connection(&error) {
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        Requests {
            stopping,
            connections,
        }
    }
}

/// The HTTP connections of a server that has stopped to accept.
pub(crate) struct Requests {
    stopping: watch::Sender<()>,
    connections: JoinSet<()>,
}

impl Requests {
    /// Lets them finish what they are at; cuts what is left at the deadline.
    pub(crate) async fn finish(mut self, deadline: Duration) {
        self.stopping.send_replace(());
        let _elapsed = timeout(deadline, self.stopping.closed()).await;
        self.connections.shutdown().await;
    }
}

/// How long to wait after an accept that failed for want of resources, which are freed by others.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address that the connection was made to, where the listener's is a wildcard.
fn info_of(stream: &TcpStream, info: ConnectionInfo) -> ConnectionInfo {
    match stream.local_addr() {
        Ok(local) => info.with_local(local),
        Err(_) => info,
    }
}

/// Whether an accept failed because of that one connection: the next may be tried at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_that_fails_for_one_connection_is_tried_again_at_once() {
        let of_one = [
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::Interrupted,
        ];
        for kind in of_one {
            assert!(is_of_one_connection(&kind.into()), "{kind:?}");
        }

        // EMFILE, ENFILE, ENOBUFS, ENOMEM: the same would be said again and again.
        for code in [24, 23, 105, 12] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!is_of_one_connection(&error), "{error}");
        }
    }
}
