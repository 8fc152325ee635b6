//! A ready-made server: bind, serve, stop gracefully.
//!
//! Deliberately small: HTTP/1.1 and HTTP/2 by hyper-util, a deadline against those who connect and
//! say nothing, an accept loop that survives a full file table, and a shutdown that waits for
//! sessions and requests alike. Anything more is a hyper server of your own around a
//! [`WebSocketHandler`].

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{ConnectionInfo, HandlerBody, InnerService, ShutdownReport, WebSocketHandler};

/// Serves a [`WebSocketHandler`] on a TCP port.
///
/// | setting | default | reached |
/// |---|---|---|
/// | `request_deadline` | 10 s from accept to the first request's head | connection closed |
/// | `shutdown_deadline` | 10 s | what is left is cut |
///
/// The head of a request may have 64 KiB and 100 headers; it is answered with 431 beyond.
///
/// It sets [`ConnectionInfo`], so that sessions know their peer.
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
    request_deadline: Duration,
    shutdown_deadline: Duration,
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
            request_deadline: REQUEST_DEADLINE,
            shutdown_deadline: SHUTDOWN_DEADLINE,
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
    /// The head of each further HTTP/1.1 request has as long, from the end of the one before.
    pub fn with_request_deadline(mut self, deadline: Duration) -> Self {
        self.request_deadline = deadline.min(MAX_REQUEST_DEADLINE);
        self
    }

    /// How long a shutdown waits for sessions and requests before it cuts them. Default: 10 s.
    pub const fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.shutdown_deadline = deadline;
        self
    }

    /// Accepts and serves until `shutdown` resolves; then closes every session with 1001, lets
    /// requests finish, and returns how the sessions ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it stops accepting and cuts the HTTP connections; sessions
    /// live on.
    pub async fn serve<S: InnerService>(
        self,
        handler: WebSocketHandler<S>,
        shutdown: impl Future<Output = ()>,
    ) -> ShutdownReport {
        let shutdown_deadline = self.shutdown_deadline;
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
            request_deadline,
            ..
        } = self;
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let info = ConnectionInfo::new().with_peer(peer).with_local(local);
                    let connection = Connection {
                        handler: Arc::clone(&handler),
                        info: info_of(&stream, info),
                        request_deadline,
                    };
                    let watcher = graceful.watcher();
                    connections.spawn(connection.serve(stream, watcher));
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
            graceful,
            connections,
        }
    }
}

/// The HTTP connections of a server that has stopped to accept.
pub(crate) struct Requests {
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Requests {
    /// Lets them finish what they are at; cuts what is left at the deadline.
    pub(crate) async fn finish(mut self, deadline: Duration) {
        let _elapsed = timeout(deadline, self.graceful.shutdown()).await;
        self.connections.shutdown().await;
    }
}

/// The default from accept to the first request's head.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// The default of what a shutdown waits.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait after an accept that failed for want of resources, which are freed by others.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// hyper adds the deadline to the time of day, and panics where the sum is none.
const MAX_REQUEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The most bytes that a request's head may have; 431 beyond.
///
/// A session keeps its request's headers, so this bounds what a client can make it hold; hyper's
/// own limit is 400 KiB. Jetty's is 8 KiB, but cookies have grown.
const MAX_HEAD_BYTES: usize = 64 * 1024;

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

/// What one TCP connection is served with.
struct Connection<S> {
    handler: Arc<WebSocketHandler<S>>,
    info: ConnectionInfo,
    request_deadline: Duration,
}

impl<S: InnerService> Connection<S> {
    async fn serve(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        // Frames are written when they are ready; waiting for more would only delay them. A socket
        // that refuses is about to fail anyway.
        let _refused = stream.set_nodelay(true);
        let called = Arc::new(Notify::new());
        let service = FirstCall {
            handler: self.handler,
            info: self.info,
            called: Arc::clone(&called),
        };
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(MAX_HEAD_BYTES)
            .header_read_timeout(self.request_deadline);
        builder.http2().timer(TokioTimer::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = pin!(watcher.watch(connection));

        let outcome = tokio::select! {
            biased;
            outcome = &mut connection => outcome,
            () = called.notified() => connection.await,
            () = sleep(self.request_deadline) => {
                tracing::debug!("no request in time");
                return;
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error = %error, "HTTP connection failed");
        }
    }
}

/// Notes the first call, and says who is connected.
struct FirstCall<S> {
    handler: Arc<WebSocketHandler<S>>,
    info: ConnectionInfo,
    called: Arc<Notify>,
}

impl<S: InnerService> Service<Request<Incoming>> for FirstCall<S> {
    type Response = Response<HandlerBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = <WebSocketHandler<S> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.called.notify_one();
        request.extensions_mut().insert(self.info);
        Service::call(&*self.handler, request)
    }
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
