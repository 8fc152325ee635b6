//! From a request to a session: a stream, the handshake, the endpoint's task.
//!
//! Read this first: [`connect`] is the whole of it. HTTP is `http1`'s and `http2`'s; that the answer
//! is one to our handshake is `answer`'s. Until the session begins there is no task of its own, so a
//! dropped future leaves nothing behind.

use std::io;

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use ws_factory::{
    BoxError, ConnectionInfo, Endpoint, Established, Io, RequestSnapshot, Role, Session, Transport,
};

use crate::{
    ConnectRequest, HandshakeError, HttpVersion, Refusal, answer, http1, http2,
    mask_keys::RandomKeys,
};

/// Opens a WebSocket and runs `endpoint` over it, on a task of its own.
///
/// Resolves when the handshake is done. The session lives until one side closes it, whether the
/// handle is kept or not; its request is the one that was sent, with the peer's address.
///
/// # Errors
///
/// [`ConnectError`]: no connection, no answer in time, a refusal, or an answer that breaks the
/// protocol. The connection is gone and no event of the endpoint was called.
///
/// # Cancel safety
///
/// Dropped before it resolves, the connection is dropped with it.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
///
/// ```no_run
/// use ws_client::{ConnectRequest, Endpoint, EventResult, Session, Text, connect};
///
/// struct Printer;
///
/// impl Endpoint for Printer {
///     async fn on_text(&mut self, _session: &Session, text: Text) -> EventResult {
///         println!("{text}");
///         Ok(())
///     }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let request = ConnectRequest::to("ws://127.0.0.1:8080/chat")?;
/// let session = connect(request, Printer).await?;
/// session.send_text("hello").await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect<E: Endpoint>(
    request: ConnectRequest,
    endpoint: E,
) -> Result<Session, ConnectError> {
    let opened = if request.secure {
        Err(ConnectError::TlsNotBuiltIn)
    } else {
        open(&request).await
    };
    begin(&request, opened, endpoint)
}

/// As [`connect`], over a stream that is connected already: TLS, a proxy's tunnel, a socket of
/// another kind.
///
/// Over TLS the stream should have offered what [`HttpVersion::alpn`] names, and the request is to
/// speak what was agreed on. The session knows no addresses; that it is secure is the URL's to say.
///
/// # Errors
///
/// As [`connect`].
///
/// # Cancel safety
///
/// Dropped before it resolves, the stream is dropped with it.
///
/// # Panics
///
/// Outside a tokio runtime with time.
///
/// ```no_run
/// use ws_client::{ConnectRequest, HttpVersion, Io, from_fn};
///
/// /// `tls` is a stream over which TLS has agreed on this protocol.
/// async fn open(
///     tls: impl Io + 'static,
///     alpn: Option<&[u8]>,
/// ) -> Result<ws_client::Session, Box<dyn std::error::Error>> {
///     let version = alpn.and_then(HttpVersion::of_alpn).unwrap_or_default();
///     let request = ConnectRequest::to("wss://example.com/chat")?.with_http_version(version);
///     let printer = from_fn(|_session, message| async move {
///         println!("{message:?}");
///         Ok(())
///     });
///     Ok(ws_client::connect_over(tls, request, printer).await?)
/// }
/// ```
pub async fn connect_over<I: Io + 'static, E: Endpoint>(
    stream: I,
    request: ConnectRequest,
    endpoint: E,
) -> Result<Session, ConnectError> {
    let deadline = Instant::now() + request.connect_timeout();
    let info = ConnectionInfo::new().with_secure(request.secure);
    let opened = shake_hands(stream, Transport::boxed, &request, info, deadline).await;
    begin(&request, opened, endpoint)
}

/// Runs the endpoint, if there is something to run it over.
fn begin<E: Endpoint>(
    request: &ConnectRequest,
    opened: Result<Established, ConnectError>,
    endpoint: E,
) -> Result<Session, ConnectError> {
    match opened {
        Ok(mut established) => {
            let session = established.session().clone();
            tracing::debug!(
                host = request.host(),
                port = request.port(),
                session = session.id().get(),
                subprotocol = session.subprotocol(),
                "connected"
            );
            tokio::spawn(established.run(endpoint));
            Ok(session)
        }
        Err(error) => {
            let (host, port) = (request.host(), request.port());
            match &error {
                // Not the body: it may repeat what was asked for.
                ConnectError::Refused(refusal) => {
                    let status = refusal.status().as_u16();
                    tracing::debug!(host, port, status, "refused");
                }
                error => tracing::debug!(host, port, %error, "not connected"),
            }
            Err(error)
        }
    }
}

