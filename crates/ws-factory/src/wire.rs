//! What is on its way to the socket: the driver's side of the outbox.
//!
//! Everything ready leaves in one write. Control frames overtake data, but only between two frames,
//! so the position within the front frame is followed across partial writes. While the peer takes
//! nothing only the latest Pong is kept (RFC 6455 §5.5.3), so that a peer that pings and never
//! reads costs one Pong.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use ws_core::{Frame, generator};

use crate::{pieces::Pieces, queue::SHARED_PAYLOAD_BYTES};

/// Frames in their wire form, not yet taken by the socket.
///
/// One word while there are none; room for them is the thread's.
#[derive(Debug, Default)]
pub(crate) struct Wire(Option<Box<Frames>>);

#[derive(Debug, Default)]
struct Frames {
    /// Whole control frames, or the rest of one that the socket has begun to take.
    control: Pieces,
    data: Pieces,
    /// How much of the data has to leave before the next frame boundary.
    mid_frame: u64,
    /// Whether the socket refused the last write.
    blocked: bool,
    /// The latest Pong that came while blocked.
    pong: Option<Box<Frame>>,
}

/// How many pieces one write gathers: beyond this a system call costs less than the bookkeeping.
const MAX_SLICES: usize = 32;

/// How much room for frames a thread keeps: a session of its own needs it no longer than until the
/// socket has taken them.
const SPARE: usize = 8;

thread_local! {
    #[expect(clippy::vec_box, reason = "what is kept are the boxes")]
    static SPARE_FRAMES: RefCell<Vec<Box<Frames>>> = const { RefCell::new(Vec::new()) };
}

impl Wire {
    /// Whether all data has been taken by the socket.
    pub(crate) fn data_is_gone(&self) -> bool {
        self.0.as_ref().is_none_or(|frames| frames.data.is_empty())
    }

    /// Whether everything has been taken by the socket.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|frames| frames.is_empty())
    }

    /// Whether there is room for the control frames that the application queued.
    pub(crate) fn takes_control(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|frames| frames.control.is_empty())
    }

    /// Takes over what was queued, where there is no data.
    pub(crate) fn take_over_data(&mut self, data: Pieces) {
        self.frames().data = data;
    }

    /// Takes over the control frames that were queued, where there are none.
    pub(crate) fn take_over_control(&mut self, control: Pieces) {
        self.frames().control = control;
    }

    /// The control frames that were just taken over, to write them anew.
    pub(crate) fn take_control(&mut self) -> Bytes {
        let frames = self.0.as_mut();
        frames.map_or_else(Bytes::new, |frames| {
            std::mem::take(&mut frames.control).take_end()
        })
    }

    /// The end of the data, to write more to.
    pub(crate) fn data(&mut self) -> &mut BytesMut {
        self.frames().data.end()
    }

    /// Adds whole frames whose bytes others send, too.
    pub(crate) fn put_shared(&mut self, shared: Bytes) {
        if shared.len() < SHARED_PAYLOAD_BYTES {
            return self.data().extend_from_slice(&shared);
        }
        self.frames().data.push(shared);
    }

    /// The end of the control frames, to write more to.
    pub(crate) fn control(&mut self) -> &mut BytesMut {
        self.frames().control.end()
    }

    /// Whether a Pong should be written now; if not, it replaces the one that waits.
    pub(crate) fn admit_pong(&mut self, pong: Frame) -> Option<Frame> {
        match &mut self.0 {
            Some(frames) if frames.blocked => {
                frames.pong = Some(Box::new(pong));
                None
            }
            _ => Some(pong),
        }
    }

    /// The Pong that waited, once it can be written.
    pub(crate) fn waiting_pong(&mut self) -> Option<Frame> {
        if self.takes_control() {
            self.take_pong()
        } else {
            None
        }
    }

    /// The Pong that waited, which cannot wait any longer.
    pub(crate) fn take_pong(&mut self) -> Option<Frame> {
        self.0.as_mut()?.pong.take().map(|pong| *pong)
    }

    /// Goes on with data of which the socket has taken some, or none, while this was empty.
    pub(crate) fn go_on(&mut self, data: Pieces, written: usize) {
        let frames = self.frames();
        frames.data = data;
        frames.advance(written);
    }

    /// Writes as much as the socket takes in one call; returns how much that was.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut W,
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.frames().poll_write(cx, io));
        if self.is_empty() {
            self.give_back();
        }
        Poll::Ready(written)
    }

    fn frames(&mut self) -> &mut Frames {
        self.0.get_or_insert_with(|| {
            let spare = SPARE_FRAMES.with_borrow_mut(Vec::pop);
            spare.unwrap_or_default()
        })
    }

    /// Gives the thread the room for frames back.
    fn give_back(&mut self) {
        let Some(mut frames) = self.0.take() else {
            return;
        };
        // Whoever takes it next begins at the beginning of a frame.
        frames.mid_frame = 0;
        // A runtime that is dropped late in the life of a thread finds nothing to give it back to.
        let _gone = SPARE_FRAMES.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE {
                spare.push(frames);
            }
        });
    }
}

