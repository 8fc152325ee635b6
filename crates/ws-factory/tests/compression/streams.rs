//! Messages in parts through a session that compresses, either way.

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use ws_factory::{
    Endpoint, EventResult, MessageKind, MessageReader, Policy, Role, Session,
    extension::DeflateConfig,
};

use crate::{
    codec::{Codec, Context, noise},
    peer::{
        BINARY, CONTINUATION, Echo, MORE, RSV1, TEXT, client_stack, payload, run, run_over,
        server_stack,
    },
};

/// Sends every message back while it arrives.
struct StreamingEcho;

impl Endpoint for StreamingEcho {
    const STREAM: bool = true;

    async fn on_stream(&mut self, session: &Session, mut message: MessageReader) -> EventResult {
        let mut echo = session.message_writer(message.kind()).await?;
        copy(&mut message, &mut echo).await?;
        echo.shutdown().await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn message_in_parts_is_one_compressed_message() {
    for (role, extensions) in [
        (Role::Server, server_stack(DeflateConfig::default())),
        (Role::Client, client_stack(DeflateConfig::default())),
    ] {
        let (mut peer, session, _task) = run(role, extensions, Policy::default(), Echo::default());
        let mut codec = Codec::new(Context::Kept);
        let part = "So they went on, and on, ".repeat(100);

        for kind in [MessageKind::Text, MessageKind::Binary] {
            let mut message = session.message_writer(kind).await.unwrap();
            message.write(part.clone()).await.unwrap();
            message.write("short").await.unwrap();
            message.finish().await.unwrap();
            let frames = peer.recv_message().await;

            let first = if kind == MessageKind::Text {
                TEXT
            } else {
                BINARY
            };
            let firsts: Vec<u8> = frames.iter().map(|frame| frame.first).collect();
            assert_eq!(
                firsts,
                [first & MORE | RSV1, CONTINUATION & MORE, CONTINUATION]
            );
            let whole = codec.inflate(&payload(&frames));
            assert_eq!(whole, format!("{part}short").as_bytes());
        }
    }
}

/// Inflated piece by piece, into a pipe that holds far less than the message.
#[tokio::test(start_paused = true)]
async fn compressed_message_is_echoed_while_it_arrives() {
    for (role, extensions) in [
        (Role::Server, server_stack(DeflateConfig::default())),
        (Role::Client, client_stack(DeflateConfig::default())),
    ] {
        let policy = Policy::default()
            .with_max_message_bytes(4 << 20)
            .with_max_read_bytes(4096)
            .with_max_outbox_bytes(64 * 1024);
        let (mut peer, ..) = run_over(1 << 20, role, extensions, policy, StreamingEcho);
        let mut codec = Codec::new(Context::Kept);
        let message = [noise(200_000), vec![7; 1 << 20]].concat();

        for _ in 0..2 {
            let compressed = codec.compress(&message);
            let (front, back) = compressed.split_at(compressed.len() / 2);
            peer.send((BINARY & MORE) | RSV1, front).await;
            peer.send(CONTINUATION, back).await;
            let frames = peer.recv_message().await;

            assert!(frames.len() > 1);
            assert!(codec.inflate(&payload(&frames)) == message, "{role:?}");
        }
    }
}

/// Hostile input C10: what a message inflates to is held back while nobody reads it, and counts.
#[tokio::test(start_paused = true)]
async fn bomb_that_is_streamed_ends_at_the_limit() {
    struct Slow;

    impl Endpoint for Slow {
        const STREAM: bool = true;

        async fn on_stream(&mut self, _: &Session, mut message: MessageReader) -> EventResult {
            let mut read = 0;
            loop {
                match message.read(&mut [0; 1000]).await? {
                    0 => return Err("the message was whole".into()),
                    len => read += len,
                }
                assert!(read <= 1 << 20, "the limit counts what is inflated");
            }
        }
    }
    let policy = Policy::default().with_max_message_bytes(1 << 20);
    let extensions = server_stack(DeflateConfig::default());
    let (mut peer, ..) = run(Role::Server, extensions, policy, Slow);
    let bomb = Codec::new(Context::Kept).compress(&vec![0; 16 << 20]);

    peer.send(BINARY | RSV1, bomb).await;

    assert_eq!(peer.closed().await, 1009);
}
