//! The other end of the pipe, by the definitions of RFC 6455 and without the product's own writer.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};
use ws_factory::{Endpoint, Established, MaskKeys, Policy, Role, Session, Transport};

pub(crate) use crate::frame::frame;
use crate::frame::mask;

pub(crate) const CONTINUATION: u8 = 0x80;
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// Clears FIN in the first byte of a frame.
pub(crate) const MORE: u8 = 0x7F;

/// How much the pipe holds where a test does not care: more than any of them sends.
const PIPE_BYTES: usize = 4 << 20;

/// One end of a pipe, whose other end is a session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) io: DuplexStream,
    /// Which end the session is.
    session: Role,
}

/// Runs `endpoint` as a server over a pipe that takes everything.
pub(crate) fn serve<E: Endpoint>(policy: Policy, endpoint: E) -> (Peer, Session, JoinHandle<()>) {
    run(Role::Server, PIPE_BYTES, policy, endpoint)
}

/// Runs `endpoint` over a pipe that holds `pipe_bytes` in each direction.
pub(crate) fn run<E: Endpoint>(
    role: Role,
    pipe_bytes: usize,
    policy: Policy,
    endpoint: E,
) -> (Peer, Session, JoinHandle<()>) {
    let (near, far) = duplex(pipe_bytes);
    let mut established = Established::new(Transport::boxed(near), role)
        .with_policy(policy)
        .with_mask_keys(Counter(0));
    let session = established.session().clone();
    let task = tokio::spawn(established.run(endpoint));
    (Peer::new(far, role), session, task)
}

/// Masking keys that a test can do without being unable to predict.
#[derive(Debug)]
pub(crate) struct Counter(pub(crate) u32);

impl MaskKeys for Counter {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(0x9E37_79B9);
        self.0.to_be_bytes()
    }
}

impl Peer {
    /// The other end of what `session` has.
    pub(crate) const fn new(io: DuplexStream, session: Role) -> Self {
        Self { io, session }
    }

    /// Sends one frame; `first` is its first byte.
    pub(crate) async fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let frame = frame(self.session, first, payload.as_ref());
        self.send_bytes(&frame).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// The next frame, described as in `"text- Hel"`, `"continuation lo"`, `"close 1000 bye"`;
    /// `"end"` for the end of the stream.
    pub(crate) async fn recv(&mut self) -> String {
        match self.recv_frame().await {
            Some((first, payload)) => describe(first, &payload),
            None => "end".to_owned(),
        }
    }

    /// The payload of the next message, whatever its frames.
    pub(crate) async fn recv_data(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let (first, payload) = self.recv_frame().await.unwrap();
            data.extend(payload);
            if first & 0x80 != 0 {
                return data;
            }
        }
    }

    async fn recv_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        read_frame(&mut self.io, self.session).await
    }

    /// Every frame that is still to come, and the end.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.recv().await);
            if frames.last().is_some_and(|frame| frame == "end") {
                return frames;
            }
        }
    }
}

/// The first byte and the payload of the next frame of what `session` sends; `None` at the end.
pub(crate) async fn read_frame(
    io: &mut (impl AsyncRead + Unpin),
    session: Role,
) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    io.read_exact(&mut head).await.ok()?;
    let len = match head[1] & 0x7F {
        126 => u64::from(io.read_u16().await.unwrap()),
        127 => io.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let masked = head[1] & 0x80 != 0;
    assert_eq!(masked, session == Role::Client, "§5.1");
    let mut key = [0; 4];
    if masked {
        io.read_exact(&mut key).await.unwrap();
    }
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    io.read_exact(&mut payload).await.unwrap();
    mask(&mut payload, key);
    Some((head[0], payload))
}

/// The payload of a Close.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn describe(first: u8, payload: &[u8]) -> String {
    assert_eq!(first & 0x70, 0, "no reserved bit");
    let name = match first & 0x0F {
        0x0 => "continuation",
        0x1 => "text",
        0x2 => "binary",
        0x8 => "close",
        0x9 => "ping",
        0xA => "pong",
        other => panic!("opcode {other}"),
    };
    let more = if first & 0x80 == 0 { "-" } else { "" };
    let body = match payload {
        [high, low, reason @ ..] if name == "close" => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("{code} {}", String::from_utf8_lossy(reason))
        }
        short if short.len() <= 125 => String::from_utf8_lossy(short).into_owned(),
        long => format!("of {} bytes", long.len()),
    };
    format!("{name}{more} {body}").trim_end().to_owned()
}
