//! The thread's buffers: what lets an idle connection hold none.
//!
//! Reading goes through 64 KiB of scratch that belongs to the thread and is held only within one
//! `poll`. What was read is copied once, into a buffer of the smallest class that fits; messages
//! are slices of it, and once all of them are gone the thread uses it again. In steady state
//! nothing is allocated.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

use crate::policy::MAX_READ_BYTES;

/// The sizes of the buffers that payloads are slices of, in bytes: a chat message, a page, a
/// document, a full read. A kept message keeps its whole buffer alive, hence not just one class.
const READ_CLASSES: [usize; 4] = [512, 4 * 1024, 16 * 1024, MAX_READ_BYTES];

/// How much is reserved for what leaves in one write, in bytes: two pages of small messages.
const WRITE_BYTES: usize = 8 * 1024;

/// How many write buffers a thread keeps, and how large each may be: one turn uses one or two, and
/// a burst that needed more should not stay.
const KEPT_WRITE_BUFFERS: usize = 8;
const MAX_KEPT_WRITE_BYTES: usize = 256 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static READ: RefCell<[BytesMut; READ_CLASSES.len()]> = RefCell::new(Default::default());
    static WRITE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's scratch to `read`. A nested call finds none and makes its own.
pub(crate) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH
        .take()
        .unwrap_or_else(|| vec![0; MAX_READ_BYTES].into_boxed_slice());
    let result = read(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// Copies what was read into a buffer of the thread's.
pub(crate) fn read_buffer(bytes: &[u8]) -> BytesMut {
    let class = READ_CLASSES
        .iter()
        .position(|class| bytes.len() <= *class)
        .unwrap_or(READ_CLASSES.len() - 1);
    READ.with_borrow_mut(|buffers| {
        let buffer = &mut buffers[class];
        if !buffer.try_reclaim(bytes.len()) {
            *buffer = BytesMut::with_capacity(READ_CLASSES[class].max(bytes.len()));
        }
        buffer.extend_from_slice(bytes);
        buffer.split()
    })
}

/// An empty buffer to write into.
pub(crate) fn write_buffer() -> BytesMut {
    WRITE
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| BytesMut::with_capacity(WRITE_BYTES))
}

/// Gives a write buffer back to the thread, or drops it.
pub(crate) fn recycle(mut buffer: BytesMut) {
    if buffer.capacity() == 0 || buffer.capacity() > MAX_KEPT_WRITE_BYTES {
        return;
    }
    // A runtime that is dropped late in the life of a thread finds nothing to give it back to.
    let _gone = WRITE.try_with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        buffer.clear();
        if buffers.len() < KEPT_WRITE_BUFFERS && buffer.try_reclaim(WRITE_BYTES) {
            buffers.push(buffer);
        }
    });
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

    #[test]
    fn nested_scratch_is_another_one() {
        with_scratch(|outer| {
            outer[0] = 1;
            with_scratch(|inner| inner[0] = 2);
            assert_eq!(outer[0], 1);
        });
    }
}
