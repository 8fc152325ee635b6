//! Compression of messages: `permessage-deflate` (RFC 7692).
//!
//! [`DeflateConfig`] is what we are willing to agree on, as a server or as a client; from an offer,
//! or an answer, it makes a [`PerMessageDeflate`]. The two directions of that share nothing:
//!
//! ```text
//!   FramePart ─▶ inbound ─▶ inflate ─▶ FrameParts     one buffer at a time, when asked for
//!   FramePart ─▶ outbound (compresses) ─▶ FramePart   frame for frame
//!                     pool: states for both, and the buffer that they write to
//! ```
//!
//! What it holds: nothing before the first compressed message. From then on, for each direction in
//! which the context is kept, one state (see [`DeflateConfig`]); where it is not kept, a state
//! during a message only.

mod config;
pub use config::DeflateConfig;

mod inbound;
mod inflate;
mod outbound;
mod pool;

use self::{
    inbound::Inbound,
    outbound::{Compression, Outbound},
};
use super::Extension;
use crate::{FramePart, ProtocolError, ReservedBits};

/// `permessage-deflate` as two ends have agreed on it.
///
/// Inbound, whatever RFC 7692 lets a peer send is inflated, piece by piece, so that a limit on
/// messages stops a bomb at the limit and one buffer of 16 KiB. These are the verdicts where the
/// RFC has none, or where a peer breaks it:
///
/// | the peer sends | what follows |
/// |---|---|
/// | RSV1 on a continuation (§6.1) | fails with 1002 |
/// | what is not DEFLATE data; a distance to before the first byte | fails with 1007 |
/// | a message that stops within a block, or with the four bytes that §7.2.1 strips | fails with 1007 |
/// | behind a final block anything but the byte 0x00 of §7.2.3.4 | fails with 1007 |
/// | RSV1 and no payload; a final block and nothing behind it | the message as far as it goes |
/// | a window larger than agreed | what the peer meant: 32 KiB are kept whatever was agreed |
///
/// The last but two is stricter than §7.2.1, which would let a second series of blocks follow a
/// final one: nobody sends it, and taken differently at two places it is a second message.
///
/// Outbound, a message is compressed unless [`FramePart::left_plain`] says otherwise or its first
/// frame is shorter than the threshold. A message in several frames keeps their boundaries. A
/// message in one frame that does not become smaller goes plain when no context is kept; with a
/// context it goes compressed, since the context has taken it in.
///
/// ```
/// use ws_core::extension::{DeflateConfig, Extension};
/// let offer = [("client_max_window_bits", None), ("server_no_context_takeover", None)];
/// let (deflate, agreed) = DeflateConfig::default().accept(&offer).expect("a legal offer");
/// assert_eq!(deflate.name(), "permessage-deflate");
/// assert_eq!(agreed, [("server_no_context_takeover".to_owned(), None)]);
/// ```
#[derive(Debug)]
pub struct PerMessageDeflate {
    inbound: Inbound,
    outbound: Outbound,
}

impl PerMessageDeflate {
    fn new(peer_keeps_context: bool, compression: Compression) -> Self {
        Self {
            inbound: Inbound::new(peer_keeps_context),
            outbound: Outbound::new(compression),
        }
    }
}

impl Extension for PerMessageDeflate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reserved(&self) -> ReservedBits {
        ReservedBits::RSV1
    }

    fn outbound_key(&self) -> Option<u64> {
        self.outbound.key()
    }

    fn push_inbound(&mut self, part: FramePart) {
        self.inbound.push(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        self.inbound.poll()
    }

    fn push_outbound(&mut self, frame: FramePart) {
        self.outbound.push(frame);
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.outbound.poll()
    }
}

/// As RFC 7692 §8.1 registers it.
const NAME: &str = "permessage-deflate";

/// What DEFLATE's sync flush ends with, and a message on the wire goes without (§7.2.1, §7.2.2).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
