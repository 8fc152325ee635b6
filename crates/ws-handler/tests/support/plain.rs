//! The service around which a handler stands: it says what reached it.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Body, service::Service, service::service_fn};
use ws_handler::Bytes;

/// Answers with method, path, `Upgrade` header and body of the request, as JSON.
pub(crate) fn plain<B>()
-> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    B: Body<Error: std::fmt::Debug> + Send + 'static,
    B::Data: Send,
{
    service_fn(|request: Request<B>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let upgrade = parts
            .headers
            .get("upgrade")
            .map_or("-", |value| value.to_str().expect("the tests send ASCII"));
        let json = format!(
            r#"{{"method":"{}","path":"{}","upgrade":"{upgrade}","body":"{}"}}"#,
            parts.method,
            parts.uri.path(),
            body.escape_ascii(),
        );
        Ok(Response::new(Full::from(json)))
    })
}
