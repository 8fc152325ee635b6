//! What the application sends, on its way to the driver.
//!
//! Bounded in messages and in bytes. It holds plain frames, encoded when they are sent: small
//! payloads are copied behind their header, so that an echo never keeps a read buffer alive, large
//! ones go as they are. A server without extensions writes these very bytes.
//!
//! Whoever sends takes a short lock, and wakes the driver only if it sleeps and nothing else has
//! woken it since; what a handler sends while the driver runs it wakes nobody. `exchange` is the
//! driver's side.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use ws_core::{CloseFrame, Frame, Message, MessageKind, OpCode, Prepared, generator};

use crate::{
    Policy,
    queue::{Admission, Encoding, Load, Phase, Queue},
    send_error::SendError,
};

mod exchange;

pub(crate) use exchange::Anew;

/// The queue between a session's handles and its driver.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Whether something was queued or ordered since the driver last looked.
    news: AtomicBool,
    /// Whether the driver sleeps and has to be woken.
    parked: AtomicBool,
    aborted: AtomicBool,
    /// The last batch that was written, of those that the driver took.
    written: AtomicU64,
    /// How many wait for room, or for something to be written.
    waiting: AtomicU32,
    /// Tells all of them to look again, and everybody that the session is over. All: the first in
    /// line may be one that does not fit, or whose turn it is not.
    changed: Notify,
}

/// One who waits for a change, counted from before it looks to when it has seen enough.
struct Waiter<'a>(&'a AtomicU32);

impl Outbox {
    pub(crate) fn new(policy: &Policy, encoding: Encoding) -> Self {
        Self {
            queue: Mutex::new(Queue::new(policy, encoding)),
            news: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            written: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            changed: Notify::new(),
        }
    }

    /// Queues a message if there is room. What is left of it then is not to be used; otherwise it is
    /// as it was. By reference, since it is moved often enough on its way here.
    pub(crate) fn offer(&self, message: &mut Message) -> Admission {
        let len = message.len();
        self.push(message, len, Queue::admits_message, Queue::encode_message)
    }

    /// Queues a message if there is room.
    pub(crate) fn try_message(&self, mut message: Message) -> Result<(), SendError> {
        self.offer(&mut message).of(message)
    }

    /// Queues an encoded message if there is room.
    pub(crate) fn try_prepared(&self, prepared: &Prepared) -> Result<(), SendError<()>> {
        let bytes = prepared.plain().len();
        let append = |queue: &mut Queue, (): &mut ()| queue.append(prepared);
        self.push(&mut (), bytes, Queue::admits_message, append)
            .of(())
    }

    /// Queues an encoded message that may give way to later ones, if there is room, or room can be
    /// made by dropping earlier ones; returns how many were.
    pub(crate) fn try_displacing(&self, prepared: &Prepared) -> Result<usize, SendError<()>> {
        let mut dropped = 0;
        let bytes = prepared.plain().len();
        self.push(&mut (), bytes, Queue::admits_displacing, |queue, ()| {
            dropped = queue.append_droppable(prepared);
        })
        .of(())?;
        Ok(dropped)
    }

    /// Queues an encoded message that may give way to later ones, if there is room.
    pub(crate) fn try_droppable(&self, prepared: &Prepared) -> Result<(), SendError<()>> {
        let bytes = prepared.plain().len();
        self.push(&mut (), bytes, Queue::admits_message, |queue, ()| {
            queue.append_droppable(prepared);
        })
        .of(())
    }

    /// Queues a data frame if there is room, and it is the turn of such a frame.
    pub(crate) fn try_frame(&self, mut frame: Frame) -> Result<(), SendError<Frame>> {
        let len = frame.payload().len();
        self.push(&mut frame, len, Queue::admits_frame, |queue, frame| {
            queue.follow(frame);
            queue.encode_frame(frame);
        })
        .of(frame)
    }

    /// Gives the turn to a message that will be sent in parts, unless another has it.
    pub(crate) fn try_begin(&self, kind: MessageKind) -> Result<(), SendError<()>> {
        let mut queue = self.lock();
        if queue.phase != Phase::Open {
            return Err(SendError::Closed(()));
        }
        if queue.sequence.is_some() {
            return Err(SendError::Full(()));
        }
        queue.turn_to(Some(kind));
        Ok(())
    }

