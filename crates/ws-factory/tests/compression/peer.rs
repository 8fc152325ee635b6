//! The other end of the pipe, by the definitions of RFC 6455 and without the product's own writer.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};
use ws_factory::{
    CloseEvent, Endpoint, Established, EventResult, Extension, ExtensionStack, MaskKeys, Message,
    Policy, Role, Session, SessionError, Transport, WebSocketFactory, extension::DeflateConfig,
};

use crate::{
    frame::{frame, mask},
    serving::{accept, ask, serve},
};

pub(crate) const CONTINUATION: u8 = 0x80;
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// Set in the first byte of the first frame of a compressed message (RFC 7692 §6).
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const RSV2: u8 = 0x20;

/// Clears FIN in the first byte of a frame.
pub(crate) const MORE: u8 = 0x7F;

/// More than any test sends.
const PIPE_BYTES: usize = 8 << 20;

/// A frame as it is on the wire: its first byte, and its payload unmasked.
#[derive(Clone, Debug, Eq, PartialEq)]
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

/// One end of a pipe, whose other end is a session.
pub(crate) struct Peer {
    pub(crate) io: DuplexStream,
    session: Role,
}

impl Peer {
    pub(crate) async fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let frame = frame(self.session, first, payload.as_ref());
        self.io.write_all(&frame).await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn recv(&mut self) -> Wire {
        let first = self.io.read_u8().await.unwrap();
        let second = self.io.read_u8().await.unwrap();
        let len = match second & 0x7F {
            126 => u64::from(self.io.read_u16().await.unwrap()),
            127 => self.io.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let masked = second & 0x80 != 0;
        assert_eq!(masked, self.session == Role::Client, "RFC 6455 §5.1");
        let mut key = [0; 4];
        if masked {
            self.io.read_exact(&mut key).await.unwrap();
            assert_ne!(key, [0; 4]);
        }
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.io.read_exact(&mut payload).await.unwrap();
        mask(&mut payload, key);
        Wire { first, payload }
    }

    /// The frames of the next data message, one after the other, control frames left out.
    pub(crate) async fn recv_message(&mut self) -> Vec<Wire> {
        let mut frames: Vec<Wire> = Vec::new();
        loop {
            let frame = self.recv().await;
            if frame.first & 0x08 == 0 {
                frames.push(frame);
            }
            if frames.last().is_some_and(|last| last.first & 0x80 != 0) {
                return frames;
            }
        }
    }

    /// Reads up to a Close; returns its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            let frame = self.recv().await;
            if frame.first == CLOSE {
                return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        }
    }
}

/// The payloads of frames, one after the other.
pub(crate) fn payload(frames: &[Wire]) -> Vec<u8> {
    let payloads: Vec<&[u8]> = frames.iter().map(|it| it.payload.as_slice()).collect();
    payloads.concat()
}

/// Runs `endpoint` as a server or a client that has agreed on these extensions.
pub(crate) fn run<E: Endpoint>(
    role: Role,
    extensions: ExtensionStack,
    policy: Policy,
    endpoint: E,
) -> (Peer, Session, JoinHandle<()>) {
    run_over(PIPE_BYTES, role, extensions, policy, endpoint)
}

/// As [`run`], over a pipe that holds as many bytes.
pub(crate) fn run_over<E: Endpoint>(
    pipe_bytes: usize,
    role: Role,
    extensions: ExtensionStack,
    policy: Policy,
    endpoint: E,
) -> (Peer, Session, JoinHandle<()>) {
    let (near, far) = duplex(pipe_bytes);
    let mut established = Established::new(Transport::boxed(near), role)
        .with_policy(policy)
        .with_extensions(extensions)
        .with_mask_keys(Counter(0));
    let session = established.session().clone();
    let task = tokio::spawn(established.run(endpoint));
    let peer = Peer {
        io: far,
        session: role,
    };
    (peer, session, task)
}

/// What a server of this configuration makes of an offer without parameters.
pub(crate) fn server_stack(config: DeflateConfig) -> ExtensionStack {
    stack(config.accept(&[]).unwrap().0)
}

/// What a client of this configuration makes of the answer that such a server gives it.
pub(crate) fn client_stack(config: DeflateConfig) -> ExtensionStack {
    let offer = config.offer();
    let (_, agreed) = config.accept(&borrowed(&offer)).unwrap();
    stack(config.agree(&borrowed(&agreed)).unwrap())
}

/// Of one extension.
pub(crate) fn stack(extension: impl Extension + 'static) -> ExtensionStack {
    let mut stack = ExtensionStack::default();
    assert!(stack.push(Box::new(extension)).is_ok());
    stack
}

fn borrowed(params: &[(String, Option<String>)]) -> Vec<(&str, Option<&str>)> {
    params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect()
}

/// Serves one connection, and asks for a session with these extensions; returns the other end and
/// what of them was agreed to.
pub(crate) async fn connect(factory: &WebSocketFactory, offers: &str) -> (Peer, String) {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: {offers}\r\n\r\n"
    );
    let factory = factory.clone();
    let mut io = serve(PIPE_BYTES, move |request| accept(factory.clone(), request));
    let (status, head) = ask(&mut io, request.as_bytes()).await;
    assert_eq!(status, 101, "{head}");
    let agreed = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-extensions: "))
        .unwrap_or_default()
        .to_owned();
    let peer = Peer {
        io,
        session: Role::Server,
    };
    (peer, agreed)
}

/// Masking keys that a test can do without being unable to predict.
#[derive(Debug)]
struct Counter(u32);

impl MaskKeys for Counter {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(0x9E37_79B9);
        self.0.to_be_bytes()
    }
}

/// What endpoints were told, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

/// Sends every message back, and writes down how the session ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echo(pub(crate) Log);

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }

    async fn on_error(&mut self, _session: &Session, error: &SessionError) {
        let whose = match error {
            SessionError::Protocol(_) => "protocol",
            _ => "other",
        };
        self.0.push(format!("{whose}: {error}"));
    }

    async fn on_close(&mut self, _session: &Session, event: &CloseEvent) {
        self.0.push(format!("close {}", event.status()));
    }
}
