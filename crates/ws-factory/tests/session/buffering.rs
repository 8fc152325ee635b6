//! A transport that keeps what is written until it is flushed, as TLS does, and takes, flushes and
//! reads a few bytes at a time: nothing stays in it that the peer waits for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    task::yield_now,
    time::timeout,
};
use ws_factory::{
    Endpoint, Established, Message, Policy, Prepared, Role, Session, Transport, from_fn,
};

use crate::peer::{PING, Peer, TEXT};

/// Takes at most `room` bytes until some are flushed, at most `step` in each call.
struct Buffering {
    io: DuplexStream,
    held: Vec<u8>,
    room: usize,
    step: usize,
    /// Which of reading, writing and flushing goes on at its next call: each other one is pending.
    ready: [bool; 3],
}

const READ: usize = 0;
const WRITE: usize = 1;
const FLUSH: usize = 2;

impl Buffering {
    /// Pending at every other call though there is no reason; whoever asks is woken at once.
    fn hesitate(&mut self, call: usize, cx: &Context<'_>) -> Poll<()> {
        self.ready[call] = !self.ready[call];
        if self.ready[call] {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            ready!(self.hesitate(FLUSH, cx));
            let most = self.held.len().min(self.step);
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held[..most]))?;
            self.held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Buffering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.hesitate(READ, cx));
        let mut some = vec![0; self.step.min(buf.remaining())];
        let mut some = ReadBuf::new(&mut some);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut some))?;
        buf.put_slice(some.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Buffering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.hesitate(WRITE, cx));
        if self.held.len() >= self.room {
            ready!(self.poll_empty(cx))?;
        }
        let most = self.step.min(self.room - self.held.len()).min(buf.len());
        self.held.extend_from_slice(&buf[..most]);
        Poll::Ready(Ok(most))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_empty(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Runs `endpoint` over a pipe that holds `pipe_bytes`, behind such a buffer.
fn serve(
    [pipe_bytes, room, step]: [usize; 3],
    policy: Policy,
    endpoint: impl Endpoint,
) -> (Peer, Session) {
    let (near, far) = duplex(pipe_bytes);
    let near = Buffering {
        io: near,
        held: Vec::new(),
        room,
        step,
        ready: [false; 3],
    };
    let mut established =
        Established::new(Transport::boxed(near), Role::Server).with_policy(policy);
    let session = established.session().clone();
    drop(tokio::spawn(established.run(endpoint)));
    (Peer::new(far, Role::Server), session)
}

fn echo() -> impl Endpoint {
    from_fn(|session: Session, message: Message| async move {
        session.send(message).await?;
        Ok(())
    })
}

/// On a paused clock: as soon as nobody has anything to do.
const SOON: Duration = Duration::from_secs(1);

/// Pipe, room and step.
const SHAPES: [[usize; 3]; 6] = [
    [4 << 20, 1 << 20, 1 << 20],
    [4 << 20, 20_000, 7_000],
    [100, 1 << 20, 1 << 20],
    [100, 50, 33],
    [40, 30, 13],
    [50_000, 16_384, 16_384],
];

#[tokio::test(start_paused = true)]
async fn answer_never_stays_in_the_transport() {
    for shape in SHAPES {
        let (mut peer, _session) = serve(shape, Policy::default(), echo());
        for len in [0, 1, 125, 126, 16_383, 16_384, 40_000] {
            let text = "x".repeat(len);

            peer.send(TEXT, &text).await;
            let answer = timeout(SOON, peer.recv_data()).await;

            assert!(answer.as_deref() == Ok(text.as_bytes()), "{shape:?}, {len}");
        }
    }
}

/// Messages in one piece, in two, and in one that others send, too, and control frames of both kinds.
#[tokio::test(start_paused = true)]
async fn what_is_sent_meanwhile_leaves_between_frames_and_in_order() {
    for shape in SHAPES {
        for len in [10, 16_384, 40_000] {
            let (mut peer, session) = serve(shape, Policy::default(), echo());
            let data = vec![7; len];
            let binary = match len {
                10 => "binary \u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}".to_owned(),
                long => format!("binary of {long} bytes"),
            };

            session.send_binary(data.clone()).await.unwrap();
            // The transport has some of it before the next comes.
            yield_now().await;
            peer.send(PING, "asked").await;
            session.ping("own").await.unwrap();
            yield_now().await;
            session.send_prepared(&Prepared::from(data)).await.unwrap();
            yield_now().await;
            session.send_text("last").await.unwrap();
            let mut frames = Vec::new();
            for _ in 0..5 {
                frames.push(timeout(SOON, peer.recv()).await.unwrap());
            }

            let is_control = |frame: &String| frame.starts_with('p');
            let (mut controls, frames): (Vec<_>, Vec<_>) = frames.into_iter().partition(is_control);
            controls.sort();
            assert_eq!(controls, ["ping own", "pong asked"], "{shape:?}");
            assert_eq!(frames, [binary.as_str(), &binary, "text last"], "{shape:?}");
        }
    }
}
