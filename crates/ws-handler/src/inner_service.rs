//! What a ready-made server can serve beside WebSockets, said once.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::Service};

use crate::BoxError;

/// A service that [`crate::Server`] and [`crate::PerCore`] can run behind a
/// [`crate::WebSocketHandler`].
///
/// Never implemented by hand: it is the name of these bounds, and every hyper service that meets
/// them has it, for instance [`crate::NotFound`] and what [`crate::service_fn`] makes.
///
/// ```
/// use ws_handler::{
///     InnerService, Server, ShutdownReport, WebSocketFactory, WebSocketHandler, shutdown_signal,
/// };
///
/// async fn serve_at_8080(
///     factory: WebSocketFactory,
///     pages: impl InnerService,
/// ) -> std::io::Result<ShutdownReport> {
///     let server = Server::bind("127.0.0.1:8080").await?;
///     Ok(server.serve(WebSocketHandler::new(factory, pages), shutdown_signal()).await)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served behind a WebSocket handler",
    note = "it must be a hyper service of `http::Request<hyper::body::Incoming>`, and `Send`, `Sync` and `'static`",
    note = "its response must be `http::Response<B>` with a `Send` and `'static` body of `bytes::Bytes`, its future `Send`"
)]
pub trait InnerService:
    Service<
        Request<Incoming>,
        Response = Response<<Self as InnerService>::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send,
    > + Send
    + Sync
    + 'static
{
    /// The body of its responses.
    type ResponseBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> InnerService for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type ResponseBody = B;
}
