//! We close first: what leaves before, what still arrives, and what if the peer does not answer.

use std::time::Duration;

use tokio::time::{Instant, advance, timeout};
use ws_factory::{Close, CloseCode, Policy, Role, SendError, Session};

use crate::{
    peer::{CLOSE, PING, TEXT, close, frame, run, serve},
    recorder::{Log, Recorder, Told, ending},
};

#[tokio::test(start_paused = true)]
async fn messages_arrive_after_our_close_until_the_peers() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));

    session.send_text("last").await.unwrap();
    session.close(CloseCode::GOING_AWAY, "bye");
    let frames = [peer.recv().await, peer.recv().await];
    peer.send(TEXT, "still here").await;
    peer.send(CLOSE, close(4000, "ok")).await;
    let rest = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["text last", "close 1001 bye"]);
    assert_eq!(rest, ["end"], "§5.5.1: nothing follows our Close");
    assert_eq!(
        log.lines(),
        [
            "connect",
            "text still here",
            "close 4000 'ok' by Local, clean"
        ]
    );
}

/// An echo answers every message, and cannot any more: that is no failure of the echo.
#[tokio::test(start_paused = true)]
async fn handler_that_cannot_send_after_our_close_has_not_failed() {
    let log = Log::default();
    let echo = Recorder::acting(&log, |session, told| async move {
        if let Told::Message(message) = told {
            session.send(message).await?;
        }
        Ok(())
    });
    let (mut peer, session, _task) = serve(Policy::default(), echo);

    session.close(CloseCode::GOING_AWAY, "");
    assert_eq!(peer.recv().await, "close 1001");
    peer.send(TEXT, "one").await;
    peer.send(TEXT, "two").await;
    peer.send(CLOSE, close(1001, "")).await;
    let event = session.closed().await;

    assert_eq!(ending(&event), "close 1001 by Local, clean");
    assert_eq!(log.lines()[1..3], ["text one", "text two"]);
}

/// Hostile input A4.
#[tokio::test(start_paused = true)]
async fn nothing_can_be_queued_after_close() {
    let (_peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));

    session.close_without_status();

    assert!(!session.is_open());
    let refused = session.send_text("late").await;
    assert_eq!(refused.unwrap_err().into_inner().as_bytes(), b"late");
    assert!(session.try_send_text("late").unwrap_err().is_closed());
    assert!(session.ping("late").await.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn second_close_changes_nothing() {
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));

    session.close_without_status();
    session.close(CloseCode::INTERNAL_ERROR, "again");
    peer.send(CLOSE, "").await;

    assert_eq!(peer.rest().await, ["close", "end"]);
    assert_eq!(session.closed().await.status(), 1005);
}

/// Hostile input K9.
#[tokio::test(start_paused = true)]
async fn both_closing_at_once_is_one_clean_close() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));

    peer.send(CLOSE, close(1001, "")).await;
    session.close(CloseCode::NORMAL, "");
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["close 1000", "end"]);
    assert_eq!(log.lines(), ["connect", "close 1001 by Local, clean"]);
}

/// Hostile input K10.
#[tokio::test(start_paused = true)]
async fn peer_that_does_not_answer_our_close_is_left_after_the_close_timeout() {
    let log = Log::default();
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&log));
    let start = Instant::now();

    session.close(CloseCode::NORMAL, "");
    let frames = peer.rest().await;

    assert_eq!(frames, ["close 1000", "end"]);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "close 1006 by Local: no answer to our Close in time"
        ]
    );
}

/// Hostile input K13: the Close has not even left.
#[tokio::test(start_paused = true)]
async fn close_behind_what_the_peer_does_not_read_times_out_all_the_same() {
    let policy = Policy::default().with_write_deadline(None);
    let endpoint = Recorder::new(&Log::default());
    let (_peer, session, _task) = run(Role::Server, 64, policy, endpoint);
    let start = Instant::now();

    session.send_binary(vec![0; 1 << 20]).await.unwrap();
    tokio::task::yield_now().await;
    session.close(CloseCode::NORMAL, "");
    let event = session.closed().await;

    assert_eq!(
        ending(&event),
        "close 1006 by Local: no answer to our Close in time"
    );
    assert_eq!(start.elapsed().as_secs(), 10);
}

