//! What a peer can do wrong, and what it can do too much of.

use crate::CloseCode;

/// The peer broke RFC 6455, or passed a limit of ours, which has 1009 for a code; the connection fails
/// (§7.1.7) with [`ProtocolError::close_code`].
///
/// One variant per sentence of the RFC, in the order the code meets them. Its `Display` is the rule
/// that was broken, fit for the reason of a Close.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit was set and no extension claimed it (§5.2).
    #[error("reserved bits {bits:#05b} set without an extension that defines them")]
    ReservedBits {
        /// RSV1, RSV2, RSV3, from high to low.
        bits: u8,
    },

    /// An opcode that no RFC defines (§5.2).
    #[error("reserved opcode {bits:#x}")]
    ReservedOpCode {
        /// The four bits.
        bits: u8,
    },

    /// A control frame without FIN (§5.5).
    #[error("control frame is fragmented")]
    FragmentedControl,

    /// A continuation while no message is under way (§5.4).
    #[error("continuation without a message to continue")]
    UnexpectedContinuation,

    /// A new message before the last one ended (§5.4).
    #[error("new message before the end of the last one")]
    ExpectedContinuation,

    /// A client that does not mask, or a server that does (§5.1).
    #[error("{}", if *masked { "frame from a server is masked" } else { "frame from a client is not masked" })]
    WrongMasking {
        /// What the frame was.
        masked: bool,
    },

    /// A control frame over 125 bytes (§5.5).
    #[error("control frame of more than 125 bytes")]
    ControlTooLong,

    /// A length written in more bytes than it needs (§5.2).
    #[error("payload length is not in its shortest form")]
    LongLengthForm,

    /// A 64-bit length with its top bit set (§5.2).
    #[error("payload length has its top bit set")]
    LengthTopBit,

    /// A frame that announces more than the configured limit, or that extensions make longer than
    /// that (§10.4).
    #[error("frame of {bytes} bytes passes the limit of {max_bytes}")]
    FrameTooBig {
        /// The length that the header announced, or that had been reached.
        bytes: u64,
        /// The limit in force.
        max_bytes: u64,
    },

    /// A message whose frames announce more than the configured limit, or that extensions make longer
    /// than that (§10.4).
    #[error("message passes the limit of {max_bytes} bytes")]
    MessageTooBig {
        /// The limit in force.
        max_bytes: u64,
    },

    /// A text message, or a close reason, that is not UTF-8 (§8.1).
    #[error("text is not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Offset from the start of the message, not of the frame.
        at: u64,
    },

    /// A Close whose body is a single byte (§5.5.1).
    #[error("Close with half a status code")]
    CloseTooShort,

    /// A Close with a code that may not be sent (§7.4).
    #[error("status code {code} may not be sent")]
    InvalidCloseCode {
        /// The code.
        code: u16,
    },

    /// An extension could not make sense of what it was given.
    #[error("{extension}: {rule}")]
    Extension {
        /// The extension's registered name.
        extension: &'static str,
        /// The rule that was broken.
        rule: &'static str,
        /// The code to fail the connection with.
        code: CloseCode,
    },
}

impl ProtocolError {
    /// The code to fail the connection with.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits { .. }
            | Self::ReservedOpCode { .. }
            | Self::FragmentedControl
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::WrongMasking { .. }
            | Self::ControlTooLong
            | Self::LongLengthForm
            | Self::LengthTopBit
            | Self::CloseTooShort
            | Self::InvalidCloseCode { .. } => CloseCode::PROTOCOL_ERROR,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::InvalidUtf8 { .. } => CloseCode::INVALID_PAYLOAD,
            Self::Extension { code, .. } => code,
        }
    }
}
