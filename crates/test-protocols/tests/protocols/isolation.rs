//! A client that vanishes, sends garbage or stops reading ends only its own connection.

use std::time::Duration;

use tokio::time::timeout;

use crate::peer::{Peer, start, wire, within};

#[tokio::test]
async fn client_that_vanishes_within_a_message_ends_alone() {
    within(async {
        let server = start().await;
        for subprotocol in ["echo", "echo-broadcast", "echo-fragment"] {
            let mut stays = Peer::connect(server, subprotocol).await;
            let mut leaves = Peer::connect(server, subprotocol).await;

            leaves.send(0x01, b"half a mess").await;
            drop(leaves);
            stays.send(0x81, b"x").await;

            let answer = stays.recv().await;
            assert!([0x81, 0x01].contains(&answer.first), "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn client_that_sends_garbage_ends_alone_with_1002() {
    within(async {
        let server = start().await;
        for subprotocol in ["echo", "echo-broadcast", "echo-assemble"] {
            let mut good = Peer::connect(server, subprotocol).await;
            let mut bad = Peer::connect(server, subprotocol).await;

            bad.writer.send_bytes(b"GET / HTTP/1.1\r\n\r\n").await;

            assert_eq!(bad.closed().await.0, 1002);
            good.send(0x81, b"x").await;
            assert_eq!(good.recv().await, wire(0x81, "x"));
        }
    })
    .await;
}

/// The server stops reading from a client that does not read, however much that would send.
#[tokio::test]
async fn client_that_does_not_read_is_not_read_from() {
    /// More than the outbox and what systems buffer of a connection.
    const ENOUGH: usize = 256;
    within(async {
        let server = start().await;
        let megabyte = vec![0; 1 << 20];
        for subprotocol in ["echo", "echo-broadcast", "echo-assemble", "echo-fragment"] {
            let mut deaf = Peer::connect(server, subprotocol).await;
            let flood = async {
                for _ in 0..ENOUGH {
                    deaf.send(0x82, &megabyte).await;
                }
            };
            let stalled = timeout(Duration::from_secs(1), flood).await;
            assert!(stalled.is_err(), "{subprotocol} took everything");

            let mut other = Peer::connect(server, "echo-assemble").await;
            other.send(0x81, b"x").await;
            assert_eq!(other.recv().await, wire(0x81, "x"));
        }
    })
    .await;
}

#[tokio::test]
async fn member_that_does_not_read_delays_nobody() {
    const MESSAGES: usize = 64;
    within(async {
        let server = start().await;
        let mut deaf = Peer::connect(server, "echo-broadcast").await;
        deaf.settle().await;
        let mut sender = Peer::connect(server, "echo-broadcast").await;
        let megabyte = vec![0; 1 << 20];

        for _ in 0..MESSAGES {
            let echoed = sender.exchange(&[wire(0x82, megabyte.clone())]).await;
            assert!(echoed[0].payload == megabyte);
        }
        // And nothing is lost once it does read.
        for _ in 0..MESSAGES {
            assert!(deaf.recv().await.payload == megabyte);
        }
        deaf.settle().await;
    })
    .await;
}
