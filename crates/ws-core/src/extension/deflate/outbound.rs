//! Frames of messages in, compressed or left as they are out (RFC 7692 §6.1, §7.2.1).

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateFlush};

use super::{
    TAIL,
    pool::{self, Setting},
};
use crate::{FramePart, OpCode, ReservedBits};

/// What we compress, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compression {
    pub(super) setting: Setting,
    pub(super) keeps_context: bool,
    pub(super) threshold_bytes: usize,
}

/// The way to the peer.
pub(super) struct Outbound {
    compression: Compression,
    /// The context that is kept, or that of the message under way.
    state: Option<Deflate>,
    /// Whether the message under way is compressed.
    compresses: bool,
    frame: Option<FramePart>,
}

impl Outbound {
    pub(super) const fn new(compression: Compression) -> Self {
        Self {
            compression,
            state: None,
            compresses: false,
            frame: None,
        }
    }

    /// What a compressed message depends on, unless it depends on those before it.
    pub(super) fn key(&self) -> Option<u64> {
        let Compression {
            setting,
            keeps_context,
            threshold_bytes,
        } = self.compression;
        // Two thresholds that differ above 2^48 bytes differ for no message.
        let threshold = (threshold_bytes as u64).min(u64::MAX >> 16);
        let setting = u64::from(setting.window_bits) << 56 | u64::from(setting.level) << 48;
        (!keeps_context).then_some(setting | threshold)
    }

    pub(super) fn push(&mut self, frame: FramePart) {
        self.frame = Some(frame);
    }

    pub(super) fn poll(&mut self) -> Option<FramePart> {
        let frame = self.frame.take()?;
        let begins = frame.header.opcode != OpCode::Continuation;
        let ends = frame.header.fin;
        if begins {
            let nothing = ends && frame.payload.is_empty();
            let long_enough = frame.payload.len() >= self.compression.threshold_bytes;
            self.compresses = long_enough && !nothing && !frame.left_plain;
        }
        if !self.compresses {
            return Some(frame);
        }

        // With a context there is no way back: the peer has to inflate what the context took in.
        let max_bytes = match begins && ends && !self.compression.keeps_context {
            true => frame.payload.len(),
            false => usize::MAX,
        };
        let compressed = self.compress(&frame.payload, ends, max_bytes);
        if ends && !self.compression.keeps_context {
            self.release();
        }
        let Some(payload) = compressed else {
            return Some(frame);
        };
        // §6.1: only the first frame of a message has the bit.
        let mark = match begins {
            true => ReservedBits::RSV1,
            false => ReservedBits::NONE,
        };
        let reserved = frame.header.reserved.with(mark);
        Some(frame.with_payload(payload).with_reserved(reserved))
    }

    /// The DEFLATE data of one frame; `None` when it is not smaller than `max_bytes`.
    fn compress(&mut self, payload: &[u8], ends: bool, max_bytes: usize) -> Option<Bytes> {
        if payload.is_empty() {
            // Each frame ends with a flush, and a flush leaves the data at the start of a byte.
            // An empty block that is not final begins with this one, and ends with the tail.
            let empty: &[u8] = if ends { &[0x00] } else { &[] };
            return Some(Bytes::from_static(empty));
        }

        let setting = self.compression.setting;
        let state = self
            .state
            .get_or_insert_with(|| pool::take_deflate(setting));
        let mut buffer = pool::take_buffer();
        let mut full = Vec::new();
        let mut rest = payload;
        let last = loop {
            let (read, wrote) = (state.total_in(), state.total_out());
            state
                .compress(rest, &mut buffer, DeflateFlush::SyncFlush)
                .expect("a compressor that has room fails on no input");
            // Cannot truncate: at most the lengths of the two slices.
            rest = &rest[(state.total_in() - read) as usize..];
            let written = (state.total_out() - wrote) as usize;
            if written < buffer.len() || full.len() >= max_bytes {
                break &buffer[..written];
            }
            full.extend_from_slice(&buffer);
        };

        // Most messages fit into the buffer, and take one allocation of their own size.
        let tail: &[u8] = if ends { &TAIL } else { &[] };
        let compressed = if full.is_empty() {
            Bytes::copy_from_slice(last.strip_suffix(tail).unwrap_or(last))
        } else {
            full.extend_from_slice(last);
            let len = full.strip_suffix(tail).map_or(full.len(), <[u8]>::len);
            full.truncate(len);
            full.into()
        };
        pool::give_buffer(buffer);
        (compressed.len() < max_bytes).then_some(compressed)
    }

    fn release(&mut self) {
        if let Some(state) = self.state.take() {
            pool::give_deflate(self.compression.setting, state);
        }
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound")
            .field("compression", &self.compression)
            .field("compresses", &self.compresses)
            .finish_non_exhaustive()
    }
}
