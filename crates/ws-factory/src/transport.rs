//! The bytes under a session: a TCP socket, or anything else that reads and writes.
//!
//! A closed enum, so that the usual case costs no indirection and the driver is compiled once for
//! all of them.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::socket;

/// What a boxed transport must do.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The byte stream of one session, after its handshake.
///
/// ```
/// let (near, _far) = tokio::io::duplex(1024);
/// let transport = ws_factory::Transport::boxed(near);
/// ```
#[expect(missing_debug_implementations, reason = "a boxed stream has none")]
pub struct Transport(Inner);

enum Inner {
    Tcp(TcpStream),
    Boxed(Box<dyn Io>),
}

impl Transport {
    /// A TCP socket.
    #[must_use]
    pub const fn tcp(stream: TcpStream) -> Self {
        Self(Inner::Tcp(stream))
    }

    /// Anything else: TLS, an upgraded HTTP connection of an unknown kind, a pipe in a test.
    #[must_use]
    pub fn boxed(stream: impl Io + 'static) -> Self {
        Self(Inner::Boxed(Box::new(stream)))
    }

    /// Whether what was written may wait in it for a flush.
    pub(crate) const fn buffers(&self) -> bool {
        matches!(self.0, Inner::Boxed(_))
    }

    /// Resolves when a read may find something; at once where that cannot be told without one.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Tcp(stream) => stream.poll_read_ready(cx),
            Inner::Boxed(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads once into `buffer`, also a few bytes of it.
    ///
    /// After a read that did not fill it, [`Self::poll_read_ready`] waits for more.
    #[inline(always)]
    pub(crate) fn poll_read_slice(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Tcp(stream) => socket::poll_read(stream, cx, buffer),
            Inner::Boxed(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Reads once, at most `room` bytes, straight behind what `buffer` holds, which has that much
    /// room.
    pub(crate) fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Tcp(stream) => socket::poll_read_buf(stream, cx, buffer, room),
            Inner::Boxed(stream) => {
                let mut limited = buffer.limit(room);
                pin!(stream.read_buf(&mut limited)).poll(cx)
            }
        }
    }

    /// Writes at once what can be; pending where it cannot, and then [`AsyncWrite::poll_write`] has
    /// to be asked, which sees to it that the task is woken. That is 60 instructions more for a TCP
    /// socket that can be written.
    #[inline(always)]
    pub(crate) fn try_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Tcp(stream) => match socket::try_write(stream, data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                written => Poll::Ready(written),
            },
            Inner::Boxed(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    /// As [`Self::try_write`], of two pieces in one call.
    pub(crate) fn try_write_two(
        &mut self,
        cx: &mut Context<'_>,
        pieces: [&[u8]; 2],
    ) -> Poll<io::Result<usize>> {
        let pieces = pieces.map(io::IoSlice::new);
        match &mut self.0 {
            Inner::Tcp(stream) => match socket::try_write_vectored(stream, &pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                written => Poll::Ready(written),
            },
            Inner::Boxed(stream) => Pin::new(stream).poll_write_vectored(cx, &pieces),
        }
    }

    fn pin(&mut self) -> Pin<&mut dyn Io> {
        match &mut self.0 {
            Inner::Tcp(stream) => Pin::new(stream),
            Inner::Boxed(stream) => Pin::new(stream),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Boxed(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Boxed(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pin().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Inner::Tcp(stream) => stream.is_write_vectored(),
            Inner::Boxed(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_shutdown(cx)
    }
}
