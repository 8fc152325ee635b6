//! The ceiling: tokio's TCP and no WebSocket library.
//!
//! Shakes hands, then turns what it reads into what it writes in place: a frame's header without the
//! mask, its payload unmasked. It checks nothing, assembles nothing, answers no ping, and sends a
//! large message back while it still arrives; no library that keeps to RFC 6455 may do so little. All
//! connections read into the same buffer, so that an idle one has none.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
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
    let mut state = State::default();
    while !state.is_over() {
        let unsent = poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| turn(&mut stream, &mut state, scratch, context))
        });
        let unsent = unsent.await?;
        if !unsent.is_empty() {
            stream.write_all(&unsent).await?;
        }
    }
    stream.shutdown().await
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// One read and one write; gives what could not be written at once.
fn turn(
    stream: &mut TcpStream,
    state: &mut State,
    scratch: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<io::Result<Vec<u8>>> {
    let kept = state.header.len();
    let mut buffer = ReadBuf::new(&mut scratch[kept..]);
    ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
    let read = buffer.filled().len();
    if read == 0 {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    scratch[..kept].copy_from_slice(&state.header);
    let answer = state.translate(&mut scratch[..kept + read]);
    let written = match stream.try_write(answer) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Poll::Ready(Err(error)),
    };
    Poll::Ready(Ok(answer[written..].to_vec()))
}

/// Between two reads.
#[derive(Default)]
struct State {
    /// Of a frame whose header has not come whole.
    header: Vec<u8>,
    payload: Payload,
    closed: bool,
}

impl State {
    fn is_over(&self) -> bool {
        self.closed && self.payload.left == 0
    }

    /// Turns a client's bytes into a server's, in place.
    fn translate<'a>(&mut self, bytes: &'a mut [u8]) -> &'a [u8] {
        let (mut from, mut to) = (0, 0);
        loop {
            let take = self.payload.left.min(bytes.len() - from);
            self.payload.unmask(&mut bytes[from..from + take]);
            bytes.copy_within(from..from + take, to);
            from += take;
            to += take;
            let Some((payload, masked_header)) = Payload::begin(&bytes[from..]) else {
                break;
            };
            self.payload = payload;
            self.closed = bytes[from] & 0x0f == 0x08;
            let header = masked_header - MASK_BYTES;
            bytes.copy_within(from..from + header, to);
            bytes[to + 1] &= 0x7f;
            from += masked_header;
            to += header;
        }
        self.header.clear();
        self.header.extend_from_slice(&bytes[from..]);
        &bytes[..to]
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
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let mask = u32::from_ne_bytes(self.mask);
        let unmask = |words: &mut [[u8; MASK_BYTES]]| {
            for word in words {
                *word = (u32::from_ne_bytes(*word) ^ mask).to_ne_bytes();
            }
        };
        let (blocks, rest) = bytes.as_chunks_mut::<BLOCK_BYTES>();
        for block in blocks {
            // A length known to the compiler: whole vectors, no loop.
            unmask(block.as_chunks_mut().0);
        }
        let (words, rest) = rest.as_chunks_mut();
        unmask(words);
        for (byte, mask) in rest.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        self.mask.rotate_left(len % MASK_BYTES);
        self.left -= len;
    }
}

const BLOCK_BYTES: usize = 64;

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
