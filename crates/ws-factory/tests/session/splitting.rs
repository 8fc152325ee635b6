//! The socket takes a few bytes at a time: control frames overtake data, but only between frames.

use std::time::Duration;

use tokio::time::timeout;
use ws_factory::{Frame, Policy, Role, Session, from_fn};

use crate::{
    peer::{PING, TEXT, run},
    recorder::{Log, Recorder},
};

/// Every size up to past the longest small header, so that writes end at every offset.
const PIPE_BYTES: std::ops::RangeInclusive<usize> = 1..=17;

/// Whatever the peer parses must be frames: a Pong inside another would not be.
#[tokio::test(start_paused = true)]
async fn pong_is_never_inside_a_data_frame_wherever_writes_end() {
    for role in [Role::Server, Role::Client] {
        for pipe_bytes in PIPE_BYTES {
            let endpoint = Recorder::new(&Log::default());
            let (mut peer, session, _task) = run(role, pipe_bytes, Policy::default(), endpoint);
            let mut received = Vec::new();

            for number in 0..10 {
                session
                    .send_text(format!("message {number}"))
                    .await
                    .unwrap();
                peer.send(PING, "").await;
                received.push(peer.recv().await);
            }
            while received.len() < 20 {
                match timeout(Duration::from_secs(1), peer.recv()).await {
                    Ok(frame) => received.push(frame),
                    // Pongs that waited gave way to later ones.
                    Err(_elapsed) => break,
                }
            }

            let pongs = received.iter().filter(|frame| *frame == "pong").count();
            received.retain(|frame| frame != "pong");
            let expected: Vec<_> = (0..10)
                .map(|number| format!("text message {number}"))
                .collect();
            assert_eq!(received, expected, "{role:?}, {pipe_bytes} bytes");
            assert!(pongs > 0, "{role:?}, {pipe_bytes} bytes");
        }
    }
}

/// §5.4: "Control frames [...] MAY be injected in the middle of a fragmented message."
#[tokio::test(start_paused = true)]
async fn ping_leaves_between_two_fragments_that_wait() {
    for role in [Role::Server, Role::Client] {
        for pipe_bytes in PIPE_BYTES {
            let endpoint = Recorder::new(&Log::default());
            let (mut peer, session, _task) = run(role, pipe_bytes, Policy::default(), endpoint);

            session
                .send_frame(Frame::text("the first fragment").not_final())
                .await
                .unwrap();
            session
                .send_frame(Frame::continuation("the last fragment"))
                .await
                .unwrap();
            tokio::task::yield_now().await;
            session.ping("now").await.unwrap();
            tokio::task::yield_now().await;
            let frames = [peer.recv().await, peer.recv().await, peer.recv().await];

            let expected = [
                "text- the first fragment",
                "ping now",
                "continuation the last fragment",
            ];
            assert_eq!(frames, expected, "{role:?}, {pipe_bytes} bytes");
        }
    }
}

/// Pieces of their own, and more of them than one write gathers.
#[tokio::test(start_paused = true)]
async fn large_messages_survive_writes_that_end_anywhere() {
    for pipe_bytes in [100, 16_384, 16_389, 100_000] {
        let endpoint = Recorder::new(&Log::default());
        let (mut peer, session, _task) = run(Role::Server, pipe_bytes, Policy::default(), endpoint);

        for _ in 0..40 {
            session.send_binary(vec![1; 16 * 1024]).await.unwrap();
            session.send_text("small").await.unwrap();
        }
        session.ping("").await.unwrap();
        let mut received = Vec::new();
        for _ in 0..81 {
            received.push(peer.recv().await);
        }

        received.retain(|frame| frame != "ping");
        let expected = ["binary of 16384 bytes", "text small"].repeat(40);
        assert_eq!(received, expected, "{pipe_bytes} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn echo_through_a_pipe_of_three_bytes_is_the_same() {
    for role in [Role::Server, Role::Client] {
        let echo = from_fn(|session: Session, message| async move {
            session.send(message).await?;
            Ok(())
        });
        let (mut peer, ..) = run(role, 3, Policy::default(), echo);

        for length in 0..40 {
            let text = "x".repeat(length);
            peer.send(TEXT, &text).await;
            assert_eq!(peer.recv().await, format!("text {text}").trim_end());
        }
    }
}
