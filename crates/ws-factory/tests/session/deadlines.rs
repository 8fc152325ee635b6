//! Time passes: idle, Pings without Pongs, writes without progress.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, advance, sleep, timeout};
use ws_factory::{Bytes, Policy, Role};

use crate::{
    peer::{CLOSE, MORE, PONG, TEXT, close, frame, run, serve},
    recorder::{Log, Recorder, Told, ending},
};

const SECOND: Duration = Duration::from_secs(1);

/// Hostile input T4.
#[tokio::test(start_paused = true)]
async fn idle_session_is_closed_with_1001_without_waiting_for_an_answer() {
    let log = Log::default();
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&log));
    let start = Instant::now();

    let frames = peer.rest().await;
    session.closed().await;

    assert_eq!(frames, ["close 1001 idle timeout", "end"]);
    assert_eq!(start.elapsed().as_secs(), 300);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "error: idle timeout",
            "close 1001 'idle timeout' by Local: idle timeout",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_or_received_puts_idle_off() {
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));

    sleep(200 * SECOND).await;
    peer.send(TEXT, "hi").await;
    sleep(200 * SECOND).await;
    session.send_text("hi").await.unwrap();
    sleep(200 * SECOND).await;

    assert!(session.is_open());
    assert_eq!(peer.recv().await, "text hi");
    let start = Instant::now();
    assert_eq!(peer.recv().await, "close 1001 idle timeout");
    assert_eq!(start.elapsed().as_secs(), 100);
}

/// Hostile inputs T6 and L5.
#[tokio::test(start_paused = true)]
async fn half_a_frame_or_half_a_message_and_silence_is_idle() {
    let half_a_message = frame(Role::Server, TEXT & MORE, b"half");
    for bytes in [&b"\x81\x85\x37"[..], &half_a_message] {
        let log = Log::default();
        let (mut peer, ..) = serve(Policy::default(), Recorder::new(&log));

        peer.send_bytes(bytes).await;

        assert_eq!(peer.rest().await, ["close 1001 idle timeout", "end"]);
        assert_eq!(log.lines()[..2], ["connect", "error: idle timeout"]);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_clock_stands_still_while_a_handler_runs() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        if let Told::Message(_) = told {
            sleep(1000 * SECOND).await;
        }
        Ok(())
    });
    let (mut peer, ..) = serve(Policy::default(), endpoint);
    let start = Instant::now();

    peer.send(TEXT, "work").await;
    let frame = peer.recv().await;

    assert_eq!(frame, "close 1001 idle timeout");
    assert_eq!(start.elapsed().as_secs(), 1300);
}

