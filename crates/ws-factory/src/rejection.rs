//! Why a request does not become a WebSocket, as the HTTP response that says so.
//!
//! A [`Rejection`] is the request's fault or the application's decision; what the peer does wrong
//! later, on the connection, is a `ProtocolError`. The text in it goes to the peer, a source never
//! does.

use std::{error::Error, fmt, time::Duration};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{self, HeaderName},
};

use crate::{HeaderError, RefusalReason};

/// A refused upgrade: status, headers, and a short text.
///
/// An endpoint factory returns one to refuse a request. With `?` an error of the `http` crate
/// becomes a 500 whose text says nothing about it.
///
/// ```
/// use http::{HeaderValue, StatusCode, header};
/// use ws_factory::Rejection;
///
/// let response = Rejection::new(StatusCode::UNAUTHORIZED, "log in first")
///     .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
///     .into_response();
///
/// assert_eq!(response.status(), 401);
/// assert_eq!(response.headers()["www-authenticate"], "Bearer");
/// assert_eq!(response.body(), "log in first");
/// ```
#[derive(Debug)]
pub struct Rejection(Box<Refusal>);

impl Rejection {
    /// Refuses with `status` and `body` as plain text.
    ///
    /// A status below 300 becomes 500: 101 (200 over HTTP/2) would tell the server and the client
    /// that the connection *is* a WebSocket.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<String>) -> Self {
        let refuses = status >= StatusCode::MULTIPLE_CHOICES;
        Self(Box::new(Refusal {
            status: if refuses {
                status
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            },
            headers: HeaderMap::new(),
            body: body.into(),
            source: None,
            reason: RefusalReason::Application,
        }))
    }

    /// 400: the request is malformed.
    #[must_use]
    pub fn bad_request(body: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, body)
    }

    /// 401: whoever asks has to say who they are, and how: `challenge` is the `WWW-Authenticate`
    /// that a 401 must have (RFC 9110 §15.5.2). A page cannot react to it, as browsers show neither
    /// to scripts; other clients can.
    ///
    /// ```
    /// use http::{HeaderValue, header};
    /// use ws_factory::Rejection;
    ///
    /// let bearer = HeaderValue::from_static("Bearer realm=\"chat\"");
    /// let rejection = Rejection::unauthorized(bearer, "log in first");
    /// assert_eq!(rejection.status(), 401);
    /// assert_eq!(rejection.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"chat\"");
    /// ```
    #[must_use]
    pub fn unauthorized(challenge: HeaderValue, body: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, body).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 403: whoever asks may not.
    #[must_use]
    pub fn forbidden(body: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, body)
    }

    /// 404: there is nothing here, not even for somebody else.
    #[must_use]
    pub fn not_found(body: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, body)
    }

    /// 503: not now; a later attempt may succeed. [`Self::with_retry_after`] says when.
    #[must_use]
    pub fn unavailable(body: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, body)
    }

    /// 500: ours. `source` is for the log, through [`Error::source`]; the peer does not see it.
    ///
    /// ```
    /// # fn room(id: &str) -> Result<u32, ws_factory::Rejection> {
    /// id.parse::<u32>().map_err(ws_factory::Rejection::internal)
    /// # }
    /// # assert_eq!(room("x").unwrap_err().body(), "internal server error");
    /// ```
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut rejection = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal server error");
        rejection.0.source = Some(source.into());
        rejection
    }

    /// 501: an extended CONNECT of HTTP/2 whose `:protocol` nobody here speaks (RFC 9220 §3).
    ///
    /// The handler answers so by itself where a path is mapped to a WebSocket.
    #[must_use]
    pub fn other_protocol() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            ":protocol: only `websocket` is served here",
        )
    }

    /// Adds a header; one that is there already stays.
    ///
    /// `Content-Length` and `Transfer-Encoding` are left to the HTTP server, which knows.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            // Fails past 24,576 headers, where a refusal is lost on any client.
            self.0.headers.try_append(name, value).ok();
        }
        self
    }

    /// Says when to try again: `Retry-After` in whole seconds, rounded up, at least 1 (RFC 9110
    /// §10.2.3). The last call counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ws_factory::Rejection;
    ///
    /// let busy = Rejection::unavailable("busy").with_retry_after(Duration::from_millis(1500));
    /// assert_eq!(busy.headers()["retry-after"], "2");
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let started = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(started);
        let value = HeaderValue::from(seconds.max(1));
        // Fails as in `with_header`.
        self.0.headers.try_insert(header::RETRY_AFTER, value).ok();
        self
    }

    /// The same refusal, counted under another reason than the application's.
    pub(crate) fn because(mut self, reason: RefusalReason) -> Self {
        self.0.reason = reason;
        self
    }

    pub(crate) fn reason(&self) -> RefusalReason {
        self.0.reason
    }

    /// The status it answers with, 300 or above.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The headers added so far.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The text that the peer gets.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.0.body
    }

    /// The response; plain text unless a header says otherwise.
    #[must_use]
    pub fn into_response(self) -> Response<String> {
        let mut response = Response::new(self.0.body);
        *response.status_mut() = self.0.status;
        *response.headers_mut() = self.0.headers;
        response
            .headers_mut()
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "refused with {}: {}",
            self.0.status.as_str(),
            self.0.body
        )
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Self {
        Self::internal(error)
    }
}

impl From<header::InvalidHeaderName> for Rejection {
    fn from(error: header::InvalidHeaderName) -> Self {
        Self::internal(error)
    }
}

impl From<header::InvalidHeaderValue> for Rejection {
    fn from(error: header::InvalidHeaderValue) -> Self {
        Self::internal(error)
    }
}

impl From<http::Error> for Rejection {
    fn from(error: http::Error) -> Self {
        Self::internal(error)
    }
}

/// Boxed, so that the `Ok` of every step does not pay for it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    reason: RefusalReason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_that_would_accept_becomes_500() {
        for (asked, given) in [(101, 500), (200, 500), (204, 500), (302, 302), (429, 429)] {
            let rejection = Rejection::new(StatusCode::from_u16(asked).unwrap(), "");

            assert_eq!(rejection.status(), given, "{asked}");
        }
    }

    #[test]
    fn error_becomes_500_and_its_text_stays_inside() {
        let error = HeaderValue::from_str("a\r\nset-cookie: b").unwrap_err();

        let rejection = Rejection::from(error);

        assert!(rejection.source().is_some());
        assert_eq!(
            rejection.to_string(),
            "refused with 500: internal server error"
        );
        assert_eq!(rejection.into_response().body(), "internal server error");
    }

    #[test]
    fn header_repeats_but_never_frames_the_body() {
        let value = HeaderValue::from_static("1");

        let response = Rejection::not_found("no such room")
            .with_header(header::SET_COOKIE, value.clone())
            .with_header(header::SET_COOKIE, value.clone())
            .with_header(header::CONTENT_LENGTH, value.clone())
            .with_header(header::TRANSFER_ENCODING, value)
            .into_response();

        assert_eq!(
            response
                .headers()
                .get_all(header::SET_COOKIE)
                .iter()
                .count(),
            2
        );
        assert_eq!(response.headers().len(), 3, "and the content type");
    }
}
