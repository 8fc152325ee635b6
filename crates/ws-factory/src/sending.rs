//! A message on its way into an outbox.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use ws_core::Message;

use crate::{SendError, outbox::Outbox, queue::Admission};

/// Resolves when a message has been queued, or cannot be.
///
/// Not an `async fn`: that would hold the message twice, and its room is in that of every event that
/// sends, 128 bytes of every session.
pub(crate) struct Sending<'a> {
    outbox: &'a Outbox,
    state: State<'a>,
}

enum State<'a> {
    Offered(Message),
    /// Boxed, so that the future of who finds room is small.
    Waits(Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>),
    Done,
}

impl<'a> Sending<'a> {
    pub(crate) const fn new(outbox: &'a Outbox, message: Message) -> Self {
        Self {
            outbox,
            state: State::Offered(message),
        }
    }

    /// As [`Future::poll`], for a message that was not queued at once.
    #[inline(never)]
    fn poll_refused(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), SendError>> {
        if let State::Offered(message) = std::mem::replace(&mut self.state, State::Done) {
            if admission != Admission::Full {
                return Poll::Ready(admission.of(message));
            }
            let room = self.outbox.when_room(message, Outbox::try_message);
            self.state = State::Waits(Box::pin(room));
        }
        self.poll_waiting(cx)
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let State::Waits(waiting) = &mut self.state else {
            return Poll::Pending;
        };
        let outcome = ready!(waiting.as_mut().poll(cx));
        self.state = State::Done;
        Poll::Ready(outcome)
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let State::Offered(message) = &mut this.state else {
            return this.poll_waiting(cx);
        };
        match this.outbox.offer(message) {
            Admission::Granted => {
                this.state = State::Done;
                Poll::Ready(Ok(()))
            }
            refused => this.poll_refused(cx, refused),
        }
    }
}
