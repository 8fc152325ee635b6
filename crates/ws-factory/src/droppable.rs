//! What waits in an outbox and may give way to something newer: broadcasts of groups whose
//! [`SlowMember`](crate::SlowMember) policy is to drop the oldest.
//!
//! Each is a piece of its own in the queue. Where they are is remembered until the driver takes
//! the queue, and only for sessions that get such broadcasts: the others pay nothing.

use std::collections::VecDeque;

use ws_core::Prepared;

use crate::queue::{Admission, Load, Phase, Queue};

/// The droppable pieces of a queue, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Droppable {
    pieces: VecDeque<Piece>,
    load: Load,
    /// How many pieces have been removed from the queue: each was before all that are left here,
    /// which have moved up by as much.
    removed: usize,
}

#[derive(Debug)]
struct Piece {
    /// Its place in the queue, if nothing had been removed.
    place: usize,
    bytes: usize,
}

/// How many pieces a list has room for while it is empty.
const KEPT_PIECES: usize = 4;

impl Queue {
    /// As [`Queue::admits_message`], for what others may give way to.
    pub(crate) fn admits_displacing<T>(&self, item: &T, bytes: usize) -> Admission {
        let Some(list) = &self.droppable else {
            return self.admits_message(item, bytes);
        };
        let kept = self.total().without(list.load);
        if self.phase != Phase::Open {
            Admission::Closed
        } else if self.sequence.is_some() || !self.limit.takes(kept, bytes) {
            Admission::Full
        } else {
            Admission::Granted
        }
    }

    /// Adds what was admitted, and is counted in `waiting` already, as a piece that may give way;
    /// drops as many of the oldest as do not fit beside it, and returns how many.
    pub(crate) fn append_droppable(&mut self, prepared: &Prepared) -> usize {
        let new = Load {
            messages: 1,
            bytes: prepared.plain().len(),
        };
        let mut list = self.droppable.take().unwrap_or_default();
        let mut dropped = 0;
        while !self.limit.takes(self.total().without(new), new.bytes)
            && let Some(oldest) = list.pieces.pop_front()
        {
            self.remove(oldest.place - list.removed);
            list.removed += 1;
            let gone = Load {
                messages: 1,
                bytes: oldest.bytes,
            };
            list.load = list.load.without(gone);
            self.waiting = self.waiting.without(gone);
            dropped += 1;
        }
        list.pieces.push_back(Piece {
            place: self.append_removable(prepared) + list.removed,
            bytes: new.bytes,
        });
        list.load.messages += 1;
        list.load.bytes += new.bytes;
        self.droppable = Some(list);
        dropped
    }

    /// The driver has taken everything: nothing gives way any more.
    pub(crate) fn keep_droppable(&mut self) {
        if let Some(list) = &mut self.droppable {
            list.pieces.clear();
            list.pieces.shrink_to(KEPT_PIECES);
            list.load = Load::default();
            list.removed = 0;
        }
    }
}
