//! A message of 1 GiB through 64 KiB.
//!
//! What was sent and has not been read is somewhere: in the pipe, in the parser, in a part that
//! waits. There is no other place, so the difference of the two is the memory that it takes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::io::{AsyncWriteExt, DuplexStream};
use ws_factory::{Endpoint, EventResult, MessageReader, Policy, Role, Session};

use crate::peer::{BINARY, CONTINUATION, MORE, frame, run};

const GIB: u64 = 1 << 30;

const BUDGET_BYTES: u64 = 64 * 1024;

/// A third of it for the pipe, one for the part that waits, one for what is read behind it.
const READ_BYTES: usize = 20 * 1024;

/// What the message repeats; a multiple of the four bytes of a masking key.
const BLOCK_BYTES: usize = 64 * 1024;

const BLOCKS: u64 = GIB / BLOCK_BYTES as u64;

fn block() -> Vec<u8> {
    (0..BLOCK_BYTES).map(|at| (at % 251) as u8).collect()
}

/// Compares a message with the block that it repeats, and counts.
struct Comparing {
    expected: Vec<u8>,
    read: Arc<AtomicU64>,
    largest: usize,
}

impl Endpoint for Comparing {
    const STREAM: bool = true;

    async fn on_stream(&mut self, session: &Session, mut message: MessageReader) -> EventResult {
        while let Some(part) = message.next().await {
            let part = part?;
            let at = self.read.load(Ordering::Relaxed) as usize % BLOCK_BYTES;
            assert_eq!(part, self.expected[at..at + part.len()], "at {at}");
            self.read.fetch_add(part.len() as u64, Ordering::Relaxed);
            self.largest = self.largest.max(part.len());
        }
        session.send_text(self.largest.to_string()).await?;
        Ok(())
    }
}

/// The sender, and the most that was ever under way.
struct Sender {
    io: DuplexStream,
    sent: u64,
    read: Arc<AtomicU64>,
    most: u64,
}

impl Sender {
    /// Sends a frame, the last [`BLOCK_BYTES`] of which are its payload, or of its payload.
    async fn send(&mut self, frame: &[u8]) {
        let (header, mut payload) = frame.split_at(frame.len() - BLOCK_BYTES);
        self.io.write_all(header).await.unwrap();
        while !payload.is_empty() {
            let written = self.io.write(payload).await.unwrap();
            payload = &payload[written..];
            self.sent += written as u64;
            let ahead = self.sent - self.read.load(Ordering::Relaxed);
            self.most = self.most.max(ahead);
        }
    }
}

/// Has a message sent by `send`; returns how much of it was under way at the most.
async fn stream(role: Role, send: impl AsyncFnOnce(&mut Sender)) -> u64 {
    let read = Arc::new(AtomicU64::new(0));
    let endpoint = Comparing {
        expected: block().repeat(2),
        read: Arc::clone(&read),
        largest: 0,
    };
    let policy = Policy::default()
        .with_max_binary_bytes(GIB)
        .with_max_read_bytes(READ_BYTES);
    let (mut peer, ..) = run(role, READ_BYTES, policy, endpoint);
    let mut sender = Sender {
        io: peer.io,
        sent: 0,
        read: Arc::clone(&read),
        most: 0,
    };

    send(&mut sender).await;

    let most = sender.most;
    peer.io = sender.io;
    let largest = peer.recv().await;
    assert_eq!(largest, format!("text {READ_BYTES}"));
    assert_eq!(read.load(Ordering::Relaxed), GIB);
    most
}

#[tokio::test(start_paused = true)]
async fn frame_of_1_gib_takes_64_kib() {
    // A frame of 64 KiB and one of 1 GiB differ in the eight bytes of the length.
    let mut begins = frame(Role::Server, BINARY, &block());
    begins[2..10].copy_from_slice(&GIB.to_be_bytes());
    let goes_on = begins[begins.len() - BLOCK_BYTES..].to_vec();

    let most = stream(Role::Server, async |sender| {
        sender.send(&begins).await;
        for _ in 1..BLOCKS {
            sender.send(&goes_on).await;
        }
    })
    .await;

    assert!(most <= BUDGET_BYTES, "{most} bytes");
}

#[tokio::test(start_paused = true)]
async fn message_of_1_gib_in_fragments_takes_64_kib() {
    let first = frame(Role::Client, BINARY & MORE, &block());
    let next = frame(Role::Client, CONTINUATION & MORE, &block());
    let last = frame(Role::Client, CONTINUATION, &block());

    let most = stream(Role::Client, async |sender| {
        sender.send(&first).await;
        for _ in 2..BLOCKS {
            sender.send(&next).await;
        }
        sender.send(&last).await;
    })
    .await;

    assert!(most <= BUDGET_BYTES, "{most} bytes");
}
