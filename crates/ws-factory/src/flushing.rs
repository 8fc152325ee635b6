//! A flush that goes on: who is waiting learns whether it was the flush that woke it.
//!
//! A transport that encrypts takes what is written into a buffer of its own, and passes it on when it
//! is flushed; how much of it has gone nobody can ask. But what cannot go on has to see to it that
//! the task is woken when it can (the contract of `poll_flush`), and it can once the peer has taken
//! something. So a flush has a waker of its own, which notes that before it wakes the task.
//!
//! Made when a flush does not end at once, 40 bytes; not looked at where everything is taken.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::{io::AsyncWrite, task::unconstrained};

use crate::Transport;

/// A flush that is pending.
#[derive(Debug)]
pub(crate) struct Flushing(Arc<Noting>);

#[derive(Debug)]
struct Noting {
    moved: AtomicBool,
    task: Waker,
}

impl Flushing {
    pub(crate) fn new(cx: &Context<'_>) -> Self {
        Self(Arc::new(Noting {
            moved: AtomicBool::new(false),
            task: cx.waker().clone(),
        }))
    }

    /// Whether it was woken since this was asked: the peer has taken something.
    pub(crate) fn take_moved(&self) -> bool {
        self.0.moved.swap(false, Ordering::AcqRel)
    }

    /// Whether it wakes whoever polls now.
    pub(crate) fn is_for(&self, cx: &Context<'_>) -> bool {
        self.0.task.will_wake(cx.waker())
    }

    pub(crate) fn poll(&self, io: &mut Transport) -> Poll<io::Result<()>> {
        let waker = Waker::from(Arc::clone(&self.0));
        let flush = poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx));
        // Else it would be woken also where the task has done much since it last slept.
        pin!(unconstrained(flush)).poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.moved.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
