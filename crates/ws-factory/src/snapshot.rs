//! The request that a session began with, kept small for as long as the session lives.
//!
//! `http`'s types hold slices of the HTTP server's read buffer, several KiB for every idle
//! connection. [`RequestSnapshot`] copies what is kept into one allocation of exactly its size
//! and finds things in it by walking; lookups are for the start of a session, not for each
//! message. It holds what [`KeptHeaders`] lets through, and at most what the head had.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{
    HeaderValue, Request, Version,
    header::{self, HeaderName},
    request::Parts,
};

use crate::{
    ConnectionInfo, ExtensionOffer, PathParams,
    blob::{Pairs, Reader, Writer, written},
    headers,
};

/// Which headers a [`RequestSnapshot`] keeps.
///
/// A browser sends about 1 KiB of them, mostly cookies and its own description. Those that have
/// done their work with the handshake (`Connection`, `Upgrade`, `Sec-WebSocket-Key`,
/// `Sec-WebSocket-Version`) are never kept.
///
/// ```
/// use http::header;
/// use ws_factory::KeptHeaders;
///
/// let kept = KeptHeaders::only([header::COOKIE, header::ACCEPT_LANGUAGE]);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeptHeaders {
    /// All. The default.
    #[default]
    All,
    /// None; method, target, subprotocol, path parameters and addresses are still there.
    None,
    /// Those of these names.
    Only(Arc<[HeaderName]>),
}

impl KeptHeaders {
    /// Those of these names.
    #[must_use]
    pub fn only(names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self::Only(names.into_iter().collect())
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        const SPENT: [HeaderName; 4] = [
            header::CONNECTION,
            header::UPGRADE,
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_VERSION,
        ];
        match self {
            Self::All => !SPENT.contains(name),
            Self::None => false,
            Self::Only(names) => names.contains(name) && !SPENT.contains(name),
        }
    }
}

/// The request that a session began with: a copy with lookups, two words and one allocation.
///
/// ```
/// use ws_factory::RequestSnapshot;
///
/// /// The room is part of the path, the user comes from a cookie.
/// fn seat(request: &RequestSnapshot) -> Option<(&str, &str)> {
///     Some((request.path_param("room")?, request.cookie("user")?))
/// }
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct RequestSnapshot(Box<[u8]>);

impl RequestSnapshot {
    /// What a session shall know of a request, with the subprotocol and the extensions that were
    /// agreed: for a handshake of one's own. Addresses and path parameters are taken from the
    /// request's extensions, [`crate::ConnectionInfo`] and [`crate::PathParams`].
    #[must_use]
    pub fn of(
        request: &Parts,
        subprotocol: Option<&str>,
        extensions: &[ExtensionOffer],
        kept: &KeptHeaders,
    ) -> Self {
        let info = request.extensions.get::<ConnectionInfo>();
        let info = info.copied().unwrap_or_default();
        let params = request.extensions.get::<PathParams>();
        let target = request.uri.to_string();
        let path_and_query = request
            .uri
            .path_and_query()
            .map_or("", |path| path.as_str());

        let mut blob = Writer::new();
        blob.byte(u8::from(request.version == Version::HTTP_2));
        blob.byte(u8::from(info.secure()));
        blob.address(info.peer());
        blob.address(info.local());
        blob.bytes(request.method.as_str().as_bytes());
        blob.bytes(target.as_bytes());
        blob.number(target.len().saturating_sub(path_and_query.len()));
        blob.bytes(subprotocol.unwrap_or_default().as_bytes());
        let extensions = ExtensionOffer::header(extensions);
        blob.bytes(extensions.as_ref().map_or(&[], HeaderValue::as_bytes));
        blob.pairs(|| {
            params
                .into_iter()
                .flat_map(|params| params.iter())
                .map(|(name, value)| (name, value.as_bytes()))
        });
        blob.pairs(|| {
            request
                .headers
                .iter()
                .filter(|(name, _)| kept.keeps(name))
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
        });
        Self(blob.finish())
    }

