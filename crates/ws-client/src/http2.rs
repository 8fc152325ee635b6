//! The handshake over HTTP/2: settings, an extended CONNECT, a 200, and a stream of the connection
//! is ours (RFC 8441).
//!
//! Not by hyper, whose client does not tell when the server's settings have come, which have to be
//! known before the request may be sent (§3); and which, for a stream, needs a task and a channel.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, RecvStream,
    client::{Builder, Connection, SendRequest},
};
use http::{Request, response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use crate::{ConnectError, Refusal, refusal, tunnel::Tunnel};

/// Sends the head once the server has enabled extended CONNECTs, and waits for its 200. The
/// connection lives on in a task, which ends with the tunnel.
pub(crate) async fn exchange<I>(
    stream: I,
    head: Request<()>,
    deadline: Instant,
) -> Result<(response::Parts, Tunnel), ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchange = async {
        let (sender, mut connection) = builder().handshake(stream).await.map_err(failed)?;
        enabled(&sender, &mut connection).await?;
        let mut sender = while_driven(&mut connection, sender.ready()).await?;
        let (answer, send) = sender.send_request(head, false).map_err(failed)?;
        let answer = while_driven(&mut connection, answer).await?;
        let (head, recv) = answer.into_parts();
        if !head.status.is_success() {
            let body = text(&mut connection, recv, deadline).await;
            return Err(ConnectError::Refused(Box::new(Refusal::new(head, &body))));
        }
        let (over, until_over) = oneshot::channel();
        tokio::spawn(drive(connection, until_over));
        Ok((head, Tunnel::new(send, recv, over)))
    };
    timeout_at(deadline, exchange)
        .await
        .map_err(|_| ConnectError::Timeout)?
}

/// One stream, and nothing that is pushed.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .data_frame_budget(MAX_FRAME_OVERHEAD_BYTES)
        .max_send_buffer_size(MAX_SEND_BYTES)
        .max_header_list_size(MAX_HEAD_BYTES);
    builder
}

/// Waits for the server's settings: they come before its answer to a Ping, whatever they say.
async fn enabled<I>(
    sender: &SendRequest<Bytes>,
    connection: &mut Connection<I>,
) -> Result<(), ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = connection.ping_pong().expect("nobody has taken it");
    let mut answered = pin!(pings.ping(Ping::opaque()));
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(Err(ended.map_or_else(failed, |()| ended_early())));
        }
        if sender.is_extended_connect_protocol_enabled() {
            return Poll::Ready(Ok(()));
        }
        match answered.as_mut().poll(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Err(ConnectError::NotOverHttp2)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(failed(error))),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Waits for something that comes over the connection.
async fn while_driven<I, T>(
    connection: &mut Connection<I>,
    wanted: impl Future<Output = Result<T, h2::Error>>,
) -> Result<T, ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut wanted = pin!(wanted);
    poll_fn(|cx| {
        let ended = Pin::new(&mut *connection).poll(cx);
        // What came before the end counts.
        match (wanted.as_mut().poll(cx), ended) {
            (Poll::Ready(wanted), _) => Poll::Ready(wanted.map_err(failed)),
            (Poll::Pending, Poll::Ready(ended)) => {
                Poll::Ready(Err(ended.map_or_else(failed, |()| ended_early())))
            }
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

/// What comes of the body until its end, until there is enough, or until the deadline.
async fn text<I>(connection: &mut Connection<I>, mut body: RecvStream, deadline: Instant) -> Vec<u8>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut text = Vec::new();
    let reading = async {
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            if !refusal::keep(&mut text, &data) {
                break;
            }
        }
        Ok(())
    };
    // What came in time is better than nothing.
    let _elapsed = timeout_at(deadline, while_driven(connection, reading)).await;
    text
}

/// The life of the connection: until it ends, or until its one stream is over and it had its time
/// to say so.
async fn drive<I>(connection: Connection<I>, over: oneshot::Receiver<()>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = pin!(connection);
    let ended = select! {
        biased;
        ended = &mut connection => Ok(ended),
        _ = over => timeout(LINGER, connection).await,
    };
    if let Ok(Err(error)) = ended {
        // The session has been told of it by its stream.
        tracing::debug!(%error, "HTTP/2 connection failed");
    }
}

fn failed(error: h2::Error) -> ConnectError {
    ConnectError::Http2(error.into())
}

fn ended_early() -> ConnectError {
    ConnectError::Http2("the connection ended".into())
}

/// How much the server may send that the session has not read: HTTP/2's own default, and a little.
const WINDOW_BYTES: u32 = 64 * 1024;

/// How much DATA frames that the session has not read may cost beside what is in them, which is 256
/// bytes each: as much as a window full of the smallest frames of a WebSocket, of 2 bytes.
const MAX_FRAME_OVERHEAD_BYTES: usize = WINDOW_BYTES as usize / 2 * 256;

/// How much of what the session sends may wait for the server's window.
const MAX_SEND_BYTES: usize = 64 * 1024;

/// How long the answer's head may be, as over HTTP/1.
const MAX_HEAD_BYTES: u32 = 64 * 1024;

/// How long the connection may take to say goodbye when its stream is over.
const LINGER: Duration = Duration::from_secs(2);
