//! The rest of a large frame, read straight to where it belongs.

use bytes::BytesMut;

use super::Connection;
use crate::{Event, ProtocolError};

/// A frame with less than this still to come is read with whatever follows it: one read for both
/// beats the copy that is saved. Not so the end of one of which as much is in a buffer of its own:
/// that buffer can be used again only if it is whole.
const MIN_DIRECT_BYTES: u64 = 16 * 1024;

/// How much room the rest of a large frame has at first, in bytes, once as much as
/// [`PAID_BYTES`] of it has come.
const FIRST_DIRECT_BYTES: usize = 256 * 1024;
const PAID_BYTES: usize = 2 * 1024;

impl Connection {
    /// Whether what comes next is the rest of a frame whose header was taken.
    #[inline]
    #[must_use]
    pub const fn is_within_frame(&self) -> bool {
        self.parser.is_within_frame()
    }

    /// Where the next bytes belong if they are the rest of a large frame, and how many may be read
    /// there: into the buffer's spare capacity, behind what it holds.
    ///
    /// `spare` is asked for an empty buffer with at least so many bytes of capacity, once 2 KiB have
    /// come and where the one at hand is too small; without one that grows with what arrives.
    ///
    /// Call [`Self::recv_direct`] with what was read, also when it is nothing.
    pub fn direct_buffer(
        &mut self,
        spare: impl FnOnce(usize) -> Option<BytesMut>,
    ) -> Option<(&mut BytesMut, usize)> {
        if !self.input.is_empty() || self.extended.is_some() || !self.state.may_deliver() {
            return None;
        }
        let remaining = self.parser.data_remaining()?;
        let held = self.frames.held().max(self.assembler.held()) as u64;
        if remaining.max(held) < MIN_DIRECT_BYTES {
            return None;
        }
        let buffer = if self.delivery.frames() {
            self.frames.buffer()
        } else if self.delivery.partials() {
            return None;
        } else {
            self.assembler.buffer()?
        };
        let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
        let wanted = buffer.len().saturating_add(remaining);
        let paid = buffer.len() >= PAID_BYTES;
        if paid
            && buffer.capacity() < wanted
            && let Some(mut spare) = spare(wanted)
        {
            spare.extend_from_slice(buffer);
            *buffer = spare;
        }
        if buffer.capacity() >= wanted {
            return Some((buffer, remaining));
        }
        // As much again as has arrived, so that what is allocated never outruns what was paid for;
        // but at first, for who has paid a little, enough for the allocator to grow it from then on
        // by moving pages rather than bytes. Nothing of it is touched before it is read into.
        let least = match paid {
            true => FIRST_DIRECT_BYTES,
            false => MIN_DIRECT_BYTES as usize,
        };
        let room = remaining.min(buffer.len().max(least));
        buffer.reserve(room);
        Some((buffer, room))
    }

    /// Takes the last `read` bytes of the buffer that [`Self::direct_buffer`] returned.
    ///
    /// # Errors
    ///
    /// As [`Self::poll_event`].
    pub fn recv_direct(&mut self, read: usize) -> Result<Option<Event>, ProtocolError> {
        let result = self.take_direct(read);
        self.settle(result)
    }

    /// What is left of the buffer of a large frame or message that [`Self::recv_direct`] returned:
    /// the same allocation, to be used again once the message is gone. Without capacity if there
    /// is none.
    pub fn take_rest(&mut self) -> BytesMut {
        if self.delivery.frames() {
            self.frames.take_rest()
        } else {
            self.assembler.take_rest()
        }
    }

    fn take_direct(&mut self, read: usize) -> Result<Option<Event>, ProtocolError> {
        let frames = self.delivery.frames();
        let buffer = if frames {
            self.frames.buffer()
        } else {
            match self.assembler.buffer() {
                Some(buffer) => buffer,
                None => return Ok(None),
            }
        };
        let start = buffer.len().saturating_sub(read);
        let Some((header, ends_frame)) = self.parser.recv_direct(&mut buffer[start..]) else {
            return Ok(None);
        };
        let ends_message = ends_frame && header.fin;
        if self.in_text {
            self.utf8.feed(&buffer[start..])?;
            if ends_message {
                self.utf8.finish()?;
            }
        }
        if frames {
            return Ok(ends_frame.then(|| Event::Frame(self.frames.take(&header))));
        }
        self.assembler
            .recv_direct(read, ends_message, self.parser.limits())
    }
}
