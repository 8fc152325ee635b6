//! The task or the runtime goes away under the session; and what a handle is worth afterwards.

use std::{sync::Arc, time::Duration};

use tokio::{io::duplex, runtime, time::timeout};
use ws_factory::{
    CloseCode, CloseStatus, Endpoint, Established, EventResult, Frame, Message, Policy, Prepared,
    Role, SendError, Session, Transport,
};

use crate::{
    peer::{CLOSE, TEXT, close, serve},
    recorder::{Log, Recorder, ending},
};

const DROPPED: &str = "close 1006 by Local: task dropped";

#[tokio::test(start_paused = true)]
async fn task_that_is_dropped_ends_the_session_at_once_and_without_events() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));
    peer.send(TEXT, "hi").await;
    tokio::task::yield_now().await;

    task.abort();
    let event = session.closed().await;

    assert_eq!(ending(&event), DROPPED);
    assert_eq!(
        log.lines()
            .iter()
            .filter(|line| line.starts_with("close"))
            .count(),
        0
    );
    assert_eq!(peer.rest().await, ["end"]);
}

#[tokio::test(start_paused = true)]
async fn session_that_is_never_run_ends_when_its_future_is_dropped() {
    let (near, _far) = duplex(64);
    let mut established = Established::new(Transport::boxed(near), Role::Server);
    let session = established.session().clone();

    drop(established.run(Recorder::new(&Log::default())));

    assert_eq!(session.close_event().map(ending).as_deref(), Some(DROPPED));
}

/// Hostile input A15.
#[test]
fn runtime_that_is_dropped_ends_its_sessions_and_drops_their_endpoints() {
    struct Holds(Arc<()>);
    impl Endpoint for Holds {
        async fn on_message(&mut self, _: &Session, _: Message) -> EventResult {
            let _held = &self.0;
            std::future::pending().await
        }
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let (peer, session) = runtime.block_on(async {
        let (mut peer, session, _task) = serve(Policy::default(), Holds(held));
        peer.send(TEXT, "work").await;
        tokio::task::yield_now().await;
        (peer, session)
    });

    drop(runtime);

    assert_eq!(session.close_event().map(ending).as_deref(), Some(DROPPED));
    assert_eq!(Arc::strong_count(&token), 1, "the endpoint is gone");
    drop(peer);
}

/// Hostile inputs A4 and A8: everything fails at once, gives back what it got, and hangs nowhere.
#[tokio::test(start_paused = true)]
async fn handle_of_a_session_that_is_over_is_harmless() {
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&Log::default()));
    peer.send(CLOSE, close(1000, "")).await;
    let _end = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    let uses = async {
        assert_eq!(
            session.send_text("late").await,
            Err(SendError::Closed(Message::text("late")))
        );
        assert!(
            session
                .send_frame(Frame::text("late"))
                .await
                .unwrap_err()
                .is_closed()
        );
        let prepared = Prepared::from(&Message::text("late"));
        assert!(
            session
                .send_prepared(&prepared)
                .await
                .unwrap_err()
                .is_closed()
        );
        assert!(session.pong("late").await.unwrap_err().is_closed());
        assert_eq!(session.flush().await, Ok(()), "nothing was queued");
        session.close(CloseCode::NORMAL, "");
        session.abort();
        session.set_policy(Policy::default());
        assert_eq!(session.closed().await.status(), 1000);
    };

    assert!(timeout(Duration::from_secs(1), uses).await.is_ok());
    assert_eq!(session.queued(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn flush_of_what_will_not_leave_fails_when_the_session_ends() {
    let (peer, session, _task) = crate::peer::run(
        Role::Server,
        8,
        Policy::default(),
        Recorder::new(&Log::default()),
    );
    session.send_text("longer than the pipe").await.unwrap();

    let flushing = tokio::spawn({
        let session = session.clone();
        async move { session.flush().await }
    });
    tokio::task::yield_now().await;
    drop(peer);

    assert_eq!(flushing.await.unwrap(), Err(SendError::Closed(())));
    assert_eq!(session.closed().await.status(), CloseStatus::ABNORMAL.get());
}

/// Hostile input A7: nobody needs a handle for a session to live.
#[tokio::test(start_paused = true)]
async fn session_lives_without_a_handle() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));

    drop(session);
    peer.send(TEXT, "hi").await;
    peer.send(CLOSE, close(1000, "")).await;
    let _end = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(log.lines()[1], "text hi");
}
