//! What `tracing` is told: a span for each session, and few events.
//!
//! Never a payload, a reason of a Close, a header, or a path or query of a request: they may hold
//! secrets. A peer decides how often handshakes are refused, so those events are limited.

use std::{
    any::type_name,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tracing::{Span, field};

use crate::{CloseEvent, Initiator, RefusalReason, Rejection, RoutePattern, Session, SessionError};

/// The target of the span and of all its events.
const TARGET: &str = "ws_factory::session";

/// The target of what is told of handshakes.
const HANDSHAKE: &str = "ws_factory::handshake";

/// The span of a session: its task is in it whenever it runs, so what handlers tell is, too.
///
/// `None` where nobody listens: then it takes a word in the task and in the registration, in the
/// place of the 40 bytes of a span in each, and a turn is 110 instructions shorter. Whoever turns
/// `tracing`'s records into those of `log`, without a subscriber, gets all but the span's.
pub(crate) fn session(session: &Session, route: Option<&RoutePattern>) -> Option<Arc<Span>> {
    let request = session.request();
    // Where nobody listens, the request is not looked through.
    let span = tracing::info_span!(
        target: TARGET,
        "session",
        id = session.id().get(),
        route = route.map(RoutePattern::as_str),
        subprotocol = request.subprotocol(),
        peer = request.peer().map(field::display),
        code = field::Empty,
        initiator = field::Empty,
        clean = field::Empty,
        duration_ms = field::Empty,
    );
    (!span.is_disabled()).then(|| Arc::new(span))
}

pin_project! {
    /// A task that is in the span of its session whenever it runs, and when it is dropped.
    pub(crate) struct InSpan<F> {
        span: Option<Arc<Span>>,
        // `None` only while it is dropped.
        #[pin]
        task: Option<F>,
    }

    impl<F> PinnedDrop for InSpan<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.span.as_deref().map(Span::enter);
            this.task.set(None);
        }
    }
}

impl<F> InSpan<F> {
    pub(crate) const fn new(span: Option<Arc<Span>>, task: F) -> Self {
        Self {
            span,
            task: Some(task),
        }
    }
}

impl<F: Future<Output = ()>> Future for InSpan<F> {
    type Output = ();

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let _entered = this.span.as_deref().map(Span::enter);
        this.task
            .as_pin_mut()
            .map_or(Poll::Ready(()), |task| task.poll(cx))
    }
}

pub(crate) fn opened(span: &Span) {
    span.in_scope(|| tracing::debug!(target: TARGET, "session opened"));
}

/// Completes the span.
pub(crate) fn closed(span: &Span, event: &CloseEvent, lasted: Duration) {
    let code = event.status().get();
    let initiator = match event.initiator() {
        Initiator::Local => "local",
        Initiator::Remote => "remote",
    };
    let clean = event.is_clean();
    let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    span.record("code", code)
        .record("initiator", initiator)
        .record("clean", clean)
        .record("duration_ms", duration_ms);
    span.in_scope(|| {
        match event.cause() {
            Some(SessionError::Endpoint(error)) => {
                let error: &(dyn Error + 'static) = &**error;
                tracing::error!(target: TARGET, error, "endpoint failed");
            }
            Some(SessionError::Panicked) => {
                tracing::error!(target: TARGET, "endpoint panicked");
            }
            _ => {}
        }
        tracing::debug!(
            target: TARGET, code, initiator, clean, duration_ms, "session closed"
        );
    });
}

/// A message came to an event that the endpoint leaves to its default, which drops it. Told once of
/// a factory, whatever its peers send: mostly the endpoint implements `on_stream`, `on_partial` or
/// `on_frame` and not the constant without which that is never called, and nothing else tells.
///
/// The defaults alone call it, so it costs whoever takes messages nothing; apart, so that an endpoint
/// for one kind of message has no room for it beside that.
#[cold]
#[inline(never)]
pub(crate) fn untaken<E: ?Sized>(session: &Session, event: &'static str, frames: bool) {
    // Who sees the frames has seen the message.
    if !frames && session.meter().is_first_untaken() {
        let endpoint = type_name::<E>();
        tracing::warn!(
            target: TARGET,
            endpoint,
            event,
            "message dropped: the endpoint does not implement the event \
             (on_stream, on_partial and on_frame need their constant)"
        );
    }
}

/// An event of the endpoint panicked behind the end of its session, where nothing follows from it.
pub(crate) fn last_event_panicked() {
    tracing::error!(target: TARGET, "endpoint panicked");
}

/// A handshake was refused: at info, or warn where the application failed; past what the throttle
/// lets through, at debug.
pub(crate) fn refused(throttle: &Throttle, rejection: &Rejection) {
    let status = rejection.status().as_u16();
    let reason = rejection.reason().as_str();
    let error = rejection.source();
    match (throttle.pass(), rejection.reason()) {
        // The client is told nothing of it.
        (Some(left_out), RefusalReason::Failed) => tracing::warn!(
            target: HANDSHAKE, status, error, left_out, "endpoint factory failed"
        ),
        (Some(left_out), _) => tracing::info!(
            target: HANDSHAKE, status, reason, left_out, "handshake refused"
        ),
        (None, _) => {
            tracing::debug!(target: HANDSHAKE, status, reason, error, "handshake refused");
        }
    }
}

/// The 101 was sent, and no connection came of it.
pub(crate) fn upgrade_failed(throttle: &Throttle, cause: &'static str) {
    let text = "no connection came of an accepted handshake";
    match throttle.pass() {
        Some(left_out) => tracing::warn!(target: HANDSHAKE, cause, left_out, "{text}"),
        None => tracing::debug!(target: HANDSHAKE, cause, "{text}"),
    }
}

/// Lets [`EVENTS_PER_SECOND`] through, so that a peer cannot fill the operator's log.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    passed: u32,
    left_out: u64,
}

const EVENTS_PER_SECOND: u32 = 10;

impl Throttle {
    /// How many were left out since the last that passed, if this one passes.
    fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = window
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1));
        if is_over {
            window.began = Some(now);
            window.passed = 0;
        }
        if window.passed == EVENTS_PER_SECOND {
            window.left_out += 1;
            return None;
        }
        window.passed += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}