    /// Queues a frame of the message that has the turn if there is room; its last ends the turn.
    pub(crate) fn try_part(&self, mut frame: Frame) -> Result<(), SendError<Frame>> {
        let len = frame.payload().len();
        let ends = frame.fin();
        self.push(&mut frame, len, Queue::admits_part, |queue, frame| {
            queue.unfinished += u32::from(!ends);
            queue.encode_frame(frame);
        })
        .of(frame)?;
        if ends {
            self.give_up_turn();
        }
        Ok(())
    }

    /// Ends the turn of a message in parts.
    pub(crate) fn give_up_turn(&self) {
        self.lock().turn_to(None);
        self.tell_waiting();
    }

    /// Queues a Ping or a Pong if there is room.
    pub(crate) fn try_control(&self, mut frame: Frame) -> Result<(), SendError<Frame>> {
        self.push(&mut frame, 0, Queue::admits_control, |queue, frame| {
            generator::encode_plain(frame, queue.control.end());
            match frame.opcode() {
                OpCode::Ping => queue.controls.0 += 1,
                _ => queue.controls.1 += 1,
            }
            queue.waiting.messages -= 1;
        })
        .of(frame)
    }

    /// Repeats `attempt` until it finds room, or fails otherwise.
    ///
    /// Cancel safe: dropped before it resolves, nothing was queued.
    pub(crate) async fn when_room<T>(
        &self,
        mut item: T,
        attempt: impl Fn(&Self, T) -> Result<(), SendError<T>>,
    ) -> Result<(), SendError<T>> {
        match attempt(self, item) {
            Err(SendError::Full(back)) => item = back,
            outcome => return outcome,
        }
        let _waiter = Waiter::new(&self.waiting);
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Listens before it looks, so that room made in between is not missed.
            changed.as_mut().enable();
            match attempt(self, item) {
                Err(SendError::Full(back)) => item = back,
                outcome => return outcome,
            }
            changed.await;
        }
    }

    /// Waits until everything queued so far has been written.
    pub(crate) async fn flush(&self) -> Result<(), SendError<()>> {
        let batch = {
            let queue = self.lock();
            queue.taken + u64::from(queue.holds_something())
        };
        let _waiter = Waiter::new(&self.waiting);
        self.when_changed(|| {
            if self.written.load(Ordering::SeqCst) >= batch {
                Some(Ok(()))
            } else if self.lock().phase == Phase::Over {
                Some(Err(SendError::Closed(())))
            } else {
                None
            }
        })
        .await
    }

    /// Waits until `look` sees what it is looking for; it is asked again when the session is over,
    /// and now and then before.
    pub(crate) async fn when_changed<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Listens before it looks, so that a change in between is not missed.
            changed.as_mut().enable();
            if let Some(seen) = look() {
                return seen;
            }
            changed.await;
        }
    }

    /// Queues our Close behind everything else; nothing can be queued after it. Returns whether
    /// this was the first.
    pub(crate) fn close(&self, close: CloseFrame) -> bool {
        let mut queue = self.lock();
        if queue.phase != Phase::Open {
            return false;
        }
        queue.phase = Phase::Closing;
        queue.ours = Some(Box::new(close));
        queue.close_waits = true;
        self.order(queue);
        self.changed.notify_waiters();
        true
    }

    /// Tells the driver to end at once.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        self.order(self.lock());
    }

    /// Tells the driver, and the queue, of a new policy.
    pub(crate) fn set_policy(&self, policy: Arc<Policy>) {
        let mut queue = self.lock();
        queue.limit = Load::limit(&policy);
        queue.policy = Some(policy);
        self.order(queue);
        self.changed.notify_waiters();
    }

    /// Whether a message could still be queued, room or not.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// Our Close, if it is queued or gone.
    pub(crate) fn ours(&self) -> Option<CloseFrame> {
        self.lock().ours.as_deref().cloned()
    }

    /// How much waits to be written: messages and bytes.
    pub(crate) fn load(&self) -> (usize, usize) {
        let mut queue = self.lock();
        self.settle(&mut queue);
        let total = queue.total();
        (total.messages, total.bytes)
    }

    /// Ends it: what was not written is lost, whoever waits is told.
    pub(crate) fn end(&self) {
        let mut queue = self.lock();
        queue.phase = Phase::Over;
        queue.close_waits = false;
        queue.waiting = Load::default();
        queue.in_flight = Load::default();
        queue.droppable = None;
        queue.control.clear();
        let waker = queue.waker.take();
        let anew = queue.anew.as_deref_mut().map(std::mem::take);
        let data = std::mem::take(&mut queue.data);
        drop(queue);
        // Without the lock: the application's own payloads are in it, and what they drop may ask us.
        drop((waker, anew, data));
        self.changed.notify_waiters();
    }

    #[inline(always)]
    fn push<T>(
        &self,
        item: &mut T,
        bytes: usize,
        admits: impl FnOnce(&Queue, &T, usize) -> Admission,
        write: impl FnOnce(&mut Queue, &mut T),
    ) -> Admission {
        let mut queue = self.lock();
        self.settle(&mut queue);
        let admission = admits(&queue, item, bytes);
        if admission == Admission::Granted {
            queue.waiting.messages += 1;
            queue.waiting.bytes += bytes;
            write(&mut queue, item);
            self.order(queue);
        }
        admission
    }

    /// Tells the driver that there is something to do, and wakes it if it sleeps and nobody has.
    #[inline(always)]
    fn order(&self, queue: MutexGuard<'_, Queue>) {
        // Set and taken back under the lock: whoever set it has seen to the rest.
        if !self.news.load(Ordering::Relaxed) {
            self.order_first(queue);
        }
    }

    #[inline(always)]
    fn order_first(&self, queue: MutexGuard<'_, Queue>) {
        self.news.store(true, Ordering::SeqCst);
        if !self.parked.load(Ordering::SeqCst) || !self.parked.swap(false, Ordering::AcqRel) {
            return;
        }
        let waker = queue.waker.clone();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells those who wait, if there are any: a load in the place of a lock for every batch.
    fn tell_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Books what has been written since somebody last asked.
    fn settle(&self, queue: &mut Queue) {
        if self.written.load(Ordering::SeqCst) == queue.taken {
            queue.in_flight = Load::default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

impl<'a> Waiter<'a> {
    fn new(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tally::Meter, wire::Wire};

    #[test]
    fn outbox_that_was_emptied_holds_no_buffer() {
        for encoding in [Encoding::Plain, Encoding::Anew] {
            let outbox = Outbox::new(&Policy::default(), encoding);
            let mut wire = Wire::default();
            outbox.try_message(Message::text("small")).unwrap();
            outbox
                .try_message(Message::binary(vec![0; 1 << 16]))
                .unwrap();
            outbox.try_message(Message::text("small")).unwrap();
            outbox.try_control(Frame::ping("")).unwrap();

            let meter = Meter::default();
            let orders = outbox.exchange(&mut wire, &meter);
            let anew = orders.anew.then(|| outbox.take_anew(&meter));

            assert_eq!(wire.data_is_gone(), encoding == Encoding::Anew);
            assert_eq!(anew.is_none(), encoding == Encoding::Plain);
            let queue = outbox.lock();
            assert!(!queue.data.has_room() && !queue.control.has_room());
            assert!(!queue.holds_something());
        }
    }

    #[test]
    fn outbox_whose_large_message_left_the_short_way_holds_no_buffer() {
        let outbox = Outbox::new(&Policy::default(), Encoding::Plain);
        for message in [vec![0; 1 << 14], vec![0; 1 << 16]] {
            let len = message.len();
            outbox.try_message(Message::binary(message)).unwrap();

            let (_, data) = outbox.take_plain(&Meter::default()).unwrap();
            let [header, payload] = data.as_two().unwrap();
            assert!(header.len() <= 10);
            assert_eq!(payload.len(), len);

            let queue = outbox.lock();
            assert!(!queue.data.has_room());
        }
    }

    #[test]
    fn first_prepared_message_is_shared_and_small_ones_behind_it_are_copied() {
        let outbox = Outbox::new(&Policy::default(), Encoding::Plain);
        let prepared = Prepared::from("small");

        for _ in 0..3 {
            outbox.try_prepared(&prepared).unwrap();
        }

        let queue = outbox.lock();
        let [shared, copied]: [&[u8]; 2] = queue
            .data
            .iter()
            .filter(|piece| !piece.is_empty())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert_eq!(shared.as_ptr(), prepared.plain().as_ptr());
        assert_eq!(copied, prepared.plain().repeat(2));
    }
}
