//! Whole messages through every protocol.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::peer::{Peer, start, tungstenite, wire, within};

/// Around every change of a frame's header (RFC 6455 §5.2), and one that no buffer holds.
const SIZES: [usize; 7] = [0, 1, 125, 126, 65_535, 65_536, 16 << 20];

fn text(bytes: usize) -> Message {
    Message::text(('a'..='z').cycle().take(bytes).collect::<String>())
}

fn binary(bytes: usize) -> Message {
    let payload = (0..=255).cycle().take(bytes).collect::<Vec<u8>>();
    Message::binary(Bytes::from(payload))
}

/// Sends every size as text and as binary, and expects each back.
async fn every_size_comes_back(server: SocketAddr, subprotocol: &str) {
    let mut client = tungstenite(server, "/", Some(subprotocol)).await;
    for message in SIZES
        .into_iter()
        .flat_map(|size| [text(size), binary(size)])
    {
        client.send(message.clone()).await.unwrap();

        let received = client.next().await.unwrap().unwrap();

        // Not `assert_eq!`, which would print it.
        assert!(
            received == message,
            "{subprotocol}: {} bytes",
            message.len()
        );
    }
    client.close(None).await.unwrap();
    assert!(client.next().await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn every_size_comes_back_from_echo() {
    within(async { every_size_comes_back(start().await, "echo").await }).await;
}

#[tokio::test]
async fn every_size_comes_back_from_echo_broadcast() {
    within(async { every_size_comes_back(start().await, "echo-broadcast").await }).await;
}

#[tokio::test]
async fn every_size_comes_back_from_echo_broadcast_ping() {
    within(async { every_size_comes_back(start().await, "echo-broadcast-ping").await }).await;
}

#[tokio::test]
async fn every_size_comes_back_from_echo_assemble() {
    within(async { every_size_comes_back(start().await, "echo-assemble").await }).await;
}

#[tokio::test]
async fn every_size_comes_back_from_echo_fragment() {
    within(async { every_size_comes_back(start().await, "echo-fragment").await }).await;
}

#[tokio::test]
async fn without_a_protocol_every_size_is_taken_and_only_pings_are_answered() {
    within(async {
        let mut client = tungstenite(start().await, "/", None).await;
        for message in SIZES
            .into_iter()
            .flat_map(|size| [text(size), binary(size)])
        {
            client.send(message).await.unwrap();
        }
        client
            .send(Message::Ping("still there?".into()))
            .await
            .unwrap();

        let received = client.next().await.unwrap().unwrap();

        assert_eq!(received, Message::Pong("still there?".into()));
    })
    .await;
}

#[tokio::test]
async fn assemble_sends_exactly_one_frame() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo-assemble").await;

        peer.send(0x01, b"h\xc3").await;
        peer.send(0x00, b"").await;
        peer.settle().await;
        peer.send(0x80, b"\xa9").await;
        peer.send(0x02, b"").await;
        peer.send(0x80, b"").await;

        assert_eq!(peer.recv().await, wire(0x81, "hé"));
        assert_eq!(peer.recv().await, wire(0x82, ""));
        peer.settle().await;
    })
    .await;
}

#[tokio::test]
async fn fragment_sends_exactly_two_frames_cut_at_half_the_bytes() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo-fragment").await;
        for (message, halves) in [
            (wire(0x81, "hello"), [&b"he"[..], b"llo"]),
            (wire(0x82, [1, 2, 3, 4]), [&[1, 2], &[3, 4]]),
            (wire(0x81, "x"), [b"", b"x"]),
            (wire(0x81, ""), [b"", b""]),
            // Within a character.
            (wire(0x81, "é"), [b"\xc3", b"\xa9"]),
        ] {
            peer.send(message.first, &message.payload).await;

            let [first, second] = halves;
            assert_eq!(peer.recv().await, wire(message.first & 0x0f, first));
            assert_eq!(peer.recv().await, wire(0x80, second));
        }

        peer.send(0x01, b"thr").await;
        peer.send(0x00, b"e").await;
        peer.send(0x80, b"e!").await;
        assert_eq!(peer.recv().await, wire(0x01, "thr"));
        assert_eq!(peer.recv().await, wire(0x80, "ee!"));
        peer.settle().await;
    })
    .await;
}

#[tokio::test]
async fn text_is_validated_by_every_protocol() {
    within(async {
        let server = start().await;
        for subprotocol in [
            "echo",
            "echo-broadcast",
            "echo-broadcast-ping",
            "echo-assemble",
            "echo-fragment",
        ] {
            let mut peer = Peer::connect(server, subprotocol).await;

            peer.send(0x81, b"bad \xff").await;

            assert_eq!(peer.closed().await.0, 1007, "{subprotocol}");
        }
    })
    .await;
}

#[tokio::test]
async fn message_of_more_than_64_mib_is_1009() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo-assemble").await;

        peer.send(0x02, &vec![0; 64 << 20]).await;
        peer.send(0x80, &[0]).await;

        assert_eq!(peer.closed().await.0, 1009);
    })
    .await;
}
