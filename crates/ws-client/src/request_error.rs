//! What a caller can get wrong about a request.

use http::header::HeaderName;

/// Why a request cannot be made. The caller's fault: nothing was sent.
///
/// ```
/// use ws_client::{ConnectRequest, RequestError};
///
/// let error = ConnectRequest::to("https://localhost/").unwrap_err();
/// assert_eq!(error, RequestError::UnsupportedScheme);
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The URL is not one of RFC 6455 §3.
    #[error("not a WebSocket URL: {reason}")]
    InvalidUrl {
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The URL's scheme is neither `ws` nor `wss`.
    #[error("not a WebSocket URL: its scheme is neither `ws` nor `wss`")]
    UnsupportedScheme,

    /// A subprotocol is not a token (RFC 9110 §5.6.2).
    #[error("subprotocol is not a token")]
    InvalidSubprotocol,

    /// A subprotocol was offered twice (§4.1: each is unique).
    #[error("subprotocol `{name}` offered twice")]
    RepeatedSubprotocol {
        /// The subprotocol.
        name: String,
    },

    /// A header's name is not a token.
    #[error("header name is not a token")]
    InvalidHeaderName,

    /// The handshake sets this header by itself, or must not have it, over one HTTP or the other.
    #[error("header `{name}` belongs to the handshake")]
    ReservedHeader {
        /// In lower case.
        name: HeaderName,
    },

    /// A header's value has a line break or another control character in it.
    #[error("value of header `{name}` has a control character in it")]
    InvalidHeaderValue {
        /// In lower case.
        name: HeaderName,
    },

    /// There are 64 headers already.
    #[error("more than {MAX_EXTRA_HEADERS} headers added to one request")]
    TooManyHeaders,
}

/// How many headers a caller may add. Servers refuse a head of many: hyper past 100.
pub(crate) const MAX_EXTRA_HEADERS: usize = 64;
