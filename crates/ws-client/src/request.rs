//! A URL and what goes with it: what to ask for (RFC 6455 §3, §4.1).
//!
//! Everything that a caller can get wrong is found here, before there is a socket. What the server
//! gets wrong is `answer`'s.

use std::{fmt, time::Duration};

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{self, HeaderName},
    uri::{Authority, PathAndQuery},
};
use ws_factory::{Policy, headers};

use crate::{HttpVersion, RequestError, request_error::MAX_EXTRA_HEADERS};

/// Where to connect, what to offer, and the session's policy.
///
/// | setting | default |
/// |---|---|
/// | subprotocols | none offered |
/// | headers | those of the handshake, and no others |
/// | policy | [`Policy::default`] |
/// | HTTP version | [`HttpVersion::Http1`] |
/// | connect timeout | 10 s |
///
/// ```
/// use std::time::Duration;
/// use ws_client::{ConnectRequest, Policy};
///
/// let request = ConnectRequest::to("ws://localhost:8080/chat?room=7")?
///     .with_subprotocol("chat.v2")?
///     .with_subprotocol("chat")?
///     .with_header("authorization", "Bearer 31d4")?
///     .with_policy(Policy::default().with_max_text_bytes(1 << 20))
///     .with_connect_timeout(Duration::from_secs(3));
/// # Ok::<_, ws_client::RequestError>(())
/// ```
#[derive(Clone)]
pub struct ConnectRequest {
    pub(crate) secure: bool,
    pub(crate) authority: Authority,
    port: u16,
    pub(crate) path: PathAndQuery,
    subprotocols: Vec<String>,
    pub(crate) headers: HeaderMap,
    policy: Policy,
    http_version: HttpVersion,
    connect_timeout: Duration,
}

