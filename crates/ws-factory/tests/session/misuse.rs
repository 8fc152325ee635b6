//! What an application may do wrong, or at the wrong time, and what comes of it.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use ws_factory::{
    CloseCode, Group, Message, MessageReader, Policy, Role, Session, SlowMember, Topics, from_fn,
};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, TEXT, close, run, serve},
    recorder::{Log, Recorder, Told},
    streamer::streamer,
};

/// Hostile input A2: no code of the application runs under a lock of ours, and a panic in the middle
/// of using whatever is shared leaves it usable.
#[tokio::test(start_paused = true)]
async fn panic_beside_what_is_shared_leaves_it_usable() {
    let group = Group::new(SlowMember::DropNewest);
    let topics = Topics::new(SlowMember::DropNewest);
    let (mut stays, others, _task) = serve(Policy::default(), Recorder::new(&Log::default()));
    let _of_group = group.join(&others);
    let _of_topic = topics.join("news", &others).unwrap();
    let endpoint = {
        let (group, topics, others) = (group.clone(), topics.clone(), others.clone());
        Recorder::acting(&Log::default(), move |session, told| {
            let (group, topics, others) = (group.clone(), topics.clone(), others.clone());
            async move {
                if let Told::Message(_) = told {
                    let _memberships = (group.join(&session), topics.join("news", &session)?);
                    others.extensions().insert(session.clone());
                    let _writer = session
                        .message_writer(ws_factory::MessageKind::Text)
                        .await?;
                    panic!("with all of it in its hands");
                }
                Ok(())
            }
        })
    };
    let (mut peer, session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "hi").await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.expect("the task outlives the panic");

    assert_eq!(frames, ["close 1011 internal error", "end"]);
    assert_eq!((group.len(), topics.sizes()[0].1), (1, 1));
    assert_eq!(group.broadcast("one").queued(), 1);
    assert_eq!(topics.broadcast("news", "two").unwrap().queued(), 1);
    assert_eq!(stays.recv().await, "text one");
    assert_eq!(stays.recv().await, "text two");
    let kept = others.extensions().remove::<Session>().unwrap();
    assert_eq!(kept.id(), session.id());
    assert!(kept.try_send_text("late").unwrap_err().is_closed());
}

/// Hostile input A3: it has one worker of the runtime, and the others serve the other sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn endpoint_that_blocks_its_thread_stops_only_its_own_session() {
    let (entered, is_in) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let blocks = from_fn(move |_, _| {
        entered.send(()).unwrap();
        // Until the test is done with the others.
        let _gone = released.lock().unwrap().recv();
        async { Ok(()) }
    });
    let echo = || {
        from_fn(|session: Session, message| async move {
            session.send(message).await?;
            Ok(())
        })
    };
    let (mut blocked, blocked_session, _task) = serve(Policy::default(), blocks);
    blocked.send(TEXT, "block").await;
    tokio::task::spawn_blocking(move || is_in.recv().unwrap())
        .await
        .unwrap();

    let mut others: Vec<_> = (0..20).map(|_| serve(Policy::default(), echo())).collect();
    for (peer, ..) in &mut others {
        peer.send(TEXT, "hi").await;
        let echoed = timeout(Duration::from_secs(20), peer.recv()).await;
        assert_eq!(echoed.expect("served"), "text hi");
    }

    assert!(blocked_session.is_open());
    release.send(()).unwrap();
    blocked.send(CLOSE, close(1000, "")).await;
    let end = timeout(Duration::from_secs(20), blocked.recv()).await;
    assert_eq!(end.expect("served again"), "close 1000");
}

/// Hostile input A9, where there is nothing left to close, and from somewhere else.
#[tokio::test(start_paused = true)]
async fn close_from_on_error_or_from_another_task_is_no_second_one() {
    let code = CloseCode::from_wire(4001).unwrap();
    let log = Log::default();
    let endpoint = Recorder::acting(&log, move |session: Session, told| async move {
        if let Told::Error = told {
            session.close(code, "too late");
        }
        match told {
            Told::Message(_) => Err("fails".into()),
            _ => Ok(()),
        }
    });
    let (mut peer, failed, _task) = serve(Policy::default(), endpoint);
    peer.send(TEXT, "hi").await;
    assert_eq!(peer.rest().await, ["close 1011 internal error", "end"]);
    assert_eq!(failed.closed().await.status(), 1011);

    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));
    let closing: Vec<_> = (0..10)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.close(code, "") })
        })
        .collect();
    for closing in closing {
        closing.await.unwrap();
    }
    peer.send(CLOSE, close(4001, "")).await;
    assert_eq!(peer.rest().await, ["close 4001", "end"]);
    drop(peer);
    task.await.unwrap();

    let closes = log.lines();
    let closes = closes.iter().filter(|line| line.starts_with("close"));
    assert_eq!(closes.count(), 2, "one for each session");
}

