//! Which HTTP a handshake speaks.

/// Which HTTP a handshake speaks.
///
/// The session is the same over either. There is one connection for each session in both: streams
/// of one connection share its fate and its congestion, and a client of few sessions gains nothing.
///
/// ```
/// use ws_client::HttpVersion;
///
/// /// What TLS has agreed on, if it was asked to (RFC 7301).
/// fn version(alpn: Option<&[u8]>) -> HttpVersion {
///     alpn.and_then(HttpVersion::of_alpn).unwrap_or_default()
/// }
///
/// assert_eq!(version(Some(b"h2")), HttpVersion::Http2);
/// assert_eq!(version(None), HttpVersion::Http1);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1: a GET that upgrades the connection (RFC 6455 §4). The default.
    #[default]
    Http1,
    /// HTTP/2: an extended CONNECT, which makes a stream of the connection a WebSocket (RFC 8441).
    ///
    /// The server is taken to know HTTP/2 (RFC 9113 §3.3): whatever else it speaks is an error. It is
    /// an error, too, if its settings do not enable extended CONNECTs.
    Http2,
}

impl HttpVersion {
    /// The version that a name of ALPN stands for, `h2` or `http/1.1`; `None` for any other.
    #[must_use]
    pub const fn of_alpn(name: &[u8]) -> Option<Self> {
        match name {
            b"h2" => Some(Self::Http2),
            b"http/1.1" => Some(Self::Http1),
            _ => None,
        }
    }

    /// Its name in ALPN, to offer.
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_alpn_stands_for_its_version_only() {
        for version in [HttpVersion::Http1, HttpVersion::Http2] {
            assert_eq!(HttpVersion::of_alpn(version.alpn()), Some(version));
        }
        for other in [b"h2c".as_slice(), b"H2", b"http/1.0", b"h3", b""] {
            assert_eq!(HttpVersion::of_alpn(other), None, "{other:?}");
        }
    }
}
