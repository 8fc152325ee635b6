//! One stream of an HTTP/2 connection, as the bytes under a session (RFC 8441 §5).
//!
//! hyper copies each write as a whole on its way to the connection, where it waits for the client's
//! window: so writes are cut to pieces, and what waits there is a few of them, however large a
//! message is. Small ones are put together, as each write is a DATA frame of its own.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that takes its writes in pieces.
pub(crate) struct Tunnel<I> {
    io: I,
}

/// As much as a DATA frame has at most, unless the client allows more (RFC 9113 §4.2).
const PIECE_BYTES: usize = 16 * 1024;

impl<I> Tunnel<I> {
    pub(crate) const fn new(io: I) -> Self {
        Self { io }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Tunnel<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Tunnel<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let piece = &buf[..buf.len().min(PIECE_BYTES)];
        Pin::new(&mut self.io).poll_write(cx, piece)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut slices = bufs.iter().filter(|slice| !slice.is_empty());
        let first = slices.next().map_or(&[] as &[u8], |slice| slice);
        let Some(second) = slices.next() else {
            return self.poll_write(cx, first);
        };
        if first.len() >= PIECE_BYTES {
            return self.poll_write(cx, first);
        }
        let total: usize = bufs.iter().map(|slice| slice.len()).sum();
        let mut piece = Vec::with_capacity(total.min(PIECE_BYTES));
        piece.extend_from_slice(first);
        for slice in std::iter::once(second).chain(slices) {
            let room = PIECE_BYTES - piece.len();
            piece.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Pin::new(&mut self.io).poll_write(cx, &piece)
    }

    fn is_write_vectored(&self) -> bool {
        true
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
    use std::future::poll_fn;

    use super::*;

    /// Takes everything, and keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(buf.to_vec());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes these slices once; returns what was taken, and by how many writes.
    async fn write(slices: &[&[u8]]) -> (Vec<u8>, usize) {
        let mut tunnel = Tunnel::new(Writes::default());
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let written = poll_fn(|cx| Pin::new(&mut tunnel).poll_write_vectored(cx, &slices)).await;
        let taken = tunnel.io.0.concat();
        assert_eq!(written.unwrap(), taken.len());
        (taken, tunnel.io.0.len())
    }

    #[tokio::test]
    async fn header_and_payload_leave_together() {
        assert_eq!(write(&[b"ab", b"", b"c"]).await, (b"abc".to_vec(), 1));
        assert_eq!(write(&[b"", b"ab"]).await, (b"ab".to_vec(), 1));
    }

    #[tokio::test]
    async fn no_write_is_larger_than_a_piece() {
        let large = vec![7; 3 * PIECE_BYTES];
        for slices in [&[&large[..]][..], &[b"header", &large], &[&large, b"end"]] {
            let (taken, writes) = write(slices).await;

            assert_eq!((taken.len(), writes), (PIECE_BYTES, 1));
            assert!(slices.concat().starts_with(&taken));
        }
    }
}