/// Hostile input A12: what was not taken is still there for the next who asks.
#[tokio::test(start_paused = true)]
async fn read_of_a_part_that_is_given_up_loses_nothing() {
    let log = Log::default();
    let endpoint = streamer(&log, |_, mut message: MessageReader, log: Log| async move {
        let mut all = Vec::new();
        let mut given_up = 0;
        loop {
            match timeout(Duration::from_millis(100), message.next()).await {
                Ok(Some(part)) => all.extend(part?),
                Ok(None) => break,
                Err(_elapsed) => given_up += 1,
            }
        }
        assert!(given_up >= 10, "{given_up}");
        log.push(String::from_utf8(all).unwrap());
        Ok(())
    });
    let (mut peer, ..) = serve(Policy::default(), endpoint);

    peer.send(TEXT & MORE, "0").await;
    for number in 1..10 {
        sleep(Duration::from_millis(250)).await;
        peer.send(CONTINUATION & MORE, number.to_string()).await;
    }
    sleep(Duration::from_millis(250)).await;
    peer.send(CONTINUATION, "").await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(log.lines(), ["Text", "0123456789"]);
}

/// Hostile input A14.
#[tokio::test(start_paused = true)]
async fn million_sends_without_waiting_are_an_outbox_and_the_rest_comes_back() {
    const SENDS: usize = 1_000_000;
    let (mut peer, session, _task) = run(
        Role::Server,
        64,
        Policy::default(),
        Recorder::new(&Log::default()),
    );
    let message = Message::text("x".repeat(100));

    let full = (0..SENDS)
        .filter(|_| match session.try_send(message.clone()) {
            Ok(()) => false,
            Err(refused) => {
                assert!(refused.is_full() && refused.into_inner() == message);
                true
            }
        })
        .count();

    assert_eq!(SENDS - full, 1_024);
    assert_eq!(session.queued(), (1_024, 102_400));
    for _ in 0..1_024 {
        assert_eq!(peer.recv().await.len(), 105);
    }
    assert!(session.try_send(message).is_ok(), "there is room again");
}

/// Hostile input A18: the smallest and the largest of every number.
#[tokio::test(start_paused = true)]
async fn limits_of_nothing_and_of_everything_still_move_messages() {
    let echo = || {
        from_fn(|session: Session, message| async move {
            session.send(message).await?;
            Ok(())
        })
    };
    let least = Policy::default()
        .with_max_read_bytes(0)
        .with_max_outbox_messages(0)
        .with_max_outbox_bytes(0);
    let most = Policy::default()
        .with_max_message_bytes(u64::MAX)
        .with_max_frame_bytes(u64::MAX)
        .with_max_read_bytes(usize::MAX)
        .with_max_outbox_messages(usize::MAX)
        .with_max_outbox_bytes(usize::MAX);
    for policy in [least, most] {
        let (mut peer, ..) = serve(policy, echo());
        peer.send(BINARY, vec![7; 1000]).await;
        peer.send(TEXT, "hi").await;
        assert_eq!(peer.recv().await, "binary of 1000 bytes");
        assert_eq!(peer.recv().await, "text hi");
    }

    let nothing = Policy::default().with_max_message_bytes(0);
    let (mut peer, ..) = serve(nothing, echo());
    peer.send(TEXT, "").await;
    peer.send(TEXT, "x").await;
    assert_eq!(peer.recv().await, "text");
    let refused = peer.recv().await;
    assert!(refused.starts_with("close 1009"), "{refused}");

    let at_once = Policy::default()
        .with_close_timeout(Duration::ZERO)
        .with_write_deadline(Some(Duration::ZERO))
        .with_idle_timeout(Some(Duration::ZERO));
    let (_peer, session, _task) = serve(at_once, Arc::new(Nothing));
    let ended = timeout(Duration::from_secs(1), session.closed()).await;
    assert_eq!(ended.expect("at once").status(), 1001);
}

/// Does nothing.
struct Nothing;

impl ws_factory::StatelessEndpoint for Nothing {}
