//! Messages in order, one at a time; what goes on while one is handled.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::yield_now, time::timeout};
use ws_factory::{Bytes, Endpoint, EventResult, Partial, Policy, Role, Session};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, PING, PONG, Peer, TEXT, close, frame, run, serve},
    recorder::{Log, Recorder, Told},
};

/// An endpoint whose message handler needs a permit to finish.
fn gated(log: &Log) -> (Recorder, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&gate);
    let endpoint = Recorder::acting(log, move |_, told| {
        let permits = Arc::clone(&permits);
        async move {
            if let Told::Message(_) = told {
                permits.acquire().await?.forget();
            }
            Ok(())
        }
    });
    (endpoint, gate)
}

/// Lets every task go as far as it can.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_delivered_in_order_and_one_at_a_time() {
    let log = Log::default();
    let (endpoint, gate) = gated(&log);
    let (mut peer, ..) = serve(Policy::default(), endpoint);

    peer.send(TEXT & MORE, "o").await;
    peer.send(PING, "between").await;
    peer.send(CONTINUATION, "ne").await;
    peer.send(TEXT, "two").await;
    settle().await;
    let before = log.lines();
    gate.add_permits(1);
    settle().await;

    assert_eq!(before, ["connect", "ping between", "text one"]);
    assert_eq!(log.lines()[3..], ["text two"]);
}

/// The data frame behind the handler is bad, and nobody has looked at it yet.
#[tokio::test(start_paused = true)]
async fn next_data_frame_is_not_parsed_while_a_handler_runs() {
    let log = Log::default();
    let (endpoint, gate) = gated(&log);
    let (mut peer, session, _task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    peer.send(TEXT, b"\xFF").await;
    settle().await;
    let open = session.is_open();
    gate.add_permits(1);

    assert!(open);
    assert_eq!(
        peer.rest().await,
        ["close 1007 text is not UTF-8 at byte 0", "end"]
    );
}

#[tokio::test(start_paused = true)]
async fn ping_is_answered_and_queued_messages_leave_while_a_handler_runs() {
    let log = Log::default();
    let (endpoint, gate) = gated(&log);
    let (mut peer, session, _task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    peer.send(PING, "1").await;
    let pong = peer.recv().await;
    session.send_text("from elsewhere").await.unwrap();
    let message = peer.recv().await;
    let before = log.lines();
    gate.add_permits(1);
    settle().await;

    assert_eq!(
        (pong.as_str(), message.as_str()),
        ("pong 1", "text from elsewhere")
    );
    assert_eq!(before, ["connect", "text work"]);
    assert_eq!(
        log.lines()[2..],
        ["ping 1"],
        "told when the handler is done"
    );
}

/// Hostile inputs R3 and A13: what is not handled stays with the peer.
#[tokio::test(start_paused = true)]
async fn peer_that_floods_a_slow_handler_is_pushed_back() {
    let log = Log::default();
    let (endpoint, _gate) = gated(&log);
    let policy = Policy::default().with_max_read_bytes(1024);
    let (mut peer, ..) = run(Role::Server, 1024, policy, endpoint);
    let message = frame(Role::Server, BINARY, &[0; 100]);

    let mut sent = 0;
    while timeout(Duration::from_secs(1), peer.send_bytes(&message))
        .await
        .is_ok()
    {
        sent += message.len();
    }

    assert!(sent <= 2 * 1024, "{sent} bytes went in");
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
}

/// Hostile input R9, with every boundary there can be.
#[tokio::test(start_paused = true)]
async fn bytes_that_come_one_by_one_are_the_same_messages() {
    let log = Log::default();
    let (mut peer, _session, task) = serve(Policy::default(), Recorder::new(&log));
    let bytes = [
        frame(Role::Server, TEXT & MORE, "hé".as_bytes()),
        frame(Role::Server, PING, b"p"),
        frame(Role::Server, CONTINUATION, "llö".as_bytes()),
        frame(Role::Server, BINARY, &[7; 300]),
        frame(Role::Server, PONG, b""),
        frame(Role::Server, CLOSE, &close(1000, "")),
    ];

    for byte in bytes.concat() {
        peer.send_bytes(&[byte]).await;
        yield_now().await;
    }
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["pong p", "close 1000", "end"]);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "ping p",
            "text héllö",
            "message of 300 bytes",
            "pong ",
            "close 1000 by Remote, clean",
        ]
    );
}

/// Past the parser and straight into the message, where no single read holds it.
#[tokio::test(start_paused = true)]
async fn large_message_arrives_whole_through_small_reads() {
    for (role, read_bytes) in [(Role::Server, 1000), (Role::Client, 65_536)] {
        let log = Log::default();
        let policy = Policy::default()
            .with_max_binary_bytes(1 << 20)
            .with_max_read_bytes(read_bytes);
        let echo = Recorder::acting(&log, |session, told| async move {
            if let Told::Message(message) = told {
                session.send(message).await?;
            }
            Ok(())
        });
        let (mut peer, ..) = run(role, 4 << 20, policy, echo);

        peer.send(BINARY & MORE, vec![1; 400_000]).await;
        peer.send(CONTINUATION, vec![2; 300_000]).await;
        peer.send(TEXT, "behind").await;
        let frames = [peer.recv().await, peer.recv().await];

        assert_eq!(
            frames,
            ["binary of 700000 bytes", "text behind"],
            "{role:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn limit_that_a_session_raises_holds_from_the_next_frame_on() {
    let log = Log::default();
    let (mut peer, session, _task) = serve(
        Policy::default().with_max_text_bytes(2),
        Recorder::new(&log),
    );

    session.set_policy(Policy::default().with_max_text_bytes(5));
    settle().await;
    peer.send(TEXT, "hello").await;
    settle().await;

    assert_eq!(log.lines()[1..], ["text hello"]);
    assert_eq!(session.policy().max_text_bytes(), 5);
}

/// Pings are the endpoint's own business then.
#[tokio::test(start_paused = true)]
async fn without_auto_pong_the_endpoint_answers() {
    let endpoint = Recorder::acting(&Log::default(), |session, told| async move {
        if let Told::Ping = told {
            session.pong("mine").await?;
        }
        Ok(())
    });
    let (mut peer, ..) = serve(Policy::default().without_auto_pong(), endpoint);

    peer.send(PING, "yours").await;

    assert_eq!(peer.recv().await, "pong mine");
}

struct Pieces(Log);

impl Endpoint for Pieces {
    const PARTIAL: bool = true;

    async fn on_partial(&mut self, session: &Session, part: Partial) -> EventResult {
        let first = if part.is_first() { "first " } else { "" };
        let last = if part.is_last() { " last" } else { "" };
        let piece = Bytes::copy_from_slice(part.piece().as_bytes());
        self.0
            .push(format!("{first}{}{last}", piece.escape_ascii()));
        // What is sent in between leaves in between.
        session.send_text("got it").await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_are_delivered_as_they_arrive() {
    let log = Log::default();
    let (mut peer, ..) = serve(Policy::default(), Pieces(log.clone()));
    let bytes = frame(Role::Server, TEXT, b"Hello");

    for chunk in bytes.chunks(8) {
        peer.send_bytes(chunk).await;
        answered(&mut peer).await;
    }

    assert_eq!(log.lines(), ["first He", "llo last"]);
}

async fn answered(peer: &mut Peer) {
    assert_eq!(peer.recv().await, "text got it");
}
