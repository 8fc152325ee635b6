//! Which pages may open a WebSocket (RFC 6455 §10.2, RFC 6454).
//!
//! A browser lets every page connect to every host, with the user's cookies, and only says in
//! `Origin` which page it was. A program that is no browser says nothing there, or lies: this
//! protects users of browsers, and is no authentication.

use std::{fmt, sync::Arc};

use crate::UpgradeRequest;

/// Decides by `Origin` who may connect; anyone else gets a 403 before an endpoint exists.
///
/// A request without `Origin` passes under every policy, since only browsers are bound to send
/// one. `Origin: null` (a sandboxed frame, a local file) is an origin like any other, and passes
/// only where it is listed, [`any`](Self::any) is chosen, or the function says so.
///
/// ```
/// use ws_factory::OriginPolicy;
///
/// let ours = OriginPolicy::list(["https://example.com", "https://admin.example.com:8443"])?;
/// let by_suffix = OriginPolicy::by(|origin, _request| origin.ends_with(".example.com"));
///
/// // It would never match: a browser sends no path.
/// assert!(OriginPolicy::list(["https://example.com/"]).is_err());
/// # Ok::<_, ws_factory::OriginError>(())
/// ```
#[derive(Clone, Default)]
pub struct OriginPolicy(Rule);

impl OriginPolicy {
    /// The page must come from the host and port that it connects to. The default.
    ///
    /// Host (in any case) and port of `Origin` are compared with the request's `Host`, over HTTP/2
    /// with its `:authority`; where one
    /// of them leaves out its port, it is the default port of `Origin`'s scheme. The scheme is not
    /// compared: behind a proxy that ends TLS, only the browser knows it.
    #[must_use]
    pub fn same_origin() -> Self {
        Self(Rule::SameOrigin)
    }

    /// The page's origin must be one of these, letter for letter.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for an entry that no browser would ever send, so that it could not match.
    pub fn list<O: Into<String>>(
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, OriginError> {
        let origins = origins.into_iter().map(|origin| {
            let origin = origin.into();
            if is_serialized(&origin) {
                Ok(origin)
            } else {
                Err(OriginError { origin })
            }
        });
        Ok(Self(Rule::List(origins.collect::<Result<_, _>>()?)))
    }

    /// Every page may connect: only where a connection is worth nothing without a secret that is
    /// not a cookie.
    #[must_use]
    pub fn any() -> Self {
        Self(Rule::Any)
    }

    /// `allows` decides; it is handed the value of `Origin` as it was sent.
    #[must_use]
    pub fn by(allows: impl Fn(&str, &UpgradeRequest) -> bool + Send + Sync + 'static) -> Self {
        Self(Rule::By(Arc::new(allows)))
    }

    /// Whether a page of `origin` may open the connection that `request` asks for.
    #[must_use]
    pub fn allows(&self, origin: &str, request: &UpgradeRequest) -> bool {
        match &self.0 {
            Rule::SameOrigin => is_same_origin(origin, request.host()),
            Rule::List(origins) => origins.iter().any(|allowed| allowed == origin),
            Rule::Any => true,
            Rule::By(allows) => allows(origin, request),
        }
    }
}

impl fmt::Debug for OriginPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::SameOrigin => f.write_str("SameOrigin"),
            Rule::List(origins) => f.debug_tuple("List").field(origins).finish(),
            Rule::Any => f.write_str("Any"),
            Rule::By(_) => f.write_str("By(..)"),
        }
    }
}

/// An entry of [`OriginPolicy::list`] that can never match.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{origin}` is not an origin as browsers send it: scheme://host or scheme://host:port, \
     in lower case, without the scheme's default port, without a path; or null"
)]
#[non_exhaustive]
pub struct OriginError {
    /// The entry.
    pub origin: String,
}

