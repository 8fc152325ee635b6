//! Messages too large to be held: an upload that is summed up while it arrives, a download that is
//! made while it leaves.
//!
//! Run it with `cargo run --example streaming`, then connect to `ws://127.0.0.1:8080/`. A binary
//! message is an upload, answered with its length and checksum; a text message is a number, answered
//! with a download of so many bytes.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use ws_handler::{
    Close, CloseCode, ConfigError, Endpoint, EventResult, MessageKind, MessageReader, NotFound,
    Policy, Server, Session, WebSocketFactory, WebSocketHandler, shutdown_signal,
};

/// How large a message may be. It is not what one takes: that is a read or two, 64 KiB each.
const MAX_UPLOAD_BYTES: u64 = 1 << 40;

struct Files;

impl Endpoint for Files {
    const STREAM: bool = true;

    async fn on_stream(&mut self, session: &Session, message: MessageReader) -> EventResult {
        match message.kind() {
            MessageKind::Binary => upload(session, message).await,
            MessageKind::Text => download(session, message).await,
        }
    }
}

/// The peer is read no faster than this goes on.
async fn upload(session: &Session, mut message: MessageReader) -> EventResult {
    let (mut bytes, mut sum) = (0, Adler32::default());
    while let Some(part) = message.next().await {
        let part = part?;
        bytes += part.len();
        sum.add(&part);
    }
    let answer = format!("{bytes} bytes, Adler-32 {:08x}", sum.get());
    println!("session {}: {answer}", session.id());
    session.send_text(answer).await?;
    Ok(())
}

/// Nothing is made faster than the peer reads.
async fn download(session: &Session, message: MessageReader) -> EventResult {
    let mut text = String::new();
    message.take(20).read_to_string(&mut text).await?;
    let Ok(bytes) = text.trim().parse() else {
        let reason = "a number of bytes was expected";
        return Err(Close::new(CloseCode::INVALID_PAYLOAD, reason).into());
    };
    let mut source = tokio::io::repeat(b'.').take(bytes);
    let mut answer = session.message_writer(MessageKind::Binary).await?;
    tokio::io::copy(&mut source, &mut answer).await?;
    answer.shutdown().await?;
    Ok(())
}

/// The checksum of zlib (RFC 1950 §8.2).
struct Adler32(u32, u32);

impl Default for Adler32 {
    fn default() -> Self {
        Self(1, 0)
    }
}

impl Adler32 {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 + u32::from(*byte)) % 65_521;
            self.1 = (self.1 + self.0) % 65_521;
        }
    }

    const fn get(&self) -> u32 {
        self.1 << 16 | self.0
    }
}

pub(crate) fn factory() -> Result<WebSocketFactory, ConfigError> {
    let policy = Policy::default()
        .with_max_text_bytes(64)
        .with_max_binary_bytes(MAX_UPLOAD_BYTES);
    WebSocketFactory::builder()
        .fallback(|_request| Files)
        .with_policy(policy)
        .build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = WebSocketHandler::new(factory()?, NotFound);
    let server = Server::bind("127.0.0.1:8080").await?;
    println!("listening on ws://{}/", server.local_addr());
    server.serve(handler, shutdown_signal()).await;
    Ok(())
}
