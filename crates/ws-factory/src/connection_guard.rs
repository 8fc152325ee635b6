//! What a server wants to have back when a connection is over, also where that became a session.

use std::{any::Any, fmt, sync::Arc};

/// Something that is dropped when the connection of a request is over, for instance one of a limited
/// number of places: a request extension, set by a server that counts its connections.
///
/// Once the connection is a session it is out of the server's hands; this then stays with the
/// session, and is dropped after its socket. Where the handshake is refused it is dropped with that, so
/// the server holds another clone for as long as HTTP has the connection. Over HTTP/2 a session has one
/// stream of a connection, and this is dropped after that.
///
/// ```
/// use ws_factory::ConnectionGuard;
///
/// /// As a server's accept loop: waits until there are fewer connections than permits.
/// async fn place(limit: std::sync::Arc<tokio::sync::Semaphore>) -> ConnectionGuard {
///     let permit = limit.acquire_owned().await.expect("nobody closes it");
///     ConnectionGuard::new(permit)
/// }
///
/// # let limit = std::sync::Arc::new(tokio::sync::Semaphore::new(100));
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let guard = place(limit).await;
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(guard.clone());
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ConnectionGuard {
    /// One word for those who mostly have none.
    _held: Arc<Box<dyn Any + Send + Sync>>,
}

impl ConnectionGuard {
    /// Keeps `held` until the last clone is dropped.
    #[must_use]
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self {
            _held: Arc::new(Box::new(held)),
        }
    }
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionGuard").finish_non_exhaustive()
    }
}
