//! The socket under a connection while that speaks HTTP: writes that make no progress fail.
//!
//! hyper has a deadline for heads, which begins once the response before has been taken, but none
//! for taking it. A session gets the stream without this around it.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::ConnectionGuard;

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] when the peer has taken nothing for
/// the write deadline.
#[derive(Debug)]
pub(crate) struct HttpSocket<I> {
    io: I,
    deadline: Duration,
    /// What the stream does not take is given up then. Boxed, since most connections never need it.
    giving_up: Option<Pin<Box<Sleep>>>,
    /// Dropped after the stream.
    _guard: Option<ConnectionGuard>,
}

impl<I> HttpSocket<I> {
    pub(crate) const fn new(io: I, deadline: Duration, guard: Option<ConnectionGuard>) -> Self {
        Self {
            io,
            deadline,
            giving_up: None,
            _guard: guard,
        }
    }

    pub(crate) fn into_inner(self) -> I {
        self.io
    }

    /// How a write went; it fails if it has been pending for too long.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.giving_up = None;
            return written;
        }
        let giving_up = self
            .giving_up
            .get_or_insert_with(|| Box::pin(sleep(self.deadline)));
        ready!(giving_up.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HttpSocket<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for HttpSocket<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::Instant,
    };

    use super::*;
    use crate::http_connection::tests::{DAY, ended, page, serve, slow_page};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

    /// Much more than the pipe and hyper's buffers hold.
    const LARGE: usize = 4 << 20;

    const PIPE_BYTES: usize = 16 * 1024;

    /// Takes what is there at once, and returns how much that was.
    async fn take(client: &mut DuplexStream) -> usize {
        client.read(&mut [0; PIPE_BYTES]).await.unwrap()
    }

    /// Hostile input T13.
    #[tokio::test(start_paused = true)]
    async fn response_that_nobody_takes_is_given_up_at_the_write_deadline() {
        for close in ["", "Connection: close\r\n"] {
            let (mut client, serving, _stop) = serve(PIPE_BYTES, page(LARGE));
            let begin = Instant::now();

            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{close}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();

            ended(serving).await;
            assert_eq!(begin.elapsed().as_secs(), 60, "{close:?}");
        }
    }

    /// Hostile input T11.
    #[tokio::test(start_paused = true)]
    async fn response_that_is_taken_slowly_is_taken_whole() {
        let (mut client, serving, _stop) = serve(PIPE_BYTES, page(LARGE));
        client.write_all(REQUEST).await.unwrap();

        let mut taken = 0;
        while taken < LARGE {
            sleep(Duration::from_secs(50)).await;
            taken += take(&mut client).await;
        }
        let end = Instant::now();
        while take(&mut client).await > 0 {}

        // Nobody asks again.
        ended(serving).await;
        assert!(end.elapsed() <= Duration::from_secs(11));
    }

    #[tokio::test(start_paused = true)]
    async fn next_head_is_waited_for_from_when_the_response_was_taken() {
        let (mut client, serving, _stop) = serve(PIPE_BYTES, page(LARGE));
        client.write_all(REQUEST).await.unwrap();
        for _ in 0..2 {
            let mut taken = 0;
            while taken < LARGE {
                taken += take(&mut client).await;
            }
            sleep(Duration::from_secs(9)).await;
            client.write_all(REQUEST).await.unwrap();
        }
        let mut taken = 0;
        while taken < LARGE {
            taken += take(&mut client).await;
        }
        let begin = Instant::now();

        // T2: a byte a second does not help.
        while client.write_all(b"G").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }

        ended(serving).await;
        assert!(begin.elapsed() <= Duration::from_secs(11));
    }

    #[tokio::test(start_paused = true)]
    async fn application_has_all_the_time_that_it_wants() {
        let (mut client, _serving, _stop) = serve(PIPE_BYTES, slow_page(DAY));

        client.write_all(REQUEST).await.unwrap();

        let mut answer = Vec::new();
        while !answer.ends_with(b"done") {
            answer.push(client.read_u8().await.unwrap());
        }
    }
}
