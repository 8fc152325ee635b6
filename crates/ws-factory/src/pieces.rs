//! Frames in their wire form: a word while there are none, and room of the thread's while there are.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use bytes::{Buf, Bytes, BytesMut};

/// What is to be written, in the pieces that it lies in. The room for it is the thread's, and goes
/// back to it when the last of it is gone or this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Option<Box<Room>>);

/// In the order in which they leave.
#[derive(Debug, Default)]
struct Room {
    /// Mostly none: what came before one of the others when more was added.
    first: VecDeque<Bytes>,
    /// Small frames, and the header of a large one.
    tail: BytesMut,
    /// A large payload, or frames that others send, too; behind the tail.
    last: Bytes,
}

/// How much is reserved for what leaves in one write, in bytes: two pages of small messages.
const TAIL_BYTES: usize = 8 * 1024;

/// How much room with a tail a thread keeps, and how large each tail may be: one turn uses one or
/// two, and a burst that needed more should not stay.
const KEPT: usize = 8;
const MAX_KEPT_TAIL_BYTES: usize = 256 * 1024;

/// How much without, and for how many pieces: a broadcast uses one for each session of the thread
/// that it reaches.
const KEPT_BARE: usize = 64;
const MAX_KEPT_FIRST: usize = 16;

thread_local! {
    /// What was given back last: nearly always it is there, and enough.
    static LAST: Cell<Option<Box<Room>>> = const { Cell::new(None) };
    static OTHERS: RefCell<Others> = const { RefCell::new(Others::new()) };
}

/// Room that a thread keeps.
#[derive(Debug)]
#[expect(clippy::vec_box, reason = "what is kept are the boxes")]
struct Others {
    with_tail: Vec<Box<Room>>,
    bare: Vec<Box<Room>>,
}

