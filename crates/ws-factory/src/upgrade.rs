//! Where HTTP lets go of the connection. The only file here that names hyper.

use bytes::Bytes;
use http::Request;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::net::TcpStream;

use crate::Transport;

/// The promise of a connection, kept once the 101 has been written.
pub(crate) struct PendingUpgrade(OnUpgrade);

impl PendingUpgrade {
    /// Takes the promise out of the request.
    pub(crate) fn take<B>(request: &mut Request<B>) -> Self {
        Self(hyper::upgrade::on(request))
    }

    /// The connection, and what was read of it behind the request.
    pub(crate) async fn ready(self) -> Result<(Transport, Bytes), hyper::Error> {
        self.0.await.map(open)
    }
}

/// Unwraps a plain TCP socket; whatever else there is stays as it is, at the cost of a virtual
/// call per read and write.
fn open(upgraded: Upgraded) -> (Transport, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (Transport::tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    // hyper-util's server wraps the socket once more, to find out the HTTP version.
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (Transport::tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Transport::boxed(TokioIo::new(upgraded)), Bytes::new()),
    }
}
