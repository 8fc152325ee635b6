//! The compression of the other end: RFC 7692 §7.2 in so many words, on flate2.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// What a sync flush ends with, and a message goes without (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Whether a direction goes on where the last message ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Context {
    Kept,
    Anew,
}

/// Both directions of a peer.
pub(crate) struct Codec {
    context: Context,
    compress: Compress,
    inflate: Decompress,
}

impl Codec {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            compress: Compress::new(Compression::new(6), false),
            inflate: Decompress::new(false),
        }
    }

    /// The payload of a message that is not empty, for one frame or to be cut.
    pub(crate) fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() * 2 + 64);
        self.compress
            .compress_vec(message, &mut out, FlushCompress::Sync)
            .unwrap();
        assert!(out.ends_with(&TAIL), "there was room");
        out.truncate(out.len() - TAIL.len());
        if self.context == Context::Anew {
            self.compress.reset();
        }
        out
    }

    /// The message that the payloads of all its frames stand for.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let mut rest = &input[..];
        let mut out = Vec::with_capacity(1024);
        loop {
            let taken = self.inflate.total_in();
            self.inflate
                .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                .expect("what a session sends is DEFLATE data");
            rest = &rest[(self.inflate.total_in() - taken) as usize..];
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
            out.reserve(out.len());
        }
        if self.context == Context::Anew {
            self.inflate.reset(false);
        }
        out
    }
}

/// Bytes of which any two parts differ: they compress to three quarters, and never to nothing.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ len as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8 & 63
    };
    std::iter::repeat_with(next).take(len).collect()
}