impl ConnectRequest {
    /// A request for the resource that a `ws` or `wss` URL names (§3), on port 80 or 443 if the URL
    /// has none.
    ///
    /// # Errors
    ///
    /// [`RequestError::InvalidUrl`], and [`RequestError::UnsupportedScheme`] for anything but `ws`
    /// and `wss`.
    pub fn to(url: &str) -> Result<Self, RequestError> {
        // §3: a URL of this kind has no fragment; `Uri` would drop it without a word.
        if url.contains('#') {
            return Err(invalid("it has a fragment"));
        }
        if !url.is_ascii() {
            return Err(invalid("it is not percent-encoded"));
        }
        let parts = url
            .parse::<Uri>()
            .map_err(|_| invalid("it does not parse"))?
            .into_parts();
        let secure = match parts.scheme.as_ref().map(|scheme| scheme.as_str()) {
            Some(scheme) if scheme.eq_ignore_ascii_case("ws") => false,
            Some(scheme) if scheme.eq_ignore_ascii_case("wss") => true,
            Some(_) => return Err(RequestError::UnsupportedScheme),
            None => return Err(invalid("it has no scheme")),
        };
        let authority = parts.authority.ok_or_else(|| invalid("it has no host"))?;
        let port = port_of(&authority)?.unwrap_or_else(|| default_port(secure));
        let path = parts
            .path_and_query
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self {
            secure,
            authority,
            port,
            path,
            subprotocols: Vec::new(),
            headers: HeaderMap::new(),
            policy: Policy::default(),
            http_version: HttpVersion::default(),
            connect_timeout: Duration::from_secs(10),
        })
    }

    /// Offers one more subprotocol, less preferred than those before it (§4.1).
    ///
    /// The server chooses one or none: see `Session::subprotocol`.
    ///
    /// # Errors
    ///
    /// [`RequestError::InvalidSubprotocol`] if it is not a token;
    /// [`RequestError::RepeatedSubprotocol`] if it is offered already.
    pub fn with_subprotocol(mut self, name: impl Into<String>) -> Result<Self, RequestError> {
        let name = name.into();
        if headers::token(name.as_bytes()).is_none() {
            return Err(RequestError::InvalidSubprotocol);
        }
        if self.subprotocols.contains(&name) {
            return Err(RequestError::RepeatedSubprotocol { name });
        }
        self.subprotocols.push(name);
        Ok(self)
    }

    /// Adds a header; one of that name that was added before stays.
    ///
    /// # Errors
    ///
    /// [`RequestError::ReservedHeader`] for those that the handshake sets by itself, that are the
    /// connection's, or that would announce a body; [`RequestError::InvalidHeaderName`] and
    /// [`RequestError::InvalidHeaderValue`], for instance for a line break;
    /// [`RequestError::TooManyHeaders`] for more than 64.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self, RequestError>
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let Ok(name) = name.try_into() else {
            return Err(RequestError::InvalidHeaderName);
        };
        if is_owned_by_handshake(&name) {
            return Err(RequestError::ReservedHeader { name });
        }
        // A line break would end the header and begin one of the value's choosing.
        let Ok(value) = value.try_into() else {
            return Err(RequestError::InvalidHeaderValue { name });
        };
        if self.headers.len() >= MAX_EXTRA_HEADERS {
            return Err(RequestError::TooManyHeaders);
        }
        self.headers.append(name, value);
        Ok(self)
    }

    /// The session's policy. Default: [`Policy::default`].
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Which HTTP the handshake speaks. Default: [`HttpVersion::Http1`].
    ///
    /// ```
    /// use ws_client::{ConnectRequest, HttpVersion};
    ///
    /// let request = ConnectRequest::to("ws://localhost:8080/chat")?
    ///     .with_http_version(HttpVersion::Http2);
    /// # Ok::<_, ws_client::RequestError>(())
    /// ```
    #[must_use]
    pub fn with_http_version(mut self, version: HttpVersion) -> Self {
        self.http_version = version;
        self
    }

    /// How long name lookup, TCP and handshake may take together. Default: 10 s. Kept to at most
    /// a day.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(MAX_CONNECT_TIMEOUT);
        self
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.authority.host();
        let address = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        address.unwrap_or(host)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// The subprotocols offered, the most preferred first.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// See [`Self::with_policy`].
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// See [`Self::with_connect_timeout`].
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// See [`Self::with_http_version`].
    #[must_use]
    pub const fn http_version(&self) -> HttpVersion {
        self.http_version
    }

    /// The host as the URL has it, with the port unless it is the default one (§4.1).
    pub(crate) fn host_and_port(&self) -> &str {
        if self.port == default_port(self.secure) {
            self.authority.host()
        } else {
            self.authority.as_str()
        }
    }
}

impl fmt::Debug for ConnectRequest {
    /// Leaves out headers and query: they hold cookies and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("authority", &self.authority)
            .field("path", &self.path.path())
            .field("subprotocols", &self.subprotocols)
            .finish_non_exhaustive()
    }
}

const fn invalid(reason: &'static str) -> RequestError {
    RequestError::InvalidUrl { reason }
}

/// The port that the URL names, if it does.
fn port_of(authority: &Authority) -> Result<Option<u16>, RequestError> {
    let host = authority.host();
    if authority.as_str().contains('@') {
        return Err(invalid("it has a user name"));
    }
    if host.is_empty() {
        return Err(invalid("it has no host"));
    }
    // Not `Authority::port`, which takes a port that is no number for none.
    let port = authority.as_str().strip_prefix(host).unwrap_or_default();
    match port.strip_prefix(':').map(str::parse) {
        None if port.is_empty() => Ok(None),
        Some(Ok(port @ 1..)) => Ok(Some(port)),
        _ => Err(invalid("its port is not a number from 1 to 65535")),
    }
}

fn is_owned_by_handshake(name: &HeaderName) -> bool {
    const FRAMING: [HeaderName; 10] = [
        header::HOST,
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
        header::TE,
        header::EXPECT,
    ];
    FRAMING.contains(name) || name.as_str().starts_with("sec-websocket-")
}

