//! What becomes of a reply: it is queued, or it comes too late.

use std::fmt::Debug;

use ws_handler::{EventResult, SendError};

/// The outcome of an event that sent a reply.
///
/// While a session is closing, messages still arrive and can no longer be answered. That is how a
/// session ends, and no failure of the endpoint.
///
/// # Errors
///
/// Any other [`SendError`].
pub(crate) fn queued<T>(sent: Result<(), SendError<T>>) -> EventResult
where
    T: Debug + Send + Sync + 'static,
{
    match sent {
        Err(error) if !error.is_closed() => Err(error.into()),
        _ => Ok(()),
    }
}
