//! Is this request a WebSocket handshake, and is it a whole one (RFC 6455 §4.2.1, RFC 8441 §5)?
//!
//! Parsed, not validated: each step returns a type that could not exist had the step failed, so
//! the next step has nothing left to check.
//!
//! ```text
//!   Parts ─▶ UpgradeRequest ─▶ OriginChecked ─▶ Candidate ─▶ Negotiated ─▶ Response (101)
//!     └─────────────┴────────────────┴──────────────┴───────────────────────▶ Rejection
//! ```
//!
//! This file is the first arrow: everything that needs only the head. The others are
//! `negotiation`'s. What it keeps is a key of fixed size and at most [`MAX_OFFERS`] names.

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Version,
    header::{self, HeaderName},
    request::Parts,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{ExtensionOffer, Rejection, headers, origin::HostPort, upgrade::connect_protocol};

/// Whether `request` asks for a WebSocket: its `Upgrade` list, which may name others too
/// (RFC 9110 §7.8), contains `websocket`; over HTTP/2, it is a CONNECT whose `:protocol` is that.
pub(crate) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    match request.version() {
        // It has no Upgrade (RFC 9113 §8.6); whoever sends one asks for something else.
        Version::HTTP_2 => {
            request.method() == Method::CONNECT
                && connect_protocol(request.extensions()).is_some_and(is_websocket)
        }
        version => {
            version <= Version::HTTP_11
                && headers::list_contains(request.headers(), &header::UPGRADE, "websocket")
        }
    }
}

/// RFC 8441 §5: the value is that of `Upgrade`, which has no case.
fn is_websocket(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("websocket")
}

/// What the head of a valid handshake says beyond being one; only [`Handshake::parse`] makes one.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// What the answer has to prove that we read; HTTP/2 frames its streams, and needs no proof.
    pub(crate) key: Option<Key>,
    /// In the client's order, each once.
    pub(crate) subprotocols: Vec<String>,
    /// In the client's order; several of one name are alternatives.
    pub(crate) extensions: Vec<ExtensionOffer>,
}

impl Handshake {
    /// Checks everything but the origin, in the order of §4.2.1, worst first: what the connection
    /// is framed by comes before what it is for.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] whose text begins with the header at fault.
    pub(crate) fn parse(parts: &Parts) -> Result<Self, Rejection> {
        let key = match parts.version {
            Version::HTTP_11 => Some(check_upgrade_request(parts)?),
            Version::HTTP_2 => {
                check_connect_request(parts)?;
                None
            }
            _ => {
                return Err(Rejection::bad_request(
                    "HTTP/1.1 is required for an upgrade",
                ));
            }
        };
        check_origin_is_readable(&parts.headers)?;
        let subprotocols = parse_subprotocols(&parts.headers)?;
        // §9.1: a list that is none fails the handshake; one of unknown extensions does not.
        let extensions = ExtensionOffer::parse_all(&parts.headers)
            .map_err(|malformed| Rejection::bad_request(malformed.to_string()))?;
        Ok(Self {
            key,
            subprotocols,
            extensions,
        })
    }
}

/// What makes a GET of HTTP/1.1 a handshake.
fn check_upgrade_request(parts: &Parts) -> Result<Key, Rejection> {
    if parts.method != Method::GET {
        let allow = HeaderValue::from_static("GET");
        return Err(Rejection::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "a WebSocket begins with GET",
        )
        .with_header(header::ALLOW, allow));
    }
    check_no_body(&parts.headers)?;
    check_host(parts)?;
    check_upgrade(&parts.headers)?;
    if !is_version_13(&parts.headers) {
        return Err(upgrade_required(WRONG_VERSION));
    }
    once(&parts.headers, &header::SEC_WEBSOCKET_KEY)?
        .and_then(|value| Key::parse(value.as_bytes()))
        .ok_or_else(|| Rejection::bad_request("Sec-WebSocket-Key: must be 16 bytes in base64"))
}

