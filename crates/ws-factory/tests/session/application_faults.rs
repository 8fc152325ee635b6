//! The application fails: this session ends, says nothing of why, and no other notices.

use std::{
    future::{Future, Ready, pending, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use ws_factory::{CloseCode, CloseEvent, Endpoint, EventResult, Message, Policy, Session, from_fn};

use crate::{
    peer::{CLOSE, PING, PONG, TEXT, close, serve},
    recorder::{Log, Recorder, Told},
};

const SECRET: &str = "password is swordfish";

/// Hostile inputs A17 and A20.
#[tokio::test(start_paused = true)]
async fn error_of_an_event_closes_with_1011_and_a_fixed_reason() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        match told {
            Told::Message(_) => {
                session.send_text("before").await?;
                Err(SECRET.into())
            }
            _ => Ok(()),
        }
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "hi").await;
    peer.send(TEXT, "not delivered").await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["text before", "close 1011 internal error", "end"]);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "text hi",
            "error: endpoint failed",
            "close 1011 'internal error' by Local: endpoint failed",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn error_behind_our_close_is_told_with_the_code_that_left() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        match told {
            Told::Message(_) => {
                session.close(CloseCode::NORMAL, "done");
                Err(SECRET.into())
            }
            _ => Ok(()),
        }
    });
    let (mut peer, session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "hi").await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["close 1000 done", "end"]);
    let told = "close 1000 'done' by Local: endpoint failed";
    assert_eq!(
        log.lines(),
        ["connect", "text hi", "error: endpoint failed", told]
    );
    assert_eq!(session.closed().await.status(), 1000);
}

/// Hostile inputs A1 and A20.
#[tokio::test(start_paused = true)]
async fn panic_in_an_event_closes_with_1011_and_is_told_once() {
    type Panics = fn(&Told) -> bool;
    let rows: [Panics; 4] = [
        |told| matches!(told, Told::Connect),
        |told| matches!(told, Told::Message(_)),
        |told| matches!(told, Told::Ping),
        |told| matches!(told, Told::Pong),
    ];

    for panics in rows {
        let log = Log::default();
        let endpoint = Recorder::acting(&log, move |_, told| async move {
            assert!(!panics(&told), "{SECRET}");
            Ok(())
        });
        let (mut peer, _session, task) = serve(Policy::default(), endpoint);
        peer.send(PING, "").await;
        peer.send(PONG, "").await;
        peer.send(TEXT, "hi").await;
        let frames = peer.rest().await;
        drop(peer);
        task.await.expect("the task outlives the panic");

        assert!(frames.contains(&"close 1011 internal error".to_owned()));
        let lines = log.lines();
        assert_eq!(
            lines[lines.len() - 2..],
            [
                "error: endpoint panicked",
                "close 1011 'internal error' by Local: endpoint panicked",
            ]
        );
    }
}

/// Hostile input A1: an event that panics before there is a future of it.
#[tokio::test(start_paused = true)]
async fn panic_before_the_future_is_one_in_the_event() {
    let endpoint = from_fn(|_: Session, message: Message| -> Ready<EventResult> {
        panic!("{SECRET}: {message:?}")
    });
    let (mut peer, session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "hi").await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.expect("the task outlives the panic");

    assert_eq!(frames, ["close 1011 internal error", "end"]);
    assert_eq!(session.closed().await.status(), 1011);
}

/// Hostile input A1: `on_error` and `on_close` themselves.
#[tokio::test(start_paused = true)]
async fn panic_in_the_last_events_ends_only_these() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        assert!(!matches!(told, Told::Error | Told::Close), "{SECRET}");
        Ok(())
    });
    let (peer, session, task) = serve(Policy::default(), endpoint);

    drop(peer);
    task.await.expect("the task outlives the panics");

    assert_eq!(log.lines().len(), 3, "{:?}", log.lines());
    assert_eq!(session.closed().await.status(), 1006);
}

/// An `on_close` that panics before there is a future of it.
struct ClosesBadly;

impl Endpoint for ClosesBadly {
    fn on_close(
        &mut self,
        _session: &Session,
        event: &CloseEvent,
    ) -> impl Future<Output = ()> + Send {
        assert!(!event.is_clean(), "{SECRET}");
        ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_on_close_before_its_future_leaves_the_task_alive() {
    let (mut peer, _session, task) = serve(Policy::default(), ClosesBadly);

    peer.send(CLOSE, close(1000, "")).await;
    let frames = peer.rest().await;
    drop(peer);

    assert_eq!(frames, ["close 1000", "end"]);
    task.await.expect("the task outlives the panic");
}

/// The last events have a deadline each, and the session is over for everybody else before.
#[tokio::test(start_paused = true)]
async fn on_error_and_on_close_past_their_deadline_are_dropped() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        match told {
            Told::Error | Told::Close => pending().await,
            _ => Ok(()),
        }
    });
    let policy = Policy::default().with_close_timeout(Duration::from_secs(4));
    let (peer, session, task) = serve(policy, endpoint);
    let start = Instant::now();

    drop(peer);
    session.closed().await;
    let told_at = start.elapsed();
    task.await.unwrap();

    assert_eq!((told_at.as_secs(), start.elapsed().as_secs()), (0, 8));
    assert_eq!(log.lines().len(), 3, "{:?}", log.lines());
}

/// Hostile input A10: what the handler waits for can only come with the next message.
#[tokio::test(start_paused = true)]
async fn handler_that_waits_for_its_own_next_message_is_bounded_by_the_end() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        if let Told::Message(_) = told {
            session.closed().await;
        }
        Ok(())
    });
    let (mut peer, session, _task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "one").await;
    peer.send(CLOSE, close(1000, "")).await;

    assert_eq!(session.closed().await.status(), 1000);
}

/// Hostile input A10: the handler fills the outbox that it empties.
#[tokio::test(start_paused = true)]
async fn handler_that_sends_more_than_the_outbox_holds_is_not_stuck() {
    let policy = Policy::default().with_max_outbox_messages(1);
    let endpoint = from_fn(|session: Session, _| async move {
        for number in 0..100 {
            session.send_text(number.to_string()).await?;
        }
        session.flush().await?;
        Ok(())
    });
    let (mut peer, ..) = serve(policy, endpoint);

    peer.send(TEXT, "go").await;
    for number in 0..100 {
        assert_eq!(peer.recv().await, format!("text {number}"));
    }
}

/// Hostile input T12.
#[tokio::test(start_paused = true)]
async fn slow_handler_does_not_delay_another_session() {
    let slow = from_fn(|_, _| async {
        sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    let echo = from_fn(|session: Session, message| async move {
        session.send(message).await?;
        Ok(())
    });
    let start = Instant::now();

    let (mut busy, ..) = serve(Policy::default(), slow);
    let (mut peer, ..) = serve(Policy::default(), echo);
    busy.send(TEXT, "work").await;
    peer.send(TEXT, "hi").await;

    assert_eq!(peer.recv().await, "text hi");
    assert_eq!(start.elapsed().as_secs(), 0);
}
