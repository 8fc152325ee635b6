//! What is sent leaves whole, in order, and within bounds.

use std::{future::Future, time::Duration};

use tokio::{task::yield_now, time::timeout};
use ws_factory::{Frame, Message, Policy, Prepared, Role, SendError, Session};

use crate::{
    peer::{Peer, run, serve},
    recorder::{Log, Recorder},
};

/// A session whose pipe holds 8 bytes, and whose outbox holds `messages`.
fn narrow(messages: usize) -> (Peer, Session) {
    let policy = Policy::default().with_max_outbox_messages(messages);
    let (peer, session, _task) = run(Role::Server, 8, policy, Recorder::new(&Log::default()));
    (peer, session)
}

/// Whether a future would wait.
async fn waits<T>(future: impl Future<Output = T>) -> bool {
    timeout(Duration::from_millis(1), future).await.is_err()
}

/// Hostile input A5.
#[tokio::test(start_paused = true)]
async fn messages_of_many_senders_leave_whole_and_in_each_senders_order() {
    let policy = Policy::default().with_max_outbox_messages(3);
    let (mut peer, session, _task) = run(Role::Server, 10, policy, Recorder::new(&Log::default()));

    for sender in 0..64 {
        let session = session.clone();
        drop(tokio::spawn(async move {
            for number in 0..5 {
                session
                    .send_text(format!("{sender} sends {number}"))
                    .await
                    .unwrap();
            }
        }));
    }
    let mut next = [0; 64];
    for _ in 0..64 * 5 {
        let frame = peer.recv().await;
        let (sender, number) = frame
            .trim_start_matches("text ")
            .split_once(" sends ")
            .unwrap();
        let sender: usize = sender.parse().unwrap();
        assert_eq!(number.parse(), Ok(next[sender]));
        next[sender] += 1;
    }

    assert_eq!(next, [5; 64]);
}

/// Hostile input A11.
#[tokio::test(start_paused = true)]
async fn send_that_is_dropped_while_it_waits_sends_nothing() {
    let (mut peer, session) = narrow(1);

    session.send_text("first message").await.unwrap();
    let dropped = waits(session.send_text("dropped")).await;
    let first = peer.recv().await;
    session.send_text("second").await.unwrap();

    assert!(dropped);
    assert_eq!(
        (first.as_str(), peer.recv().await.as_str()),
        ("text first message", "text second")
    );
}

/// As `select!` in a loop may, also of one that was queued at once.
#[tokio::test(start_paused = true)]
async fn send_that_is_asked_again_after_it_is_done_waits_and_sends_nothing() {
    let (mut peer, session) = narrow(1);
    let mut at_once = std::pin::pin!(session.send(Message::text("of some length")));
    at_once.as_mut().await.unwrap();
    let mut waited = std::pin::pin!(session.send(Message::text("behind it")));
    assert!(waits(waited.as_mut()).await);
    assert_eq!(peer.recv().await, "text of some length");
    waited.as_mut().await.unwrap();

    assert!(waits(at_once).await && waits(waited).await);

    assert_eq!(peer.recv().await, "text behind it");
    assert!(waits(peer.recv()).await);
}

