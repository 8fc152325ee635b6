//! One stream of an HTTP/2 connection, as the bytes under a session (RFC 8441 §5).
//!
//! Its end is the end of the stream, a reset is a reset. What it holds is the rest of one DATA frame;
//! what waits beside it, either way, is bounded by the windows and by `http2`.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// The stream, and what tells its connection that it is over.
pub(crate) struct Tunnel {
    send: SendStream<Bytes>,
    recv: RecvStream,
    /// What came and was not read.
    rest: Bytes,
    /// Whether the server has ended its half, and we have ours.
    recv_ended: bool,
    send_ended: bool,
    _over: oneshot::Sender<()>,
}

/// As much as a DATA frame has at most, unless the server allows more (RFC 9113 §4.2).
const PIECE_BYTES: usize = 16 * 1024;

impl Tunnel {
    pub(crate) const fn new(
        send: SendStream<Bytes>,
        recv: RecvStream,
        over: oneshot::Sender<()>,
    ) -> Self {
        Self {
            send,
            recv,
            rest: Bytes::new(),
            recv_ended: false,
            send_ended: false,
            _over: over,
        }
    }

    /// How much can be sent now, of at most so much.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(wanted);
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(lost(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(self.send.capacity().min(wanted)))
    }

    fn end(&mut self) -> io::Result<()> {
        if self.send_ended {
            return Ok(());
        }
        self.send_ended = true;
        self.send.send_data(Bytes::new(), true).map_err(lost)
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(error)) => return Poll::Ready(Err(lost(error))),
                None => {
                    self.recv_ended = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let read = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..read]);
        self.rest.advance(read);
        let released = self.recv.flow_control().release_capacity(read);
        Poll::Ready(released.map_err(lost))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        let size = ready!(self.poll_room(cx, total.min(PIECE_BYTES)))?;
        let mut piece = BytesMut::with_capacity(size);
        for buf in bufs {
            let room = size - piece.len();
            piece.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        let sent = self.send.send_data(piece.freeze(), false);
        Poll::Ready(sent.map(|()| size).map_err(lost))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end())
    }
}

impl Drop for Tunnel {
    /// Ends our half behind the server's; otherwise h2 resets the stream with CANCEL, which is what
    /// a reset of TCP is there (RFC 8441 §5).
    fn drop(&mut self) {
        if self.recv_ended {
            let _lost = self.end();
        }
    }
}

/// A stream that was reset, or whose connection is lost.
fn lost(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