/// §3.
const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// So that the clock cannot overflow.
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_says_host_port_path_and_the_host_header() {
        let cases = [
            ("ws://a.example", "a.example", 80, "/", "a.example"),
            (
                "WS://a.example:80/b?c=d",
                "a.example",
                80,
                "/b?c=d",
                "a.example",
            ),
            ("ws://a.example:81", "a.example", 81, "/", "a.example:81"),
            ("ws://[::1]:9001/%20", "::1", 9001, "/%20", "[::1]:9001"),
            ("ws://[::1]", "::1", 80, "/", "[::1]"),
            ("wss://a.example", "a.example", 443, "/", "a.example"),
            ("wss://a.example:443", "a.example", 443, "/", "a.example"),
            ("wss://a.example:80", "a.example", 80, "/", "a.example:80"),
        ];

        for (url, host, port, path, host_header) in cases {
            let request = ConnectRequest::to(url).unwrap();

            assert_eq!(request.host(), host, "{url}");
            assert_eq!(request.port(), port, "{url}");
            assert_eq!(request.path(), path, "{url}");
            assert_eq!(request.host_and_port(), host_header, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_websocket_is_refused_with_the_reason() {
        let cases = [
            ("", "does not parse"),
            ("ws://a/ b", "does not parse"),
            ("ws://a/\r\nx: y", "does not parse"),
            ("ws://a/b#c", "fragment"),
            ("ws://ä/", "not percent-encoded"),
            ("ws://a/ä", "not percent-encoded"),
            ("/chat", "no scheme"),
            ("a:80", "no scheme"),
            ("ws://b:c@a/", "user name"),
            ("ws://a:/", "port"),
            ("ws://a:0/", "port"),
            ("ws://a:65536/", "port"),
            ("http://a/", "scheme is neither"),
        ];

        for (url, reason) in cases {
            let error = ConnectRequest::to(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url:?}: {error}");
        }
    }

    #[test]
    fn subprotocol_is_a_token_and_offered_once() {
        let request = ConnectRequest::to("ws://a/").unwrap();

        for name in ["", "a,b", "a b", "a\r\nx: y", "ä"] {
            let error = request.clone().with_subprotocol(name).unwrap_err();
            assert_eq!(error, RequestError::InvalidSubprotocol, "{name:?}");
        }
        let twice = request
            .with_subprotocol("a")
            .and_then(|request| request.with_subprotocol("a"));
        assert!(matches!(
            twice,
            Err(RequestError::RepeatedSubprotocol { .. })
        ));
    }

    /// Hostile inputs, section 11: CR and LF in the caller's headers.
    #[test]
    fn header_that_could_break_the_head_is_an_error_of_the_api() {
        let request = ConnectRequest::to("ws://a/").unwrap();

        for value in ["x\r\nCookie: y", "x\ny", "x\ry", "x\0y"] {
            let error = request.clone().with_header("x-room", value).unwrap_err();
            assert!(
                matches!(error, RequestError::InvalidHeaderValue { .. }),
                "{value:?}"
            );
        }
        for name in ["x-room\r\nx", "x room", "x:room", ""] {
            let error = request.clone().with_header(name, "7").unwrap_err();
            assert_eq!(error, RequestError::InvalidHeaderName, "{name:?}");
        }
    }

    #[test]
    fn header_of_the_handshake_cannot_be_added() {
        let request = ConnectRequest::to("ws://a/").unwrap();

        for name in [
            "Host",
            "connection",
            "Upgrade",
            "Keep-Alive",
            "Content-Length",
            "transfer-encoding",
            "Sec-WebSocket-Key",
            "sec-websocket-extensions",
        ] {
            let error = request.clone().with_header(name, "x").unwrap_err();
            assert!(
                matches!(error, RequestError::ReservedHeader { .. }),
                "{name}"
            );
        }
    }

    #[test]
    fn headers_without_end_are_an_error_and_not_a_panic() {
        let mut request = ConnectRequest::to("ws://a/").unwrap();
        for _ in 0..MAX_EXTRA_HEADERS {
            request = request.with_header("x-room", "7").unwrap();
        }

        let error = request.with_header("x-room", "7").unwrap_err();

        assert_eq!(error, RequestError::TooManyHeaders);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let request = ConnectRequest::to("ws://a/chat?token=s3cret")
            .and_then(|request| request.with_header("cookie", "sid=s3cret"))
            .unwrap();

        let shown = format!("{request:?}");

        assert!(shown.contains("/chat"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
