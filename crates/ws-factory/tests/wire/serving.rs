//! hyper serves one end of a pipe; the test is the other, and speaks first.

use std::{convert::Infallible, future::Future};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use ws_factory::WebSocketFactory;

/// Serves one connection, with upgrades, over a pipe that holds as many bytes; returns its other
/// end.
pub(crate) fn serve<F>(
    pipe_bytes: usize,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
) -> DuplexStream
where
    F: Future<Output = Response<String>> + Send + 'static,
{
    let (near, far) = duplex(pipe_bytes);
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = http1::Builder::new()
        .serve_connection(TokioIo::new(near), service)
        .with_upgrades();
    drop(tokio::spawn(serving));
    far
}

/// The factory's answer to a handshake.
pub(crate) async fn accept(
    factory: WebSocketFactory,
    mut request: Request<Incoming>,
) -> Response<String> {
    let answer = factory.accept(&mut request).await;
    answer.expect("a handshake")
}

/// Sends a request; returns the status and the whole head of the answer.
pub(crate) async fn ask(peer: &mut DuplexStream, request: &[u8]) -> (u16, String) {
    peer.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    (head[9..12].parse().unwrap(), head)
}
