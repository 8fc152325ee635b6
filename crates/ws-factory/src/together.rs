//! Many futures in one task, each polled only when it was woken: waiting for a thousand slow
//! members costs as much as they have to say, not a thousand looks at each word.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Futures that run together; they end in any order.
pub(crate) struct Together<'a, T> {
    running: Vec<Option<(BoxFuture<'a, T>, Arc<Call>)>>,
    left: usize,
    /// Those to poll next.
    due: Vec<usize>,
    calls: Arc<Calls>,
}

/// Who was woken since the last look.
#[derive(Default)]
struct Calls(Mutex<(Vec<usize>, Option<Waker>)>);

/// What wakes one of the futures.
struct Call {
    index: usize,
    /// Whether it is on the list, which holds each at most once.
    listed: AtomicBool,
    calls: Arc<Calls>,
}

impl<'a, T> Together<'a, T> {
    pub(crate) fn new<F>(futures: impl IntoIterator<Item = F>) -> Self
    where
        F: Future<Output = T> + Send + 'a,
    {
        let calls = Arc::new(Calls::default());
        let mut running = Vec::new();
        for (index, future) in futures.into_iter().enumerate() {
            let call = Arc::new(Call {
                index,
                listed: AtomicBool::new(true),
                calls: Arc::clone(&calls),
            });
            let future: BoxFuture<'a, T> = Box::pin(future);
            running.push(Some((future, call)));
        }
        Self {
            left: running.len(),
            due: (0..running.len()).collect(),
            running,
            calls,
        }
    }

    /// The next one that ends; `None` when all have.
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.calls.take(&mut self.due, cx.waker());
        // Each once: what is woken from here on wakes the task, too, so that a future which always
        // wakes itself cannot keep the task.
        while let Some(index) = self.due.pop() {
            let Some((future, call)) = &mut self.running[index] else {
                continue;
            };
            call.listed.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(call));
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.running[index] = None;
                self.left -= 1;
                return Poll::Ready(Some(output));
            }
        }
        Poll::Pending
    }
}

impl Calls {
    /// Moves whoever was woken to `due`, and registers who is to be woken for more.
    fn take(&self, due: &mut Vec<usize>, task: &Waker) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        due.append(&mut calls.0);
        calls.1 = Some(task.clone());
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut calls = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.0.push(self.index);
        let task = calls.1.take();
        drop(calls);
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn future_is_polled_only_when_it_was_woken() {
        const MANY: usize = 1_000;
        let polls = Arc::new(AtomicUsize::new(0));
        let (senders, futures): (Vec<_>, Vec<_>) = (0..MANY)
            .map(|number| {
                let (sender, receiver) = oneshot::channel::<()>();
                let mut receiver = Box::pin(receiver);
                let polls = Arc::clone(&polls);
                let future = poll_fn(move |cx| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    receiver.as_mut().poll(cx).map(|_| number)
                });
                (sender, future)
            })
            .unzip();
        let mut together = Together::new(futures);
        let task = tokio::spawn(async move {
            let mut ended = Vec::new();
            while let Some(number) = poll_fn(|cx| together.poll_next(cx)).await {
                ended.push(number);
            }
            ended
        });

        for sender in senders {
            tokio::task::yield_now().await;
            sender.send(()).unwrap();
        }
        let ended = task.await.unwrap();

        assert_eq!(ended, (0..MANY).collect::<Vec<_>>());
        assert!(polls.load(Ordering::Relaxed) <= 2 * MANY);
    }

    #[tokio::test]
    async fn future_that_always_wakes_itself_does_not_keep_the_task() {
        let mut together = Together::new([poll_fn(|cx| -> Poll<()> {
            cx.waker().wake_by_ref();
            Poll::Pending
        })]);

        for _ in 0..3 {
            assert!(
                together
                    .poll_next(&Context::from_waker(Waker::noop()))
                    .is_pending()
            );
        }
    }
}
