//! Where HTTP lets go of the connection, or of one stream of it. The only file here that names
//! hyper.

use bytes::Bytes;
use http::{Extensions, Request, Version};
use hyper::{
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::net::TcpStream;

use crate::{Transport, tunnel::Tunnel};

/// The `:protocol` that makes a CONNECT an extended one (RFC 8441 §4).
pub(crate) fn connect_protocol(extensions: &Extensions) -> Option<&str> {
    extensions.get().map(Protocol::as_str)
}

/// How to get at the socket that a server has wrapped before it gave it to hyper: a request
/// extension, set by that server.
///
/// A session runs on a [`TcpStream`] directly where it finds one; anything else costs it a virtual
/// call per read and write, and whatever the wrapper does. Servers that give hyper a plain
/// `TokioIo<TcpStream>` need none of this; nor does HTTP/2, where a session has one stream of a
/// connection that stays HTTP's.
///
/// ```
/// use hyper::upgrade::Upgraded;
/// use hyper_util::rt::TokioIo;
/// use tokio::net::TcpStream;
/// use ws_factory::{Transport, UnwrapUpgraded};
///
/// /// What this server gives to hyper.
/// type Wrapped = TokioIo<tokio::io::BufWriter<TcpStream>>;
///
/// let unwrap = UnwrapUpgraded::new(|upgraded: Upgraded| {
///     let parts = upgraded.downcast::<Wrapped>()?;
///     let socket = parts.io.into_inner().into_inner();
///     Ok((Transport::tcp(socket), parts.read_buf))
/// });
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(unwrap);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UnwrapUpgraded(Unwrap);

type Unwrap = fn(Upgraded) -> Result<(Transport, Bytes), Upgraded>;

impl UnwrapUpgraded {
    /// `unwrap` gives the transport and what was read of it behind the request; or the connection
    /// back, if it is not of the kind that it knows, and then it is treated as without this.
    #[must_use]
    pub const fn new(unwrap: fn(Upgraded) -> Result<(Transport, Bytes), Upgraded>) -> Self {
        Self(unwrap)
    }
}

/// The promise of a connection, kept once the answer has been written.
pub(crate) struct PendingUpgrade {
    upgrade: OnUpgrade,
    unwrap: Option<UnwrapUpgraded>,
    /// Whether it is one stream of a connection, over HTTP/2, and not all of it.
    is_tunnel: bool,
}

impl PendingUpgrade {
    /// Takes the promise out of the request.
    pub(crate) fn take<B>(request: &mut Request<B>) -> Self {
        Self {
            upgrade: hyper::upgrade::on(&mut *request),
            unwrap: request.extensions_mut().remove(),
            is_tunnel: request.version() == Version::HTTP_2,
        }
    }

    /// The connection, and what was read of it behind the request.
    pub(crate) async fn ready(self) -> Result<(Transport, Bytes), hyper::Error> {
        let upgraded = self.upgrade.await?;
        if self.is_tunnel {
            let tunnel = Tunnel::new(TokioIo::new(upgraded));
            return Ok((Transport::boxed(tunnel), Bytes::new()));
        }
        let unwrapped = match self.unwrap {
            Some(UnwrapUpgraded(unwrap)) => unwrap(upgraded),
            None => Err(upgraded),
        };
        Ok(unwrapped.unwrap_or_else(open))
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