impl Frames {
    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.control.is_empty() && self.pong.is_none()
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut W,
    ) -> Poll<io::Result<usize>> {
        self.blocked = true;
        let io = Pin::new(io);
        let only_data = self.control.is_empty();
        let written = match self.data.as_two() {
            // Room for many pieces is 350 instructions to make.
            Some([piece, []] | [[], piece]) if only_data => ready!(io.poll_write(cx, piece))?,
            _ => {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = self.gather(&mut slices);
                ready!(io.poll_write_vectored(cx, &slices[..count]))?
            }
        };
        self.blocked = false;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    /// The pieces in the order in which they leave: the rest of a frame that has begun, the control
    /// frames, the other data.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut slots = slices.iter_mut();
        let mut count = 0;
        let mut put = |piece: &'a [u8]| {
            if piece.is_empty() {
                return;
            }
            if let Some(slot) = slots.next() {
                *slot = IoSlice::new(piece);
                count += 1;
            }
        };
        let mut before = self.mid_frame;
        if before == 0 {
            self.control.iter().for_each(&mut put);
        }
        for piece in self.data.iter() {
            // Cannot truncate: not more than the piece's length.
            let cut = before.min(piece.len() as u64) as usize;
            put(&piece[..cut]);
            if before > 0 && before == cut as u64 {
                self.control.iter().for_each(&mut put);
            }
            before -= cut as u64;
            put(&piece[cut..]);
        }
        count
    }

    /// Drops the first `written` bytes, in the order of [`Self::gather`].
    fn advance(&mut self, written: usize) {
        if written == self.len() {
            // Everything left, as it nearly always does: no frame needs to be looked at.
            self.mid_frame = 0;
            self.control.clear();
            self.data.clear();
            return;
        }
        let mut left = written;
        if self.mid_frame > 0 {
            left -= self.advance_frame(left);
        }
        if self.mid_frame == 0 {
            let control = left.min(self.control.len());
            self.control.advance(control);
            left -= control;
        }
        while left > 0 {
            left -= self.advance_frame(left);
        }
    }

    /// How much there is to write, in bytes, but for a Pong that waits.
    fn len(&self) -> usize {
        self.control.len() + self.data.len()
    }

    /// Drops at most `most` bytes of the front frame; returns how many.
    fn advance_frame(&mut self, most: usize) -> usize {
        if self.mid_frame == 0 {
            let front = self.data.iter().find(|piece| !piece.is_empty());
            self.mid_frame = front
                .and_then(generator::wire_length)
                // A header is never cut by the end of a piece; if it were, what is there goes as
                // one frame and nothing is lost.
                .unwrap_or(most as u64);
        }
        // Cannot truncate: not more than `most`.
        let step = self.mid_frame.min(most as u64) as usize;
        self.mid_frame -= step as u64;
        self.data.advance(step);
        step
    }
}
