//! The extension that cuts outgoing frames: Jetty's `fragment`, to see what a peer makes of them.
//!
//! It holds the frame that is being cut, and a piece shares its bytes.

use super::{Extension, Params};
use crate::{FramePart, OpCode, ProtocolError, ReservedBits};

/// Cuts every data frame that we send; what arrives is handed on as it came.
///
/// Pieces of `maxLength` bytes are cut off while more is left; then, until there are
/// `minFragments`, half of what is left. Unlike Jetty's, the last piece of a frame that did not end its
/// message does not end it either.
///
/// ```
/// use ws_core::extension::Fragment;
/// assert!(Fragment::accept(&[("maxLength", Some("1000"))]).is_some());
/// assert!(Fragment::accept(&[("maxLength", Some("0"))]).is_none());
/// ```
#[derive(Debug)]
pub struct Fragment {
    max_bytes: usize,
    min_fragments: u32,
    inbound: Option<FramePart>,
    /// What is left of the frame that is being cut.
    outbound: Option<FramePart>,
    /// How many pieces have been cut off it.
    cut: u32,
}

impl Fragment {
    /// As a server: what an offer leads to, and the parameters to answer with; `None` declines it.
    ///
    /// `maxLength` is from 1 up, or -1 for none; `minFragments` is from 1 to 256, so that a peer
    /// cannot ask for any number of frames for each of its bytes.
    #[must_use]
    pub fn accept(offer: &[(&str, Option<&str>)]) -> Option<(Self, Params)> {
        let (mut max_bytes, mut min_fragments) = (None, None);
        for &(name, value) in offer {
            let twice = match (name, value?) {
                ("maxLength", "-1") => max_bytes.replace(usize::MAX).is_some(),
                ("maxLength", value) => max_bytes.replace(number(value)?).is_some(),
                ("minFragments", value) => {
                    let fragments = u32::try_from(number(value)?).ok()?;
                    if fragments > MOST_FRAGMENTS {
                        return None;
                    }
                    min_fragments.replace(fragments).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        let fragment = Self {
            max_bytes: max_bytes.unwrap_or(usize::MAX),
            min_fragments: min_fragments.unwrap_or(1),
            inbound: None,
            outbound: None,
            cut: 0,
        };
        let agreed = offer
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
        Some((fragment, agreed.collect()))
    }
}

impl Extension for Fragment {
    fn name(&self) -> &'static str {
        "fragment"
    }

    fn outbound_key(&self) -> Option<u64> {
        // Two lengths that differ above 2^48 bytes differ for no frame; `min_fragments` has 9 bits.
        let max_bytes = (self.max_bytes as u64).min(u64::MAX >> 16);
        Some(max_bytes << 16 | u64::from(self.min_fragments))
    }

    fn push_inbound(&mut self, part: FramePart) {
        self.inbound = Some(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        Ok(self.inbound.take())
    }

    fn push_outbound(&mut self, frame: FramePart) {
        self.outbound = Some(frame);
        self.cut = 0;
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        let mut rest = self.outbound.take()?;
        let len = rest.payload.len();
        let piece_bytes = if len > self.max_bytes {
            self.max_bytes
        } else if self.cut + 1 < self.min_fragments {
            len / 2
        } else {
            return Some(rest);
        };
        let mut piece = rest.clone();
        piece.payload = rest.payload.split_to(piece_bytes);
        piece.header = piece.header.not_final();
        // What an extension says in these bits, it says of the frame that it made.
        rest.header.reserved = ReservedBits::NONE;
        rest.header.opcode = OpCode::Continuation;
        self.outbound = Some(rest);
        self.cut = self.cut.saturating_add(1);
        Some(piece)
    }
}

/// A whole number from 1 up.
fn number(value: &str) -> Option<usize> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|number| digits && *number > 0)
}

/// Far more than a test needs.
const MOST_FRAGMENTS: u32 = 256;