/// What makes a CONNECT of HTTP/2 a handshake (RFC 8441 §5). What HTTP/2 itself refuses, such as
/// `Upgrade`, never comes here.
fn check_connect_request(parts: &Parts) -> Result<(), Rejection> {
    match connect_protocol(&parts.extensions) {
        Some(protocol) if parts.method == Method::CONNECT => {
            if !is_websocket(protocol) {
                return Err(Rejection::other_protocol());
            }
        }
        _ => {
            return Err(Rejection::bad_request(
                "over HTTP/2 a WebSocket begins with CONNECT and the `:protocol` websocket",
            ));
        }
    }
    if has_length(&parts.headers) {
        return Err(Rejection::bad_request(NO_BODY));
    }
    check_authority(parts)?;
    if !is_version_13(&parts.headers) {
        // 426 has to name a protocol to upgrade to, in a header that HTTP/2 does not have.
        return Err(with_version_13(Rejection::bad_request(WRONG_VERSION)));
    }
    Ok(())
}

/// A `Sec-WebSocket-Key`: base64 of exactly 16 bytes, kept as it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key([u8; 24]);

impl Key {
    /// Accepts the one way to write 16 bytes in base64 (RFC 4648 §4): 22 characters and two of
    /// padding, and in the last character no bit that the padding would drop (§3.5).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let key: [u8; 24] = bytes.try_into().ok()?;
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
        let canonical =
            key[..21].iter().all(is_base64) && b"AQgw".contains(&key[21]) && key[22..] == *b"==";
        canonical.then_some(Self(key))
    }

    /// The value of `Sec-WebSocket-Accept` that proves that we read it (§4.2.2, item 5.4).
    pub(crate) fn accept(self) -> HeaderValue {
        HeaderValue::try_from(derive_accept_key(&self.0)).expect("base64 is visible ASCII")
    }
}

/// A body on an upgrade would stand where the first frame is expected: one of us and the proxy
/// before us would read it as the wrong thing. What came with it is not read as a request either.
fn check_no_body(headers: &HeaderMap) -> Result<(), Rejection> {
    let fault = if headers.contains_key(header::TRANSFER_ENCODING) {
        "Transfer-Encoding: an upgrade has no body"
    } else if has_length(headers) {
        NO_BODY
    } else {
        return Ok(());
    };
    Err(Rejection::bad_request(fault)
        .with_header(header::CONNECTION, HeaderValue::from_static("close")))
}

fn has_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    lengths.any(|length| length != "0")
}

const NO_BODY: &str = "Content-Length: an upgrade has no body";

/// RFC 9112 §3.2: one valid `Host`, also when the target is absolute and takes its place.
fn check_host(parts: &Parts) -> Result<(), Rejection> {
    let host = once(&parts.headers, &header::HOST)?
        .ok_or_else(|| Rejection::bad_request("Host: is missing"))?;
    if headers::text(host.as_bytes())
        .and_then(HostPort::parse)
        .is_none()
    {
        return Err(Rejection::bad_request("Host: must be a host and a port"));
    }
    match parts.uri.authority() {
        Some(authority) if HostPort::parse(authority.as_str()).is_none() => Err(
            Rejection::bad_request("the request target must name a host and a port only"),
        ),
        _ => Ok(()),
    }
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), Rejection> {
    if !headers::list_contains(headers, &header::UPGRADE, "websocket") {
        return Err(upgrade_required("Upgrade: must contain `websocket`"));
    }
    if !headers::list_contains(headers, &header::CONNECTION, "upgrade") {
        return Err(Rejection::bad_request("Connection: must contain `upgrade`"));
    }
    Ok(())
}

/// RFC 9113 §8.3.1: `:authority` names the host; a `Host` beside it must not name another, and takes
/// its place where a proxy has left it.
fn check_authority(parts: &Parts) -> Result<(), Rejection> {
    let host = once(&parts.headers, &header::HOST)?;
    let host = match host.map(|host| headers::text(host.as_bytes()).and_then(HostPort::parse)) {
        Some(None) => return Err(Rejection::bad_request("Host: must be a host and a port")),
        Some(host) => host,
        None => None,
    };
    let Some(authority) = parts.uri.authority() else {
        return match host {
            Some(_) => Ok(()),
            None => Err(Rejection::bad_request(":authority: is missing")),
        };
    };
    let Some(authority) = HostPort::parse(authority.as_str()) else {
        return Err(Rejection::bad_request(
            ":authority: must be a host and a port",
        ));
    };
    match host {
        Some(host) if !host.is_same(authority, parts.uri.scheme_str()) => Err(
            Rejection::bad_request("Host: is not the host of `:authority`"),
        ),
        _ => Ok(()),
    }
}

