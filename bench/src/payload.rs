//! What the messages of a load hold: always the same for the same kind and size.

use std::io::Write;

use clap::ValueEnum;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::frame;

/// The kind of a load's messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes that follow no pattern.
    Binary,
    /// Text of which no character is ASCII: two, three and four bytes each.
    Unicode,
    /// Text: JSON, as a telemetry service might send it.
    Json,
}

impl Kind {
    /// Its opcode.
    #[must_use]
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Binary => frame::BINARY,
            Self::Unicode | Self::Json => frame::TEXT,
        }
    }

    /// A payload of this many bytes.
    #[must_use]
    pub fn payload(self, bytes: usize) -> Vec<u8> {
        match self {
            Self::Binary => binary(bytes),
            Self::Unicode => unicode(bytes),
            Self::Json => json(bytes),
        }
    }
}

/// The high byte of a linear congruential generator, Knuth's.
fn binary(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// What does not divide evenly is filled up with dots.
fn unicode(bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes);
    for c in "Žluťoučký кůň 猫は窓辺で眠る 🦀"
        .replace(['l', 'u', 'o', 'k', ' '], "")
        .chars()
        .cycle()
    {
        if text.len() + c.len_utf8() > bytes {
            break;
        }
        text.push(c);
    }
    let mut text = text.into_bytes();
    text.resize(bytes, b'.');
    text
}

/// Cut where the size ends: a server does not read it.
fn json(bytes: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(bytes + 80);
    json.push(b'[');
    for at in 0_u32.. {
        let value = at.wrapping_mul(2_654_435_761);
        // Writing to memory does not fail.
        let _written = write!(
            json,
            r#"{{"id":{at},"name":"user {value:x}","balance":{}}},"#,
            value >> 8
        );
        if json.len() >= bytes {
            break;
        }
    }
    json.truncate(bytes);
    json
}

/// A message's payload compressed for itself, as RFC 7692 §7.2.1 says.
#[must_use]
pub fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(payload.len() + 64);
    // The room is enough for what cannot be compressed at all.
    let _done = deflate.compress_vec(payload, &mut out, FlushCompress::Sync);
    out.truncate(out.len() - EMPTY_BLOCK.len());
    out
}

/// The other way (§7.2.2); `None` when it is not what a compressor wrote, or longer than `at_most`.
#[must_use]
pub fn inflated(payload: &[u8], at_most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(at_most + 1);
    let whole = [payload, EMPTY_BLOCK].concat();
    Decompress::new(false)
        .decompress_vec(&whole, &mut out, FlushDecompress::Sync)
        .ok()?;
    (out.len() <= at_most).then_some(out)
}

/// What a flush ends with, and a message leaves out.
const EMPTY_BLOCK: &[u8] = &[0x00, 0x00, 0xff, 0xff];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_size_asked_for() {
        for kind in Kind::value_variants() {
            assert_eq!(kind.payload(1_024).len(), 1_024, "{kind:?}");
        }
    }

    #[test]
    fn unicode_is_utf8_and_hardly_any_of_it_ascii() {
        let payload = Kind::Unicode.payload(1_024);

        let text = String::from_utf8(payload).unwrap();
        let ascii = text.bytes().filter(u8::is_ascii).count();
        assert!(ascii < 4, "{ascii}");
    }

    #[test]
    fn compressed_message_is_the_same_when_inflated() {
        let payload = Kind::Json.payload(16 << 10);
        let deflated = deflated(&payload);

        assert!(deflated.len() < payload.len() / 2);
        assert_eq!(inflated(&deflated, payload.len()), Some(payload));
    }
}
