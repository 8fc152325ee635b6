//! From a request to a session: TCP, the handshake, the endpoint's task.
//!
//! Read this first: [`connect`] is the whole of it. HTTP is hyper's; that the answer is one to our
//! handshake is `answer`'s. Until the session begins there is no task of its own, so a dropped
//! future leaves nothing behind.

use std::{io, pin::pin};

use bytes::Bytes;
use http::{Request, StatusCode, response};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    select,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use ws_factory::{
    ConnectionInfo, Endpoint, Established, RequestSnapshot, Role, Session, Transport,
};

use crate::{ConnectRequest, HandshakeError, Refusal, answer, mask_keys::RandomKeys};

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
    match open(&request).await {
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

/// The straight line: TCP, request, answer, check.
async fn open(request: &ConnectRequest) -> Result<Established, ConnectError> {
    let deadline = Instant::now() + request.connect_timeout();
    let stream = timeout_at(deadline, dial(request.host(), request.port()))
        .await
        .map_err(|_| ConnectError::Timeout)?
        .map_err(ConnectError::Tcp)?;
    let info = connection_info(&stream);

    let key = generate_key();
    let head = request.head(&key);
    let (answer, upgraded) = exchange(stream, head.clone(), deadline).await?;
    let subprotocol = answer::check(&answer, &key, request.subprotocols())?;
    let agreed = answer::extensions(&answer)?;
    let extensions = request
        .policy()
        .agree_to(&agreed)
        .map_err(|rule| HandshakeError::Extension { rule })?;

    let (mut sent, ()) = head.into_parts();
    sent.extensions.insert(info);
    let policy = request.policy().clone();
    let snapshot = RequestSnapshot::of(&sent, subprotocol, &agreed, policy.kept_headers());
    let transport = Transport::tcp(upgraded.io.into_inner());
    Ok(Established::new(transport, Role::Client)
        .with_read_ahead(upgraded.read_buf)
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

/// What hyper gives back of a connection: the socket, and what it read behind the answer's head.
type Upgraded = http1::Parts<TokioIo<TcpStream>>;

/// Sends the head, and waits for a 101 and for hyper to let go of the connection.
async fn exchange(
    stream: TcpStream,
    head: Request<()>,
    deadline: Instant,
) -> Result<(response::Parts, Upgraded), ConnectError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Http)?;
    // Not `hyper::upgrade::on`: that boxes the socket and needs a task for the connection.
    let mut connection = pin!(timeout_at(deadline, connection.without_shutdown()));
    let mut answered = pin!(ask(sender, head, deadline));
    // Neither moves without the other being polled; whichever ends first, the other follows.
    let (answer, parts) = select! {
        answer = &mut answered => (answer?, connection.await),
        parts = &mut connection => (answered.await?, parts),
    };
    let upgraded = parts
        .map_err(|_| ConnectError::Timeout)?
        .map_err(ConnectError::Http)?;
    Ok((answer, upgraded))
}

async fn ask(
    mut sender: http1::SendRequest<Empty<Bytes>>,
    head: Request<()>,
    deadline: Instant,
) -> Result<response::Parts, ConnectError> {
    let request = head.map(|()| Empty::new());
    let answer = timeout_at(deadline, sender.send_request(request))
        .await
        .map_err(|_| ConnectError::Timeout)?
        .map_err(ConnectError::Http)?;
    let (head, body) = answer.into_parts();
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        let refusal = Refusal::read(head, body, deadline).await;
        return Err(ConnectError::Refused(Box::new(refusal)));
    }
    Ok(head)
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
    /// The network: the name was not found, or nobody accepts connections there.
    #[error("no connection")]
    Tcp(#[source] io::Error),

    /// Nothing, or not enough, came within the connect timeout.
    #[error("no answer in time")]
    Timeout,

    /// The connection was lost before there was an answer, or the answer is not HTTP/1.
    #[error("no answer in HTTP")]
    Http(#[source] hyper::Error),

    /// The server answered with another status than 101; a redirect is not followed.
    ///
    /// Shown with the beginning of what it says: see [`Refusal`]'s `Display`.
    #[error("refused with {0}")]
    Refused(Box<Refusal>),

    /// The server answered 101 but broke a rule of the handshake.
    #[error("bad answer to the handshake")]
    Handshake(#[from] HandshakeError),
}

/// How long the answer's head may be, in bytes: more than any server sends, and a bound on what a
/// hostile one makes us hold.
const MAX_HEAD_BYTES: usize = 64 * 1024;
