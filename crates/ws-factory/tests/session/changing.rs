//! A policy that is changed on a live session: it holds from then on, for what waits already, too.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use ws_factory::{CloseCode, Policy, Role, Session};

use crate::{
    peer::{Peer, run, serve},
    recorder::{Log, Recorder},
};

const SECOND: Duration = Duration::from_secs(1);

fn quiet() -> (Peer, Session) {
    let (peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));
    (peer, session)
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_that_is_lowered_counts_from_the_last_activity() {
    let (mut peer, session) = quiet();
    let start = Instant::now();

    sleep(100 * SECOND).await;
    session.set_policy(Policy::default().with_idle_timeout(Some(130 * SECOND)));
    assert_eq!(peer.recv().await, "close 1001 idle timeout");
    let lowered = start.elapsed().as_secs();
    let (mut peer, session) = quiet();
    sleep(100 * SECOND).await;
    session.set_policy(Policy::default().with_idle_timeout(Some(10 * SECOND)));
    let start = Instant::now();
    assert_eq!(peer.recv().await, "close 1001 idle timeout");

    assert_eq!(lowered, 130);
    assert_eq!(start.elapsed().as_secs(), 0, "it has passed already");
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_that_is_raised_or_taken_away_lets_the_session_live() {
    let (_peer, raised) = quiet();
    let (_other, endless) = quiet();

    sleep(299 * SECOND).await;
    raised.set_policy(Policy::default().with_idle_timeout(Some(600 * SECOND)));
    endless.set_policy(Policy::default().with_idle_timeout(None));
    sleep(300 * SECOND).await;
    let lived = raised.is_open();
    sleep(2 * SECOND).await;

    assert!(lived);
    assert_eq!(raised.closed().await.status(), 1001);
    sleep(100_000 * SECOND).await;
    assert!(endless.is_open());
}

#[tokio::test(start_paused = true)]
async fn pings_begin_when_they_are_asked_for_and_stop_when_they_are_not() {
    let (mut peer, session) = quiet();

    sleep(100 * SECOND).await;
    session.set_policy(Policy::default().with_ping_interval(Some(120 * SECOND)));
    let start = Instant::now();
    let ping = peer.recv().await;
    let first = start.elapsed().as_secs();
    session.set_policy(Policy::default().with_idle_timeout(None));
    let none = timeout(1000 * SECOND, peer.recv()).await;

    assert!(ping.starts_with("ping"), "{ping}");
    assert_eq!(first, 120, "counted from when it was asked for");
    assert!(none.is_err());
}

#[tokio::test(start_paused = true)]
async fn write_deadline_and_outbox_hold_for_what_waits_already() {
    let (_peer, session, _task) = run(
        Role::Server,
        8,
        Policy::default().with_max_outbox_messages(1),
        Recorder::new(&Log::default()),
    );
    session.try_send_text("does not leave").unwrap();
    let waiting = tokio::spawn({
        let session = session.clone();
        async move { session.send_text("waits for room").await }
    });
    sleep(SECOND).await;
    assert!(!waiting.is_finished());

    let policy = Policy::default().with_write_deadline(Some(10 * SECOND));
    session.set_policy(policy);
    let start = Instant::now();
    let found_room = timeout(SECOND, waiting).await;
    let event = session.closed().await;

    assert_eq!(found_room.expect("at once").unwrap(), Ok(()));
    assert_eq!(
        event.cause().unwrap().to_string(),
        "no write progress in time"
    );
    assert_eq!(start.elapsed().as_secs(), 9, "one had passed");
}

/// What the session has begun goes by what held when it began.
#[tokio::test(start_paused = true)]
async fn close_timeout_holds_for_the_next_close() {
    let (mut peer, session) = quiet();
    session.set_policy(Policy::default().with_close_timeout(3 * SECOND));
    let start = Instant::now();

    session.close(CloseCode::NORMAL, "");
    let event = session.closed().await;

    assert_eq!(peer.recv().await, "close 1000");
    assert_eq!(event.status(), 1006);
    assert_eq!(start.elapsed().as_secs(), 3);
}

/// A Ping is out, and its answer will not come.
async fn pinged(policy: &Policy) -> (Peer, Session, Instant) {
    let (mut peer, session, _task) = serve(policy.clone(), Recorder::new(&Log::default()));
    let ping = peer.recv().await;
    assert!(ping.starts_with("ping"), "{ping}");
    (peer, session, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn pong_deadline_that_is_changed_holds_for_the_ping_that_is_out() {
    let pings = Policy::default()
        .with_ping_interval(Some(100 * SECOND))
        .with_pong_deadline(Some(30 * SECOND));

    let (_peer, session, start) = pinged(&pings).await;
    session.set_policy(pings.clone().with_pong_deadline(Some(5 * SECOND)));
    assert_eq!(session.closed().await.status(), 1006);
    assert_eq!(start.elapsed(), 5 * SECOND);

    let (_peer, session, start) = pinged(&pings.clone().with_pong_deadline(None)).await;
    session.set_policy(pings.clone());
    assert_eq!(session.closed().await.status(), 1006);
    assert_eq!(start.elapsed(), 30 * SECOND);

    let (_peer, session, _start) = pinged(&pings).await;
    session.set_policy(Policy::default().with_idle_timeout(None));
    sleep(1000 * SECOND).await;
    assert!(session.is_open(), "nobody waits for that answer any more");
}

#[tokio::test(start_paused = true)]
async fn close_timeout_that_is_changed_holds_for_a_close_that_has_left() {
    let (mut peer, session) = quiet();
    let start = Instant::now();
    session.close(CloseCode::NORMAL, "");
    peer.recv().await;

    sleep(SECOND).await;
    session.set_policy(Policy::default().with_close_timeout(2 * SECOND));
    session.closed().await;

    assert_eq!(start.elapsed(), 2 * SECOND);
}