    /// The method, in capital letters: `GET`, over HTTP/2 `CONNECT`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.fields().method
    }

    /// The request target, as sent; over HTTP/2 absolute, with the scheme and the host.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.fields().target
    }

    /// The path, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.fields().path_and_query().0
    }

    /// What follows the `?`, still percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.fields().path_and_query().1
    }

    /// The version of HTTP.
    #[must_use]
    pub fn version(&self) -> Version {
        self.fields().version
    }

    /// Whom the client wanted to reach, with a port if it is not the default one: the target's if it
    /// is absolute, else the `Host` header's, if that was kept.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let fields = self.fields();
        match fields.target[..fields.path_at].split_once("://") {
            Some((_scheme, host)) => Some(host),
            None => self.header("host"),
        }
    }

    /// The origin of the page that asked, if a browser did and the `Origin` header was kept.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The first kept header of that name, in any case; `None` also if it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| headers::text(value))
    }

    /// The kept headers, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields().headers
    }

    /// The value of the first cookie of that name, if the `Cookie` header was kept.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut cookies = self.cookies();
        cookies.find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The names and values of all cookies, in the order sent, as sent; unquoted.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let cookies = self.headers().filter(|(name, _)| *name == "cookie");
        headers::cookies(cookies.map(|(_, value)| value))
    }

    /// The subprotocol that was chosen, one that the client offered.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        // The empty string is not a token, so it is free to say "none".
        Some(self.fields().subprotocol).filter(|name| !name.is_empty())
    }

    /// What stood in the place of `{name}` in the path, percent-decoded.
    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<&str> {
        let mut params = self.path_params();
        params.find_map(|(found, value)| (found == name).then_some(value))
    }

    /// All that stood in the places of the path, in its order, percent-decoded.
    pub fn path_params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields()
            .params
            .map(|(name, value)| (name, written(value)))
    }

    /// The extensions that were agreed, as the answer listed them; empty if there are none.
    #[must_use]
    pub fn extensions(&self) -> &str {
        self.fields().extensions
    }

    /// The address that connected to us, if the server said so.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.fields().peer
    }

    /// Our address that it connected to, if the server said so.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.fields().local
    }

    /// Whether the connection is encrypted, as far as the server said.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.fields().secure
    }

    fn fields(&self) -> Fields<'_> {
        let mut blob = Reader::new(&self.0);
        // In the order of `new`; the fields of a struct expression are evaluated as written.
        Fields {
            version: match blob.byte() {
                0 => Version::HTTP_11,
                _ => Version::HTTP_2,
            },
            secure: blob.byte() != 0,
            peer: blob.address(),
            local: blob.address(),
            method: written(blob.bytes()),
            target: written(blob.bytes()),
            path_at: blob.number(),
            subprotocol: written(blob.bytes()),
            extensions: written(blob.bytes()),
            params: blob.pairs(),
            headers: blob.pairs(),
        }
    }
}

impl Default for RequestSnapshot {
    /// Of no request: `GET /`, and nothing else.
    fn default() -> Self {
        let (parts, ()) = Request::new(()).into_parts();
        Self::of(&parts, None, &[], &KeptHeaders::None)
    }
}

impl fmt::Debug for RequestSnapshot {
    /// Leaves out headers and query: they hold cookies and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSnapshot")
            .field("path", &self.path())
            .field("subprotocol", &self.subprotocol())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// The blob, found again.
struct Fields<'a> {
    version: Version,
    secure: bool,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    method: &'a str,
    target: &'a str,
    /// Where the path begins in `target`: not at 0 if the target is absolute.
    path_at: usize,
    subprotocol: &'a str,
    extensions: &'a str,
    params: Pairs<'a>,
    headers: Pairs<'a>,
}

impl<'a> Fields<'a> {
    fn path_and_query(&self) -> (&'a str, Option<&'a str>) {
        let rest = &self.target[self.path_at..];
        match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ConnectionInfo, PathParams,
        request::tests::{handshake, parsed},
    };

