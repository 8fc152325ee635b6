//! Frames and their parts (RFC 6455 §5.2).

use bytes::Bytes;

use crate::{CloseFrame, OpCode};

/// RSV1, RSV2 and RSV3: bits that mean something only to an extension (§5.2).
///
/// ```
/// use ws_core::ReservedBits;
/// assert!(ReservedBits::RSV1.with(ReservedBits::RSV3).contains(ReservedBits::RSV1));
/// assert!(!ReservedBits::NONE.contains(ReservedBits::RSV1));
/// ```
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct ReservedBits(u8);

impl ReservedBits {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// The first reserved bit, which permessage-deflate uses (RFC 7692 §6).
    pub const RSV1: Self = Self(0b100);
    /// The second reserved bit.
    pub const RSV2: Self = Self(0b010);
    /// The third reserved bit.
    pub const RSV3: Self = Self(0b001);

    /// The bits of a frame's first byte.
    pub(crate) const fn from_first_byte(byte: u8) -> Self {
        Self(byte >> 4 & 0b111)
    }

    /// Three bits: RSV1, RSV2, RSV3 from high to low.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// These bits and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These bits less those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every bit of `other` is set here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Debug for ReservedBits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReservedBits({:#05b})", self.0)
    }
}

/// What stands before a frame's payload, less the masking key (§5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHeader {
    pub(crate) fin: bool,
    pub(crate) reserved: ReservedBits,
    pub(crate) opcode: OpCode,
    pub(crate) payload_len: u64,
}

impl FrameHeader {
    /// The header of a message in one frame, or of a control frame: FIN set, no reserved bits.
    #[must_use]
    pub const fn whole(opcode: OpCode, payload_len: u64) -> Self {
        Self {
            fin: true,
            reserved: ReservedBits::NONE,
            opcode,
            payload_len,
        }
    }

    /// The same header with FIN clear: more of the message follows.
    #[must_use]
    pub const fn not_final(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Whether this is the last frame of its message.
    #[must_use]
    pub const fn fin(&self) -> bool {
        self.fin
    }

    /// The reserved bits.
    #[must_use]
    pub const fn reserved(&self) -> ReservedBits {
        self.reserved
    }

    /// What the frame is.
    #[must_use]
    pub const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// The length that the header announced, in bytes.
    #[must_use]
    pub const fn payload_len(&self) -> u64 {
        self.payload_len
    }
}

/// As much of a frame as has arrived: the unit in which frames travel inbound.
///
/// A frame that lay whole in the read buffer is one part, both `first` and `last`. Payload is
/// unmasked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FramePart {
    pub(crate) header: FrameHeader,
    pub(crate) payload: Bytes,
    pub(crate) first: bool,
    pub(crate) last: bool,
    pub(crate) left_plain: bool,
}

impl FramePart {
    /// A whole frame as one part.
    #[must_use]
    pub fn whole(frame: Frame) -> Self {
        Self {
            header: frame.header(),
            payload: frame.payload,
            first: true,
            last: true,
            left_plain: false,
        }
    }

    /// A frame of just this part's payload.
    pub(crate) fn into_frame(self) -> Frame {
        Frame {
            fin: self.header.fin,
            reserved: self.header.reserved,
            opcode: self.header.opcode,
            payload: self.payload,
        }
    }

    /// This part with another payload, for an extension that transforms it.
    #[must_use]
    pub fn with_payload(mut self, payload: Bytes) -> Self {
        self.payload = payload;
        self
    }

    /// This part with other reserved bits, for an extension that sets or clears its own.
    #[must_use]
    pub const fn with_reserved(mut self, reserved: ReservedBits) -> Self {
        self.header.reserved = reserved;
        self
    }

    /// This part as the beginning of an outbound message that no extension shall compress: its
    /// length would tell about a secret in it.
    #[must_use]
    pub const fn left_plain(mut self) -> Self {
        self.left_plain = true;
        self
    }

