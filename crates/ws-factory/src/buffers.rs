//! The thread's buffers: what lets an idle connection hold none.
//!
//! Reading goes into 16 KiB that belong to the thread and are held only within one `poll`. What is
//! kept of it is copied once, into a buffer of the smallest class that fits. Where reads are larger
//! they go into 64 KiB of scratch, and on in the scratch itself if they fill a good part of it.
//! Messages are slices of these, and once all of them are gone the thread uses them again. In
//! steady state nothing is allocated. So it is with the buffers that messages of many reads are put
//! together in: a fresh one costs a page fault for every 4 KiB, half of all that such a message
//! costs.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};

use crate::policy::MAX_READ_BYTES;

/// The sizes of the buffers that payloads are slices of, in bytes: a chat message, a page, a
/// document. A kept message keeps its whole buffer alive, hence not just one class. What is larger
/// than the last of them keeps the scratch that it was read into, at most four times its size.
const READ_CLASSES: [usize; 3] = [SMALLEST_CLASS, MIDDLE_CLASS, LARGEST_CLASS];
const SMALLEST_CLASS: usize = 512;
const MIDDLE_CLASS: usize = 4 * 1024;
pub(crate) const LARGEST_CLASS: usize = 16 * 1024;

/// How many scratches a thread remembers whose bytes it has given away.
const SPENT_SCRATCHES: usize = 4;

/// How much a thread keeps of the buffers of large messages, in bytes: two of 16 MiB and a little, as
/// growing made them. And for how many reads that are none of theirs.
const KEPT_LARGE_BYTES: usize = 36 << 20;
const KEPT_FOR_READS: u32 = 1024;

/// How many times as long as a message its buffer may be: it may be kept as long as the message.
const LARGE_SLACK: usize = 4;

thread_local! {
    static READ: Cell<Option<Box<ReadBuffers>>> = const { Cell::new(None) };
}

/// Where a thread reads into, and what it hands on.
#[derive(Debug)]
pub(crate) struct ReadBuffers {
    /// Initialised, so that reading into it takes no detour.
    small: Vec<u8>,
    scratch: Option<BytesMut>,
    /// What is left of scratches whose bytes were given away.
    spent: Vec<BytesMut>,
    classes: [Option<BytesMut>; READ_CLASSES.len()],
    large: Vec<Large>,
    /// How many reads there were since a large message.
    reads: u32,
}

/// What is left of the buffer of a large message that was given away.
#[derive(Debug)]
struct Large {
    rest: BytesMut,
    /// All of the buffer, in bytes.
    bytes: usize,
}

/// Lends the thread's buffers for one read. A nested call makes its own.
#[inline(always)]
pub(crate) fn with_reading<T>(read: impl FnOnce(&mut ReadBuffers) -> T) -> T {
    let mut buffers = lend();
    let outcome = read(&mut buffers);
    give_back(buffers);
    outcome
}

/// The thread's buffers, for one read: until [`give_back`] whoever asks gets others. Where that is
/// not called, since the read panicked, they are lost.
#[inline]
pub(crate) fn lend() -> Box<ReadBuffers> {
    READ.take().unwrap_or_else(other_read_buffers)
}

#[inline]
pub(crate) fn give_back(buffers: Box<ReadBuffers>) {
    READ.set(Some(buffers));
}

#[cold]
fn other_read_buffers() -> Box<ReadBuffers> {
    Box::new(ReadBuffers::new())
}

/// The thread's buffers for what is kept.
pub(crate) struct Keeping<'a>(&'a mut [Option<BytesMut>; READ_CLASSES.len()]);

impl Keeping<'_> {
    /// A copy of the right size.
    #[inline]
    pub(crate) fn keep(self, bytes: &[u8]) -> Bytes {
        match bytes.is_empty() {
            true => Bytes::new(),
            false => copy(self.0, bytes).freeze(),
        }
    }
}

/// Copies what was read into a buffer of the thread's.
pub(crate) fn read_buffer(bytes: &[u8]) -> BytesMut {
    with_reading(|buffers| copy(&mut buffers.classes, bytes))
}

