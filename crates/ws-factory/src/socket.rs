//! A TCP socket that is read and written at once.
//!
//! tokio's own calls ask for the task's budget and for the readiness each time, and glibc makes each
//! a point where a thread can be cancelled: 300 instructions a message, of which those here leave
//! 60. The driver has a budget of its own, so that other tasks run in time.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

use tokio::net::TcpStream;

/// Reads into `buffer`; after a read that did not fill it, [`TcpStream::poll_read_ready`] waits for
/// more.
#[cfg(target_os = "linux")]
#[inline]
#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "elsewhere tokio's own read takes it so"
)]
pub(crate) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        match try_read(stream, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::task::ready!(stream.poll_read_ready(cx))?;
            }
            read => return Poll::Ready(read),
        }
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn try_read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::net::{RecvFlags, recv};
    use tokio::io::Interest;

    let mut short = 0;
    let read = stream.try_io(Interest::READABLE, || {
        let (_, read) = recv(stream, &mut *buffer, RecvFlags::empty())?;
        if read == 0 || read == buffer.len() {
            return Ok(read);
        }
        // Less than was asked for shows that there is no more, and epoll will tell of what comes
        // from now on: the readiness is over, as after a read that found nothing. tokio's own read
        // does the same with a short one.
        short = read;
        Err(io::ErrorKind::WouldBlock.into())
    });
    match short {
        0 => read,
        short => Ok(short),
    }
}

/// Writes what can be; an error of the kind `WouldBlock` if that is nothing.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn try_write(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    use tokio::io::Interest;

    stream.try_io(Interest::WRITABLE, || {
        Ok(send(stream, data, SendFlags::NOSIGNAL)?)
    })
}

/// As [`try_write`], of several pieces.
#[cfg(target_os = "linux")]
pub(crate) fn try_write_vectored(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
    use tokio::io::Interest;

    stream.try_io(Interest::WRITABLE, || {
        let mut nothing_else = SendAncillaryBuffer::default();
        Ok(sendmsg(
            stream,
            pieces,
            &mut nothing_else,
            SendFlags::NOSIGNAL,
        )?)
    })
}

/// Reads into `buffer`; after a read that did not fill it, [`TcpStream::poll_read_ready`] waits for
/// more where that can be known, and otherwise may let a read find nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    use tokio::io::{AsyncRead, ReadBuf};

    let mut buffer = ReadBuf::new(buffer);
    let read = std::pin::Pin::new(stream).poll_read(cx, &mut buffer)?;
    read.map(|()| Ok(buffer.filled().len()))
}

/// Writes what can be; an error of the kind `WouldBlock` if that is nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn try_write(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    stream.try_write(data)
}

/// As [`try_write`], of several pieces.
#[cfg(not(target_os = "linux"))]
pub(crate) fn try_write_vectored(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    stream.try_write_vectored(pieces)
}
