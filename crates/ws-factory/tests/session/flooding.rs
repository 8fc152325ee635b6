//! Peers that send without end, or read nothing: what they cost is bounded.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{advance, timeout},
};
use ws_factory::{CloseCode, Endpoint, Established, Policy, Role, Session, Transport, from_fn};

use crate::{
    peer::{PING, Peer, TEXT, frame, run, serve},
    recorder::{Log, Recorder, Told},
};

/// Hostile input R1: of the Pongs that could not leave only the last does (§5.5.3).
#[tokio::test(start_paused = true)]
async fn ping_flood_of_a_peer_that_reads_nothing_costs_one_pong() {
    let (mut peer, session, _task) = run(
        Role::Server,
        256,
        Policy::default(),
        Recorder::new(&Log::default()),
    );

    for number in 0..2000 {
        peer.send(PING, format!("{number:0100}")).await;
        assert_eq!(session.queued(), (0, 0));
    }
    let pongs = pongs(&mut peer).await;

    // What one read held was answered before the socket was known to take nothing.
    assert!(pongs.len() < 10, "{} Pongs", pongs.len());
    assert_eq!(pongs.last(), Some(&format!("pong {:0100}", 1999)));
}

/// Hostile input R1, with a handler that runs: the flood is read all the same.
#[tokio::test(start_paused = true)]
async fn ping_flood_during_a_handler_costs_one_pong_and_few_events() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        if let Told::Message(_) = told {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        Ok(())
    });
    let (mut peer, ..) = run(Role::Server, 256, Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    for number in 0..2000 {
        peer.send(PING, format!("{number:0100}")).await;
    }
    let pongs = pongs(&mut peer).await;
    advance(Duration::from_secs(31)).await;
    tokio::task::yield_now().await;

    assert!(pongs.len() < 10, "{} Pongs", pongs.len());
    assert_eq!(pongs.last(), Some(&format!("pong {:0100}", 1999)));
    assert!(log.lines().len() <= 2 + 16, "{} events", log.lines().len());
}

/// Hostile input R2: a session that is always ready lets the others run.
#[tokio::test(start_paused = true)]
async fn ping_flood_of_a_peer_that_reads_is_answered_to_the_last() {
    let (mut peer, ..) = serve(Policy::default(), Recorder::new(&Log::default()));

    for _ in 0..5000 {
        peer.send(PING, "").await;
    }

    assert_eq!(pongs(&mut peer).await.len(), 5000);
}

/// Hostile input R2: between two floods a neighbour has its turn, whenever it has something to do.
#[tokio::test(start_paused = true)]
async fn neighbour_of_a_ping_flood_waits_for_a_turn_of_it_at_most() {
    const ROUNDS: u64 = 100;
    /// As many events as a turn has.
    const TURN: u64 = 256;
    let floods = [(); 2].map(|()| flood(PING, from_fn(|_, _| async { Ok(()) })));
    let echo = from_fn(|session: Session, message| async move {
        session.send(message).await?;
        Ok(())
    });
    let (mut peer, ..) = serve(Policy::default(), echo);

    // A task as any other: the test itself is looked after less often.
    let talking = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            peer.send(TEXT, "hi").await;
            assert_eq!(peer.recv().await, "text hi");
        }
    });
    talking.await.unwrap();

    for session in floods {
        let pings = session.stats().pings_in();
        assert!(pings > TURN, "it floods: {pings}");
        // One turn until the echo is made and one until it is read, and as much before and after.
        assert!(pings <= 4 * ROUNDS * TURN, "{pings} Pings");
    }
}

