//! From a whole handshake to the answer (RFC 6455 §4.2.2, RFC 8441 §5): origin, subprotocol,
//! response.
//!
//! ```text
//!   UpgradeRequest ─▶ OriginChecked ─▶ Candidate ─▶ Negotiated ─▶ Response (101, or 200 over HTTP/2)
//!                                      one per offer, then one with none
//! ```
//!
//! Each consumes or comes from the one before it, so no step can be skipped, and a subprotocol
//! that was not offered cannot be named: there is no candidate of it.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{self, HeaderName},
};

use crate::{ExtensionOffer, KeptHeaders, Rejection, RequestSnapshot, UpgradeRequest};

/// A handshake whose origin may connect.
#[derive(Debug)]
pub(crate) struct OriginChecked(UpgradeRequest);

impl OriginChecked {
    /// Asks `allows` about the origin; one that is absent passes, since only browsers are bound
    /// to send it (§10.2).
    ///
    /// # Errors
    ///
    /// 403 if it may not connect.
    pub(crate) fn check(
        request: UpgradeRequest,
        allows: impl FnOnce(&str, &UpgradeRequest) -> bool,
    ) -> Result<Self, Rejection> {
        match request.origin() {
            Some(origin) if !allows(origin, &request) => Err(Rejection::forbidden(
                "Origin: may not open a WebSocket here",
            )),
            _ => Ok(Self(request)),
        }
    }

    /// Whether the client offers a subprotocol.
    pub(crate) fn has_offers(&self) -> bool {
        !self.0.subprotocols().is_empty()
    }

    /// What may be chosen, in the order to ask for it: the client's offers, then none of them.
    pub(crate) fn candidates(self) -> impl Iterator<Item = Candidate> {
        let offers = self.0.subprotocols().len();
        (0..offers)
            .map(Some)
            .chain([None])
            .map(move |offer| Candidate {
                request: self.0.clone(),
                offer,
            })
    }
}

/// One way to answer: with a subprotocol that was offered, or with none.
#[derive(Debug)]
pub(crate) struct Candidate {
    request: UpgradeRequest,
    /// An index into the request's subprotocols, which it does not leave.
    offer: Option<usize>,
}

impl Candidate {
    pub(crate) fn request(&self) -> &UpgradeRequest {
        &self.request
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.offer
            .map(|offer| self.request.subprotocols()[offer].as_str())
    }

    /// The acceptor has an endpoint for this one; the factory knows these of its extensions.
    pub(crate) fn select(self, extensions: Vec<ExtensionOffer>) -> Negotiated {
        Negotiated {
            candidate: self,
            extensions,
        }
    }

    /// 400: the acceptor had no endpoint for any candidate, whether or not there were `offers`. What
    /// is served is not listed: who may use it the endpoint factories know, and they were not asked.
    pub(crate) fn none_selected(offers: bool) -> Rejection {
        Rejection::bad_request(match offers {
            true => "Sec-WebSocket-Protocol: names nothing that is served here",
            false => "Sec-WebSocket-Protocol: missing; a subprotocol must be offered here",
        })
    }
}

/// A handshake that is accepted; only [`Candidate::select`] makes one.
#[derive(Debug)]
pub(crate) struct Negotiated {
    candidate: Candidate,
    extensions: Vec<ExtensionOffer>,
}

impl Negotiated {
    /// What the session keeps of the request.
    pub(crate) fn snapshot(&self, kept: &KeptHeaders) -> RequestSnapshot {
        RequestSnapshot::of(
            self.candidate.request().parts(),
            self.candidate.subprotocol(),
            &self.extensions,
            kept,
        )
    }

    /// The 101 that turns the connection over to us (§4.2.2), or the 200 that makes a stream of it
    /// ours (RFC 8441 §5).
    pub(crate) fn into_response(self, extra: ExtraHeaders) -> Response<String> {
        let mut response = Response::new(String::new());
        let mut headers = extra.0;
        if let Some(key) = self.candidate.request.key() {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, key.accept());
        }
        if let Some(extensions) = ExtensionOffer::header(&self.extensions) {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
        }
        if let Some(subprotocol) = self.candidate.subprotocol() {
            let value = HeaderValue::from_str(subprotocol).expect("a token is visible ASCII");
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        *response.headers_mut() = headers;
        response
    }
}

/// What an application adds to the 101 or the 200: none of its headers is the handshake's.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtraHeaders(HeaderMap);

impl ExtraHeaders {
    /// Adds a header; one of that name that is there already stays.
    ///
    /// # Errors
    ///
    /// See [`HeaderError`]; nothing was added.
    pub(crate) fn append<N, V>(&mut self, name: N, value: V) -> Result<(), HeaderError>
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name = name.try_into().map_err(|_| HeaderError::InvalidName)?;
        if is_owned_by_handshake(&name) {
            return Err(HeaderError::Reserved { name });
        }
        // A line break would end the header and begin one of the value's choosing.
        let Ok(value) = value.try_into() else {
            return Err(HeaderError::InvalidValue { name });
        };
        if self.0.len() >= MAX_EXTRA_HEADERS {
            return Err(HeaderError::TooMany);
        }
        self.0.append(name, value);
        Ok(())
    }
}

