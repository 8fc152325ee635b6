//! What a frame says it is (RFC 6455 §5.2, §11.8).

/// The four bits that say what a frame is.
///
/// ```
/// use ws_core::OpCode;
/// assert_eq!(OpCode::from_bits(0x9), Some(OpCode::Ping));
/// assert_eq!(OpCode::from_bits(0x3), None); // reserved
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 6455 §11.8 is closed; a new opcode needs a new RFC"
)]
pub enum OpCode {
    /// 0x0: more of the message that is under way (§5.4).
    Continuation,
    /// 0x1: the first frame of a text message (§5.6).
    Text,
    /// 0x2: the first frame of a binary message (§5.6).
    Binary,
    /// 0x8: the closing handshake (§5.5.1).
    Close,
    /// 0x9: asks for a Pong (§5.5.2).
    Ping,
    /// 0xA: answers a Ping, or a heartbeat nobody asked for (§5.5.3).
    Pong,
}

impl OpCode {
    /// The opcode of the low four bits of a frame's first byte; `None` for the reserved ones.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// The four bits as they are sent.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Whether this is Close, Ping or Pong: at most 125 bytes, never fragmented (§5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// The kind of message that a frame of this opcode begins; `None` where it begins none.
    #[must_use]
    pub const fn message_kind(self) -> Option<MessageKind> {
        match self {
            Self::Text => Some(MessageKind::Text),
            Self::Binary => Some(MessageKind::Binary),
            Self::Continuation | Self::Close | Self::Ping | Self::Pong => None,
        }
    }
}

/// What a message carries (§5.6).
///
/// ```
/// use ws_core::{MessageKind, OpCode};
/// assert_eq!(MessageKind::Text.opcode(), OpCode::Text);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 6455 §5.6 defines these two; a third needs a new RFC"
)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Bytes whose meaning is the application's.
    Binary,
}

impl MessageKind {
    /// The opcode of this message's first frame.
    #[must_use]
    pub const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}