/// A host and perhaps a port, as in `Host` and behind the `://` of `Origin`; nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HostPort<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Accepts a name, an IPv4 address or an IPv6 address in brackets, and a port in digits (none
    /// at all behind the colon is legal, RFC 3986 §3.2.3). User information is not accepted.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, rest) = match bracketed {
            Some((address, rest)) => {
                let is_address = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
                if !address.bytes().all(is_address) {
                    return None;
                }
                (&text[..address.len() + 2], rest)
            }
            None => {
                let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
                if host.is_empty() || !host.bytes().all(is_name) {
                    return None;
                }
                (host, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if rest.is_empty() => None,
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both name the same, where the port that one of them leaves out is that of `scheme`.
    pub(crate) fn is_same(self, other: Self, scheme: Option<&str>) -> bool {
        let default = scheme.and_then(default_port);
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.or(default) == other.port.or(default)
    }
}

fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let scheme = scheme.to_ascii_lowercase();
    if default_port(&scheme).is_none() {
        return false;
    }
    match (HostPort::parse(authority), HostPort::parse(host)) {
        (Some(from), Some(to)) => from.is_same(to, Some(&scheme)),
        _ => false,
    }
}

/// Whether this is a serialized origin (RFC 6454 §6.2): what a browser can send.
fn is_serialized(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return origin == "null";
    };
    let Some(parsed) = HostPort::parse(authority) else {
        return false;
    };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let written_shortest = match parsed.port {
        Some(port) => authority.ends_with(&format!(":{port}")),
        None => !authority.ends_with(':'),
    };
    !scheme.is_empty()
        && scheme.bytes().all(is_scheme)
        && !origin.bytes().any(|byte| byte.is_ascii_uppercase())
        && written_shortest
        && (parsed.port.is_none() || parsed.port != default_port(scheme))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[derive(Clone, Default)]
enum Rule {
    #[default]
    SameOrigin,
    List(Arc<[String]>),
    Any,
    By(Arc<Allows>),
}

type Allows = dyn Fn(&str, &UpgradeRequest) -> bool + Send + Sync;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_origin_compares_host_and_port_and_nothing_else() {
        for (origin, host, same) in [
            ("http://example.com", "example.com", true),
            ("https://example.com", "example.com", true),
            ("https://EXAMPLE.com", "example.COM", true),
            ("http://example.com:80", "example.com", true),
            ("http://example.com", "example.com:80", true),
            ("https://example.com", "example.com:443", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("https://example.com", "example.com:80", false),
            ("http://example.com:443", "example.com", false),
            ("http://example.com:8080", "example.com", false),
            ("http://example.com", "example.com:8080", false),
            ("http://[::1]", "[::2]", false),
            ("https://example.com.evil", "example.com", false),
            ("https://evilexample.com", "example.com", false),
            ("https://example.com@evil", "example.com", false),
            ("https://evil@example.com", "example.com", false),
            ("https://example.com/", "example.com", false),
            ("https://example.com evil", "example.com", false),
            ("https://example.com, https://evil", "example.com", false),
            ("https://example.com:99999", "example.com:99999", false),
            ("https://example.com:+443", "example.com", false),
            ("gopher://example.com", "example.com", false),
            ("https:example.com", "example.com", false),
            ("example.com", "example.com", false),
            ("https://", "example.com", false),
            ("null", "null", false),
            ("", "", false),
        ] {
            assert_eq!(is_same_origin(origin, host), same, "{origin} at {host}");
        }
    }

    #[test]
    fn list_takes_only_what_a_browser_can_send() {
        for origin in [
            "https://example.com",
            "http://example.com:8080",
            "https://[2001:db8::1]",
            "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            "null",
        ] {
            assert!(OriginPolicy::list([origin]).is_ok(), "{origin}");
        }

        for origin in [
            "",
            "*",
            "example.com",
            "https://example.com/",
            "https://Example.com",
            "https://example.com:443",
            "https://example.com:",
            "https://example.com:08443",
            "https://user@example.com",
            "https://bücher.example",
            "https://*.example.com",
        ] {
            let error = OriginPolicy::list([origin]).unwrap_err();
            assert_eq!(error.origin, origin);
        }
    }
}