/// Hostile input T11: slow is not dead.
#[tokio::test(start_paused = true)]
async fn close_behind_what_the_peer_reads_slowly_still_leaves() {
    let endpoint = Recorder::new(&Log::default());
    let (mut peer, session, _task) = run(Role::Server, 64, Policy::default(), endpoint);

    for _ in 0..10 {
        session.send_binary(vec![0; 100]).await.unwrap();
    }
    session.close(CloseCode::NORMAL, "");
    for _ in 0..10 {
        advance(Duration::from_secs(5)).await;
        assert_eq!(peer.recv().await, format!("binary {}", "\0".repeat(100)));
    }
    peer.send(CLOSE, close(1000, "")).await;

    assert_eq!(peer.rest().await, ["close 1000", "end"]);
    assert!(session.closed().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_after_our_close_is_not_an_error_but_not_clean() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));

    session.close(CloseCode::NORMAL, "");
    assert_eq!(peer.recv().await, "close 1000");
    drop(peer);
    task.await.unwrap();

    assert_eq!(
        log.lines(),
        ["connect", "close 1006 by Local: connection lost"]
    );
}

/// Hostile input K11.
#[tokio::test(start_paused = true)]
async fn peer_that_answers_but_keeps_the_stream_is_left_after_two_seconds() {
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&Log::default()));
    let start = Instant::now();

    session.close(CloseCode::NORMAL, "");
    peer.send(CLOSE, close(1000, "")).await;
    task.await.unwrap();

    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(peer.rest().await, ["close 1000", "end"]);
}

#[tokio::test(start_paused = true)]
async fn close_as_the_error_of_an_event_waits_for_the_answer_and_is_no_error() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        match told {
            Told::Message(_) => Err(Close::new(CloseCode::UNSUPPORTED_DATA, "no text").into()),
            _ => Ok(()),
        }
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "one").await;
    peer.send(TEXT, "two").await;
    assert_eq!(peer.recv().await, "close 1003 no text");
    peer.send(CLOSE, close(1003, "")).await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(
        log.lines(),
        ["connect", "text one", "close 1003 by Local, clean"]
    );
}

/// §5.5.1, §5.5.3: the Pong waits behind a Ping of ours, and the Close behind neither.
#[tokio::test(start_paused = true)]
async fn pong_that_waits_leaves_before_our_close_or_never() {
    for role in [Role::Server, Role::Client] {
        let endpoint = Recorder::new(&Log::default());
        let (mut peer, session, _task) = run(role, 16, Policy::default(), endpoint);

        session.ping("a ping that fills the pipe").await.unwrap();
        settle().await;
        peer.send(PING, "?").await;
        settle().await;
        session.close(CloseCode::NORMAL, "");
        settle().await;
        let mut frames = vec![peer.recv().await];
        peer.send(CLOSE, close(1000, "")).await;
        frames.extend(peer.rest().await);

        assert_eq!(frames[1..], ["pong ?", "close 1000", "end"], "{role:?}");
    }
}

