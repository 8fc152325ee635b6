//! The head of a 101, or of a 200 over HTTP/2, in; the agreed subprotocol, or the rule that it
//! breaks, out (RFC 6455 §4.1, RFC 8441 §5).
//!
//! Any other status is no answer to a handshake but a refusal of it, and never comes here.

use http::{Version, header, response::Parts};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use ws_factory::{ExtensionOffer, headers};

/// The server accepted but broke a rule of the handshake; the connection was dropped.
///
/// One variant per rule, in the order in which they are checked.
///
/// ```
/// use ws_client::HandshakeError;
///
/// let error = HandshakeError::Accept;
/// assert_eq!(error.to_string(), "`Sec-WebSocket-Accept` is not the answer to our key");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The answer is not HTTP/1.1.
    #[error("the answer is not HTTP/1.1")]
    Version,

    /// `Upgrade` is missing, or is not `websocket`.
    #[error("`Upgrade` is not `websocket`")]
    Upgrade,

    /// `Connection` is missing, or does not list `upgrade`.
    #[error("`Connection` does not list `upgrade`")]
    Connection,

    /// `Sec-WebSocket-Accept` is missing, there twice, or not what our key makes.
    #[error("`Sec-WebSocket-Accept` is not the answer to our key")]
    Accept,

    /// `Sec-WebSocket-Protocol` is there twice, or names a subprotocol that was not offered.
    #[error("`Sec-WebSocket-Protocol` names what was not offered")]
    Subprotocol,

    /// `Sec-WebSocket-Extensions` is not a list of extensions, or does not answer what was offered.
    #[error("`Sec-WebSocket-Extensions`: {rule}")]
    Extension {
        /// The rule that it breaks.
        rule: &'static str,
    },
}

/// Checks what only HTTP/1 has: that the answer is one to an upgrade with this key.
pub(crate) fn check_upgrade(answer: &Parts, key: &str) -> Result<(), HandshakeError> {
    let fields = &answer.headers;
    // §4.2.2: the status line is that of HTTP/1.1.
    if answer.version != Version::HTTP_11 {
        return Err(HandshakeError::Version);
    }
    let mut upgrades = headers::elements(fields, &header::UPGRADE);
    let is_ours = |upgrade: &[u8]| upgrade.eq_ignore_ascii_case(b"websocket");
    if !upgrades.next().is_some_and(is_ours) || upgrades.next().is_some() {
        return Err(HandshakeError::Upgrade);
    }
    if !headers::list_contains(fields, &header::CONNECTION, "upgrade") {
        return Err(HandshakeError::Connection);
    }
    match headers::single(fields, &header::SEC_WEBSOCKET_ACCEPT) {
        Ok(Some(accept)) if *accept == derive_accept_key(key.as_bytes()) => Ok(()),
        _ => Err(HandshakeError::Accept),
    }
}

/// Which of these offers the server has taken.
pub(crate) fn subprotocol<'a>(
    answer: &Parts,
    offers: &'a [String],
) -> Result<Option<&'a str>, HandshakeError> {
    match headers::single(&answer.headers, &header::SEC_WEBSOCKET_PROTOCOL) {
        Ok(None) => Ok(None),
        Ok(Some(name)) => {
            let offer = offers.iter().find(|offer| *offer == name);
            offer
                .map(|offer| Some(offer.as_str()))
                .ok_or(HandshakeError::Subprotocol)
        }
        Err(_repeated) => Err(HandshakeError::Subprotocol),
    }
}

/// What the server says of extensions.
pub(crate) fn extensions(answer: &Parts) -> Result<Vec<ExtensionOffer>, HandshakeError> {
    let rule = "not a list of extensions";
    ExtensionOffer::parse_all(&answer.headers).map_err(|_| HandshakeError::Extension { rule })
}

#[cfg(test)]
mod tests {
    use http::{Response, response::Builder};

    use super::*;

    /// The key and the accept of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn answer() -> Builder {
        Response::builder()
            .status(101)
            .header("upgrade", "WebSocket")
            .header("connection", "keep-alive, Upgrade")
            .header("sec-websocket-accept", ACCEPT)
    }

    fn without(name: &str) -> Builder {
        let mut answer = answer();
        answer.headers_mut().unwrap().remove(name);
        answer
    }

    fn verdict(answer: Builder) -> Result<Option<String>, HandshakeError> {
        let (parts, ()) = answer.body(()).unwrap().into_parts();
        let offers = ["b".to_owned(), "a".to_owned()];
        check_upgrade(&parts, KEY)?;
        subprotocol(&parts, &offers).map(|agreed| agreed.map(str::to_owned))
    }

    #[test]
    fn good_answer_agrees_on_an_offer_or_on_none() {
        assert_eq!(verdict(answer()), Ok(None));

        let agreed = verdict(answer().header("sec-websocket-protocol", "a"));
        assert_eq!(agreed, Ok(Some("a".to_owned())));
    }

    #[test]
    fn each_rule_broken_is_an_error_that_names_the_header() {
        use HandshakeError::{Accept, Connection, Subprotocol, Upgrade};
        let protocol = "sec-websocket-protocol";
        let cases = [
            (answer().version(Version::HTTP_10), HandshakeError::Version),
            (without("upgrade"), Upgrade),
            (without("upgrade").header("upgrade", "h2c"), Upgrade),
            (answer().header("upgrade", "h2c"), Upgrade),
            (without("connection"), Connection),
            (
                without("connection").header("connection", "notupgrade"),
                Connection,
            ),
            (without("sec-websocket-accept"), Accept),
            (
                without("sec-websocket-accept").header("sec-websocket-accept", KEY),
                Accept,
            ),
            (answer().header("sec-websocket-accept", ACCEPT), Accept),
            (answer().header(protocol, "c"), Subprotocol),
            (answer().header(protocol, "A"), Subprotocol),
            (answer().header(protocol, "b, a"), Subprotocol),
            (answer().header(protocol, ""), Subprotocol),
            (
                answer().header(protocol, "a").header(protocol, "a"),
                Subprotocol,
            ),
        ];

        for (answer, want) in cases {
            let shown = format!("{answer:?}");
            assert_eq!(verdict(answer), Err(want), "{shown}");
        }
    }
}
