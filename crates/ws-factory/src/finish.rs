//! The end of a session: the last words on the wire, the last events, the socket's quiet death.
//!
//! In this order: what was queued and our Close leave, the session leaves the live set, `on_error`
//! and `on_close` are called, the socket is drained. Each step has a deadline.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::timeout;
use ws_core::{CloseFrame, Role};

use crate::{
    Endpoint, driver::Driver, ending::Verdict, link::Link, sessions::Registration, stop::Stop,
    trace,
};

/// How long the peer may take to end the stream after our last word. Closing earlier could turn
/// what it still sends into a reset that destroys our Close on its way.
const DRAIN: Duration = Duration::from_secs(2);

impl<E: Endpoint> Driver<E> {
    /// Ends the session, whatever it was that ended it.
    pub(crate) async fn finish(&mut self, stop: Box<Stop>) {
        let limit = self.link.policy.close_timeout();
        let Verdict {
            talks,
            say,
            tell_error,
            mut event,
        } = Verdict::of(stop.end, stop.ours);

        self.link.settle();
        let said = talks && self.link.say(say, limit).await;
        event.clean &= said;
        self.link.settle();
        self.link.registration.retire(event.clone());

        let Self {
            endpoint,
            session,
            link,
        } = self;
        let registration = &link.registration;
        if let (true, Some(cause)) = (tell_error, event.cause()) {
            tell(registration, limit, || endpoint.on_error(session, cause)).await;
        }
        tell(registration, limit, || endpoint.on_close(session, &event)).await;
        if said {
            link.drain().await;
        }
    }
}

impl Link {
    /// Writes what was queued and our Close; returns whether the socket took it in time.
    async fn say(&mut self, close: Option<CloseFrame>, limit: Duration) -> bool {
        if let Some(close) = close {
            self.session.outbox().close(close);
        }
        let serves = self.role() == Role::Server;
        let mut peer_ended = false;
        let said = poll_fn(|cx| {
            // A peer that writes before it reads would never come to our Close.
            peer_ended = peer_ended || self.poll_drain(cx).is_ready();
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {
                    // An abort still counts.
                    if !self.park(cx) {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
            // §7.1.1: it is the server that ends the stream; a client waits for that.
            Poll::Ready(!serves || ready!(self.poll_shutdown(cx)).is_ok())
        });
        timeout(limit, said).await.unwrap_or(false)
    }

    /// Waits for the peer to end the stream.
    async fn drain(&mut self) {
        let mut cut = pin!(self.registration.cut());
        let drained = poll_fn(|cx| {
            if cut.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll_drain(cx)
        });
        // Nothing hangs on the answer: the peer had its time.
        let _elapsed = timeout(DRAIN, drained).await;
    }
}

/// Calls one of the last events; a panic in it ends the event only.
async fn tell<Fut>(registration: &Registration, limit: Duration, event: impl FnOnce() -> Fut)
where
    Fut: Future<Output = ()>,
{
    let Ok(event) = catch_unwind(AssertUnwindSafe(event)) else {
        trace::last_event_panicked();
        return;
    };
    let mut event = pin!(event);
    let told = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| event.as_mut().poll(cx)));
        polled.unwrap_or_else(|_panic| {
            trace::last_event_panicked();
            Poll::Ready(())
        })
    });
    if timeout(limit, told).await.is_err() {
        registration.event_cut();
    }
}
