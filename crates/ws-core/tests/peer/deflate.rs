//! The other end of the compression: flate2 (on miniz_oxide), used directly.

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use ws_core::extension::{DeflateConfig, PerMessageDeflate};
use ws_core::{Connection, Delivery, ExtensionStack, Frame, FramePart, Limits, Role, generator};

/// What a sync flush ends with (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The two directions of a peer.
pub(crate) struct Oracle {
    compress: Compress,
    inflate: Decompress,
    no_context: bool,
}

impl Oracle {
    pub(crate) fn new(no_context: bool) -> Self {
        Self {
            compress: Compress::new(Compression::new(6), false),
            inflate: Decompress::new(false),
            no_context,
        }
    }

    /// The payload of one frame of a compressed message.
    pub(crate) fn compress(&mut self, payload: &[u8], fin: bool) -> Vec<u8> {
        // In one call: one that runs out of room is not sure to end with its tail.
        let mut out = Vec::with_capacity(payload.len() * 2 + 1024);
        let before = self.compress.total_in();
        self.compress
            .compress_vec(payload, &mut out, FlushCompress::Sync)
            .expect("any bytes can be compressed");
        let taken = self.compress.total_in() - before;
        assert_eq!(taken, payload.len() as u64, "there was room for all");
        if !fin {
            return out;
        }
        if out.is_empty() {
            out.push(0);
        }
        if out != [0] {
            assert!(out.ends_with(&TAIL), "a flush ends with its tail");
            out.truncate(out.len() - TAIL.len());
        }
        if self.no_context {
            self.compress.reset();
        }
        out
    }

    /// The message that the payloads of its frames stand for, one after the other.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let mut out = Vec::new();
        let mut taken = 0;
        loop {
            out.reserve(1024);
            let before = self.inflate.total_in();
            let status = self
                .inflate
                .decompress_vec(&input[taken..], &mut out, FlushDecompress::Sync)
                .expect("what we send is DEFLATE data");
            assert_ne!(status, Status::StreamEnd, "no block is final");
            taken += (self.inflate.total_in() - before) as usize;
            if taken == input.len() && out.len() < out.capacity() {
                break;
            }
        }
        if self.no_context {
            self.inflate.reset(false);
        }
        out
    }
}

/// What a server and a client make of `config` when they talk to each other.
pub(crate) fn both_ends(config: DeflateConfig) -> (PerMessageDeflate, PerMessageDeflate) {
    let offer = config.offer();
    let (server, agreed) = config.accept(&borrowed(&offer)).expect("our own offer");
    let client = config.agree(&borrowed(&agreed)).expect("our own answer");
    (server, client)
}

pub(crate) fn borrowed(params: &[(String, Option<String>)]) -> Vec<(&str, Option<&str>)> {
    params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect()
}

pub(crate) fn connection(
    role: Role,
    deflate: PerMessageDeflate,
    limits: Limits,
    delivery: Delivery,
) -> Connection {
    let mut stack = ExtensionStack::default();
    stack.push(Box::new(deflate)).expect("the only extension");
    Connection::new(role, limits, delivery, stack)
}

/// What a server writes for `frame`: first byte and payload.
pub(crate) fn sent(server: &mut Connection, frame: impl Into<FramePart>) -> (u8, Bytes) {
    let mut out = BytesMut::new();
    server.encode(frame, None, &mut out);
    let first = out[0];
    out[0] &= !0x70;
    let frame: Frame = generator::split_plain(&mut out.freeze()).expect("one whole frame");
    (first, frame.into_payload())
}