/// Hostile input A14.
#[tokio::test(start_paused = true)]
async fn try_send_gives_back_what_finds_no_room() {
    let (mut peer, session) = narrow(2);

    session.try_send_text("message one").unwrap();
    yield_now().await;
    session.try_send_binary("message two").unwrap();
    let refused = session.try_send_text("message three");

    assert_eq!(
        refused,
        Err(SendError::Full(Message::text("message three")))
    );
    assert_eq!(session.queued(), (2, 22));
    assert_eq!(peer.recv().await, "text message one");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_as_messages_are() {
    let policy = Policy::default().with_max_outbox_bytes(20);
    let (_peer, session, _task) = run(Role::Server, 8, policy, Recorder::new(&Log::default()));

    session.try_send_binary(vec![0; 12]).unwrap();

    assert!(session.try_send_binary(vec![0; 9]).unwrap_err().is_full());
    assert_eq!(session.try_send_binary(vec![0; 8]), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn message_larger_than_the_bound_passes_when_nothing_else_waits() {
    let policy = Policy::default().with_max_outbox_bytes(10);
    let (mut peer, session, _task) = serve(policy, Recorder::new(&Log::default()));

    session.send_binary(vec![0; 100_000]).await.unwrap();
    let second = waits(session.send_text("next")).await;

    assert!(!second, "the first has left");
    assert_eq!(peer.recv().await, "binary of 100000 bytes");
    assert_eq!(peer.recv().await, "text next");
}

/// Large payloads are not copied: header and payload are pieces of their own.
#[tokio::test(start_paused = true)]
async fn large_and_small_messages_keep_their_order() {
    for role in [Role::Server, Role::Client] {
        let endpoint = Recorder::new(&Log::default());
        let (mut peer, session, _task) = run(role, 1000, Policy::default(), endpoint);

        session.send_text("before").await.unwrap();
        session.send_binary(vec![1; 16 * 1024]).await.unwrap();
        session.send_text("").await.unwrap();
        session.send_binary(vec![2; 70_000]).await.unwrap();
        session.ping("overtakes").await.unwrap();
        let mut frames = Vec::new();
        for _ in 0..5 {
            frames.push(peer.recv().await);
        }

        let expected = [
            "text before",
            "binary of 16384 bytes",
            "text",
            "binary of 70000 bytes",
        ];
        let data: Vec<_> = frames
            .iter()
            .filter(|frame| !frame.starts_with("ping"))
            .collect();
        assert_eq!(data, expected.iter().collect::<Vec<_>>(), "{role:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn flush_waits_until_the_socket_has_taken_everything() {
    let (mut peer, session) = narrow(10);

    assert!(!waits(session.flush()).await, "nothing was queued");
    session.send_text("twelve bytes").await.unwrap();
    let early = waits(session.flush()).await;
    let frame = peer.recv().await;
    let late = waits(session.flush()).await;

    assert!(early);
    assert_eq!(frame, "text twelve bytes");
    assert!(!late);
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_queued_behind_a_write_under_way() {
    let (mut peer, session) = narrow(10);

    session.send_text("under way").await.unwrap();
    yield_now().await;
    session.send_text("behind it").await.unwrap();
    let flushing = tokio::spawn({
        let session = session.clone();
        async move { session.flush().await }
    });
    assert_eq!(peer.recv().await, "text under way");
    yield_now().await;
    let early = flushing.is_finished();
    assert_eq!(peer.recv().await, "text behind it");

    assert!(!early);
    assert_eq!(flushing.await.unwrap(), Ok(()));
}

/// §5.4, hostile input A6.
#[tokio::test(start_paused = true)]
async fn frames_leave_in_sequence_and_messages_wait_for_the_end_of_it() {
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));

    let orphan = session.send_frame(Frame::continuation("x")).await;
    session
        .send_frame(Frame::text("one ").not_final())
        .await
        .unwrap();
    let second = session.send_frame(Frame::binary("y")).await;
    let message = session.try_send_text("message");
    session.send_frame(Frame::ping("p")).await.unwrap();
    session
        .send_frame(Frame::continuation("two ").not_final())
        .await
        .unwrap();
    session
        .send_frame(Frame::continuation("three"))
        .await
        .unwrap();
    session.send_text("message").await.unwrap();

    assert!(matches!(orphan, Err(SendError::OutOfSequence(_))));
    assert!(matches!(second, Err(SendError::OutOfSequence(frame)) if frame.payload() == "y"));
    assert!(message.unwrap_err().is_full());
    let mut frames = Vec::new();
    for _ in 0..5 {
        frames.push(peer.recv().await);
    }
    frames.retain(|frame| frame != "ping p");
    assert_eq!(
        frames,
        [
            "text- one",
            "continuation- two",
            "continuation three",
            "text message"
        ]
    );
}

/// The message is first in line for the room that only the frame can use.
#[tokio::test(start_paused = true)]
async fn message_that_waits_for_the_end_of_a_sequence_does_not_keep_that_from_ending() {
    let (mut peer, session) = narrow(1);
    session
        .send_frame(Frame::text("first half, ").not_final())
        .await
        .unwrap();

    let message = tokio::spawn({
        let session = session.clone();
        async move { session.send_text("message").await }
    });
    yield_now().await;
    let frame = tokio::spawn({
        let session = session.clone();
        async move { session.send_frame(Frame::continuation("second half")).await }
    });
    let frames = async { [peer.recv().await, peer.recv().await, peer.recv().await] };
    let frames = timeout(Duration::from_secs(5), frames).await;

    assert_eq!(
        frames.expect("nobody is stuck"),
        [
            "text- first half,",
            "continuation second half",
            "text message"
        ]
    );
    assert_eq!(
        (message.await.unwrap(), frame.await.unwrap()),
        (Ok(()), Ok(()))
    );
}

#[tokio::test(start_paused = true)]
async fn close_is_not_sent_as_a_frame() {
    let (_peer, session) = narrow(1);
    let close = Frame::close(&ws_factory::CloseFrame::empty());

    let refused = session.send_frame(close).await;

    assert!(matches!(refused, Err(SendError::OutOfSequence(_))));
    assert!(session.is_open());
}

/// §5.5.
#[tokio::test(start_paused = true)]
async fn control_frame_of_more_than_125_bytes_is_given_back() {
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));

    let refused = session.ping(vec![0; 126]).await;
    session.pong(vec![b'x'; 125]).await.unwrap();

    assert!(matches!(refused, Err(SendError::ControlTooLong(payload)) if payload.len() == 126));
    assert_eq!(peer.recv().await, format!("pong {}", "x".repeat(125)));
}

/// More than may wait, and nothing but Pings to make the driver look.
#[tokio::test(start_paused = true)]
async fn ping_that_waits_for_room_leaves_when_there_is_some() {
    let (mut peer, session, _task) = run(
        Role::Server,
        64,
        Policy::default(),
        Recorder::new(&Log::default()),
    );

    let pinging = tokio::spawn(async move {
        for _ in 0..200 {
            session.ping(vec![b'p'; 100]).await.unwrap();
        }
    });
    for _ in 0..200 {
        let frame = timeout(Duration::from_secs(5), peer.recv()).await;
        assert_eq!(frame.expect("nobody is stuck").len(), "ping ".len() + 100);
    }

    pinging.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn prepared_message_leaves_in_the_frames_that_it_has() {
    for role in [Role::Server, Role::Client] {
        let endpoint = Recorder::new(&Log::default());
        let (mut peer, session, _task) = run(role, 1024, Policy::default(), endpoint);
        let message = Message::text("Hello");

        session
            .send_prepared(&Prepared::cut(&message, [2, 2]))
            .await
            .unwrap();
        session
            .try_send_prepared(&Prepared::from(&message))
            .unwrap();
        let mut frames = Vec::new();
        for _ in 0..4 {
            frames.push(peer.recv().await);
        }

        let expected = [
            "text- He",
            "continuation-",
            "continuation llo",
            "text Hello",
        ];
        assert_eq!(frames, expected, "{role:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_prepared_message_leaves_in_the_frames_that_it_has() {
    for role in [Role::Server, Role::Client] {
        let endpoint = Recorder::new(&Log::default());
        let (mut peer, session, _task) = run(role, 5000, Policy::default(), endpoint);
        let prepared = Prepared::cut(&Message::binary(vec![7; 60_000]), [20_000]);

        session.send_prepared(&prepared).await.unwrap();
        session.send_text("behind").await.unwrap();
        let frames = [peer.recv().await, peer.recv().await, peer.recv().await];

        let expected = [
            "binary- of 20000 bytes",
            "continuation of 40000 bytes",
            "text behind",
        ];
        assert_eq!(frames, expected, "{role:?}");
    }
}
