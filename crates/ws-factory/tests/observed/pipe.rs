//! A factory, and clients that reach it over pipes: hyper serves one end, the test is the other.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use ws_factory::{
    ConnectionInfo, Endpoint, EventResult, Message, RoutePattern, Session, WebSocketFactory,
    WebSocketFactoryBuilder,
};

use crate::serving::{accept, ask, serve};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;

/// How much a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// Echoes.
pub(crate) struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

/// A factory, and what each of its requests comes with.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) factory: WebSocketFactory,
    /// The path and query that is asked for.
    pub(crate) target: &'static str,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) route: Option<RoutePattern>,
}

impl Served {
    /// One that echoes.
    pub(crate) fn echo() -> Self {
        Self::of(WebSocketFactory::builder().fallback(|_| Echo))
    }

    pub(crate) fn of(builder: WebSocketFactoryBuilder) -> Self {
        crate::spans::listen();
        Self {
            factory: builder.build().unwrap(),
            target: "/chat",
            peer: None,
            route: None,
        }
    }

    /// A client whose handshake is accepted.
    pub(crate) async fn connect(&self) -> DuplexStream {
        let (peer, status) = self.open(&[]).await;
        assert_eq!(status, 101);
        peer
    }

    /// Serves one connection, and sends a handshake with these headers in the place of its own.
    pub(crate) async fn open(&self, headers: &[(&'static str, &str)]) -> (DuplexStream, u16) {
        let mut head = format!("GET {} HTTP/1.1\r\n", self.target);
        let request = self.handshake(headers);
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        head.push_str("\r\n");
        let served = self.clone();
        let mut far = serve(PIPE_BYTES, move |mut request| {
            served.inform(&mut request);
            accept(served.factory.clone(), request)
        });
        let (status, _) = ask(&mut far, head.as_bytes()).await;
        (far, status)
    }

    /// The answer to a handshake that nobody serves: whatever it is, no connection comes of it.
    pub(crate) async fn answer_to(&self, headers: &[(&'static str, &str)]) -> Response<String> {
        let mut request = self.handshake(headers);
        self.inform(&mut request);
        self.factory.accept(&mut request).await.unwrap()
    }

    /// Reads to the end of the stream, and waits until the factory has no session or handshake.
    pub(crate) async fn end_of(&self, peer: &mut DuplexStream) {
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        peer.shutdown().await.unwrap();
        self.emptied().await;
    }

    /// Waits until the factory has no session or handshake.
    pub(crate) async fn emptied(&self) {
        let emptied = async {
            while self.factory.stats().open() + self.factory.stats().handshakes() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Behind the last event comes the drain of the socket, of 2 s at most.
            tokio::time::sleep(Duration::from_secs(3)).await;
        };
        timeout(Duration::from_secs(600), emptied).await.unwrap();
    }

    fn inform<B>(&self, request: &mut Request<B>) {
        if let Some(peer) = self.peer {
            let info = ConnectionInfo::new().with_peer(peer);
            request.extensions_mut().insert(info);
        }
        if let Some(route) = self.route.clone() {
            request.extensions_mut().insert(route);
        }
    }

    fn handshake(&self, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("host", "example.com"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            map.insert(name, value.parse().unwrap());
        }
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let mut request = Request::get(self.target).body(()).unwrap();
        *request.headers_mut() = map;
        request
    }
}

/// A frame of at most 125 bytes, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= 125);
    let head = [first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    [&head, payload].concat()
}

/// The payload of a Close.
pub(crate) fn close(code: u16) -> [u8; 2] {
    code.to_be_bytes()
}
