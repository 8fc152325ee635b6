//! The ceiling: tokio's TCP and no WebSocket library.
//!
//! Shakes hands, then turns what it reads into what it writes in place: a frame's header without the
//! mask, its payload unmasked. It checks nothing, assembles nothing, answers no ping, and sends a
//! large message back while it still arrives; no library that keeps to RFC 6455 may do so little.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use ws_bench::serving;

fn main() -> io::Result<()> {
    serving::run_each(|stream| async move {
        // A peer that is gone is the end of its connection and of nothing else.
        let _gone = echo(stream).await;
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    shake_hands(&mut stream).await?;
    let mut buffer = vec![0; 64 << 10];
    let mut kept = 0;
    let mut payload = Payload::default();
    let mut closed = false;
    loop {
        let read = stream.read(&mut buffer[kept..]).await?;
        if read == 0 {
            return Ok(());
        }
        let end = kept + read;
        let (mut from, mut to) = (0, 0);
        loop {
            let take = payload.left.min(end - from);
            payload.unmask(&mut buffer[from..from + take]);
            buffer.copy_within(from..from + take, to);
            from += take;
            to += take;
            let Some((next, masked_header)) = Payload::begin(&buffer[from..end]) else {
                break;
            };
            closed = buffer[from] & 0x0f == 0x08;
            let header = masked_header - MASK_BYTES;
            buffer.copy_within(from..from + header, to);
            buffer[to + 1] &= 0x7f;
            from += masked_header;
            to += header;
            payload = next;
        }
        stream.write_all(&buffer[..to]).await?;
        if closed && payload.left == 0 {
            return stream.shutdown().await;
        }
        buffer.copy_within(from..end, 0);
        kept = end - from;
    }
}

const MASK_BYTES: usize = 4;

/// What is still to come of a frame's payload.
#[derive(Default)]
struct Payload {
    left: usize,
    mask: [u8; MASK_BYTES],
}

impl Payload {
    /// Reads a frame's header; gives its length with the mask.
    fn begin(bytes: &[u8]) -> Option<(Self, usize)> {
        let (left, header) = match bytes.get(1)? & 0x7f {
            126 => (
                u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into(),
                4,
            ),
            127 => (
                u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize,
                10,
            ),
            short => (usize::from(short), 2),
        };
        let mask = *bytes.get(header..)?.first_chunk()?;
        Some((Self { left, mask }, header + MASK_BYTES))
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        let mask = u32::from_ne_bytes(self.mask);
        let (words, rest) = bytes.as_chunks_mut::<MASK_BYTES>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ mask).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        self.mask.rotate_left(bytes.len() % MASK_BYTES);
        self.left -= bytes.len();
    }
}

async fn shake_hands(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(response.as_bytes()).await
}
