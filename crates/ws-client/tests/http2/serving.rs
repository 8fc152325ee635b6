//! The servers: hyper's, and h2's by hand.

use std::convert::Infallible;

use futures_util::{SinkExt, StreamExt};
use h2::{
    RecvStream,
    server::{Builder, SendResponse},
};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::{server::conn::http2, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use ws_client::{Bytes, ConnectRequest, HttpVersion};

pub(crate) fn request(url: &str) -> ConnectRequest {
    let request = ConnectRequest::to(url).unwrap();
    request.with_http_version(HttpVersion::Http2)
}

pub(crate) fn url_of(listener: &TcpListener) -> String {
    format!("ws://{}/", listener.local_addr().unwrap())
}

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(crate) async fn echo<I>(mut socket: WebSocketStream<I>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

/// A hyper server, which takes the first subprotocol; the heads of the requests are told.
pub(crate) async fn serve<F>(
    talk: impl Fn(Socket) -> F + Clone + Send + Sync + 'static,
) -> (String, mpsc::UnboundedReceiver<http::request::Parts>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of(&listener);
    let (heads, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let heads = heads.clone();
            let tell = move |head| drop(heads.send(head));
            tokio::spawn(serve_connection(stream, talk.clone(), tell));
        }
    });
    (url, told)
}

/// One connection of such a server.
pub(crate) async fn serve_connection<I, F>(
    stream: I,
    talk: impl Fn(Socket) -> F + Clone + Send + Sync + 'static,
    tell: impl Fn(http::request::Parts) + Send + Sync + 'static,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    const PROTOCOL: &str = "sec-websocket-protocol";
    let service = service_fn(move |mut request: Request<_>| {
        let (upgrade, talk) = (hyper::upgrade::on(&mut request), talk.clone());
        let (head, _) = request.into_parts();
        let mut answer = Response::new(Empty::<Bytes>::new());
        if let Some(offers) = head.headers.get(PROTOCOL) {
            answer.headers_mut().insert(PROTOCOL, offers.clone());
        }
        tell(head);
        tokio::spawn(async move {
            let stream = TokioIo::new(upgrade.await.unwrap());
            talk(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
        });
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service);
    // How it ends is what the client says.
    let _how = connection.await;
}

pub(crate) struct ByHand {
    pub(crate) url: String,
    pub(crate) task: JoinHandle<()>,
}

/// A server of one connection, whose requests are answered by `answer`.
pub(crate) async fn by_hand(
    enables_connect: bool,
    answer: impl Fn(Request<()>, SendResponse<Bytes>, RecvStream) + Send + 'static,
) -> ByHand {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of(&listener);
    let task = tokio::spawn(async move {
        let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        let mut builder = Builder::new();
        if enables_connect {
            builder.enable_connect_protocol();
        }
        let mut connection = builder.handshake(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (head, body) = request.into_parts();
            answer(Request::from_parts(head, ()), respond, body);
        }
    });
    ByHand { url, task }
}
