//! A WebSocket over HTTP/2 that we did not write: hyper's client, and tungstenite on its tunnel.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    ext::Protocol,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use ws_handler::Bytes;

use crate::bounded::bounded;

pub(crate) type Tunnel = WebSocketStream<TokioIo<Upgraded>>;

/// A connection of HTTP/2, and the task that drives it.
pub(crate) struct Client {
    pub(crate) sender: SendRequest<Empty<Bytes>>,
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = bounded(TcpStream::connect(addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = bounded(handshake).await.unwrap();
        Self {
            sender,
            connection: tokio::spawn(connection),
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Empty<Bytes>>) -> Response<Incoming> {
        bounded(self.sender.send_request(request)).await.unwrap()
    }

    /// Status and body of the answer to a request that is expected to be refused.
    pub(crate) async fn refused(&mut self, request: Request<Empty<Bytes>>) -> (u16, String) {
        let answer = self.send(request).await;
        let status = answer.status().as_u16();
        let body = bounded(answer.into_body().collect()).await.unwrap();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        (status, text)
    }

    /// A session at this path, and the head of the answer that opened it.
    pub(crate) async fn open(&mut self, path: &str) -> (Tunnel, http::response::Parts) {
        self.open_with(connect(path).body(Empty::new()).unwrap())
            .await
    }

    pub(crate) async fn open_with(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> (Tunnel, http::response::Parts) {
        let mut answer = self.send(request).await;
        let upgraded = bounded(hyper::upgrade::on(&mut answer)).await.unwrap();
        let (head, _) = answer.into_parts();
        let tunnel = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None);
        (bounded(tunnel).await, head)
    }
}

/// An extended CONNECT that is accepted at this path.
pub(crate) fn connect(path: &str) -> http::request::Builder {
    Request::connect(format!("http://example.com{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
}

pub(crate) async fn say(tunnel: &mut Tunnel, message: Message) {
    bounded(tunnel.send(message)).await.unwrap();
}

pub(crate) async fn hear(tunnel: &mut Tunnel) -> Message {
    bounded(tunnel.next()).await.unwrap().unwrap()
}

/// Says something and hears it again.
pub(crate) async fn echoes(tunnel: &mut Tunnel) {
    say(tunnel, Message::text("still there?")).await;
    assert_eq!(hear(tunnel).await, Message::text("still there?"));
}