/// A buffer for `bytes` of a large message, if the thread has one that nobody uses any more.
pub(crate) fn take_large(bytes: usize) -> Option<BytesMut> {
    with_reading(|buffers| buffers.take_large(bytes))
}

/// Keeps what is left of the buffer of a message of `len` bytes.
pub(crate) fn keep_large(len: usize, rest: BytesMut) {
    with_reading(|buffers| buffers.keep_large(len, rest));
}

impl ReadBuffers {
    const fn new() -> Self {
        Self {
            small: Vec::new(),
            scratch: None,
            spent: Vec::new(),
            classes: [const { None }; READ_CLASSES.len()],
            large: Vec::new(),
            reads: 0,
        }
    }

    /// Where to read what is mostly copied, and room for the copies.
    #[inline]
    pub(crate) fn small(&mut self) -> (&mut [u8], Keeping<'_>) {
        self.count_read();
        if self.small.is_empty() {
            self.small = vec![0; LARGEST_CLASS];
        }
        (&mut self.small, Keeping(&mut self.classes))
    }

    /// A copy of the first bytes that were read.
    pub(crate) fn copy_small(&mut self, read: usize) -> BytesMut {
        copy(&mut self.classes, &self.small[..read])
    }

    /// Where to read what is to be given away: empty, with room for half of the longest read at
    /// least.
    pub(crate) fn scratch(&mut self) -> &mut BytesMut {
        self.count_read();
        let Self { scratch, spent, .. } = self;
        let scratch = scratch.get_or_insert_with(|| fresh_scratch(spent));
        scratch.clear();
        scratch
    }

    /// All that was read, to be kept.
    pub(crate) fn take(&mut self) -> BytesMut {
        let scratch = self.scratch.get_or_insert_default();
        if scratch.len() <= LARGEST_CLASS {
            return copy(&mut self.classes, scratch);
        }
        let bytes = scratch.split();
        if scratch.capacity() < MAX_READ_BYTES / 2
            && let Some(rest) = self.scratch.take()
        {
            self.spend(rest);
        }
        bytes
    }

    #[inline]
    fn count_read(&mut self) {
        self.reads += 1;
        if self.reads >= KEPT_FOR_READS {
            self.reads = 0;
            self.large = Vec::new();
        }
    }

    fn spend(&mut self, rest: BytesMut) {
        if self.spent.len() == SPENT_SCRATCHES {
            self.spent.remove(0);
        }
        self.spent.push(rest);
    }

    fn take_large(&mut self, bytes: usize) -> Option<BytesMut> {
        self.reads = 0;
        let most = bytes.saturating_mul(LARGE_SLACK);
        let free = self.large.iter_mut().position(|large| {
            (bytes..=most).contains(&large.bytes) && large.rest.try_reclaim(large.bytes)
        })?;
        Some(self.large.swap_remove(free).rest)
    }

    fn keep_large(&mut self, len: usize, rest: BytesMut) {
        let bytes = len + rest.capacity();
        if bytes > KEPT_LARGE_BYTES {
            return;
        }
        let mut kept: usize = self.large.iter().map(|large| large.bytes).sum();
        while kept + bytes > KEPT_LARGE_BYTES {
            kept -= self.large.remove(0).bytes;
        }
        self.large.push(Large { rest, bytes });
    }
}

fn fresh_scratch(spent: &mut Vec<BytesMut>) -> BytesMut {
    let free = spent
        .iter_mut()
        .position(|scratch| scratch.try_reclaim(MAX_READ_BYTES));
    match free {
        Some(free) => spent.swap_remove(free),
        None => BytesMut::with_capacity(MAX_READ_BYTES),
    }
}

