//! Who is told of every session of a factory.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{CloseEvent, Session};

/// Is told when a session opens and when it has closed (Jetty's session listener).
///
/// For every `opened` there is exactly one `closed`, after it, however the session ends: also when
/// its task or the runtime is dropped, where no event of the endpoint can run. Both are called on
/// the session's task, with no lock held, and must return soon: they keep the session waiting. A
/// panic in one goes no further.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use ws_factory::{CloseEvent, Session, SessionListener};
///
/// #[derive(Default)]
/// struct Audience(AtomicUsize);
///
/// impl SessionListener for Audience {
///     fn opened(&self, _session: &Session) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
///
///     fn closed(&self, _session: &Session, _event: &CloseEvent) {
///         self.0.fetch_sub(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait SessionListener: Send + Sync + 'static {
    /// The session is in the live set; its `on_connect` comes next.
    fn opened(&self, session: &Session) {
        let _ = session;
    }

    /// The session has left the live set; its `on_close`, if one can run, comes next.
    fn closed(&self, session: &Session, event: &CloseEvent) {
        let _ = (session, event);
    }
}

/// The listeners of one factory, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Listeners(pub(crate) Vec<Box<dyn SessionListener>>);

impl Listeners {
    pub(crate) fn opened(&self, session: &Session) {
        self.each(|listener| listener.opened(session));
    }

    pub(crate) fn closed(&self, session: &Session, event: &CloseEvent) {
        self.each(|listener| listener.closed(session, event));
    }

    fn each(&self, tell: impl Fn(&dyn SessionListener)) {
        for listener in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| tell(&**listener))).is_err() {
                tracing::error!("session listener panicked");
            }
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listeners").field(&self.0.len()).finish()
    }
}