    /// This part as one behind which another of the same frame follows, for an extension that
    /// makes several of it.
    #[must_use]
    pub const fn not_last(mut self) -> Self {
        self.last = false;
        self
    }

    /// This part as one that follows another of the same frame, for an extension that makes
    /// several of it.
    #[must_use]
    pub const fn not_first(mut self) -> Self {
        self.first = false;
        self
    }

    /// The header of the frame that this is a part of.
    #[must_use]
    pub const fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// These bytes of the payload.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Whether the frame begins with this part.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.first
    }

    /// Whether the frame ends with this part.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.last
    }

    /// Whether the message that begins with this part shall not be compressed.
    #[must_use]
    pub const fn is_left_plain(&self) -> bool {
        self.left_plain
    }

    /// Whether the message ends with this part.
    #[must_use]
    pub const fn ends_message(&self) -> bool {
        self.last && self.header.fin
    }
}

impl From<Frame> for FramePart {
    fn from(frame: Frame) -> Self {
        Self::whole(frame)
    }
}

/// A whole frame, unmasked.
///
/// Received ones have passed every check of §5; one that is sent is checked for its place in the
/// sequence of frames when it is queued.
///
/// ```
/// use ws_core::{Frame, OpCode};
/// let first = Frame::text("Hel").not_final();
/// assert_eq!((first.opcode(), first.fin()), (OpCode::Text, false));
/// assert_eq!(Frame::continuation("lo").payload().as_ref(), b"lo");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub(crate) fin: bool,
    pub(crate) reserved: ReservedBits,
    pub(crate) opcode: OpCode,
    pub(crate) payload: Bytes,
}

impl Frame {
    const fn final_frame(opcode: OpCode, payload: Bytes) -> Self {
        Self {
            fin: true,
            reserved: ReservedBits::NONE,
            opcode,
            payload,
        }
    }

    /// A text message in one frame, or with [`Self::not_final`] its first frame. The payload's
    /// UTF-8 is the sender's promise: a character may be cut between two frames.
    #[must_use]
    pub fn text(payload: impl Into<Bytes>) -> Self {
        Self::final_frame(OpCode::Text, payload.into())
    }

    /// A binary message in one frame, or with [`Self::not_final`] its first frame.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::final_frame(OpCode::Binary, payload.into())
    }

    /// The last frame of the message under way, or with [`Self::not_final`] one more of it.
    #[must_use]
    pub fn continuation(payload: impl Into<Bytes>) -> Self {
        Self::final_frame(OpCode::Continuation, payload.into())
    }

    /// The header that this frame is sent with.
    #[must_use]
    pub const fn header(&self) -> FrameHeader {
        FrameHeader {
            fin: self.fin,
            reserved: self.reserved,
            opcode: self.opcode,
            payload_len: self.payload.len() as u64,
        }
    }

    /// A Ping. More than 125 bytes are refused where it is queued (§5.5).
    #[must_use]
    pub fn ping(payload: impl Into<Bytes>) -> Self {
        Self::final_frame(OpCode::Ping, payload.into())
    }

    /// A Pong. More than 125 bytes are refused where it is queued (§5.5).
    #[must_use]
    pub fn pong(payload: impl Into<Bytes>) -> Self {
        Self::final_frame(OpCode::Pong, payload.into())
    }

    /// A Close.
    #[must_use]
    pub fn close(close: &CloseFrame) -> Self {
        Self::final_frame(OpCode::Close, close.to_payload().into())
    }

    /// The same frame with FIN clear: more of the message follows.
    #[must_use]
    pub const fn not_final(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Whether this is the last frame of its message.
    #[must_use]
    pub const fn fin(&self) -> bool {
        self.fin
    }

    /// The reserved bits that no extension has cleared.
    #[must_use]
    pub const fn reserved(&self) -> ReservedBits {
        self.reserved
    }

    /// What the frame is.
    #[must_use]
    pub const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// The payload, unmasked and after every extension.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, without a copy.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.payload
    }
}
