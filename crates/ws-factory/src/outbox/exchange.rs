//! The driver's side of the outbox: sleeping, waking, and taking what waits.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use ws_core::CloseFrame;

use super::Outbox;
use crate::{
    Policy,
    pieces::Pieces,
    queue::{Outgoing, Phase},
    tally::Meter,
    wire::Wire,
};

/// What the driver has to do besides writing what it was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    /// The batch that was put on the wire; 0 for none.
    pub(crate) batch: u64,
    /// Whether [`Outbox::take_anew`] has something to be written anew.
    pub(crate) anew: bool,
    /// Whether something waits for the wire to be free.
    pub(crate) behind: bool,
    /// Whether our Close is due: everything before it has been taken.
    pub(crate) close: bool,
    /// Whether our Close is queued or gone.
    pub(crate) closing: bool,
    /// Whether there is a new policy.
    pub(crate) policy: bool,
}

/// What is to be written anew, and what it was encoded into: a buffer of the thread's, once it has
/// been written.
#[derive(Debug)]
pub(crate) struct Anew {
    pub(crate) batch: u64,
    pub(crate) items: VecDeque<Outgoing>,
    pub(crate) spare: Pieces,
}

impl Outbox {
    /// The driver runs: whatever is queued from now on it will see before it sleeps.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Release);
    }

    /// The driver is about to sleep; false if there is something to do first.
    pub(crate) fn park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        // Whoever queues says so first and looks for a sleeper then: one of the two sees the other.
        let may_sleep = !self.news.load(Ordering::SeqCst);
        if !may_sleep {
            self.unpark();
        }
        may_sleep
    }

    /// Registers who is to be woken.
    pub(crate) fn register(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// Whether there is something to exchange.
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Moves what waits to `wire` as far as that is free, counts it, and says what else there is to
    /// do.
    pub(crate) fn exchange(&self, wire: &mut Wire, meter: &Meter) -> Orders {
        let mut queue = self.lock();
        // Between two exchanges the load grows, or is kept at its limit by dropping: about the most.
        meter.waited(queue.total());
        self.news.store(false, Ordering::Relaxed);
        let mut orders = Orders {
            closing: queue.phase == Phase::Closing,
            policy: queue.policy.is_some(),
            ..Orders::default()
        };
        let mut made_room = false;
        if wire.takes_control() && !queue.control.is_empty() {
            wire.take_over_control(std::mem::take(&mut queue.control));
            meter.took_controls(std::mem::take(&mut queue.controls));
            made_room = true;
        }
        if !wire.data_is_gone() {
            orders.behind = queue.holds_something() || queue.close_waits;
        } else {
            if queue.anew.is_some() {
                orders.anew = queue.holds_something();
            } else if queue.holds_something() {
                wire.take_over_data(std::mem::take(&mut queue.data));
                orders.batch = queue.take_batch(meter);
            }
            // What was queued before it comes first, also a Ping that finds no room yet.
            orders.close = queue.close_waits && queue.control.is_empty();
        }
        orders.behind |= !queue.control.is_empty();
        drop(queue);
        if made_room {
            self.tell_waiting();
        }
        orders
    }

    /// Takes what waits, and the number of the batch, if that is written as it is and there is
    /// nothing else to do: nearly always. Otherwise nothing has happened, and [`Self::exchange`] says
    /// what there is.
    ///
    /// For when the wire is empty.
    #[inline(always)]
    pub(crate) fn take_plain(&self, meter: &Meter) -> Option<(u64, Pieces)> {
        let mut queue = self.lock();
        if !queue.asks_for_nothing_else() || !queue.data.has_room() || self.is_aborted() {
            return None;
        }
        meter.waited(queue.total());
        self.news.store(false, Ordering::Relaxed);
        Some((queue.take_batch(meter), std::mem::take(&mut queue.data)))
    }

    /// Takes what is to be written anew, all of it.
    pub(crate) fn take_anew(&self, meter: &Meter) -> Anew {
        let mut queue = self.lock();
        queue.seal_anew();
        Anew {
            batch: queue.take_batch(meter),
            items: queue
                .anew
                .as_deref_mut()
                .map(std::mem::take)
                .unwrap_or_default(),
            spare: std::mem::take(&mut queue.data),
        }
    }

    /// Takes our Close, which is due.
    pub(crate) fn take_close(&self) -> Option<CloseFrame> {
        let mut queue = self.lock();
        std::mem::take(&mut queue.close_waits)
            .then(|| queue.ours.as_deref().cloned())
            .flatten()
    }

    pub(crate) fn take_policy(&self) -> Option<Arc<Policy>> {
        self.lock().policy.take()
    }

    /// The socket has taken all of a batch.
    pub(crate) fn wrote(&self, batch: u64) {
        self.written.store(batch, Ordering::SeqCst);
        self.tell_waiting();
    }
}
