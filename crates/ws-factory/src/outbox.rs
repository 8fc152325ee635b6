//! What the application sends, on its way to the driver.
//!
//! Bounded in messages and in bytes. It holds plain frames, encoded when they are sent: small
//! payloads are copied behind their header, so that an echo never keeps a read buffer alive, large
//! ones go as they are. A server without extensions writes these very bytes.
//!
//! Whoever sends takes a short lock, and wakes the driver only if it sleeps and nothing else has
//! woken it since; what a handler sends while the driver runs it wakes nobody.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use bytes::BytesMut;
use tokio::sync::Notify;
use ws_core::{CloseFrame, Frame, FrameHeader, Message, Prepared, generator};

use crate::{
    Policy, buffers,
    queue::{Admission, Encoding, Load, Outgoing, Phase, Queue},
    send_error::SendError,
    wire::Wire,
};

/// The queue between a session's handles and its driver.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Whether the driver sleeps and has to be woken.
    parked: AtomicBool,
    aborted: AtomicBool,
    /// Tells all senders that wait that there is room. All of them: the first in line may be one
    /// that does not fit, or whose turn it is not.
    room: Notify,
    /// Tells everybody that something was written, or that nothing will be.
    progress: Notify,
}

/// What the driver has to do besides writing.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// What is to be written anew, in order.
    pub(crate) anew: VecDeque<Outgoing>,
    /// What it was encoded into: a buffer of the thread's, once it has been written anew.
    pub(crate) spare: BytesMut,
    /// Our Close, which comes after everything that has been taken.
    pub(crate) close: Option<CloseFrame>,
    /// Whether our Close is queued or gone.
    pub(crate) closing: bool,
    pub(crate) aborted: bool,
    /// The session's new policy.
    pub(crate) policy: Option<Arc<Policy>>,
}

impl Outbox {
    pub(crate) fn new(policy: &Policy, encoding: Encoding) -> Self {
        Self {
            queue: Mutex::new(Queue::new(policy, encoding)),
            parked: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            room: Notify::new(),
            progress: Notify::new(),
        }
    }

    /// Queues a message if there is room.
    pub(crate) fn try_message(&self, message: Message) -> Result<(), SendError> {
        let len = message.len();
        self.push(message, len, Queue::admits_message, |queue, message| {
            let header = FrameHeader::whole(message.kind().opcode(), len as u64);
            queue.encode(&header, message.into_bytes());
        })
    }

    /// Queues an encoded message if there is room.
    pub(crate) fn try_prepared(&self, prepared: &Prepared) -> Result<(), SendError<()>> {
        let bytes = prepared.plain().len();
        self.push((), bytes, Queue::admits_message, |queue, ()| {
            queue.append(prepared);
        })
    }

    /// Queues a data frame if there is room, and it is the turn of such a frame.
    pub(crate) fn try_frame(&self, frame: Frame) -> Result<(), SendError<Frame>> {
        let len = frame.payload().len();
        self.push(frame, len, Queue::admits_frame, |queue, frame| {
            queue.follow(&frame);
            queue.encode(&plain_header(&frame), frame.into_payload());
        })
    }

