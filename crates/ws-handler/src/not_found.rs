//! The inner service of those who serve nothing but WebSockets.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;

/// Answers every request with 404.
///
/// ```
/// use hyper::service::Service;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let response = ws_handler::NotFound.call(http::Request::new(())).await.unwrap();
/// assert_eq!(response.status(), 404);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct NotFound;

impl NotFound {
    fn answer() -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
        let mut response = Response::new(Full::from("nothing here\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        ready(Ok(response))
    }
}

impl<B> hyper::service::Service<Request<B>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, _request: Request<B>) -> Self::Future {
        Self::answer()
    }
}

impl<B> tower_service::Service<Request<B>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        Self::answer()
    }
}