impl Pieces {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|room| room.is_empty())
    }

    /// All that there is, if that is at most two pieces; the second may be empty.
    #[inline]
    pub(crate) fn as_two(&self) -> Option<[&[u8]; 2]> {
        match &self.0 {
            None => Some([&[]; 2]),
            Some(room) => room.first.is_empty().then_some([&room.tail, &room.last]),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|room| {
            let first = room.first.iter().map(AsRef::as_ref);
            first.chain([room.tail.as_ref(), room.last.as_ref()])
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// To write small frames behind what there is.
    #[inline]
    pub(crate) fn end(&mut self) -> &mut BytesMut {
        let room = self.0.get_or_insert_with(Room::with_tail);
        if !room.last.is_empty() || room.tail.capacity() == 0 {
            room.make_tail();
        }
        &mut room.tail
    }

    /// Adds a piece that is shared with whoever holds it.
    pub(crate) fn push(&mut self, shared: Bytes) {
        let room = self.0.get_or_insert_with(Room::bare);
        if !room.last.is_empty() {
            room.seal();
        }
        room.last = shared;
    }

    /// Adds a piece that [`Self::remove`] may take out again; returns its place.
    pub(crate) fn push_removable(&mut self, shared: Bytes) -> usize {
        let room = self.0.get_or_insert_with(Room::bare);
        room.seal();
        room.first.push_back(shared);
        room.first.len() - 1
    }

    /// Takes out what [`Self::push_removable`] has added; what is behind it moves up by one place.
    pub(crate) fn remove(&mut self, place: usize) {
        if let Some(room) = &mut self.0 {
            room.first.remove(place);
        }
    }

    /// Takes what was written to the end.
    pub(crate) fn take_end(&mut self) -> Bytes {
        self.0
            .as_mut()
            .map_or_else(Bytes::new, |room| room.cut_tail())
    }

    /// Drops so many of the first bytes: not more than there are.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let Some(room) = &mut self.0 else {
            return;
        };
        if room.tail.capacity() > MAX_KEPT_TAIL_BYTES {
            // What is left of it would look like one that may be kept.
            room.seal();
        }
        let mut left = bytes;
        while let Some(piece) = room.first.front_mut() {
            let cut = left.min(piece.len());
            piece.advance(cut);
            left -= cut;
            if !piece.is_empty() {
                return;
            }
            room.first.pop_front();
        }
        let of_tail = left.min(room.tail.len());
        room.tail.advance(of_tail);
        room.last.advance(left - of_tail);
        if room.last.is_empty() {
            // It may still hold what it was a slice of.
            room.last = Bytes::new();
        }
        if room.is_empty() {
            self.clear();
        }
    }

    /// Drops all of it.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if let Some(room) = self.0.take() {
            room.give_back();
        }
    }

    /// As dropping it, which is a call where this is none.
    #[inline(always)]
    pub(crate) fn give_back(mut self) {
        self.clear();
        std::mem::forget(self);
    }

    /// Whether it has room of the thread's, as it has from the first byte on; also where all has been
    /// taken or removed since.
    #[inline]
    pub(crate) const fn has_room(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Pieces {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl Room {
    /// Room to write to its tail.
    #[inline]
    fn with_tail() -> Box<Self> {
        // There is none in a destructor that runs late in the life of a thread.
        let last = LAST.try_with(Cell::take).ok().flatten();
        last.unwrap_or_else(Self::other_with_tail)
    }

    #[cold]
    fn other_with_tail() -> Box<Self> {
        let kept = OTHERS.try_with(|others| others.borrow_mut().with_tail.pop());
        kept.ok().flatten().unwrap_or_else(|| {
            Box::new(Self {
                tail: BytesMut::with_capacity(TAIL_BYTES),
                ..Self::default()
            })
        })
    }

    /// Room without a tail: a broadcast to ten thousand who wait for nothing else would otherwise
    /// reserve as many.
    fn bare() -> Box<Self> {
        let kept = OTHERS.try_with(|others| others.borrow_mut().bare.pop());
        kept.ok().flatten().unwrap_or_default()
    }

    /// Has a tail that is written behind everything else: where there is none, one of the thread's.
    #[inline(never)]
    fn make_tail(&mut self) {
        if !self.last.is_empty() {
            self.seal();
        }
        if self.tail.capacity() == 0 {
            let mut other = Self::with_tail();
            std::mem::swap(&mut self.tail, &mut other.tail);
            other.give_back();
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.tail.is_empty() && self.last.is_empty()
    }

    /// Makes pieces of their own of the tail and what is behind it, so that more can be added.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.cut_tail();
            self.first.push_back(tail);
        }
        if !self.last.is_empty() {
            self.first.push_back(std::mem::take(&mut self.last));
        }
    }

    /// Takes what was written to the tail. Of a large one nothing is left, since that would look like
    /// one that may be kept.
    fn cut_tail(&mut self) -> Bytes {
        match self.tail.capacity() > MAX_KEPT_TAIL_BYTES {
            true => std::mem::take(&mut self.tail).freeze(),
            false => self.tail.split().freeze(),
        }
    }

    /// Gives the thread its room back. A tail that was cut up has its room again only once all that
    /// was cut from it is gone.
    #[inline(always)]
    fn give_back(mut self: Box<Self>) {
        if !self.last.is_empty() {
            self.last = Bytes::new();
        }
        self.tail.clear();
        let is_whole = (TAIL_BYTES..=MAX_KEPT_TAIL_BYTES).contains(&self.tail.capacity());
        if !is_whole || self.first.capacity() > 0 {
            return self.give_back_other();
        }
        // A runtime that is dropped late in the life of a thread finds nothing to give it back to.
        let _gone = LAST.try_with(|last| {
            if let Some(before) = last.replace(Some(self)) {
                before.keep();
            }
        });
    }

    #[cold]
    #[inline(never)]
    fn give_back_other(mut self: Box<Self>) {
        self.first.clear();
        self.first.shrink_to(MAX_KEPT_FIRST);
        let tail = &mut self.tail;
        let is_whole = tail.capacity() > 0
            && tail.capacity() <= MAX_KEPT_TAIL_BYTES
            && tail.try_reclaim(TAIL_BYTES);
        if !is_whole {
            *tail = BytesMut::new();
        }
        self.keep();
    }

    #[cold]
    fn keep(self: Box<Self>) {
        let _gone = OTHERS.try_with(|others| {
            let mut others = others.borrow_mut();
            let (kept, most) = match self.tail.capacity() {
                0 => (&mut others.bare, KEPT_BARE),
                _ => (&mut others.with_tail, KEPT),
            };
            if kept.len() < most {
                kept.push(self);
            }
        });
    }
}

impl Others {
    const fn new() -> Self {
        Self {
            with_tail: Vec::new(),
            bare: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Pieces {
        let mut pieces = Pieces::default();
        pieces.end().extend_from_slice(bytes);
        pieces
    }

    /// How much room the thread keeps, with a tail and without.
    fn kept() -> (usize, usize) {
        let last = LAST.take();
        let there = usize::from(last.is_some());
        LAST.set(last);
        OTHERS.with_borrow(|others| (there + others.with_tail.len(), others.bare.len()))
    }

    #[test]
    fn pieces_are_told_in_the_order_in_which_they_were_added() {
        let mut pieces = written(b"one");
        pieces.push(Bytes::from_static(b"two"));
        assert_eq!(pieces.as_two(), Some([&b"one"[..], b"two"]));

        pieces.push(Bytes::from_static(b"three"));
        pieces.end().extend_from_slice(b"four");
        pieces.push(Bytes::from_static(b"five"));

        assert_eq!(pieces.as_two(), None);
        let all: Vec<&[u8]> = pieces.iter().collect();
        assert_eq!(all, [&b"one"[..], b"two", b"three", b"four", b"five"]);
        assert_eq!(pieces.len(), 19);
    }

    #[test]
    fn every_cut_leaves_the_rest() {
        let whole = b"one-two-three-four";
        for cut in 0..=whole.len() {
            let mut pieces = written(b"one-");
            pieces.push(Bytes::from_static(b"two-"));
            pieces.end().extend_from_slice(b"three-");
            pieces.push(Bytes::from_static(b"four"));

            pieces.advance(cut);

            assert_eq!(pieces.iter().collect::<Vec<_>>().concat(), whole[cut..]);
            assert_eq!(pieces.is_empty(), cut == whole.len());
            assert_eq!(pieces.has_room(), cut < whole.len());
        }
    }

    #[test]
    fn removable_piece_keeps_its_place_whatever_comes_behind_it() {
        let mut pieces = written(b"one");
        let two = pieces.push_removable(Bytes::from_static(b"two"));
        pieces.end().extend_from_slice(b"three");
        pieces.push(Bytes::from_static(b"four"));
        let five = pieces.push_removable(Bytes::from_static(b"five"));

        pieces.remove(five);
        pieces.remove(two);

        assert_eq!(pieces.iter().collect::<Vec<_>>().concat(), b"onethreefour");
    }

    #[test]
    fn room_is_the_threads_again_once_the_pieces_are_gone() {
        let first = written(b"first");
        let at = first.as_two().map(|[tail, _]| tail.as_ptr());
        drop(first);

        let second = written(b"second");

        assert_eq!(second.as_two().map(|[tail, _]| tail.as_ptr()), at);
    }

    /// As where a small message joins a broadcast.
    #[test]
    fn what_is_written_behind_a_shared_piece_lies_in_a_tail_of_the_threads() {
        let small = written(b"small");
        let at = small.as_two().map(|[tail, _]| tail.as_ptr());
        drop(small);

        let mut pieces = Pieces::default();
        pieces.push(Bytes::from_static(b"shared"));
        pieces.end().extend_from_slice(b"small");

        assert_eq!(pieces.iter().nth(1).map(<[u8]>::as_ptr), at);
        drop(pieces);
        assert_eq!(kept(), (1, 1));
    }

    #[test]
    fn what_was_cut_off_keeps_its_bytes() {
        let mut pieces = written(b"kept");
        let kept = pieces.take_end();
        drop(pieces);

        for _ in 0..1000 {
            drop(written(&[0xFF; 100]));
        }

        assert_eq!(kept.as_ref(), b"kept");
    }

    #[test]
    fn thread_keeps_little_room_and_no_large_tail() {
        let tails = [(); 100].map(|()| written(b"used"));
        let bare = [(); 100].map(|()| {
            let mut pieces = Pieces::default();
            pieces.push(Bytes::from_static(b"shared"));
            pieces
        });
        drop((tails, bare));
        assert_eq!(kept(), (KEPT + 1, KEPT_BARE));

        drop(written(&[0; MAX_KEPT_TAIL_BYTES + 1]));

        assert_eq!(kept(), (KEPT, KEPT_BARE));
    }

    /// Of a tail of 1 MiB there are 100,000 bytes left in each.
    #[test]
    fn thread_keeps_no_end_of_a_large_tail() {
        const WRITTEN: usize = (1 << 20) - 100_000;
        let large = || {
            let mut pieces = Pieces::default();
            pieces.end().reserve(1 << 20);
            pieces.end().resize(WRITTEN, 7);
            pieces
        };

        let mut advanced = large();
        advanced.advance(WRITTEN - 1);
        drop(advanced);
        let mut taken = large();
        drop(taken.take_end());
        drop(taken);
        let mut sealed = large();
        sealed.push_removable(Bytes::from_static(b"behind"));
        drop(sealed);

        assert_eq!(kept().0, 0);
    }

    #[test]
    fn kept_room_is_empty() {
        let mut pieces = written(b"one");
        pieces.push(Bytes::from_static(b"two"));
        pieces.end().extend_from_slice(b"three");
        pieces.push(Bytes::from_static(b"four"));
        drop(pieces);

        let mut bare = Pieces::default();
        bare.push(Bytes::from_static(b"five"));

        assert_eq!(written(b"six").iter().collect::<Vec<_>>().concat(), b"six");
        assert_eq!(bare.as_two(), Some([&b""[..], b"five"]));
    }
}