    /// Queues a Ping or a Pong if there is room.
    pub(crate) fn try_control(&self, frame: Frame) -> Result<(), SendError<Frame>> {
        self.push(frame, 0, Queue::admits_control, |queue, frame| {
            if queue.control.capacity() == 0 {
                queue.control = buffers::write_buffer();
            }
            generator::encode_plain(&frame, &mut queue.control);
            queue.waiting.messages -= 1;
        })
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
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            // Listens before it looks, so that room made in between is not missed.
            room.as_mut().enable();
            match attempt(self, item) {
                Err(SendError::Full(back)) => item = back,
                outcome => return outcome,
            }
            room.await;
        }
    }

    /// Waits until everything queued so far has been written.
    pub(crate) async fn flush(&self) -> Result<(), SendError<()>> {
        let batch = {
            let queue = self.lock();
            queue.taken + u64::from(queue.holds_something())
        };
        self.when_progress(|| {
            let queue = self.lock();
            if queue.written >= batch {
                Some(Ok(()))
            } else if queue.phase == Phase::Over {
                Some(Err(SendError::Closed(())))
            } else {
                None
            }
        })
        .await
    }

    /// Waits until `look` sees what it is looking for; it is asked again whenever something was
    /// written, and when the session is over.
    pub(crate) async fn when_progress<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            let progress = self.progress.notified();
            let mut progress = std::pin::pin!(progress);
            // Listens before it looks, so that progress in between is not missed.
            progress.as_mut().enable();
            if let Some(seen) = look() {
                return seen;
            }
            progress.await;
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
        queue.ours = Some(Box::new(close.clone()));
        queue.close = Some(close);
        self.wake(queue);
        self.room.notify_waiters();
        true
    }

    /// Tells the driver to end at once.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        self.wake(self.lock());
    }

    /// Tells the driver, and the queue, of a new policy.
    pub(crate) fn set_policy(&self, policy: Arc<Policy>) {
        let mut queue = self.lock();
        queue.limit = Load::limit(&policy);
        queue.policy = Some(policy);
        self.wake(queue);
        self.room.notify_waiters();
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
        let queue = self.lock();
        let total = queue.total();
        (total.messages, total.bytes)
    }

    // For the driver.

    /// The driver runs: whatever is queued from now on it will see before it sleeps.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Release);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// Moves what waits to `wire` if that is empty, registers who is to be woken for more, and
    /// returns what else there is to do.
    pub(crate) fn exchange(&self, wire: &mut Wire, waker: &Waker) -> Orders {
        let mut queue = self.lock();
        let mut orders = Orders {
            anew: VecDeque::new(),
            spare: BytesMut::new(),
            close: None,
            closing: queue.phase == Phase::Closing,
            aborted: self.is_aborted(),
            policy: queue.policy.take(),
        };
        let mut made_room = false;
        if wire.takes_control() && !queue.control.is_empty() {
            wire.swap_control(&mut queue.control);
            made_room = true;
        }
        if wire.data_is_gone() {
            if queue.written < queue.taken {
                queue.written = queue.taken;
                queue.in_flight = Load::default();
                made_room = true;
                self.progress.notify_waiters();
            }
            if queue.holds_something() {
                queue.seal_anew();
                let Queue {
                    chunks, tail, anew, ..
                } = &mut *queue;
                match anew {
                    Some(anew) => {
                        orders.anew = std::mem::take(anew);
                        orders.spare = std::mem::take(tail);
                    }
                    None => wire.swap_data(chunks, tail),
                }
                queue.in_flight = std::mem::take(&mut queue.waiting);
                queue.taken += 1;
            }
            // What was queued before it comes first, also a Ping that finds no room yet.
            if queue.control.is_empty() {
                orders.close = queue.close.take();
            }
        }
        if made_room {
            self.room.notify_waiters();
        }
        match &queue.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => queue.waker = Some(waker.clone()),
        }
        self.parked.store(true, Ordering::Release);
        orders
    }

    /// Ends it: what was not written is lost, whoever waits is told.
    pub(crate) fn end(&self) {
        let mut queue = self.lock();
        queue.phase = Phase::Over;
        queue.close = None;
        queue.waker = None;
        queue.waiting = Load::default();
        queue.in_flight = Load::default();
        queue.chunks = VecDeque::new();
        queue.anew = queue.anew.take().map(|_| VecDeque::new());
        buffers::recycle(std::mem::take(&mut queue.tail));
        buffers::recycle(std::mem::take(&mut queue.control));
        drop(queue);
        self.room.notify_waiters();
        self.progress.notify_waiters();
    }

    fn push<T>(
        &self,
        item: T,
        bytes: usize,
        admits: impl FnOnce(&Queue, &T, usize) -> Admission,
        write: impl FnOnce(&mut Queue, T),
    ) -> Result<(), SendError<T>> {
        let mut queue = self.lock();
        match admits(&queue, &item, bytes) {
            Admission::Granted => {}
            Admission::Full => return Err(SendError::Full(item)),
            Admission::Closed => return Err(SendError::Closed(item)),
            Admission::OutOfSequence => return Err(SendError::OutOfSequence(item)),
        }
        queue.waiting.messages += 1;
        queue.waiting.bytes += bytes;
        write(&mut queue, item);
        if self.parked.swap(false, Ordering::AcqRel) {
            self.wake(queue);
        }
        Ok(())
    }

    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        let waker = queue.waker.clone();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while the lock is held, and if it did the queue would still be whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without reserved bits: a received frame may have kept some, and only extensions may set them.
const fn plain_header(frame: &Frame) -> FrameHeader {
    let header = FrameHeader::whole(frame.opcode(), frame.payload().len() as u64);
    match frame.fin() {
        true => header,
        false => header.not_final(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

            let orders = outbox.exchange(&mut wire, Waker::noop());

            assert_eq!(wire.data_is_gone(), encoding == Encoding::Anew);
            assert_eq!(orders.anew.is_empty(), encoding == Encoding::Plain);
            let queue = outbox.lock();
            assert_eq!((queue.tail.capacity(), queue.control.capacity()), (0, 0));
            assert!(!queue.holds_something());
        }
    }
}
