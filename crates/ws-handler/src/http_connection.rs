//! One TCP connection of a ready-made server, from its accept until HTTP lets go of it.
//!
//! ```text
//!   accepted ── first head ──▶ requests ── 101 ──▶ a session's, no longer ours
//!       │ request deadline        │ next head late (HTTP/1), idle (HTTP/2), write deadline
//!       ▼                         ▼
//!     closed                    closed
//! ```
//!
//! Over HTTP/2 a session has one stream of it, and the connection stays HTTP's to the end.

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Request, Response, Version, header::UPGRADE};
use hyper::{body::Incoming, service::Service, upgrade::Upgraded};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};
use ws_factory::{Transport, UnwrapUpgraded};

use crate::{
    ConnectionGuard, ConnectionInfo, HandlerBody, HandlerFuture, InnerService, WebSocketHandler,
    exchanges::{Answering, Exchange, Exchanges, Pieces},
    http_socket::HttpSocket,
    server_settings::{
        Deadlines, HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_PING_DEADLINE, HTTP2_STREAM_WINDOW_BYTES,
        MAX_HEAD_BYTES, MAX_HTTP2_SEND_BYTES, MAX_HTTP2_STREAMS,
    },
};

/// What one connection is served with.
pub(crate) struct HttpConnection<S> {
    pub(crate) handler: Arc<WebSocketHandler<S>>,
    pub(crate) info: ConnectionInfo,
    pub(crate) deadlines: Deadlines,
    /// Its place among the server's connections, where those are limited.
    pub(crate) guard: Option<ConnectionGuard>,
    /// Changes when the server stops.
    pub(crate) stopping: watch::Receiver<()>,
}

impl<S: InnerService> HttpConnection<S> {
    pub(crate) async fn serve<I>(self, stream: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            handler,
            info,
            deadlines,
            guard,
            mut stopping,
        } = self;
        let socket = HttpSocket::new(stream, deadlines.write, guard.clone());
        let watched = Arc::new(Watched::new(deadlines));
        let service = Watching {
            handler,
            info,
            guard,
            watched: Arc::clone(&watched),
        };
        let builder = builder(deadlines);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let mut overdue = pin!(watched.overdue());
        let mut is_stopping = false;

        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut connection => break outcome,
                // An error says that the server was dropped, and this with it.
                _ = stopping.changed(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                overdue = &mut overdue => match overdue {
                    Overdue::Request => {
                        tracing::debug!("no request in time");
                        return;
                    }
                    Overdue::Idle => {
                        tracing::debug!("HTTP/2 connection idle");
                        connection.as_mut().graceful_shutdown();
                        break tokio::select! {
                            outcome = &mut connection => outcome,
                            () = watched.idle_again() => return,
                        };
                    }
                },
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error = %error, "HTTP connection failed");
        }
    }
}

fn builder(deadlines: Deadlines) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(MAX_HEAD_BYTES)
        .header_read_timeout(deadlines.request);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(deadlines.http2_ping)
        .keep_alive_timeout(HTTP2_PING_DEADLINE)
        .enable_connect_protocol()
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .max_send_buf_size(MAX_HTTP2_SEND_BYTES);
    builder
}

/// Why a connection is ended.
enum Overdue {
    /// There was no first request in time.
    Request,
    /// It speaks HTTP/2, and its client has asked and taken nothing.
    Idle,
}

/// What is known of a connection beside what hyper knows.
struct Watched {
    deadlines: Deadlines,
    /// Told at the first request.
    requested: Notify,
    /// Of HTTP/2 only; HTTP/1 has one request at a time, and hyper knows when it is over.
    exchanges: OnceLock<Arc<Exchanges>>,
}

impl Watched {
    fn new(deadlines: Deadlines) -> Self {
        Self {
            deadlines,
            requested: Notify::new(),
            exchanges: OnceLock::new(),
        }
    }

    /// Notes a request; of HTTP/2 it is watched to the end.
    fn requested<B>(&self, request: &mut Request<B>) -> Option<Exchange> {
        let exchange = (request.version() == Version::HTTP_2).then(|| {
            let exchanges = self.exchanges.get_or_init(|| Arc::new(Exchanges::new()));
            Exchange::begin(exchanges, request)
        });
        self.requested.notify_one();
        exchange
    }

    async fn overdue(&self) -> Overdue {
        let requested = self.requested.notified();
        if timeout(self.deadlines.request, requested).await.is_err() {
            return Overdue::Request;
        }
        match self.exchanges.get() {
            Some(exchanges) => exchanges.idle(self.deadlines.http2_idle).await,
            None => pending().await,
        }
        Overdue::Idle
    }

    /// Resolves when a client that was told to end has not done so; a request that it sent before it
    /// knew is still answered.
    async fn idle_again(&self) {
        match self.exchanges.get() {
            Some(exchanges) => exchanges.idle_again(self.deadlines.write).await,
            None => pending().await,
        }
    }
}

/// The handler, watched; and it is told who is connected.
struct Watching<S> {
    handler: Arc<WebSocketHandler<S>>,
    info: ConnectionInfo,
    guard: Option<ConnectionGuard>,
    watched: Arc<Watched>,
}