/// Hostile inputs R3 and T7: an echo to a peer that reads nothing stops reading, and then ends.
#[tokio::test(start_paused = true)]
async fn echo_to_a_peer_that_reads_nothing_holds_no_more_than_its_outbox() {
    let echo = from_fn(|session: Session, message| async move {
        session.send(message).await?;
        Ok(())
    });
    let policy = Policy::default()
        .with_max_outbox_messages(8)
        .with_max_read_bytes(1024);
    let (mut peer, session, _task) = run(Role::Server, 1024, policy, echo);

    let mut sent = 0;
    while timeout(Duration::from_secs(1), peer.send(TEXT, "x".repeat(100)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(session.queued().0 <= 8);
    }
    let event = session.closed().await;

    assert!(sent < 100, "{sent} messages went in");
    assert_eq!(event.status(), 1006);
    assert_eq!(
        event.cause().unwrap().to_string(),
        "no write progress in time"
    );
}

/// The socket of a peer that never stops is always ready, and the task never sleeps.
#[tokio::test(start_paused = true)]
async fn peer_that_floods_does_not_outlive_the_close_timeout() {
    let idle = from_fn(|_, _| async { Ok(()) });
    let session = flood(TEXT, idle);

    session.close(CloseCode::NORMAL, "");
    for _ in 0..100 {
        advance(Duration::from_secs(1)).await;
    }

    let event = session.close_event().expect("the session is over");
    assert_eq!(event.status(), 1006);
}

/// As above, while an event runs that nothing but its deadline ends.
#[tokio::test(start_paused = true)]
async fn peer_that_floods_with_pings_does_not_outlive_the_connect_deadline() {
    let stuck = Recorder::acting(&Log::default(), |_, _| std::future::pending());
    let session = flood(PING, stuck);

    for _ in 0..100 {
        advance(Duration::from_secs(1)).await;
    }

    let event = session.close_event().expect("the session is over");
    assert_eq!(event.status(), 1011);
}

/// Whoever sends from another thread may be as fast as the session writes, so that there is always
/// something left to write before it may sleep, or before it may read.
#[tokio::test(start_paused = true)]
async fn session_that_is_sent_to_without_end_lets_the_others_run() {
    for at_write in [false, true] {
        let spring = Spring {
            at_write,
            ..Spring::default()
        };
        let idle = from_fn(|_, _| async { Ok(()) });
        let mut established = Established::new(Transport::boxed(spring.clone()), Role::Server);
        let session = spring.session.get_or_init(|| established.session().clone());
        session.send_text("the first").await.unwrap();
        drop(tokio::spawn(established.run(idle)));

        tokio::task::yield_now().await;
        session.abort();

        let sent = spring.sent.load(Ordering::Relaxed);
        // `yield_now` leaves a few dozen turns to those that wake themselves.
        assert!((2..50_000).contains(&sent), "{sent} messages");
    }
}

/// A socket that takes everything and has nothing: whenever it is read, or written, somebody sends
/// one more message.
#[derive(Clone, Default)]
struct Spring {
    session: Arc<OnceLock<Session>>,
    at_write: bool,
    sent: Arc<AtomicU32>,
}

impl Spring {
    fn send(&self) {
        // A test that fails has to end, too.
        if self.sent.fetch_add(1, Ordering::Relaxed) < 100_000
            && let Some(session) = self.session.get()
        {
            session.try_send_text("one more").unwrap();
        }
    }
}

impl AsyncRead for Spring {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.at_write {
            self.send();
        }
        Poll::Pending
    }
}

impl AsyncWrite for Spring {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.at_write {
            self.send();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// It comes to our Close only once we have read what it writes.
#[tokio::test(start_paused = true)]
async fn peer_that_writes_before_it_reads_still_gets_our_close() {
    let endpoint = Recorder::new(&Log::default());
    let (mut peer, session, _task) = run(Role::Server, 64, Policy::default(), endpoint);

    session.send_text("x".repeat(100)).await.unwrap();
    peer.send_bytes(b"\x83").await;
    peer.send_bytes(&[0; 10_000]).await;
    let frames = peer.rest().await;

    assert_eq!(frames[1..], ["close 1002 reserved opcode 0x3", "end"]);
}

/// Everything that comes within a second of nothing more.
async fn pongs(peer: &mut Peer) -> Vec<String> {
    let mut pongs = Vec::new();
    while let Ok(frame) = timeout(Duration::from_secs(1), peer.recv()).await {
        assert!(frame.starts_with("pong"), "{frame}");
        pongs.push(frame);
    }
    pongs
}

/// Runs `endpoint` for a peer that sends the same frame without end.
fn flood<E: Endpoint>(first: u8, endpoint: E) -> Session {
    let flood = Flood(frame(Role::Server, first, b"x").repeat(1000));
    let mut established = Established::new(Transport::boxed(flood), Role::Server);
    let session = established.session().clone();
    drop(tokio::spawn(established.run(endpoint)));
    session
}

/// A socket that always has something to read, and takes everything.
struct Flood(Vec<u8>);

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.put_slice(&self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
