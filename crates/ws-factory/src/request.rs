//! The head of a handshake, as acceptors and endpoint factories read it.
//!
//! [`UpgradeRequest`] is what `handshake` has found whole. It lives until the 101: it holds the
//! HTTP server's buffer, which is why a session keeps a `RequestSnapshot` instead.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{Extensions, HeaderMap, Method, Request, Uri, Version, header, request::Parts};

use crate::{
    ExtensionOffer, Rejection,
    handshake::{self, Handshake, Key},
    headers,
};

/// A handshake with nothing left to refuse but its origin and its subprotocols.
///
/// A cheap clone. Only [`parse`](Self::parse) makes one.
///
/// ```
/// use ws_factory::UpgradeRequest;
///
/// let request = http::Request::get("/chat?room=7")
///     .header("host", "example.com")
///     .header("connection", "Upgrade")
///     .header("upgrade", "websocket")
///     .header("sec-websocket-version", "13")
///     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .header("sec-websocket-protocol", "chat.v2, chat")
///     .header("cookie", "sid=31d4")
///     .body(())?;
///
/// let (parts, ()) = request.into_parts();
/// let request = UpgradeRequest::parse(parts)?;
/// assert_eq!((request.path(), request.query()), ("/chat", Some("room=7")));
/// assert_eq!(request.subprotocols(), ["chat.v2", "chat"]);
/// assert_eq!(request.cookie("sid"), Some("31d4"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct UpgradeRequest(Arc<Inner>);

impl UpgradeRequest {
    /// Whether `request` asks for a WebSocket: its `Upgrade` list contains `websocket`, or it is an
    /// extended CONNECT of HTTP/2 whose `:protocol` is `websocket`, in any case (RFC 8441 §4): a
    /// `hyper::ext::Protocol` in its extensions.
    ///
    /// Says nothing about whether it does so correctly; that is [`parse`](Self::parse)'s.
    #[must_use]
    pub fn is_upgrade<B>(request: &Request<B>) -> bool {
        handshake::asks_for_websocket(request)
    }

    /// Checks all that RFC 6455 §4.2.1 asks of the head of a handshake, or RFC 8441 §5 over HTTP/2.
    ///
    /// The factory does so itself; this is for those who test an acceptor.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] that says which header is at fault:
    ///
    /// | status | when |
    /// |---|---|
    /// | 405, `Allow: GET` | another method |
    /// | 426, `Sec-WebSocket-Version: 13` | another version, none, two; no `Upgrade: websocket` |
    /// | 403 | an `Origin` that is not text |
    /// | 400, `Connection: close` | `Transfer-Encoding`, or a `Content-Length` other than 0 |
    /// | 400 | HTTP/1.0; `Connection` without `upgrade`; two of `Origin` |
    /// | 400 | `Host` or `Sec-WebSocket-Key` missing, malformed, or twice |
    /// | 400 | a name in `Sec-WebSocket-Protocol` that is not a token |
    /// | 400 | `Sec-WebSocket-Extensions` that is not a list of extensions |
    ///
    /// Over HTTP/2, where there is no `Upgrade`, `Connection` or key, instead:
    ///
    /// | status | when |
    /// |---|---|
    /// | 400 | no extended CONNECT |
    /// | 501 | another `:protocol` |
    /// | 400, `Sec-WebSocket-Version: 13` | another version, none, two |
    /// | 403 | an `Origin` that is not text |
    /// | 400 | `:authority` missing or malformed, or a `Host` beside it that names another; two of `Origin` |
    /// | 400 | a `Content-Length` other than 0; `Sec-WebSocket-Extensions` that is not a list of extensions |
    pub fn parse(parts: Parts) -> Result<Self, Rejection> {
        let handshake = Handshake::parse(&parts)?;
        Ok(Self(Arc::new(Inner { parts, handshake })))
    }

    /// The method: `GET`, over HTTP/2 `CONNECT`.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.parts.method
    }

    /// The request target. Over HTTP/2 it is absolute, with the scheme and the host.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.parts.uri
    }

    /// The path, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri().path()
    }

    /// What follows the `?`, still percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.uri().query()
    }

    /// The version of HTTP.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.parts.version
    }

    /// Whom the client wanted to reach, with a port if it is not the default one: the target's if
    /// it is absolute (RFC 9112 §3.2.2), as over HTTP/2, else `Host`.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.uri().authority() {
            Some(authority) => authority.as_str(),
            None => self.header("host").unwrap_or_default(),
        }
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.parts.headers
    }

    /// The first header of that name, in any case; `None` also if it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::text(self.headers().get(name)?.as_bytes())
    }

    /// The value of the first cookie of that name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut cookies = self.cookies();
        cookies.find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The names and values of all cookies, in the order sent, as sent; unquoted.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.headers().get_all(header::COOKIE).into_iter();
        headers::cookies(values.map(|value| value.as_bytes()))
    }

    /// The origin of the page that asks, if a browser asks; not checked yet.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The subprotocols that the client offers, in its order, each once, at most 32.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.0.handshake.subprotocols
    }

    /// The extensions that the client offers, in its order.
    #[must_use]
    pub fn extension_offers(&self) -> &[ExtensionOffer] {
        &self.0.handshake.extensions
    }

    /// What the layers before us attached to the request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.0.parts.extensions
    }

    /// Between whom the connection is, if the server said so.
    #[must_use]
    pub fn connection_info(&self) -> Option<&ConnectionInfo> {
        self.extensions().get()
    }

    /// The address that connected to us, if the server said so.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection_info()?.peer()
    }

    /// Our address that it connected to, if the server said so.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.connection_info()?.local()
    }

    /// Whether the connection is encrypted, as far as the server said.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.connection_info().is_some_and(ConnectionInfo::secure)
    }

    /// What stood in the place of `{name}` in the path that this endpoint is mounted at.
    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<&str> {
        self.path_params()?.get(name)
    }

    /// All that stood in the places of the path, if it is mapped with any.
    #[must_use]
    pub fn path_params(&self) -> Option<&PathParams> {
        self.extensions().get()
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// `None` over HTTP/2.
    pub(crate) fn key(&self) -> Option<Key> {
        self.0.handshake.key
    }
}