/// §4.4: another version is told which one we speak.
fn is_version_13(headers: &HeaderMap) -> bool {
    let version = headers::single(headers, &header::SEC_WEBSOCKET_VERSION);
    matches!(version, Ok(Some(version)) if version == "13")
}

const WRONG_VERSION: &str = "Sec-WebSocket-Version: must be 13";

/// 426, which must say what to upgrade to (RFC 9110 §15.5.22).
fn upgrade_required(body: &str) -> Rejection {
    let rejection = Rejection::new(StatusCode::UPGRADE_REQUIRED, body)
        .with_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
        .with_header(header::UPGRADE, HeaderValue::from_static("websocket"));
    with_version_13(rejection)
}

fn with_version_13(rejection: Rejection) -> Rejection {
    rejection.with_header(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    )
}

/// An origin that is not text must not pass for an absent one, which is trusted.
fn check_origin_is_readable(headers: &HeaderMap) -> Result<(), Rejection> {
    match once(headers, &header::ORIGIN)? {
        Some(origin) if headers::text(origin.as_bytes()).is_none() => {
            Err(Rejection::forbidden("Origin: is not an origin"))
        }
        _ => Ok(()),
    }
}

/// §4.1, item 10: the offers, "ordered by preference", each a token. One that is repeated adds
/// nothing; what follows the first [`MAX_OFFERS`] is not looked at.
fn parse_subprotocols(headers: &HeaderMap) -> Result<Vec<String>, Rejection> {
    let mut offers: Vec<String> = Vec::new();
    for element in headers::elements(headers, &header::SEC_WEBSOCKET_PROTOCOL).take(MAX_OFFERS) {
        let offer = headers::token(element).ok_or_else(|| {
            Rejection::bad_request("Sec-WebSocket-Protocol: every name must be a token")
        })?;
        if !offers.iter().any(|earlier| earlier == offer) {
            offers.push(offer.to_owned());
        }
    }
    Ok(offers)
}

fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Rejection> {
    headers::single(headers, name).map_err(|headers::Repeated| {
        Rejection::bad_request(format!("{}: was sent more than once", title_case(name)))
    })
}

/// `sec-websocket-key` as people write it, so that the sentence can be searched for.
fn title_case(name: &HeaderName) -> &'static str {
    if name == header::SEC_WEBSOCKET_KEY {
        "Sec-WebSocket-Key"
    } else if name == header::HOST {
        "Host"
    } else {
        "Origin"
    }
}

/// How many offered subprotocols are looked at.
///
/// Each is a question to the acceptor, which may ask a database; a browser offers one or two.
const MAX_OFFERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_answered_as_in_the_rfc() {
        let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();

        assert_eq!(key.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn key_has_exactly_one_spelling() {
        let sixteen_zeros = *b"AAAAAAAAAAAAAAAAAAAAAA==";
        assert!(Key::parse(&sixteen_zeros).is_some());

        let last_characters = (0..=u8::MAX)
            .filter(|&last| {
                let mut key = sixteen_zeros;
                key[21] = last;
                Key::parse(&key).is_some()
            })
            .collect::<Vec<_>>();

        // Two of their six bits are the end of the 16th byte; the other four must be zero.
        assert_eq!(last_characters, b"AQgw");
    }

    #[test]
    fn key_of_any_other_length_or_alphabet_is_none() {
        for key in [
            "",
            "AAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAA-AAAAAAAAAAA==",
            "AAAAAAAAAA AAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAA===",
            "AAAAAAAAAAAAAAAAAAAAAA==AAAAAAAAAAAAAAAAAAAAAA==",
        ] {
            assert_eq!(Key::parse(key.as_bytes()), None, "{key}");
        }
    }
}