impl<S: InnerService> Service<Request<Incoming>> for Watching<S> {
    type Response = Response<Pieces<HandlerBody<S::ResponseBody>>>;
    type Error = S::Error;
    type Future = Answering<HandlerFuture<S::Future>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let exchange = self.watched.requested(&mut request);
        // Of HTTP/2 a session is a stream, and its connection stays ours.
        let guard = match request.headers().contains_key(UPGRADE) {
            true => self.guard.clone(),
            false => None,
        };
        let extensions = request.extensions_mut();
        if let Some(guard) = guard {
            extensions.insert(guard);
        }
        extensions.insert(self.info);
        extensions.insert(UnwrapUpgraded::new(unwrap));
        Answering {
            future: Service::call(&*self.handler, request),
            exchange,
        }
    }
}

/// A session runs on the socket itself.
fn unwrap(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    let parts = auto::upgrade::downcast::<TokioIo<HttpSocket<TcpStream>>>(upgraded)?;
    let socket = parts.io.into_inner().into_inner();
    Ok((Transport::tcp(socket), parts.read_buf))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{convert::Infallible, time::Duration};

    use http_body_util::Full;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        net::TcpListener,
        sync::oneshot,
        task::JoinHandle,
        time::{Instant, sleep},
    };

    use super::*;
    use crate::{Policy, WebSocketFactory, from_fn, service_fn};

    /// Serves one end of a pipe that holds as many bytes, with the default deadlines; returns the
    /// other end and what stops the server.
    pub(crate) fn serve(
        pipe_bytes: usize,
        pages: impl InnerService,
    ) -> (DuplexStream, JoinHandle<()>, watch::Sender<()>) {
        let (near, far) = duplex(pipe_bytes);
        let (stop, stopping) = watch::channel(());
        let policy = Policy::default().with_idle_timeout(None);
        let factory = WebSocketFactory::builder()
            .fallback(|_| {
                from_fn(|session: crate::Session, message| async move {
                    session.send(message).await?;
                    Ok(())
                })
            })
            .with_policy(policy)
            .build()
            .unwrap();
        let connection = HttpConnection {
            handler: Arc::new(WebSocketHandler::new(factory, pages)),
            info: ConnectionInfo::new(),
            deadlines: Deadlines::default(),
            guard: None,
            stopping,
        };
        (far, tokio::spawn(connection.serve(near)), stop)
    }

    /// Answers at once, with as many bytes in one piece.
    pub(crate) fn page(bytes: usize) -> impl InnerService {
        let body = Bytes::from(vec![b'x'; bytes]);
        service_fn(move |_request| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(body.clone()))))
        })
    }

    /// Answers after so long.
    pub(crate) fn slow_page(work: Duration) -> impl InnerService {
        service_fn(move |_request| async move {
            sleep(work).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("done"))))
        })
    }

    /// Waits for the end of a connection, which a test's clock makes short.
    pub(crate) async fn ended(serving: JoinHandle<()>) {
        let ended = timeout(2 * DAY, serving).await;
        ended.expect("it ends").expect("no panic");
    }

    pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn session_is_cut_by_no_deadline_of_http() {
        let (mut client, serving, _stop) = serve(1024, page(0));

        client.write_all(HANDSHAKE).await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
        ended(serving).await;
        sleep(DAY).await;
        client.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();

        let mut echoed = [0; 4];
        client.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"\x81\x02hi");
    }

    #[tokio::test(start_paused = true)]
    async fn first_head_that_trickles_ends_the_connection_at_the_request_deadline() {
        let (mut client, serving, _stop) = serve(1024, page(0));
        let begin = Instant::now();

        while client.write_all(b"GET").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
            assert!(begin.elapsed() <= Duration::from_secs(12), "T2");
        }

        ended(serving).await;
        assert!(begin.elapsed() >= Duration::from_secs(10), "T2");
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_waits_for_a_request_ends_when_the_server_stops() {
        let (mut client, serving, stop) = serve(1024, page(0));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        head(&mut client).await;
        let begin = Instant::now();

        stop.send_replace(());

        ended(serving).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    /// Over TCP, since that is what is unwrapped; nothing is waited for.
    #[tokio::test]
    async fn session_gets_the_socket_itself_and_what_was_read_behind_the_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let (tell, told) = oneshot::channel();
        let tell = std::sync::Mutex::new(Some(tell));
        let service = service_fn(|mut request: Request<Incoming>| {
            let upgrade = hyper::upgrade::on(&mut request);
            let tell = tell.lock().unwrap().take().expect("one request");
            tokio::spawn(async move { tell.send(upgrade.await.map(unwrap)) });
            let response = Response::builder()
                .status(101)
                .header("upgrade", "websocket")
                .body(Full::new(Bytes::new()));
            std::future::ready(Ok::<_, Infallible>(response.unwrap()))
        });
        let socket = HttpSocket::new(accepted, Duration::from_secs(60), None);
        let builder = builder(Deadlines::default());

        client
            .write_all(&[HANDSHAKE, b"behind".as_slice()].concat())
            .await
            .unwrap();
        builder
            .serve_connection_with_upgrades(TokioIo::new(socket), service)
            .await
            .unwrap();

        let unwrapped = told.await.unwrap().unwrap();
        let (_transport, read_ahead) = unwrapped.expect("a TCP socket");
        assert_eq!(read_ahead, "behind");
    }
}