impl fmt::Debug for UpgradeRequest {
    /// Leaves out headers and query: they hold cookies, tokens and the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("host", &self.host())
            .field("path", &self.path())
            .field("origin", &self.origin())
            .field("subprotocols", &self.subprotocols())
            .finish_non_exhaustive()
    }
}

struct Inner {
    parts: Parts,
    handshake: Handshake,
}

/// Between whom a connection is: a request extension, set by the server that accepted it.
///
/// ```
/// use ws_factory::ConnectionInfo;
///
/// let peer = "192.0.2.7:50123".parse()?;
/// let mut request = http::Request::new(());
/// request
///     .extensions_mut()
///     .insert(ConnectionInfo::new().with_peer(peer).with_secure(true));
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectionInfo {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    secure: bool,
}

impl ConnectionInfo {
    /// Nothing known, and not secure.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            peer: None,
            local: None,
            secure: false,
        }
    }

    /// The address that connected to us. Default: unknown.
    #[must_use]
    pub const fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Our address that it connected to. Default: unknown.
    #[must_use]
    pub const fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// Whether the connection is encrypted. Default: false.
    #[must_use]
    pub const fn with_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// The address that connected to us.
    #[must_use]
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Our address that it connected to.
    #[must_use]
    pub const fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn secure(&self) -> bool {
        self.secure
    }
}

/// What stood in the places of a path such as `/chat/{room}`: a request extension, set by whoever
/// mapped the path, with values already percent-decoded.
///
/// ```
/// use ws_factory::PathParams;
///
/// let params = PathParams::from_iter([("room", "blue lagoon")]);
/// assert_eq!(params.get("room"), Some("blue lagoon"));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PathParams(Vec<(String, String)>);

impl PathParams {
    /// The value that stood in the place of `{name}`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Names and values, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for PathParams {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// The pattern that a request's path was found by, such as `/chat/{room}`: a request extension, set
/// by whoever mapped the path. It is what logs name a route by, since a path may hold secrets.
///
/// ```
/// use ws_factory::RoutePattern;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RoutePattern::new("/chat/{room}"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoutePattern(Arc<str>);

impl RoutePattern {
    /// Names a pattern.
    #[must_use]
    pub fn new(pattern: impl Into<Arc<str>>) -> Self {
        Self(pattern.into())
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use http::request;

    use super::*;

    /// A handshake that is accepted, for a test to spoil or to add to.
    pub(crate) fn handshake() -> request::Builder {
        Request::get("/chat")
            .header(header::HOST, "example.com")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub(crate) fn parsed(request: request::Builder) -> UpgradeRequest {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        UpgradeRequest::parse(parts).unwrap()
    }

    #[test]
    fn lookups_find_what_was_sent() {
        let request = parsed(
            handshake()
                .header("X-Room", "first")
                .header("x-room", "second")
                .header("cookie", "a=1; b=2")
                .header("cookie", "c=3")
                .extension(PathParams::from_iter([("room", "7")]))
                .extension(ConnectionInfo::new().with_secure(true)),
        );

        assert_eq!(request.header("x-rOOm"), Some("first"));
        assert_eq!(request.header("not a name"), None);
        assert_eq!(request.cookies().count(), 3);
        assert_eq!(request.cookie("c"), Some("3"));
        assert_eq!(request.cookie("d"), None);
        assert_eq!(request.origin(), None);
        assert_eq!(request.path_param("room"), Some("7"));
        assert_eq!(request.path_param("seat"), None);
        assert!(request.connection_info().unwrap().secure());
        assert!(request.secure());
        assert_eq!((request.peer(), request.local()), (None, None));
    }

    #[test]
    fn absolute_target_takes_the_place_of_host() {
        let request = parsed(handshake().uri("http://other.example:81/chat"));

        assert_eq!(request.host(), "other.example:81");
        assert_eq!((request.path(), request.query()), ("/chat", None));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let request = parsed(
            handshake()
                .uri("/chat?token=s3cret")
                .header("cookie", "sid=s3cret"),
        );

        let shown = format!("{request:?}");

        assert!(shown.contains("/chat"), "{shown}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("dGhl"),
            "{shown}"
        );
    }
}
