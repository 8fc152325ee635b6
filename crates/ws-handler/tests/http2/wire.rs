//! Frames of HTTP/2, written by hand (RFC 9113 §4, §6).

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use ws_handler::{Bytes, BytesMut};

use crate::bounded::bounded;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Bytes,
}

impl Frame {
    /// The error of a RST_STREAM, or of a GOAWAY.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload[at..at + 4].try_into().unwrap();
        u32::from_be_bytes(code)
    }

    /// Whether the field block begins with `:status` 200, which is in the static table.
    pub(crate) fn is_ok(&self) -> bool {
        self.kind == HEADERS && self.payload[0] == 0x88
    }
}

/// A connection that has said its preface.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(addr, &[]).await
    }

    /// With settings of ours.
    pub(crate) async fn connect_with(addr: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = bounded(TcpStream::connect(addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self {
            stream,
            buffer: BytesMut::new(),
        };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        wire.send(&frame(SETTINGS, 0, 0, &payload)).await;
        wire
    }

    /// Sends; the server may have closed, which what is read next will tell.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _closed = bounded(self.stream.write_all(bytes)).await;
    }

    /// Opens a session on this stream.
    pub(crate) async fn open(&mut self, stream: u32) {
        self.send(&headers(stream, END_HEADERS, CONNECT)).await;
        let answer = self.on(stream).await;
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(answer.flags & END_STREAM, 0, "the stream stays open");
    }

    /// The next frame, whatever it is; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if self.buffer.len() >= 9 {
                let head = &self.buffer[..9];
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.buffer.len() >= 9 + length {
                    let mut frame = self.buffer.split_to(9 + length).freeze();
                    let payload = frame.split_off(9);
                    return Some(Frame {
                        kind: frame[3],
                        flags: frame[4],
                        stream: u32::from_be_bytes(frame[5..9].try_into().unwrap()),
                        payload,
                    });
                }
            }
            let read = bounded(self.stream.read_buf(&mut self.buffer)).await;
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next frame of a kind that passes; Pings are answered meanwhile.
    async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let next = self.next().await.expect("the connection lives");
            if next.kind == PING && next.flags & ACK == 0 {
                let pong = frame(PING, ACK, 0, &next.payload);
                self.send(&pong).await;
            }
            if wanted(&next) {
                return next;
            }
            assert_ne!(next.kind, GOAWAY, "{next:?}");
        }
    }

    /// The next frame on this stream, but for what is said of windows.
    pub(crate) async fn on(&mut self, stream: u32) -> Frame {
        self.find(|frame| frame.stream == stream && frame.kind != WINDOW_UPDATE)
            .await
    }

    /// The error that the server resets this stream with, whatever it says on it before.
    pub(crate) async fn reset(&mut self, stream: u32) -> u32 {
        let wanted = |frame: &Frame| frame.stream == stream && frame.kind == RST_STREAM;
        self.find(wanted).await.error()
    }

    /// The error of the GOAWAY that the server ends the connection with.
    pub(crate) async fn go_away(&mut self) -> u32 {
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                return frame.error();
            }
        }
        panic!("the connection ended without a GOAWAY");
    }

    /// Whether the connection answers a Ping of ours, so that it has seen all that was sent before.
    pub(crate) async fn is_alive(&mut self) {
        self.send(&frame(PING, 0, 0, b"alive??!")).await;
        self.find(|frame| {
            frame.kind == PING && frame.flags & ACK != 0 && *frame.payload == *b"alive??!"
        })
        .await;
    }

    /// Whether a session on this stream echoes.
    pub(crate) async fn echoes(&mut self, stream: u32) {
        self.send(&frame(DATA, 0, stream, HI)).await;
        let echo = self.on(stream).await;
        assert_eq!((echo.kind, &echo.payload[..]), (DATA, HI_ECHOED));
    }
}

/// `"hi"`, masked with zeros.
pub(crate) const HI: &[u8] = b"\x81\x82\0\0\0\0hi";
pub(crate) const HI_ECHOED: &[u8] = b"\x81\x02hi";

/// The fields of an extended CONNECT that is accepted.
pub(crate) const CONNECT: &[(&str, &str)] = &[
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "example.com"),
    ("sec-websocket-version", "13"),
];

pub(crate) const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/page"),
    (":authority", "example.com"),
];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A HEADERS frame; its fields are literals that leave the tables as they are (RFC 7541 §6.2.2).
pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &fields_of(fields))
}

pub(crate) fn fields_of(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 127, "a longer one is written otherwise");
            block.push(length);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}
