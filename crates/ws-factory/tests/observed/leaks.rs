//! Sessions that end in every way leave nothing behind.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::io::{AsyncWriteExt, DuplexStream};
use ws_factory::{
    CloseCode, CloseEvent, Endpoint, EventResult, Message, Policy, Session, SessionListener,
    WebSocketFactory,
};

use crate::pipe::{CLOSE, Served, TEXT, close, frame};

/// Ends its session as a message says; holds a token, by which it is seen to be gone.
struct Ends(#[expect(dead_code, reason = "held, not looked at")] Arc<()>);

impl Endpoint for Ends {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        match message.as_bytes() {
            b"fail" => Err("failed".into()),
            b"panic" => panic!("panicked"),
            b"abort" => {
                session.abort();
                pending().await
            }
            b"close" => {
                session.close(CloseCode::NORMAL, "");
                Ok(())
            }
            _ => pending().await,
        }
    }
}

/// How many sessions are open by its account.
#[derive(Clone, Default)]
struct Open(Arc<AtomicI64>);

impl SessionListener for Open {
    fn opened(&self, _: &Session) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn closed(&self, _: &Session, _: &CloseEvent) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Each ends its session, some of them after a deadline.
const WAYS: [&[u8]; 10] = [
    b"fail",
    b"panic",
    b"abort",
    b"close",
    b"stuck",
    b"peer closes",
    b"peer breaks a rule",
    b"peer ends",
    b"idle",
    b"peer ends in a frame",
];

async fn end(peer: &mut DuplexStream, way: &[u8]) {
    let frame = match way {
        b"peer closes" => frame(CLOSE, &close(1000)),
        b"peer breaks a rule" => b"\xf1\x80\0\0\0\0".to_vec(),
        b"peer ends in a frame" => {
            peer.write_all(b"\x82\xfe\x7f").await.unwrap();
            return peer.shutdown().await.unwrap();
        }
        b"peer ends" => return peer.shutdown().await.unwrap(),
        b"idle" => return,
        message => frame(TEXT, message),
    };
    peer.write_all(&frame).await.unwrap();
}

/// Hostile inputs R5 and R11, in small.
#[tokio::test(start_paused = true)]
async fn sessions_that_end_in_every_way_leave_nothing() {
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let open = Open::default();
    let policy = Policy::default()
        .with_max_sessions_per_peer(Some(1000))
        .with_idle_timeout(Some(Duration::from_secs(30)));
    let builder = WebSocketFactory::builder()
        .fallback(move |_| Ends(Arc::clone(&held)))
        .with_policy(policy)
        .with_listener(open.clone());
    let mut served = Served::of(builder);
    served.peer = Some("192.0.2.7:50123".parse().unwrap());

    let mut peers = Vec::new();
    for round in 0..30 {
        for way in WAYS {
            let mut peer = served.connect().await;
            end(&mut peer, way).await;
            // Of some the other end stays, and never says anything again.
            if round % 2 == 0 {
                peers.push(peer);
            }
        }
        let no_connection = served.answer_to(&[]).await;
        let refused = served.answer_to(&[("host", "")]).await;
        assert_eq!(
            (no_connection.status(), refused.status().as_u16()),
            (http::StatusCode::SWITCHING_PROTOCOLS, 400)
        );
    }
    let sessions = served.factory.sessions();
    assert!(sessions.len() >= 15, "the idle ones: {}", sessions.len());
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(peers);
    served.emptied().await;

    let stats = served.factory.stats();
    let total = 30 * WAYS.len() as u64;
    assert_eq!((stats.opened(), stats.closed()), (total, total));
    assert_eq!((stats.open(), stats.handshakes(), stats.peers()), (0, 0, 0));
    assert_eq!((stats.failed_upgrades(), stats.refused()), (30, 30));
    assert!(served.factory.sessions().is_empty());
    assert!(sessions.iter().all(|it| it.close_event().is_some()));
    assert_eq!(open.0.load(Ordering::SeqCst), 0);
    // One is the factory's, to clone from.
    assert_eq!(Arc::strong_count(&token), 2, "every endpoint is gone");
    let report = served.factory.shutdown(Duration::ZERO).await;
    assert_eq!((report.clean(), report.cut()), (0, 0));
}
