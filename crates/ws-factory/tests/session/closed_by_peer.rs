//! The peer closes first, at whatever moment.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep};
use ws_factory::{Close, CloseCode, Policy, Role};

use crate::{
    peer::{CLOSE, CONTINUATION, MORE, PING, TEXT, close, frame, serve},
    recorder::{Log, Recorder, Told, ending},
};

/// Hostile inputs K1, K2, K5 and K6.
#[tokio::test(start_paused = true)]
async fn peers_close_is_answered_with_its_code() {
    let long = "r".repeat(123);
    let rows = [
        (
            close(1000, "bye"),
            "close 1000 bye",
            "close 1000 'bye' by Remote, clean",
        ),
        (close(1014, ""), "close 1014", "close 1014 by Remote, clean"),
        (close(4999, ""), "close 4999", "close 4999 by Remote, clean"),
        (vec![], "close", "close 1005 by Remote, clean"),
        (
            close(3000, &long),
            &format!("close 3000 {long}"),
            &format!("close 3000 '{long}' by Remote, clean"),
        ),
    ];

    for (payload, answer, told) in rows {
        let log = Log::default();
        let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));
        peer.send(CLOSE, &payload).await;
        let frames = peer.rest().await;
        drop(peer);
        task.await.unwrap();

        assert_eq!(frames, [answer, "end"]);
        assert_eq!(log.lines(), ["connect", told]);
        assert_eq!(ending(&session.closed().await), told);
    }
}

#[tokio::test(start_paused = true)]
async fn running_handler_finishes_and_what_it_queued_goes_before_the_answer() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        if let Told::Message(_) = told {
            sleep(Duration::from_secs(3)).await;
            session.send_text("done").await?;
        }
        Ok(())
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    peer.send(CLOSE, close(1000, "")).await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["text done", "close 1000", "end"]);
    assert_eq!(
        log.lines(),
        ["connect", "text work", "close 1000 by Remote, clean"]
    );
}

/// Hostile input K17.
#[tokio::test(start_paused = true)]
async fn handler_that_does_not_finish_is_dropped_after_the_close_timeout() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        if let Told::Message(_) = told {
            pending::<()>().await;
        }
        Ok(())
    });
    let (mut peer, _session, _task) = serve(Policy::default(), endpoint);
    let start = Instant::now();

    peer.send(TEXT, "work").await;
    peer.send(CLOSE, close(1000, "")).await;
    let frames = peer.rest().await;

    assert_eq!(frames, ["close 1000", "end"]);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(log.lines()[2], "close 1000 by Remote, clean");
}

#[tokio::test(start_paused = true)]
async fn peer_that_closed_first_has_begun_also_if_the_handler_closes_after_it() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        match told {
            Told::Message(_) => {
                sleep(Duration::from_secs(1)).await;
                Err(Close::new(CloseCode::GOING_AWAY, "").into())
            }
            _ => Ok(()),
        }
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    peer.send(CLOSE, close(1000, "")).await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["close 1001", "end"]);
    assert_eq!(log.lines()[2], "close 1000 by Remote, clean");
}

/// Hostile input K7, in one read and in two.
#[tokio::test(start_paused = true)]
async fn what_follows_the_peers_close_is_ignored() {
    let parts = [
        frame(Role::Server, CLOSE, &close(1000, "")),
        frame(Role::Server, TEXT, b"late"),
        frame(Role::Server, PING, b"late"),
        frame(Role::Server, CLOSE, &close(1002, "")),
        b"\xFF\xFF\xFF".to_vec(),
    ];

    for together in [true, false] {
        let log = Log::default();
        let (mut peer, _session, task) = serve(Policy::default(), Recorder::new(&log));
        if together {
            peer.send_bytes(&parts.concat()).await;
        } else {
            for part in &parts {
                peer.send_bytes(part).await;
                tokio::task::yield_now().await;
            }
        }
        let frames = peer.rest().await;
        drop(peer);
        task.await.unwrap();

        assert_eq!(frames, ["close 1000", "end"]);
        assert_eq!(log.lines(), ["connect", "close 1000 by Remote, clean"]);
    }
}

/// Hostile input K8.
#[tokio::test(start_paused = true)]
async fn close_inside_a_message_drops_the_message() {
    let log = Log::default();
    let (mut peer, _session, task) = serve(Policy::default(), Recorder::new(&log));

    peer.send(TEXT & MORE, "half").await;
    peer.send(CONTINUATION & MORE, "more").await;
    peer.send(CLOSE, close(1000, "")).await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["close 1000", "end"]);
    assert_eq!(log.lines(), ["connect", "close 1000 by Remote, clean"]);
}

#[tokio::test(start_paused = true)]
async fn answer_that_the_peer_does_not_take_is_no_clean_end() {
    let endpoint = Recorder::new(&Log::default());
    let (mut peer, session, _task) =
        crate::peer::run(Role::Server, 16, Policy::default(), endpoint);
    let start = Instant::now();

    session.send_text("it will not read this").await.unwrap();
    peer.send(CLOSE, close(1000, "")).await;
    let event = session.closed().await;

    assert_eq!(ending(&event), "close 1000 by Remote");
    assert_eq!(start.elapsed().as_secs(), 10);
}

/// §7.1.1: the server ends the stream, a client waits for that.
#[tokio::test(start_paused = true)]
async fn client_answers_and_leaves_the_end_of_the_stream_to_the_server() {
    let log = Log::default();
    let endpoint = Recorder::new(&log);
    let (mut peer, _session, task) =
        crate::peer::run(Role::Client, 1024, Policy::default(), endpoint);
    let start = Instant::now();

    peer.send(CLOSE, close(1000, "")).await;
    let answer = peer.recv().await;
    let rest = peer.rest().await;
    task.await.unwrap();

    assert_eq!(
        (answer.as_str(), rest),
        ("close 1000", vec!["end".to_owned()])
    );
    assert_eq!(start.elapsed().as_secs(), 2, "the server had its time");
    assert_eq!(log.lines(), ["connect", "close 1000 by Remote, clean"]);
}
