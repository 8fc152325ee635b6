//! The handshake over HTTP/1: a GET, a 101, and the connection is ours (RFC 6455 §4.1).

use std::pin::pin;

use bytes::Bytes;
use http::{Request, StatusCode, response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    time::{Instant, timeout_at},
};

use crate::{ConnectError, Refusal, refusal};

/// What hyper gives back of a connection: the stream, and what it read behind the answer's head.
pub(crate) type Upgraded<I> = http1::Parts<TokioIo<I>>;

/// Sends the head, and waits for a 101 and for hyper to let go of the connection.
pub(crate) async fn exchange<I>(
    stream: I,
    head: Request<()>,
    deadline: Instant,
) -> Result<(response::Parts, Upgraded<I>), ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
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
        let body = text(body, deadline).await;
        return Err(ConnectError::Refused(Box::new(Refusal::new(head, &body))));
    }
    Ok(head)
}

/// What comes of the body until its end, until there is enough, or until the deadline.
async fn text(mut body: Incoming, deadline: Instant) -> Vec<u8> {
    let mut text = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            if !refusal::keep(&mut text, &data) {
                break;
            }
        }
    };
    // What came in time is better than nothing.
    let _elapsed = timeout_at(deadline, reading).await;
    text
}

/// How long the answer's head may be, in bytes: more than any server sends, and a bound on what a
/// hostile one makes us hold.
const MAX_HEAD_BYTES: usize = 64 * 1024;
