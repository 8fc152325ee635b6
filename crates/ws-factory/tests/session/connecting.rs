//! `on_connect`: before everything else, and not for ever.

use std::{future::pending, time::Duration};

use tokio::{
    io::{AsyncReadExt, duplex},
    time::Instant,
};
use ws_factory::{Bytes, Close, CloseCode, Established, Policy, Role, Transport};

use crate::{
    peer::{CLOSE, PING, TEXT, close, frame, run, serve},
    recorder::{Log, Recorder, Told},
};

#[tokio::test(start_paused = true)]
async fn on_connect_comes_before_a_message_that_was_read_with_the_handshake() {
    let (near, far) = duplex(1024);
    let log = Log::default();
    let read_ahead = frame(Role::Server, TEXT, b"early");
    let established = Established::new(Transport::boxed(near), Role::Server)
        .with_read_ahead(Bytes::from(read_ahead));
    let seen = log.clone();
    let endpoint = Recorder::acting(&log, move |_, told| {
        let seen = seen.clone();
        async move {
            if let Told::Connect = told {
                tokio::time::sleep(Duration::from_secs(1)).await;
                seen.push("connected");
            }
            Ok(())
        }
    });

    drop(far);
    established.run(endpoint).await;

    assert_eq!(log.lines()[..3], ["connect", "connected", "text early"]);
}

#[tokio::test(start_paused = true)]
async fn what_on_connect_sends_leaves_while_it_runs() {
    let endpoint = Recorder::acting(&Log::default(), |session, told| async move {
        if let Told::Connect = told {
            session.send_text("welcome").await?;
            pending::<()>().await;
        }
        Ok(())
    });

    let (mut peer, ..) = serve(Policy::default(), endpoint);

    assert_eq!(peer.recv().await, "text welcome");
}

#[tokio::test(start_paused = true)]
async fn on_connect_past_its_deadline_closes_with_1011() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, _| pending());
    let policy = Policy::default()
        .with_connect_deadline(Duration::from_secs(3))
        .with_close_timeout(Duration::from_secs(1));
    let start = Instant::now();

    let (mut peer, session, _task) = serve(policy, endpoint);
    let frames = peer.rest().await;
    session.closed().await;

    assert_eq!(frames, ["close 1011 internal error", "end"]);
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn on_connect_past_its_deadline_is_told_to_the_endpoint() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        if let Told::Connect = told {
            pending::<()>().await;
        }
        Ok(())
    });

    let (peer, _session, task) = serve(Policy::default(), endpoint);
    task.await.unwrap();

    drop(peer);
    assert_eq!(
        log.lines(),
        [
            "connect",
            "error: on_connect did not return in time",
            "close 1011 'internal error' by Local: on_connect did not return in time",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn close_from_on_connect_delivers_no_message() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        match told {
            Told::Connect => Err(Close::new(CloseCode::POLICY_VIOLATION, "full").into()),
            _ => Ok(()),
        }
    });

    let (mut peer, _session, task) = serve(Policy::default(), endpoint);
    peer.send(TEXT, "hi").await;
    peer.send(CLOSE, close(1008, "")).await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["close 1008 full", "end"]);
    assert_eq!(log.lines(), ["connect", "close 1008 by Local, clean"]);
}

/// The deadline of the connection is over then, and the end has one of its own.
#[tokio::test(start_paused = true)]
async fn ping_that_arrived_during_on_connect_cannot_hold_up_the_end() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        match told {
            Told::Connect => tokio::time::sleep(Duration::from_secs(1)).await,
            Told::Ping => pending().await,
            _ => {}
        }
        Ok(())
    });
    let policy = Policy::default().with_idle_timeout(None);

    let (mut peer, _session, task) = serve(policy, endpoint);
    peer.send(PING, "p").await;
    peer.send(CLOSE, close(1000, "")).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), task).await;

    assert!(ended.is_ok(), "the session outlived its end");
    assert_eq!(
        log.lines(),
        ["connect", "ping p", "close 1000 by Remote, clean"]
    );
}

#[tokio::test]
#[should_panic(expected = "a client needs masking keys")]
async fn client_without_masking_keys_is_a_fault_of_the_caller() {
    let (near, _far) = duplex(1024);

    let established = Established::new(Transport::boxed(near), Role::Client);

    drop(established.run(Recorder::new(&Log::default())));
}

#[tokio::test(start_paused = true)]
async fn client_masks_each_frame_with_a_key_of_its_own() {
    let (mut peer, session, _task) = run(
        Role::Client,
        1024,
        Policy::default(),
        Recorder::new(&Log::default()),
    );

    session.send_text("one").await.unwrap();
    session.send_text("two").await.unwrap();
    let mut frames = [0; 18];
    peer.io.read_exact(&mut frames).await.unwrap();

    let (first, second) = frames.split_at(9);
    assert_eq!(
        (first[..2].as_ref(), second[..2].as_ref()),
        (&b"\x81\x83"[..], &b"\x81\x83"[..])
    );
    assert_ne!(first[2..6], second[2..6], "§5.3: a fresh key");
}
