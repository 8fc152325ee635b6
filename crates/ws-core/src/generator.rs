//! Frames in, bytes out (RFC 6455 §5.2).
//!
//! A *plain* frame is one as a server without extensions sends it: no masking key, no reserved
//! bits. Plain frames are what an outbox holds; a client, or a connection with extensions, takes
//! them apart again with [`split_plain`] and writes them anew.

use bytes::{Buf, Bytes, BytesMut};

use crate::{Frame, FrameHeader, MessageKind, OpCode, ReservedBits, mask};

/// The longest header: two bytes, a 64-bit length, a masking key.
pub const MAX_HEADER_BYTES: usize = 14;

/// Where masking keys come from: something that a peer, and whoever stands between, cannot
/// predict (§5.3, §10.3).
pub trait MaskKeys: Send + std::fmt::Debug {
    /// The key of the next frame.
    fn next_key(&mut self) -> [u8; 4];
}

/// Writes a plain frame.
///
/// ```
/// use bytes::BytesMut;
/// let mut out = BytesMut::new();
/// ws_core::generator::encode_plain(&ws_core::Frame::text("Hello"), &mut out);
/// assert_eq!(out.as_ref(), b"\x81\x05Hello"); // RFC 6455 §5.7
/// ```
pub fn encode_plain(frame: &Frame, out: &mut BytesMut) {
    encode_header(&frame.header(), None, out);
    out.extend_from_slice(&frame.payload);
}

/// Writes a frame masked with `key`.
pub fn encode_masked(frame: &Frame, key: [u8; 4], out: &mut BytesMut) {
    encode_header(&frame.header(), Some(key), out);
    let start = out.len();
    out.extend_from_slice(&frame.payload);
    mask::apply(&mut out[start..], key, 0);
}

/// Writes the header of a message of `len` bytes that is one plain frame.
///
/// ```
/// use ws_core::{MessageKind, generator};
/// let mut out = bytes::BytesMut::new();
/// generator::encode_message_header(MessageKind::Text, 5, &mut out);
/// assert_eq!(out, b"\x81\x05"[..]); // RFC 6455 §5.7
/// ```
#[inline(always)]
pub fn encode_message_header(kind: MessageKind, len: usize, out: &mut BytesMut) {
    let first = 0x80 | kind.opcode().bits();
    match len {
        0..126 => out.extend_from_slice(&[first, len as u8]),
        126..65_536 => {
            let [high, low] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => encode_header(&FrameHeader::whole(kind.opcode(), len as u64), None, out),
    }
}

/// Writes a header, with `key` if the payload that follows will be masked.
pub fn encode_header(header: &FrameHeader, key: Option<[u8; 4]>, out: &mut BytesMut) {
    let first = u8::from(header.fin) << 7 | header.reserved.bits() << 4 | header.opcode.bits();
    let masked = u8::from(key.is_some()) << 7;
    match header.payload_len {
        len @ 0..126 => out.extend_from_slice(&[first, masked | len as u8]),
        len @ 126..65_536 => {
            let [high, low] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, masked | 126, high, low]);
        }
        len => {
            out.extend_from_slice(&[first, masked | 127]);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.extend_from_slice(&key);
    }
}

/// The length of the header of the plain frame that `bytes` begin with, and of its payload.
///
/// `None` when `bytes` do not hold a whole header, or are not a plain frame.
#[must_use]
pub fn plain_lengths(bytes: &[u8]) -> Option<(usize, u64)> {
    match *bytes {
        [first, second, ..] if first & 0x70 == 0 && second & 0x80 == 0 => lengths(second, bytes),
        _ => None,
    }
}

/// Takes the plain frame that `bytes` begin with; `None` when they do not hold a whole one.
pub fn split_plain(bytes: &mut Bytes) -> Option<Frame> {
    let (header_len, payload_len) = plain_lengths(bytes)?;
    let payload_len = usize::try_from(payload_len).ok()?;
    if bytes.len() < header_len.checked_add(payload_len)? {
        return None;
    }
    let first = bytes[0];
    let opcode = OpCode::from_bits(first & 0x0F)?;
    bytes.advance(header_len);
    Some(Frame {
        fin: first & 0x80 != 0,
        reserved: ReservedBits::NONE,
        opcode,
        payload: bytes.split_to(payload_len),
    })
}

/// Puts the plain header and the payload of one frame together; `None` unless they fit.
#[must_use]
pub fn join_plain(header: &[u8], payload: Bytes) -> Option<Frame> {
    let (header_len, payload_len) = plain_lengths(header)?;
    if header.len() != header_len || payload.len() as u64 != payload_len {
        return None;
    }
    Some(Frame {
        fin: header[0] & 0x80 != 0,
        reserved: ReservedBits::NONE,
        opcode: OpCode::from_bits(header[0] & 0x0F)?,
        payload,
    })
}

/// The length of the frame that `bytes` begin with, header and payload together, plain or not.
///
/// `None` when `bytes` do not hold a whole header.
#[must_use]
pub fn wire_length(bytes: &[u8]) -> Option<u64> {
    let second = *bytes.get(1)?;
    let key_len = if second & 0x80 == 0 { 0 } else { 4 };
    let (header_len, payload_len) = lengths(second & 0x7F, bytes)?;
    Some(payload_len + header_len as u64 + key_len)
}

/// The length of a header without its key, and of its payload.
fn lengths(short_len: u8, bytes: &[u8]) -> Option<(usize, u64)> {
    Some(match short_len {
        126 => (
            4,
            u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        len => (2, u64::from(len)),
    })
}
