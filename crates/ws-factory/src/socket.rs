//! A TCP socket that is read and written at once.
//!
//! tokio's own calls ask for the task's budget and for the readiness each time, and glibc makes each
//! a point where a thread can be cancelled: without that a small message takes 280 instructions
//! less. The driver has a budget of its own, so that other tasks run in time.

#[cfg(not(target_os = "linux"))]
use std::{
    future::Future,
    pin::{Pin, pin},
};
use std::{
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

use bytes::{BufMut, BytesMut};
#[cfg(target_os = "linux")]
use tokio::io::Interest;
#[cfg(not(target_os = "linux"))]
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpStream;

/// Reads into `buffer`; after a read that did not fill it, [`TcpStream::poll_read_ready`] waits for
/// more.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn poll_read(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    use rustix::net::{RecvFlags, recv};

    loop {
        let read = try_read(stream, buffer.len(), || {
            let (_, read) = recv(stream, &mut *buffer, RecvFlags::empty())?;
            Ok(read)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_read_ready(cx))?;
            }
            read => return Poll::Ready(read),
        }
    }
}

/// As [`poll_read`], at most `room` bytes, behind what `buffer` holds.
#[cfg(target_os = "linux")]
pub(crate) fn poll_read_buf(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
    room: usize,
) -> Poll<io::Result<usize>> {
    let room = room.min(buffer.capacity() - buffer.len());
    loop {
        let mut limited = (&mut *buffer).limit(room);
        match try_read(stream, room, || stream.try_read_buf(&mut limited)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_read_ready(cx))?;
            }
            read => return Poll::Ready(read),
        }
    }
}

/// Reads at most `room` bytes by `read`, if there are any.
#[cfg(target_os = "linux")]
#[inline(always)]
fn try_read(
    stream: &TcpStream,
    room: usize,
    read: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut short = 0;
    let outcome = stream.try_io(Interest::READABLE, || {
        let read = read()?;
        if read == 0 || read == room {
            return Ok(read);
        }
        // Less than was asked for shows that there is no more, and epoll will tell of what comes
        // from now on: the readiness is over, as after a read that found nothing. tokio's own read
        // does the same with a short one.
        short = read;
        Err(io::ErrorKind::WouldBlock.into())
    });
    match short {
        0 => outcome,
        short => Ok(short),
    }
}

/// Writes what can be; an error of the kind `WouldBlock` if that is nothing.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn try_write(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};

    stream.try_io(Interest::WRITABLE, || {
        Ok(send(stream, data, SendFlags::NOSIGNAL)?)
    })
}

/// As [`try_write`], of several pieces.
#[cfg(target_os = "linux")]
pub(crate) fn try_write_vectored(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

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
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// As [`poll_read`], at most `room` bytes, behind what `buffer` holds.
#[cfg(not(target_os = "linux"))]
pub(crate) fn poll_read_buf(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
    room: usize,
) -> Poll<io::Result<usize>> {
    pin!(stream.read_buf(&mut buffer.limit(room))).poll(cx)
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
