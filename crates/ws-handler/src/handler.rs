//! A service around a service: WebSockets here, everything else there.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

use crate::{Rejection, Routes, WebSocketFactory};

/// The body of a response: ours is a short text, the inner service's is its own.
pub type HandlerBody<B> = Either<Full<Bytes>, B>;

/// Answers what asks for a WebSocket, and hands everything else to the inner service untouched,
/// body and all (Jetty's `WebSocketHandler`).
///
/// It is a `hyper::service::Service` where the inner service is one, and a `tower` service where
/// that is one. Serve it with upgrades: `hyper::server::conn::http1::Connection::with_upgrades` or
/// hyper-util's `serve_connection_with_upgrades`; axum does so by itself.
///
/// Over HTTP/2 a WebSocket is one stream of a connection, opened by an extended CONNECT (RFC 8441).
/// The handler goes by the request alone, so a server has nothing to do but tell its clients that it
/// knows them: `http2::Builder::enable_connect_protocol`, in hyper as in hyper-util; axum (with its
/// feature `http2`) and [`crate::Server`] do so by themselves. Such a server does well to leave each
/// stream a smaller window than the connection, or a session that does not read stops its neighbours:
///
/// ```
/// use hyper_util::{rt::TokioExecutor, server::conn::auto};
///
/// let mut builder = auto::Builder::new(TokioExecutor::new());
/// builder
///     .http2()
///     .enable_connect_protocol()
///     .initial_stream_window_size(64 * 1024)
///     .initial_connection_window_size(16 * 1024 * 1024);
/// ```
///
/// An extended CONNECT with another `:protocol` is answered with 501 where a path is mapped; elsewhere
/// it goes to the inner service, and so does every CONNECT that is not an extended one.
///
/// ```
/// use ws_handler::{NotFound, WebSocketFactory, WebSocketHandler, from_fn};
///
/// # fn main() -> Result<(), ws_handler::ConfigError> {
/// let factory = WebSocketFactory::builder()
///     .fallback(|_| from_fn(|_session, _message| async { Ok(()) }))
///     .build()?;
/// let handler = WebSocketHandler::new(factory, NotFound);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WebSocketHandler<S> {
    routes: Routes,
    inner: S,
}

impl<S> WebSocketHandler<S> {
    /// A handler that serves `routes` (a [`WebSocketFactory`] for every path, or
    /// [`crate::Servlets`] by path) around an inner service.
    #[must_use]
    pub fn new(routes: impl Into<Routes>, inner: S) -> Self {
        Self {
            routes: routes.into(),
            inner,
        }
    }

    /// The factories behind it.
    #[must_use]
    pub const fn routes(&self) -> &Routes {
        &self.routes
    }

    fn dispatch<B, F>(
        &self,
        mut request: Request<B>,
        inner: impl FnOnce(Request<B>) -> F,
    ) -> HandlerFuture<F>
    where
        B: Send + 'static,
    {
        let response = match self.routes.find(&mut request) {
            Some(factory) => Responding::Ours {
                answer: Box::pin(answer(factory, request)),
            },
            None if self.routes.refuses(&request) => Responding::Ours {
                answer: Box::pin(std::future::ready(text(
                    Rejection::other_protocol().into_response(),
                ))),
            },
            // A server polls us in the request's task, but calls us in that of the connection, which
            // over HTTP/2 is all of its requests and sessions.
            None => match catch_unwind(AssertUnwindSafe(|| inner(request))) {
                Ok(future) => Responding::Inner { future },
                Err(panic) => Responding::Panicked { panic: Some(panic) },
            },
        };
        HandlerFuture { response }
    }
}

async fn answer<B>(factory: WebSocketFactory, mut request: Request<B>) -> Response<Full<Bytes>> {
    // `Routes` has found that the request asks for a WebSocket, so there is always an answer.
    text(factory.accept(&mut request).await.unwrap_or_default())
}

fn text(response: Response<String>) -> Response<Full<Bytes>> {
    response.map(|text| Full::new(Bytes::from(text)))
}

impl<S, ReqBody, ResBody> hyper::service::Service<Request<ReqBody>> for WebSocketHandler<S>
where
    S: hyper::service::Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: Send + 'static,
{
    type Response = Response<HandlerBody<ResBody>>;
    type Error = S::Error;
    type Future = HandlerFuture<S::Future>;

    fn call(&self, request: Request<ReqBody>) -> Self::Future {
        self.dispatch(request, |request| self.inner.call(request))
    }
}

impl<S, ReqBody, ResBody> tower_service::Service<Request<ReqBody>> for WebSocketHandler<S>
where
    S: tower_service::Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: Send + 'static,
{
    type Response = Response<HandlerBody<ResBody>>;
    type Error = S::Error;
    type Future = HandlerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Self { routes, inner } = self;
        let handler = WebSocketHandler {
            routes: routes.clone(),
            inner: (),
        };
        handler.dispatch(request, |request| inner.call(request))
    }
}

pin_project! {
    /// The response of a [`WebSocketHandler`].
    #[must_use = "futures do nothing unless polled"]
    pub struct HandlerFuture<F> {
        #[pin]
        response: Responding<F>,
    }
}

pin_project! {
    #[project = RespondingProj]
    enum Responding<F> {
        Ours {
            answer: Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>,
        },
        Inner {
            #[pin]
            future: F,
        },
        Panicked {
            panic: Option<Box<dyn Any + Send>>,
        },
    }
}

impl<F, B, E> Future for HandlerFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<HandlerBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().response.project() {
            RespondingProj::Ours { answer } => {
                Ok(ready!(answer.as_mut().poll(cx)).map(Either::Left))
            }
            RespondingProj::Inner { future } => {
                ready!(future.poll(cx)).map(|response| response.map(Either::Right))
            }
            RespondingProj::Panicked { panic } => {
                resume_unwind(panic.take().expect("polled after its end"))
            }
        })
    }
}

impl<F> std::fmt::Debug for HandlerFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}
