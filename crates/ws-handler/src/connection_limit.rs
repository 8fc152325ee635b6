//! How many connections a ready-made server has at a time, however many threads it has.
//!
//! A place is taken by the very poll that accepts: a thread that nobody connects to holds none, and
//! no connection is accepted that has none.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
};
use ws_factory::ConnectionGuard;

/// The places for connections; as many as one likes where there is no limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionLimit(Option<Arc<Semaphore>>);

/// A connection, its client, and its place where those are limited.
type Accepted = (TcpStream, SocketAddr, Option<ConnectionGuard>);

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl ConnectionLimit {
    pub(crate) fn new(most: Option<usize>) -> Self {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self(most.map(places))
    }

    /// Accepts the next connection once there is a place for it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has accepted nothing and taken no place.
    pub(crate) async fn accept(&self, listener: &TcpListener) -> io::Result<Accepted> {
        let Some(places) = &self.0 else {
            let (stream, peer) = listener.accept().await?;
            return Ok((stream, peer, None));
        };
        let mut waiting = None;
        poll_fn(|cx| {
            // Given to the next thread that waits for it where nobody has connected to this one.
            let place = ready!(poll_place(places, &mut waiting, cx));
            let accepted = listener.poll_accept(cx);
            accepted.map_ok(|(stream, peer)| (stream, peer, place.map(ConnectionGuard::new)))
        })
        .await
    }
}

/// A place; `None` never comes, since nobody closes them.
fn poll_place(
    places: &Arc<Semaphore>,
    waiting: &mut Option<Waiting>,
    cx: &mut Context<'_>,
) -> Poll<Option<OwnedSemaphorePermit>> {
    if waiting.is_none() {
        match Arc::clone(places).try_acquire_owned() {
            Ok(place) => return Poll::Ready(Some(place)),
            Err(_none_free) => *waiting = Some(Box::pin(Arc::clone(places).acquire_owned())),
        }
    }
    let Some(acquiring) = waiting else {
        return Poll::Pending;
    };
    let place = ready!(acquiring.as_mut().poll(cx));
    *waiting = None;
    Poll::Ready(place.ok())
}
