//! Why a handshake was refused, as one of few: what refusals are counted and told by.

use http::{StatusCode, header};

use crate::Rejection;

/// Why a handshake was refused.
///
/// ```
/// use ws_factory::RefusalReason;
///
/// # fn report(factory: &ws_factory::WebSocketFactory) {
/// let stats = factory.stats();
/// for reason in RefusalReason::ALL {
///     println!("{}: {}", reason.as_str(), stats.refused_for(reason));
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// Another method than GET: 405.
    Method,
    /// Another version of the WebSocket protocol than 13: 426, over HTTP/2 400.
    Version,
    /// A header, or the version of HTTP, that no handshake may have: 400.
    Header,
    /// An `Origin` that may not connect, or is not text: 403.
    Origin,
    /// Nothing is served under the subprotocols that were offered, nor without one: 400.
    NoEndpoint,
    /// The application's decision: whatever its `Rejection` says.
    Application,
    /// The application's fault: an error or a panic where the endpoint was to be made, 500.
    Failed,
    /// The endpoint was not made in time, `Policy::accept_deadline`: 503.
    Timeout,
    /// `Policy::max_sessions`: 503.
    Sessions,
    /// `Policy::max_sessions_per_peer`: 503.
    SessionsOfPeer,
    /// `Policy::max_handshakes`: 503.
    Handshakes,
    /// The factory is shutting down: 503.
    ShuttingDown,
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: [Self; REASONS] = [
        Self::Method,
        Self::Version,
        Self::Header,
        Self::Origin,
        Self::NoEndpoint,
        Self::Application,
        Self::Failed,
        Self::Timeout,
        Self::Sessions,
        Self::SessionsOfPeer,
        Self::Handshakes,
        Self::ShuttingDown,
    ];

    /// The reason as a word for logs and labels, such as `"no_endpoint"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Version => "version",
            Self::Header => "header",
            Self::Origin => "origin",
            Self::NoEndpoint => "no_endpoint",
            Self::Application => "application",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Sessions => "sessions",
            Self::SessionsOfPeer => "sessions_of_peer",
            Self::Handshakes => "handshakes",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// Why the head of a handshake was refused, by the answer that says so.
    pub(crate) fn of_head(rejection: &Rejection) -> Self {
        let headers = rejection.headers();
        match rejection.status() {
            // Of its own status over HTTP/1 only.
            _ if headers.contains_key(header::SEC_WEBSOCKET_VERSION) => Self::Version,
            StatusCode::METHOD_NOT_ALLOWED => Self::Method,
            StatusCode::FORBIDDEN => Self::Origin,
            _ => Self::Header,
        }
    }

    /// The place of its count.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// How many reasons there are.
pub(crate) const REASONS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_and_a_word_of_its_own() {
        for (index, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            let same = |other: &RefusalReason| other.as_str() == reason.as_str();
            assert_eq!(RefusalReason::ALL.iter().filter(|it| same(it)).count(), 1);
        }
    }
}
