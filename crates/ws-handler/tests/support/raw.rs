//! A client that sends whatever bytes it is given, and reads what comes back without believing it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use ws_handler::{Bytes, BytesMut};

use crate::bounded::bounded;

/// A handshake that is accepted at `/chat`, with the key of RFC 6455 §1.3.
pub(crate) const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\n\
    Host: example.com\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    \r\n";

/// A TCP connection, and what was read of it but not looked at.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: BytesMut,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = bounded(TcpStream::connect(addr)).await;
        let stream = stream.expect("the server listens");
        stream.set_nodelay(true).expect("it is connected");
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Sends; the server may have closed, which what is read next will tell.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = bounded(self.stream.write_all(bytes.as_ref())).await;
    }

    /// The head of a response, with the empty line that ends it.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = self.buffer.split_to(at + 4);
                return String::from_utf8(head.to_vec()).expect("heads are ASCII");
            }
            assert!(self.fill().await, "ended in a head: {:?}", self.buffer);
        }
    }

    /// Everything up to the end of the stream; a reset is an end, too.
    pub(crate) async fn rest(mut self) -> Bytes {
        while self.fill().await {}
        self.buffer.freeze()
    }

    /// Reads once; false at the end of the stream.
    pub(crate) async fn fill(&mut self) -> bool {
        matches!(bounded(self.stream.read_buf(&mut self.buffer)).await, Ok(read) if read > 0)
    }
}