/// A copy of the right size.
#[inline(always)]
fn copy(classes: &mut [Option<BytesMut>; READ_CLASSES.len()], bytes: &[u8]) -> BytesMut {
    let class = if bytes.len() <= SMALLEST_CLASS {
        0
    } else if bytes.len() <= MIDDLE_CLASS {
        1
    } else if bytes.len() <= LARGEST_CLASS {
        2
    } else {
        return BytesMut::from(bytes);
    };
    let buffer = classes[class].get_or_insert_default();
    if buffer.capacity() < bytes.len() && !buffer.try_reclaim(bytes.len()) {
        *buffer = BytesMut::with_capacity(READ_CLASSES[class]);
    }
    buffer.extend_from_slice(bytes);
    buffer.split()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_buffer_is_used_again_once_its_slices_are_gone() {
        let first = read_buffer(&[1; 400]);
        let at = first.as_ptr();
        drop(first);

        let second = read_buffer(&[2; 400]);

        assert_eq!(second.as_ptr(), at);
        assert_eq!(second.as_ref(), [2; 400]);
    }

    #[test]
    fn kept_slice_keeps_its_bytes() {
        let kept = read_buffer(b"kept").freeze();

        for _ in 0..1000 {
            drop(read_buffer(&[0xFF; 500]));
        }

        assert_eq!(kept.as_ref(), b"kept");
    }

    /// Reads `len` bytes of `byte`, and gives them away.
    fn read(len: usize, byte: u8) -> BytesMut {
        with_reading(|buffers| {
            buffers.scratch().resize(len, byte);
            buffers.take()
        })
    }

    #[test]
    fn large_read_is_not_copied_and_its_scratch_is_used_again() {
        let first = read(40_000, 1);
        let at = first.as_ptr();

        let second = read(40_000, 2);
        assert_ne!(second.as_ptr(), at);
        assert_eq!((first[39_999], second[39_999]), (1, 2));
        drop(first);

        assert_eq!(read(40_000, 3).as_ptr(), at);
        assert_eq!(second[39_999], 2);
    }

    #[test]
    fn buffer_of_a_large_message_is_used_again_once_the_message_is_gone() {
        assert!(take_large(1 << 20).is_none());
        let mut buffer = BytesMut::with_capacity(1 << 20);
        let at = buffer.as_ptr();
        buffer.resize(1 << 20, 1);
        let message = buffer.split().freeze();
        keep_large(message.len(), buffer);

        assert!(take_large(1 << 20).is_none(), "the message is still there");
        drop(message);
        assert!(take_large((1 << 18) - 1).is_none(), "it is far too large");
        let again = take_large(1 << 20).unwrap();

        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        assert!(again.capacity() >= 1 << 20);
    }

    /// Or a peer could have a thread keep far more than it counts: a few KiB of each buffer.
    #[test]
    fn buffer_of_a_large_message_stays_as_large_when_shorter_ones_use_it() {
        let mut buffer = BytesMut::with_capacity(1 << 20);
        let mut len = 1 << 20;
        while len >= 1 << 14 {
            buffer.resize(len, 1);
            drop(buffer.split());
            keep_large(len, std::mem::take(&mut buffer));
            len /= 2;
            match take_large(len) {
                Some(again) => buffer = again,
                None => break,
            }
        }

        assert_eq!(len, (1 << 20) / LARGE_SLACK / 2, "it is far too large");
        let counted = with_reading(|buffers| buffers.large[0].bytes);
        assert_eq!(counted, 1 << 20);
    }

    #[test]
    fn large_buffers_are_bounded_and_do_not_stay_for_ever() {
        for _ in 0..5 {
            keep_large(0, BytesMut::with_capacity(10 << 20));
        }
        let kept = || with_reading(|buffers| buffers.large.len());
        assert_eq!(kept(), 3);

        for _ in 0..KEPT_FOR_READS {
            drop(read(1, 0));
        }

        assert_eq!(kept(), 0);
    }

    #[test]
    fn nested_read_has_buffers_of_its_own() {
        with_reading(|outer| {
            outer.small().0[..5].copy_from_slice(b"outer");
            with_reading(|inner| inner.small().0[..5].copy_from_slice(b"inner"));

            assert_eq!(outer.copy_small(5).as_ref(), b"outer");
        });
    }

    /// A transport may run another session within its own read, and that one's message may be large.
    #[test]
    fn nested_session_may_read_large_messages() {
        with_reading(|_outer| {
            assert_eq!(read_buffer(b"ahead").as_ref(), b"ahead");
            assert!(take_large(1 << 20).is_none());
            keep_large(0, BytesMut::with_capacity(1 << 20));
        });
    }
}