    #[test]
    fn snapshot_says_what_the_request_said() {
        let peer = "[fe80::7%2]:50123".parse().unwrap();
        let local = "192.0.2.1:443".parse().unwrap();
        let info = ConnectionInfo::new().with_peer(peer).with_local(local);
        let long = "x".repeat(20_000);
        let request = parsed(
            handshake()
                .uri("/chat/7?token=a?b")
                .header("x-long", &long)
                .header("cookie", "sid=31d4")
                .header("origin", "https://example.com")
                .header("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap())
                .extension(PathParams::from_iter([("room", "7"), ("seat", "ä")]))
                .extension(info.with_secure(true)),
        );

        let snapshot = RequestSnapshot::of(request.parts(), Some("chat"), &[], &KeptHeaders::All);

        assert_eq!(snapshot.method(), "GET");
        assert_eq!(snapshot.version(), Version::HTTP_11);
        assert_eq!(snapshot.uri(), "/chat/7?token=a?b");
        assert_eq!(snapshot.host(), Some("example.com"));
        assert_eq!(snapshot.origin(), Some("https://example.com"));
        assert_eq!(snapshot.path(), "/chat/7");
        assert_eq!(snapshot.query(), Some("token=a?b"));
        assert_eq!(snapshot.subprotocol(), Some("chat"));
        assert_eq!(snapshot.header("X-Long"), Some(long.as_str()));
        assert_eq!(snapshot.header("x-bytes"), None);
        assert_eq!(snapshot.headers().count(), 5, "host and these four");
        assert_eq!(snapshot.cookie("sid"), Some("31d4"));
        assert_eq!(snapshot.path_param("seat"), Some("ä"));
        assert_eq!(snapshot.peer(), Some(peer));
        assert_eq!(snapshot.local(), Some(local));
        assert!(snapshot.secure());
    }

    #[test]
    fn absolute_target_has_a_path_and_a_host_too() {
        for (target, host, path, query) in [
            ("http://a.example/a?b", "a.example", "/a", Some("b")),
            ("http://a.example:81", "a.example:81", "/", None),
        ] {
            let request = parsed(handshake().uri(target));

            let snapshot = RequestSnapshot::of(request.parts(), None, &[], &KeptHeaders::None);

            assert_eq!(snapshot.host(), Some(host), "{target}");
            assert_eq!((snapshot.path(), snapshot.query()), (path, query));
            assert_eq!((request.path(), request.query()), (path, query));
        }
    }

    #[test]
    fn only_the_headers_asked_for_are_kept_and_never_the_spent_ones() {
        let request = parsed(handshake().header("cookie", "a=1"));
        let names = |kept: &KeptHeaders| {
            let snapshot = RequestSnapshot::of(request.parts(), None, &[], kept);
            let names: Vec<_> = snapshot
                .headers()
                .map(|(name, _)| name.to_owned())
                .collect();
            names.join(" ")
        };

        assert_eq!(names(&KeptHeaders::All), "host cookie");
        assert_eq!(names(&KeptHeaders::None), "");
        let without = RequestSnapshot::of(request.parts(), None, &[], &KeptHeaders::None);
        assert_eq!((without.host(), without.origin()), (None, None));
        let only = KeptHeaders::only([header::COOKIE, header::SEC_WEBSOCKET_KEY]);
        assert_eq!(names(&only), "cookie");
    }

    #[test]
    fn minimal_request_takes_16_bytes_and_19_on_the_heap() {
        let request = parsed(handshake());

        let snapshot = RequestSnapshot::of(request.parts(), None, &[], &KeptHeaders::None);

        assert_eq!(size_of::<RequestSnapshot>(), 2 * size_of::<usize>());
        // 4 of flags and addresses, 1 + 3 `GET`, 1 + 5 `/chat`, 1 each for where the path
        // begins, the subprotocol, the extensions, the parameters and the headers.
        assert_eq!(snapshot.0.len(), 19);
    }

    #[test]
    fn ipv4_peer_takes_six_bytes_more() {
        let peer = "192.0.2.7:50123".parse().unwrap();
        let info = ConnectionInfo::new().with_peer(peer);
        let request = parsed(handshake().extension(info));

        let snapshot = RequestSnapshot::of(request.parts(), None, &[], &KeptHeaders::None);

        assert_eq!(snapshot.peer(), Some(peer));
        assert_eq!(snapshot.local(), None);
        assert_eq!(snapshot.0.len(), 19 + 6);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let request = parsed(handshake().uri("/a?s3cret").header("cookie", "s3cret"));

        let shown = format!(
            "{:?}",
            RequestSnapshot::of(request.parts(), None, &[], &KeptHeaders::All)
        );

        assert!(
            shown.contains("\"/a\"") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn snapshot_does_not_keep_the_buffer_of_the_http_server() {
        let buffer = bytes::Bytes::from("/chat/a-long-path-that-hyper-has-read".to_owned());
        let value = HeaderValue::from_maybe_shared(buffer.clone()).unwrap();
        let uri = http::Uri::from_maybe_shared(buffer.clone()).unwrap();
        let request = parsed(handshake().uri(uri).header("x-path", value));
        assert!(!buffer.is_unique());

        let snapshot = RequestSnapshot::of(request.parts(), None, &[], &KeptHeaders::All);
        drop(request);

        assert!(buffer.is_unique());
        assert_eq!(snapshot.header("x-path"), Some(snapshot.path()));
    }
}