/// As above, and with a Ping of ours that was queued before the Close and found no room.
#[tokio::test(start_paused = true)]
async fn control_frames_from_before_our_close_leave_before_it() {
    for role in [Role::Server, Role::Client] {
        let endpoint = Recorder::new(&Log::default());
        let (mut peer, session, _task) = run(role, 16, Policy::default(), endpoint);

        session.ping("a ping that fills the pipe").await.unwrap();
        peer.send(PING, "1").await;
        settle().await;
        session.ping("ours").await.unwrap();
        peer.send(PING, "2").await;
        settle().await;
        session.close(CloseCode::NORMAL, "");
        settle().await;
        let mut frames = vec![peer.recv().await];
        peer.send(CLOSE, close(1000, "")).await;
        frames.extend(peer.rest().await);

        assert_eq!(
            frames[frames.len() - 2..],
            ["close 1000", "end"],
            "{role:?}"
        );
        assert!(frames.contains(&"pong 2".to_owned()), "{frames:?}");
        assert!(frames.contains(&"ping ours".to_owned()), "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ping_after_our_close_is_not_answered() {
    let log = Log::default();
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&log));

    session.close(CloseCode::NORMAL, "");
    assert_eq!(peer.recv().await, "close 1000");
    peer.send(PING, "?").await;
    peer.send(CLOSE, close(1000, "")).await;

    assert_eq!(peer.rest().await, ["end"]);
    assert_eq!(log.lines()[1], "ping ?");
}

/// Hostile input A9.
#[tokio::test(start_paused = true)]
async fn close_from_any_event_is_one_close() {
    type Calls = fn(&Told) -> bool;
    let rows: [(Calls, &[&str]); 4] = [
        (|told| matches!(told, Told::Connect), &["close 4001", "end"]),
        (
            |told| matches!(told, Told::Message(_)),
            &["close 4001", "end"],
        ),
        (
            |told| matches!(told, Told::Ping),
            &["pong", "close 4001", "end"],
        ),
        (|told| matches!(told, Told::Close), &["close 1000", "end"]),
    ];

    for (calls, expected) in rows {
        let log = Log::default();
        let endpoint = Recorder::acting(&log, move |session: Session, told| {
            if calls(&told) {
                session.close(CloseCode::from_wire(4001).unwrap(), "");
            }
            async { Ok(()) }
        });
        let (mut peer, _session, task) = serve(Policy::default(), endpoint);
        if expected.len() == 3 {
            peer.send(PING, "").await;
        }
        peer.send(TEXT, "hi").await;
        peer.send(CLOSE, close(1000, "")).await;
        let frames = peer.rest().await;
        drop(peer);
        task.await.unwrap();

        let closes = log
            .lines()
            .iter()
            .filter(|line| line.starts_with("close"))
            .count();
        assert_eq!(closes, 1);
        let frames: Vec<_> = frames.iter().filter(|frame| *frame != "pong").collect();
        let expected: Vec<_> = expected.iter().filter(|frame| **frame != "pong").collect();
        assert_eq!(frames, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn abort_says_nothing_and_delivers_nothing_more() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        if let Told::Message(_) = told {
            session.send_text("lost").await?;
            session.abort();
        }
        Ok(())
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    let both = [
        frame(Role::Server, TEXT, b"one"),
        frame(Role::Server, TEXT, b"two"),
    ];
    peer.send_bytes(&both.concat()).await;
    task.await.unwrap();

    assert_eq!(peer.rest().await, ["end"]);
    assert_eq!(
        log.lines(),
        ["connect", "text one", "close 1006 by Local: aborted"]
    );
}

#[tokio::test(start_paused = true)]
async fn abort_drops_the_event_that_runs_and_frees_who_waits_to_send() {
    let policy = Policy::default().with_max_outbox_messages(1);
    let endpoint = Recorder::acting(&Log::default(), |_, told| async move {
        if let Told::Connect = told {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let (_peer, session, task) = run(Role::Server, 8, policy, endpoint);
    session.send_text("fills the outbox").await.unwrap();

    let waiting = tokio::spawn({
        let session = session.clone();
        async move { session.send_text("waits").await }
    });
    settle().await;
    session.abort();
    let refused = waiting.await.unwrap();

    assert!(matches!(refused, Err(SendError::Closed(_))));
    assert!(timeout(Duration::from_secs(1), task).await.is_ok());
    assert_eq!(session.queued(), (0, 0));
}

/// Lets every task go as far as it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