/// Hostile input T5.
#[tokio::test(start_paused = true)]
async fn ping_without_pong_ends_the_session_with_1006() {
    let log = Log::default();
    let policy = Policy::default()
        .with_ping_interval(Some(20 * SECOND))
        .with_pong_deadline(Some(5 * SECOND));
    let (mut peer, _session, _task) = serve(policy, Recorder::new(&log));
    let start = Instant::now();

    let frames = peer.rest().await;
    tokio::task::yield_now().await;

    assert_eq!(frames.len(), 2, "one Ping, then the end: {frames:?}");
    assert_eq!(start.elapsed().as_secs(), 25);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "error: no pong in time",
            "close 1006 by Local: no pong in time",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn pong_keeps_the_session_and_shows_the_round_trip() {
    let policy = Policy::default()
        .with_ping_interval(Some(20 * SECOND))
        .with_pong_deadline(Some(5 * SECOND));
    let (mut peer, session, _task) = serve(policy, Recorder::new(&Log::default()));

    for number in 1..=100_u64 {
        peer.recv().await;
        advance(SECOND).await;
        peer.send(PONG, number.to_be_bytes()).await;
    }

    assert!(session.is_open());
    assert_eq!(session.round_trip(), Some(SECOND));
}

/// The answer to an earlier Ping leaves the later one with its own time.
#[tokio::test(start_paused = true)]
async fn pong_for_an_earlier_ping_does_not_excuse_the_later_one() {
    let policy = Policy::default()
        .with_ping_interval(Some(4 * SECOND))
        .with_pong_deadline(Some(6 * SECOND));
    let (mut peer, session, _task) = serve(policy, Recorder::new(&Log::default()));

    peer.recv().await;
    peer.recv().await;
    let second = Instant::now();
    sleep(SECOND).await;
    peer.send(PONG, 1_u64.to_be_bytes()).await;
    session.closed().await;

    assert_eq!(second.elapsed(), 6 * SECOND);
}

/// Two Pings are under way at any time, so that no Pong is ever for the last one.
#[tokio::test(start_paused = true)]
async fn peer_further_away_than_the_ping_interval_lives() {
    let policy = Policy::default()
        .with_ping_interval(Some(2 * SECOND))
        .with_pong_deadline(Some(10 * SECOND));
    let (mut peer, session, _task) = serve(policy, Recorder::new(&Log::default()));

    peer.recv().await;
    for number in 1..=50_u64 {
        peer.recv().await;
        sleep(SECOND).await;
        peer.send(PONG, number.to_be_bytes()).await;
    }

    assert!(session.is_open());
}

#[tokio::test(start_paused = true)]
async fn pong_that_nobody_asked_for_answers_no_ping() {
    let policy = Policy::default()
        .with_ping_interval(Some(20 * SECOND))
        .with_pong_deadline(Some(5 * SECOND));
    let (mut peer, session, _task) = serve(policy, Recorder::new(&Log::default()));

    peer.recv().await;
    peer.send(PONG, "").await;
    peer.send(PONG, 7_u64.to_be_bytes()).await;
    let event = session.closed().await;

    assert_eq!(ending(&event), "close 1006 by Local: no pong in time");
}

#[tokio::test(start_paused = true)]
async fn pong_deadline_stands_still_while_a_handler_runs() {
    let endpoint = Recorder::acting(&Log::default(), |_, told| async move {
        if let Told::Message(_) = told {
            sleep(15 * SECOND).await;
        }
        Ok(())
    });
    let policy = Policy::default()
        .with_ping_interval(Some(20 * SECOND))
        .with_pong_deadline(Some(5 * SECOND));
    let (mut peer, session, _task) = serve(policy, endpoint);

    sleep(19 * SECOND).await;
    peer.send(TEXT, "works from 19 to 34, and the Ping leaves at 20")
        .await;
    sleep(18 * SECOND).await;
    let open = session.is_open();
    peer.send(PONG, 1_u64.to_be_bytes()).await;
    sleep(2 * SECOND).await;

    assert!(open, "{:?}", session.close_event());
    assert!(session.is_open());
}

/// A Ping that could not even leave is not one that was not answered.
#[tokio::test(start_paused = true)]
async fn ping_that_cannot_leave_is_not_waited_for() {
    let policy = Policy::default()
        .with_ping_interval(Some(2 * SECOND))
        .with_pong_deadline(Some(5 * SECOND));
    let (mut peer, session, _task) = run(Role::Server, 16, policy, Recorder::new(&Log::default()));

    session.ping(vec![b'x'; 100]).await.unwrap();
    sleep(30 * SECOND).await;
    let open = session.is_open();

    assert!(open, "{:?}", session.close_event());
    assert_eq!(peer.recv().await.len(), 105);
}

/// Hostile input T7.
#[tokio::test(start_paused = true)]
async fn peer_that_takes_nothing_is_left_at_the_write_deadline() {
    let log = Log::default();
    let (_peer, session, _task) = run(Role::Server, 16, Policy::default(), Recorder::new(&log));
    let start = Instant::now();

    session.send_binary(vec![0; 1000]).await.unwrap();
    session.closed().await;
    tokio::task::yield_now().await;

    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "error: no write progress in time",
            "close 1006 by Local: no write progress in time",
        ]
    );
}

/// Hostile input T11.
#[tokio::test(start_paused = true)]
async fn peer_that_takes_a_little_now_and_then_is_not_left() {
    let (mut peer, session, _task) = run(
        Role::Server,
        16,
        Policy::default(),
        Recorder::new(&Log::default()),
    );

    for _ in 0..20 {
        session.send_binary(vec![0; 100]).await.unwrap();
        advance(40 * SECOND).await;
        peer.recv().await;
    }

    assert!(session.is_open());
}

