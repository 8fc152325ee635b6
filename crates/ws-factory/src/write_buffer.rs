//! What is written into on the way out: a word while it is empty, and the thread's while it is not.

use std::cell::{Cell, RefCell};

use bytes::{Buf, Bytes, BytesMut};

/// A buffer for frames in their wire form. It is the thread's from the first byte on, and again once
/// this is dropped.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer(Option<Box<BytesMut>>);

/// How much is reserved for what leaves in one write, in bytes: two pages of small messages.
const WRITE_BYTES: usize = 8 * 1024;

/// How many write buffers a thread keeps, and how large each may be: one turn uses one or two, and
/// a burst that needed more should not stay.
const KEPT_WRITE_BUFFERS: usize = 8;
const MAX_KEPT_WRITE_BYTES: usize = 256 * 1024;

thread_local! {
    /// The one that was given back last: nearly always there is one, and it is enough.
    static LAST: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
    #[expect(clippy::vec_box, reason = "what is kept are the boxes")]
    static OTHERS: RefCell<Vec<Box<BytesMut>>> = const { RefCell::new(Vec::new()) };
}

impl WriteBuffer {
    /// To write behind what there is.
    #[inline]
    pub(crate) fn end(&mut self) -> &mut BytesMut {
        self.0
            .get_or_insert_with(|| LAST.take().unwrap_or_else(other))
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |bytes| bytes)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it holds a buffer of the thread's, be that empty.
    #[cfg(test)]
    pub(crate) const fn is_lent(&self) -> bool {
        self.0.is_some()
    }

    /// What there is, on its own; there is room for more behind it.
    pub(crate) fn seal(&mut self) -> Bytes {
        self.0
            .as_mut()
            .map_or_else(Bytes::new, |bytes| bytes.split().freeze())
    }

    /// Drops at most so many of the first bytes.
    pub(crate) fn advance(&mut self, bytes: usize) {
        if let Some(buffer) = &mut self.0 {
            buffer.advance(bytes.min(buffer.len()));
        }
    }

    /// As dropping it, which is a call where this is none.
    #[inline(always)]
    pub(crate) fn give_back(mut self) {
        self.clear();
        std::mem::forget(self);
    }

    /// Drops what there is, and gives the thread its buffer back.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if let Some(bytes) = self.0.take() {
            give_back(bytes);
        }
    }
}

impl Drop for WriteBuffer {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

#[cold]
fn other() -> Box<BytesMut> {
    OTHERS
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Box::new(BytesMut::with_capacity(WRITE_BYTES)))
}

/// Keeps a buffer for the thread, or drops it: one that was cut up has its room back only once all
/// that was cut from it is gone.
#[inline(always)]
fn give_back(mut buffer: Box<BytesMut>) {
    buffer.clear();
    if buffer.capacity() < WRITE_BYTES && !buffer.try_reclaim(WRITE_BYTES) {
        return;
    }
    if buffer.capacity() > MAX_KEPT_WRITE_BYTES {
        return;
    }
    // A runtime that is dropped late in the life of a thread finds nothing to give it back to.
    let _gone = LAST.try_with(|last| {
        if let Some(before) = last.replace(Some(buffer)) {
            keep_another(before);
        }
    });
}

#[cold]
fn keep_another(buffer: Box<BytesMut>) {
    let _gone = OTHERS.try_with(|others| {
        let mut others = others.borrow_mut();
        if others.len() < KEPT_WRITE_BUFFERS {
            others.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_is_the_threads_again_once_it_is_dropped() {
        let mut first = WriteBuffer::default();
        first.end().extend_from_slice(b"first");
        let at = first.as_slice().as_ptr();
        drop(first);

        let mut second = WriteBuffer::default();
        second.end().extend_from_slice(b"second");

        assert_eq!((second.as_slice().as_ptr(), second.len()), (at, 6));
    }

    #[test]
    fn buffer_that_was_cut_up_keeps_its_bytes() {
        let mut buffer = WriteBuffer::default();
        buffer.end().extend_from_slice(b"sealed");
        let sealed = buffer.seal();
        drop(buffer);

        for _ in 0..1000 {
            WriteBuffer::default().end().extend_from_slice(&[0xFF; 100]);
        }

        assert_eq!(sealed.as_ref(), b"sealed");
    }

    #[test]
    fn few_buffers_are_kept_and_no_large_one() {
        let kept = || OTHERS.with_borrow(Vec::len) + usize::from(lent_last());
        let many = [(); 100].map(|()| {
            let mut buffer = WriteBuffer::default();
            buffer.end().extend_from_slice(b"used");
            buffer
        });
        drop(many);
        assert_eq!(kept(), KEPT_WRITE_BUFFERS + 1);

        let mut large = WriteBuffer::default();
        large.end().resize(MAX_KEPT_WRITE_BYTES + 1, 0);
        drop(large);

        assert_eq!(kept(), KEPT_WRITE_BUFFERS);
    }

    /// Whether the thread has a buffer at hand.
    fn lent_last() -> bool {
        let last = LAST.take();
        let there = last.is_some();
        LAST.set(last);
        there
    }
}
