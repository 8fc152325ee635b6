//! The server under test, and the other side of the wire.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        client::IntoClientRequest, handshake::client::Request,
        http::header::SEC_WEBSOCKET_PROTOCOL, protocol::WebSocketConfig,
    },
};
use ws_handler::{NotFound, Server, WebSocketHandler};

/// What any test may take, on a machine that is busy with the others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test's body, within bounds.
pub(crate) async fn within<T>(body: impl Future<Output = T>) -> T {
    timeout(PATIENCE, body).await.expect("took too long")
}

/// Starts a server of every test protocol; it ends with the test.
pub(crate) async fn start() -> SocketAddr {
    let factory = test_protocols::factory(None, None).unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let handler = WebSocketHandler::new(factory, NotFound);
    tokio::spawn(server.serve(handler, std::future::pending()));
    address
}

/// A client of tungstenite's, with limits beyond ours.
pub(crate) async fn tungstenite(
    server: SocketAddr,
    path: &str,
    subprotocol: Option<&str>,
) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(server).await.unwrap();
    let config = WebSocketConfig::default()
        .max_message_size(Some(128 << 20))
        .max_frame_size(Some(128 << 20));
    let request = request(server, path, subprotocol);
    let (client, response) = client_async_with_config(request, stream, Some(config))
        .await
        .unwrap();
    let agreed = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
    assert_eq!(agreed.map(|name| name.to_str().unwrap()), subprotocol);
    client
}

pub(crate) fn request(server: SocketAddr, path: &str, subprotocol: Option<&str>) -> Request {
    let mut request = format!("ws://{server}{path}")
        .into_client_request()
        .unwrap();
    if let Some(name) = subprotocol {
        let name = name.parse().unwrap();
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    request
}

/// A client that sees frames.
pub(crate) struct Peer {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

pub(crate) struct Reader(OwnedReadHalf);

pub(crate) struct Writer(OwnedWriteHalf);

/// A frame as it is on the wire: its first byte, and its payload.
#[derive(Eq, PartialEq)]
pub(crate) struct Wire {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn wire(first: u8, payload: impl Into<Vec<u8>>) -> Wire {
    Wire {
        first,
        payload: payload.into(),
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { first, payload } = self;
        let shown = &payload[..payload.len().min(32)];
        write!(f, "{first:02x} {shown:02x?} of {} bytes", payload.len())
    }
}

impl Peer {
    /// Connects with this subprotocol.
    pub(crate) async fn connect(server: SocketAddr, subprotocol: &str) -> Self {
        let client = tungstenite(server, "/", Some(subprotocol)).await;
        // The server does not speak first, so nothing is lost that was read ahead.
        let (reader, writer) = client.into_inner().into_split();
        Self {
            reader: Reader(reader),
            writer: Writer(writer),
        }
    }

    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.writer.send(first, payload).await;
    }

    pub(crate) async fn recv(&mut self) -> Wire {
        self.reader.recv().await
    }

    /// Sends frames and reads as many, at the same time.
    pub(crate) async fn exchange(&mut self, frames: &[Wire]) -> Vec<Wire> {
        let Self { reader, writer } = self;
        let send = async {
            for frame in frames {
                writer.send(frame.first, &frame.payload).await;
            }
        };
        let recv = async {
            let mut received = Vec::new();
            while received.len() < frames.len() {
                received.push(reader.recv().await);
            }
            received
        };
        tokio::join!(send, recv).1
    }

    /// A Ping and its Pong: everything sent before has been dealt with.
    pub(crate) async fn settle(&mut self) {
        self.send(0x89, b"settle").await;
        assert_eq!(self.recv().await, wire(0x8a, "settle"));
    }

    /// Reads a Close; returns its code and its reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let close = self.recv().await;
        assert_eq!(close.first, 0x88, "{close:?}");
        let (code, reason) = close.payload.split_at(2);
        let reason = String::from_utf8(reason.to_vec()).unwrap();
        (u16::from_be_bytes([code[0], code[1]]), reason)
    }
}

impl Writer {
    /// Sends a frame, masked (§5.3).
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.0.write_all(&masked(first, payload)).await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }
}

/// A frame as a client sends it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(KEY);
    let key = KEY.iter().cycle();
    bytes.extend(payload.iter().zip(key).map(|(byte, key)| byte ^ key));
    bytes
}

/// What stands before a client's masking key.
pub(crate) fn header(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..126 => bytes.push(0x80 | len as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes
}

impl Reader {
    /// Reads a frame, which must not be masked (§5.1), and whose length must be written in as few
    /// bytes as can be (§5.2).
    pub(crate) async fn recv(&mut self) -> Wire {
        let first = self.0.read_u8().await.unwrap();
        let len = match self.0.read_u8().await.unwrap() {
            126 => {
                let len = u64::from(self.0.read_u16().await.unwrap());
                assert!(len > 125, "{len} in two bytes");
                len
            }
            127 => {
                let len = self.0.read_u64().await.unwrap();
                assert!(len > 65_535, "{len} in eight bytes");
                len
            }
            len => {
                assert!(len < 126, "masked");
                u64::from(len)
            }
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.0.read_exact(&mut payload).await.unwrap();
        Wire { first, payload }
    }

    /// Reads the end of the stream.
    pub(crate) async fn end(&mut self) {
        assert_eq!(self.0.read(&mut [0]).await.unwrap(), 0);
    }
}