/// Why a header cannot be added to the answer that accepts. The application's fault, never the peer's.
///
/// In an endpoint factory `?` turns it into a 500.
///
/// ```
/// use ws_factory::{HeaderError, Rejection};
///
/// assert_eq!(Rejection::from(HeaderError::InvalidName).status(), 500);
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is not a token.
    #[error("header name is not a token")]
    InvalidName,

    /// The handshake sets this header itself, or its answer must not have it (RFC 9110 §8.6).
    #[error("header `{name}` belongs to the handshake")]
    Reserved {
        /// In lower case.
        name: HeaderName,
    },

    /// The value has a line break or another control character in it.
    #[error("value of header `{name}` has a control character in it")]
    InvalidValue {
        /// In lower case.
        name: HeaderName,
    },

    /// There are 64 already.
    #[error("more than {MAX_EXTRA_HEADERS} headers added to one response")]
    TooMany,
}

fn is_owned_by_handshake(name: &HeaderName) -> bool {
    const FRAMING: [HeaderName; 4] = [
        header::CONNECTION,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    FRAMING.contains(name) || name.as_str().starts_with("sec-websocket-")
}

/// How many headers an application may add.
///
/// Clients refuse a head of many: hyper past 100, tungstenite past 124.
const MAX_EXTRA_HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OriginPolicy,
        request::tests::{handshake, parsed},
    };

    fn candidates(offers: &'static str) -> Vec<Candidate> {
        let request = parsed(handshake().header("sec-websocket-protocol", offers));
        let checked = OriginChecked::check(request, |_, _| false).unwrap();
        checked.candidates().collect()
    }

    /// Hostile input H1.
    #[test]
    fn plain_handshake_gets_exactly_the_three_headers_of_a_101() {
        let [candidate] = candidates("").try_into().unwrap();

        let response = candidate
            .select(Vec::new())
            .into_response(ExtraHeaders::default());

        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["connection"], "Upgrade");
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(response.headers().len(), 3);
        assert_eq!(response.body(), "");
    }

    /// Hostile input H32: whatever an endpoint wants, there is nothing else to select.
    #[test]
    fn candidates_are_the_offers_in_order_and_then_none() {
        let candidates = candidates("b, a, b");

        let names: Vec<_> = candidates.iter().map(Candidate::subprotocol).collect();

        assert_eq!(names, [Some("b"), Some("a"), None]);
    }

    #[test]
    fn selected_subprotocol_is_in_the_101_and_in_the_snapshot() {
        let candidate = candidates("b, a").swap_remove(1);

        let negotiated = candidate.select(vec![ExtensionOffer::new("identity")]);

        let snapshot = negotiated.snapshot(&KeptHeaders::None);
        let response = negotiated.into_response(ExtraHeaders::default());
        assert_eq!(snapshot.subprotocol(), Some("a"));
        assert_eq!(response.headers()["sec-websocket-protocol"], "a");
        assert_eq!(snapshot.extensions(), "identity");
        assert_eq!(response.headers()["sec-websocket-extensions"], "identity");
    }

    #[test]
    fn origin_is_refused_with_403_and_absent_it_is_not_asked_about() {
        let foreign = parsed(handshake().header("origin", "https://evil.example"));
        let same_origin = OriginPolicy::same_origin();

        let refused = OriginChecked::check(foreign.clone(), |o, r| same_origin.allows(o, r));
        let allowed = OriginChecked::check(foreign, |o, r| OriginPolicy::any().allows(o, r));
        let absent = OriginChecked::check(parsed(handshake()), |_, _| panic!("asked"));

        assert_eq!(refused.unwrap_err().status(), 403);
        assert!(allowed.is_ok());
        assert!(absent.is_ok());
    }

    #[test]
    fn added_header_is_in_the_101_as_often_as_it_was_added() {
        let mut extra = ExtraHeaders::default();
        extra.append("Set-Cookie", "a=1").unwrap();
        extra.append(header::SET_COOKIE, "b=2".to_owned()).unwrap();

        let response = candidates("")
            .swap_remove(0)
            .select(Vec::new())
            .into_response(extra);

        let cookies = response.headers().get_all("set-cookie");
        assert!(cookies.iter().eq(["a=1", "b=2"]));
    }

    #[test]
    fn header_of_the_handshake_cannot_be_added() {
        for name in [
            "Connection",
            "upgrade",
            "Content-Length",
            "Transfer-Encoding",
            "Sec-WebSocket-Accept",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
            "sec-websocket-anything",
        ] {
            let error = ExtraHeaders::default().append(name, "x").unwrap_err();

            assert!(matches!(error, HeaderError::Reserved { .. }), "{name}");
        }
    }

    /// Hostile input H33.
    #[test]
    fn line_break_in_an_added_header_is_an_error_of_the_api() {
        for value in ["x\r\nSet-Cookie: y", "x\ny", "x\ry", "x\0y"] {
            let error = ExtraHeaders::default().append("x-room", value).unwrap_err();
            assert!(
                matches!(error, HeaderError::InvalidValue { .. }),
                "{value:?}"
            );
        }
        for name in ["x-room\r\nx", "x room", "x:room", ""] {
            let error = ExtraHeaders::default().append(name, "7").unwrap_err();
            assert_eq!(error, HeaderError::InvalidName, "{name:?}");
        }
    }

    #[test]
    fn headers_without_end_are_an_error_and_not_a_panic() {
        let mut extra = ExtraHeaders::default();
        for _ in 0..MAX_EXTRA_HEADERS {
            extra.append("x-room", "7").unwrap();
        }

        assert_eq!(extra.append("x-room", "7"), Err(HeaderError::TooMany));
    }
}
