//! The ready-made server on a free port, until the test's runtime ends.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::{body::Incoming, service::Service};
use ws_handler::{BoxError, Bytes, Server, WebSocketHandler};

/// Serves `handler` and says where.
pub(crate) async fn serve<S>(handler: WebSocketHandler<S>) -> SocketAddr
where
    S: Service<http::Request<Incoming>, Response = http::Response<Full<Bytes>>>
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr();
    tokio::spawn(server.serve(handler, std::future::pending()));
    addr
}
