//! A message encoded once, for any number of connections.

use bytes::{Bytes, BytesMut};

use crate::{FrameHeader, Message, OpCode, generator};

/// A whole message in the frames that it shall have, encoded once and shared by whoever sends it.
///
/// A server without extensions sends these very bytes; any other connection takes the frames
/// apart and writes them anew.
///
/// ```
/// use ws_core::{Message, Prepared};
/// let whole = Prepared::from(&Message::text("Hello"));
/// assert_eq!(whole.plain().as_ref(), b"\x81\x05Hello");
/// let halves = Prepared::cut(&Message::text("Hello"), [2]);
/// assert_eq!(halves.plain().as_ref(), b"\x01\x02He\x80\x03llo");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prepared {
    plain: Bytes,
}

impl Prepared {
    /// The message in frames that begin at `cuts`: ascending offsets into the payload, in bytes,
    /// without the 0 that the first frame has anyway. A cut past the end is taken as the end, one
    /// before its predecessor as that; each makes one more frame, which may be empty.
    #[must_use]
    pub fn cut(message: &Message, cuts: impl IntoIterator<Item = usize>) -> Self {
        let payload = message.as_bytes();
        let mut plain = BytesMut::with_capacity(payload.len() + generator::MAX_HEADER_BYTES);
        let mut opcode = message.kind().opcode();
        let mut start = 0;
        for cut in cuts {
            let end = cut.clamp(start, payload.len());
            let header = FrameHeader::whole(opcode, (end - start) as u64).not_final();
            encode(&header, &payload[start..end], &mut plain);
            opcode = OpCode::Continuation;
            start = end;
        }
        let header = FrameHeader::whole(opcode, (payload.len() - start) as u64);
        encode(&header, &payload[start..], &mut plain);
        Self {
            plain: plain.freeze(),
        }
    }

    /// The frames one after the other, as a server without extensions sends them.
    #[must_use]
    pub const fn plain(&self) -> &Bytes {
        &self.plain
    }
}

impl From<&Message> for Prepared {
    /// The message in a single frame.
    fn from(message: &Message) -> Self {
        Self::cut(message, [])
    }
}

fn encode(header: &FrameHeader, payload: &[u8], out: &mut BytesMut) {
    generator::encode_header(header, None, out);
    out.extend_from_slice(payload);
}
