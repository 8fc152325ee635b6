//! A closure in, an endpoint out.

use std::future::Future;

use ws_core::Message;

use crate::{Endpoint, EventResult, Session, StatelessEndpoint};

/// An endpoint of one function, called with every message.
///
/// ```
/// use ws_factory::{Message, Session, from_fn};
///
/// let echo = from_fn(|session: Session, message: Message| async move {
///     session.send(message).await?;
///     Ok(())
/// });
/// ```
pub const fn from_fn<F, Fut>(function: F) -> FromFn<F>
where
    F: Fn(Session, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    FromFn { function }
}

/// See [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F> {
    function: F,
}

impl<F, Fut> Endpoint for FromFn<F>
where
    F: Fn(Session, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    fn on_message(
        &mut self,
        session: &Session,
        message: Message,
    ) -> impl Future<Output = EventResult> + Send {
        (self.function)(session.clone(), message)
    }
}

impl<F, Fut> StatelessEndpoint for FromFn<F>
where
    F: Fn(Session, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    fn on_message(
        &self,
        session: &Session,
        message: Message,
    ) -> impl Future<Output = EventResult> + Send {
        (self.function)(session.clone(), message)
    }
}

impl<F> std::fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