/// The handler may go on, as after any other end, and is dropped in the end.
#[tokio::test(start_paused = true)]
async fn write_deadline_during_a_handler_gives_it_the_close_timeout() {
    let endpoint = Recorder::acting(&Log::default(), |session, told| async move {
        if let Told::Message(_) = told {
            session.send_binary(vec![0; 1000]).await?;
            pending::<()>().await;
        }
        Ok(())
    });
    let (mut peer, session, _task) = run(Role::Server, 16, Policy::default(), endpoint);
    let start = Instant::now();

    peer.send(TEXT, "work").await;
    let event = session.closed().await;

    assert_eq!(
        ending(&event),
        "close 1006 by Local: no write progress in time"
    );
    assert_eq!(start.elapsed().as_secs(), 70);
}

/// Hostile input T10.
#[tokio::test(start_paused = true)]
async fn session_lives_for_thirty_days_and_longer_deadlines_than_there_are_days() {
    let policy = Policy::default()
        .with_idle_timeout(Some(Duration::MAX))
        .with_write_deadline(Some(Duration::MAX))
        .with_close_timeout(Duration::MAX)
        .with_ping_interval(Some(3600 * SECOND));
    let (mut peer, session, task) = serve(policy, Recorder::new(&Log::default()));

    sleep((30 * 24 * 3600 + 1) * SECOND).await;
    let open = session.is_open();
    peer.send(CLOSE, close(1000, "")).await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert!(open);
    assert_eq!(frames.len(), 30 * 24 + 2, "a Ping an hour");
}

/// Hostile input A18.
#[tokio::test(start_paused = true)]
async fn ping_interval_of_nothing_is_a_millisecond() {
    let policy = Policy::default().with_ping_interval(Some(Duration::ZERO));
    assert_eq!(policy.ping_interval(), Some(Duration::from_millis(1)));
    let (mut peer, ..) = serve(policy, Recorder::new(&Log::default()));

    let first = Bytes::from(peer.recv().await);

    assert!(first.starts_with(b"ping"));
}

/// Hostile input T9: a process that was stopped finds all of its deadlines past, and what its peers
/// sent meanwhile in their sockets; that comes first.
#[tokio::test(start_paused = true)]
async fn stopped_process_takes_no_peer_for_dead_that_has_answered() {
    let policy = Policy::default()
        .with_idle_timeout(Some(30 * SECOND))
        .with_ping_interval(Some(20 * SECOND))
        .with_pong_deadline(Some(5 * SECOND));
    let mut sessions = Vec::new();
    for _ in 0..100 {
        sessions.push(serve(policy.clone(), Recorder::new(&Log::default())));
    }
    for (peer, ..) in &mut sessions {
        peer.recv().await;
    }

    for (peer, ..) in &mut sessions {
        peer.send(PONG, 1_u64.to_be_bytes()).await;
    }
    advance(60 * SECOND).await;
    for (peer, session, _) in &mut sessions {
        let ping = peer.recv().await;
        let next = timeout(SECOND / 1000, peer.recv()).await;

        assert!(session.is_open(), "{:?}", session.close_event());
        assert!(ping.starts_with("ping"), "{ping}");
        assert!(next.is_err(), "one Ping for all that were missed");
    }
}

/// Hostile input T9, where the runtime has not yet learnt what is in the sockets.
#[tokio::test(start_paused = true)]
async fn deadline_that_is_found_long_past_is_put_off_for_a_second() {
    let watched = || {
        let policy = Policy::default()
            .with_idle_timeout(Some(30 * SECOND))
            .with_ping_interval(Some(20 * SECOND))
            .with_pong_deadline(Some(5 * SECOND));
        serve(policy, Recorder::new(&Log::default()))
    };
    let (mut late, late_session, _task) = watched();
    let (_silent, silent_session, _other) = watched();
    sleep(21 * SECOND).await;

    advance(60 * SECOND).await;
    sleep(SECOND / 2).await;
    late.send(PONG, 1_u64.to_be_bytes()).await;
    sleep(SECOND / 4).await;
    assert!(late_session.is_open() && silent_session.is_open());
    let start = Instant::now();
    let event = silent_session.closed().await;

    assert_eq!(ending(&event), "close 1006 by Local: no pong in time");
    assert_eq!(start.elapsed(), SECOND / 4);
    sleep(2 * SECOND).await;
    assert!(late_session.is_open());
}
