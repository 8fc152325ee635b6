//! A transport that takes everything into a buffer of its own and cannot flush it, as TLS whose peer
//! takes nothing: the write deadline sees what the peer takes, not what the buffer does.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, duplex},
    time::{Instant, sleep, timeout},
};
use ws_factory::{Established, Message, Policy, Role, Session, Transport, from_fn};

use crate::{
    peer::{Peer, TEXT},
    recorder::ending,
};

/// What is written waits here until the pipe takes it; refuses when it is full.
struct Sealing {
    io: DuplexStream,
    held: Vec<u8>,
}

/// How much it holds; rustls' own default.
const HELD_BYTES: usize = 64 * 1024;

/// How much the pipe holds.
const PIPE_BYTES: usize = 16;

impl Sealing {
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            self.held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Sealing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Sealing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let passed_on = self.poll_pass_on(cx)?;
        let taken = buf.len().min(HELD_BYTES - self.held.len());
        self.held.extend_from_slice(&buf[..taken]);
        match (taken, passed_on) {
            (0, Poll::Pending) => Poll::Pending,
            _ => {
                let _held = self.poll_pass_on(cx)?;
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_pass_on(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass_on(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A session that answers nothing, and its peer. No other deadline would end it.
fn serve() -> (Peer, Session) {
    let (near, far) = duplex(PIPE_BYTES);
    let near = Sealing {
        io: near,
        held: Vec::new(),
    };
    let policy = Policy::default().with_idle_timeout(None);
    let mut established =
        Established::new(Transport::boxed(near), Role::Server).with_policy(policy);
    let session = established.session().clone();
    let silent = from_fn(|_: Session, _: Message| async { Ok(()) });
    drop(tokio::spawn(established.run(silent)));
    (Peer::new(far, Role::Server), session)
}

/// Reads at most as much; returns how much that was.
async fn take(peer: &mut Peer, most: usize) -> usize {
    peer.io.read(&mut vec![0; most]).await.unwrap()
}

/// How the session ended, and after how many seconds.
async fn end(session: &Session, since: Instant) -> (String, u64) {
    let event = timeout(1_000 * SECOND, session.closed()).await;
    let ended = ending(&event.expect("it ends"));
    (ended, since.elapsed().as_secs())
}

const NO_PROGRESS: &str = "close 1006 by Local: no write progress in time";

#[tokio::test(start_paused = true)]
async fn peer_that_takes_nothing_of_what_is_to_be_flushed_is_left_at_the_write_deadline() {
    let (_peer, session) = serve();
    let start = Instant::now();

    session.send_binary(vec![0; 1000]).await.unwrap();

    let ended = end(&session, start).await;
    assert_eq!(ended, (NO_PROGRESS.to_owned(), 60));
}

#[tokio::test(start_paused = true)]
async fn what_the_buffer_takes_is_no_progress() {
    let (_peer, session) = serve();
    let start = Instant::now();

    while session.is_open() && start.elapsed() < 300 * SECOND {
        let _closed = session.send_binary(vec![0; 100]).await;
        sleep(7 * SECOND).await;
    }

    let (ended, _) = end(&session, start).await;
    assert_eq!(ended, NO_PROGRESS);
    assert!(start.elapsed() < 70 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_sends_is_no_progress() {
    let (mut peer, session) = serve();
    let start = Instant::now();
    session.send_binary(vec![0; 1000]).await.unwrap();

    while session.is_open() && start.elapsed() < 300 * SECOND {
        peer.send(TEXT, "hi").await;
        sleep(7 * SECOND).await;
    }

    let (ended, _) = end(&session, start).await;
    assert_eq!(ended, NO_PROGRESS);
    assert!(start.elapsed() < 70 * SECOND);
}

/// Hostile input T11: a few bytes in each 50 s, and a flush that never ends.
#[tokio::test(start_paused = true)]
async fn peer_that_takes_a_little_of_a_flush_now_and_then_is_not_left() {
    let (mut peer, session) = serve();

    for _ in 0..100 {
        session.send_binary(vec![0; 100]).await.unwrap();
        sleep(50 * SECOND).await;
        assert_eq!(take(&mut peer, PIPE_BYTES).await, PIPE_BYTES);
    }

    assert!(session.is_open(), "{:?}", session.close_event());
}

#[tokio::test(start_paused = true)]
async fn flush_that_ends_leaves_no_deadline_behind() {
    let (mut peer, session) = serve();

    session.send_binary(vec![0; 1000]).await.unwrap();
    sleep(50 * SECOND).await;
    assert_eq!(peer.recv_data().await.len(), 1000);
    sleep(500 * SECOND).await;
    session.send_binary(vec![0; 1000]).await.unwrap();
    sleep(50 * SECOND).await;

    assert!(session.is_open(), "{:?}", session.close_event());
}

/// The buffer is full, so that it is a write that waits; then a flush again; and so on.
#[tokio::test(start_paused = true)]
async fn slow_peer_of_a_full_buffer_takes_everything() {
    let (mut peer, session) = serve();
    const LARGE: usize = 200_000;
    session.send_binary(vec![0; LARGE]).await.unwrap();

    let mut taken = 0;
    while taken < LARGE {
        sleep(SECOND).await;
        for _ in 0..100 {
            taken += timeout(SECOND, take(&mut peer, PIPE_BYTES))
                .await
                .unwrap_or(0);
        }
    }

    sleep(100 * SECOND).await;
    assert!(session.is_open(), "{:?}", session.close_event());
}

#[tokio::test(start_paused = true)]
async fn peer_that_stops_taking_once_the_buffer_is_full_is_left() {
    let (mut peer, session) = serve();
    session.send_binary(vec![0; 100_000]).await.unwrap();
    sleep(40 * SECOND).await;
    take(&mut peer, PIPE_BYTES).await;
    let start = Instant::now();

    let ended = end(&session, start).await;

    assert_eq!(ended, (NO_PROGRESS.to_owned(), 60));
}
