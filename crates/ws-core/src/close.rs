//! How a connection says that it ends (RFC 6455 §5.5.1, §7.4).
//!
//! What may be sent and what may be reported are two types: [`CloseCode`] is built only from codes
//! that are allowed on the wire, [`CloseStatus`] also holds the two that describe what the wire did
//! not say.

use bytes::Bytes;

use crate::{ProtocolError, Text};

/// A status code that may appear on the wire (§7.4).
///
/// 1004, 1005, 1006 and 1015 cannot be built: §7.4.1 reserves them, or they describe what the wire
/// did not say.
///
/// ```
/// use ws_core::CloseCode;
/// assert_eq!(CloseCode::GOING_AWAY.get(), 1001);
/// assert_eq!(CloseCode::from_wire(4001).map(CloseCode::get), Some(4001));
/// assert_eq!(CloseCode::from_wire(1006), None);
/// assert_eq!(CloseCode::try_from(4001_u16), Ok(CloseCode::from_wire(4001).unwrap()));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that this endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: a message that is not what its kind promises, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message that breaks this endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: a client that misses an extension it needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: a condition that kept this endpoint from serving the peer.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: overloaded; try again later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway had a bad answer from upstream (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Accepts a code that may be sent: 1000–1003 and 1007–1014, which are registered (§11.7), and
    /// 3000–4999, which are for libraries and applications (§7.4.2).
    #[must_use]
    pub const fn from_wire(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number as it is sent.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = ProtocolError;

    /// As [`Self::from_wire`], with an error for `?`.
    fn try_from(code: u16) -> Result<Self, ProtocolError> {
        Self::from_wire(code).ok_or(ProtocolError::InvalidCloseCode { code })
    }
}

/// How a connection closed, as §7.1.5 defines it: the peer's code, or one of the two that stand
/// for its absence.
///
/// ```
/// use ws_core::{CloseCode, CloseStatus};
/// assert_eq!(CloseStatus::from(CloseCode::NORMAL), 1000);
/// assert_eq!(CloseStatus::NO_STATUS.code(), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CloseStatus(u16);

impl CloseStatus {
    /// 1005: the peer's Close carried no code.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a closing handshake.
    pub const ABNORMAL: Self = Self(1006);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The code that was on the wire, if there was one.
    #[must_use]
    pub const fn code(self) -> Option<CloseCode> {
        CloseCode::from_wire(self.0)
    }
}

impl From<CloseCode> for CloseStatus {
    fn from(code: CloseCode) -> Self {
        Self(code.0)
    }
}

impl PartialEq<u16> for CloseStatus {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl std::fmt::Display for CloseStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The body of a Close frame: a code and a reason, or neither (§5.5.1).
///
/// ```
/// use ws_core::{CloseCode, CloseFrame};
/// let close = CloseFrame::new(CloseCode::NORMAL, "bye");
/// assert_eq!(close.code(), Some(CloseCode::NORMAL));
/// assert_eq!(close.reason(), "bye");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseFrame {
    code: Option<CloseCode>,
    reason: Text,
}

impl CloseFrame {
    /// The longest reason, in bytes: a control frame's 125 less the code's two (§5.5).
    pub const MAX_REASON_BYTES: usize = 123;

    /// A code and its reason, cut to [`Self::MAX_REASON_BYTES`] at a character.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<Text>) -> Self {
        let reason = reason.into();
        let cut = reason
            .as_str()
            .floor_char_boundary_at(Self::MAX_REASON_BYTES);
        let reason = if cut == reason.len() {
            reason
        } else {
            Text::from(reason.as_str()[..cut].to_owned())
        };
        Self {
            code: Some(code),
            reason,
        }
    }

    /// A Close without a body; the peer's application sees 1005.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            code: None,
            reason: Text::new(),
        }
    }

    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::CloseTooShort`] for a single byte, [`ProtocolError::InvalidCloseCode`] for
    /// a code that may not be sent, [`ProtocolError::InvalidUtf8`] for a reason that is not UTF-8.
    pub fn parse(payload: &Bytes) -> Result<Self, ProtocolError> {
        let (code, reason) = match payload.as_ref() {
            [] => return Ok(Self::empty()),
            [_] => return Err(ProtocolError::CloseTooShort),
            [high, low, ..] => (u16::from_be_bytes([*high, *low]), payload.slice(2..)),
        };
        let code = CloseCode::from_wire(code).ok_or(ProtocolError::InvalidCloseCode { code })?;
        // §5.5.1: the reason is UTF-8; §8.1 says what to do when it is not.
        let reason = Text::try_from(reason)?;
        Ok(Self {
            code: Some(code),
            // A copy: at most 123 bytes, and the event outlives the read buffer.
            reason: reason.detach(),
        })
    }

    /// The code, unless the Close had no body.
    #[must_use]
    pub const fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// The reason; empty where there was none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason.as_str()
    }

    /// What §7.1.5 calls the connection's close code: 1005 where the body was empty.
    #[must_use]
    pub fn status(&self) -> CloseStatus {
        self.code.map_or(CloseStatus::NO_STATUS, CloseStatus::from)
    }

    /// The payload as it is sent: at most 125 bytes.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        let Some(code) = self.code else {
            return Vec::new();
        };
        let mut payload = Vec::with_capacity(2 + self.reason.len());
        payload.extend_from_slice(&code.get().to_be_bytes());
        payload.extend_from_slice(self.reason.as_bytes());
        payload
    }
}

/// The last character boundary at or below a byte index.
trait CharBoundary {
    fn floor_char_boundary_at(&self, index: usize) -> usize;
}

impl CharBoundary for str {
    fn floor_char_boundary_at(&self, index: usize) -> usize {
        let mut cut = index.min(self.len());
        while !self.is_char_boundary(cut) {
            cut -= 1;
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_cut_at_a_character_below_124_bytes() {
        let close = CloseFrame::new(CloseCode::NORMAL, "é".repeat(62));

        assert_eq!(close.reason(), "é".repeat(61));
        assert_eq!(close.to_payload().len(), 2 + 122);
    }

    #[test]
    fn every_code_is_sendable_exactly_when_the_registry_says_so() {
        for code in 0..=u16::MAX {
            let sendable = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);

            assert_eq!(CloseCode::from_wire(code).is_some(), sendable, "{code}");
        }
    }

    #[test]
    fn body_round_trips() {
        let close = CloseFrame::new(CloseCode::GOING_AWAY, "später");

        let parsed = CloseFrame::parse(&Bytes::from(close.to_payload()));

        assert_eq!(parsed, Ok(close));
        assert_eq!(
            CloseFrame::parse(&Bytes::new()).map(|close| close.status()),
            Ok(CloseStatus::NO_STATUS)
        );
    }
}