async fn open(request: &ConnectRequest) -> Result<Established, ConnectError> {
    let deadline = Instant::now() + request.connect_timeout();
    let stream = timeout_at(deadline, dial(request.host(), request.port()))
        .await
        .map_err(|_| ConnectError::Timeout)?
        .map_err(ConnectError::Tcp)?;
    let info = connection_info(&stream);
    shake_hands(stream, Transport::tcp, request, info, deadline).await
}

/// The straight line: request, answer, check. `transport` is what a stream becomes that is ours as a
/// whole.
async fn shake_hands<I: Io + 'static>(
    stream: I,
    transport: fn(I) -> Transport,
    request: &ConnectRequest,
    info: ConnectionInfo,
    deadline: Instant,
) -> Result<Established, ConnectError> {
    let (head, answer, established) = match request.http_version() {
        HttpVersion::Http1 => {
            let key = generate_key();
            let head = request.upgrade(&key);
            let (answer, upgraded) = http1::exchange(stream, head.clone(), deadline).await?;
            answer::check_upgrade(&answer, &key)?;
            let transport = transport(upgraded.io.into_inner());
            let established = Established::new(transport, Role::Client);
            (head, answer, established.with_read_ahead(upgraded.read_buf))
        }
        HttpVersion::Http2 => {
            let head = request.extended_connect();
            let (answer, tunnel) = http2::exchange(stream, head.clone(), deadline).await?;
            let established = Established::new(Transport::boxed(tunnel), Role::Client);
            (head, answer, established)
        }
    };
    let subprotocol = answer::subprotocol(&answer, request.subprotocols())?;
    let agreed = answer::extensions(&answer)?;
    let extensions = request
        .policy()
        .agree_to(&agreed)
        .map_err(|rule| HandshakeError::Extension { rule })?;

    let (mut sent, ()) = head.into_parts();
    sent.extensions.insert(info);
    let policy = request.policy().clone();
    let snapshot = RequestSnapshot::of(&sent, subprotocol, &agreed, policy.kept_headers());
    Ok(established
        .with_request(snapshot)
        .with_extensions(extensions)
        .with_policy(policy)
        .with_mask_keys(RandomKeys))
}

async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // A session writes what belongs together at once; waiting for more only delays it.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connection_info(stream: &TcpStream) -> ConnectionInfo {
    let mut info = ConnectionInfo::new();
    if let Ok(peer) = stream.peer_addr() {
        info = info.with_peer(peer);
    }
    if let Ok(local) = stream.local_addr() {
        info = info.with_local(local);
    }
    info
}

/// Why there is no session, divided by whose fault it is.
///
/// ```no_run
/// use ws_client::{ConnectError, ConnectRequest, Endpoint, Session, connect};
///
/// async fn open<E: Endpoint>(request: ConnectRequest, endpoint: E) -> Option<Session> {
///     match connect(request, endpoint).await {
///         Ok(session) => return Some(session),
///         Err(ConnectError::Refused(refusal)) => {
///             eprintln!("{}: {}", refusal.status(), refusal.body());
///         }
///         Err(error) => eprintln!("{error}"),
///     }
///     None
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The caller: the URL's scheme is `wss`, for which [`connect_over`] needs a stream of TLS.
    #[error("TLS is not built in: a `wss` URL needs a stream of yours")]
    TlsNotBuiltIn,

    /// The network: the name was not found, or nobody accepts connections there.
    #[error("no connection")]
    Tcp(#[source] io::Error),

    /// Nothing, or not enough, came within the connect timeout.
    #[error("no answer in time")]
    Timeout,

    /// The connection was lost before there was an answer, or the answer is not HTTP/1.
    #[error("no answer in HTTP")]
    Http(#[source] hyper::Error),

    /// The connection was lost before there was an answer, or is not HTTP/2, or the server reset the
    /// stream.
    #[error("no answer in HTTP/2")]
    Http2(#[source] BoxError),

    /// The server speaks HTTP/2, but its settings do not enable extended CONNECTs (RFC 8441 §3): it
    /// may have WebSockets over HTTP/1.
    #[error("the server knows no WebSockets over HTTP/2")]
    NotOverHttp2,

    /// The server answered with another status than 101, or over HTTP/2 with one that is no success;
    /// a redirect is not followed.
    ///
    /// Shown with the beginning of what it says: see [`Refusal`]'s `Display`.
    #[error("refused with {0}")]
    Refused(Box<Refusal>),

    /// The server accepted but broke a rule of the handshake.
    #[error("bad answer to the handshake")]
    Handshake(#[from] HandshakeError),
}
