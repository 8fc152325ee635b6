//! A message encoded once, for any number of connections.
//!
//! It holds the plain frames, and one more form for each set of extensions that it was sent
//! through and whose outcome depends on nothing but the frame: at most [`MAX_FORMS`].

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::{FrameHeader, Message, OpCode, Text, generator};

/// A whole message in the frames that it shall have, encoded once and shared by whoever sends it.
///
/// A server without extensions sends these very bytes. One whose extensions keep no context (see
/// [`crate::extension::DeflateConfig`]) runs them once for all connections that have agreed on the
/// same. Any other connection takes the frames apart and writes them anew.
///
/// ```
/// use ws_core::{Message, Prepared};
/// let whole = Prepared::from(&Message::text("Hello"));
/// assert_eq!(whole.plain().as_ref(), b"\x81\x05Hello");
/// assert_eq!(whole, Prepared::from("Hello"));
/// let halves = Prepared::cut(&Message::text("Hello"), [2]);
/// assert_eq!(halves.plain().as_ref(), b"\x01\x02He\x80\x03llo");
/// ```
#[derive(Clone, Debug)]
pub struct Prepared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    plain: Bytes,
    left_plain: bool,
    forms: Mutex<Vec<(FormKey, Bytes)>>,
}

/// What an encoded form depends on besides the message: the extensions and their parameters.
pub(crate) type FormKey = Box<[(&'static str, u64)]>;

/// How many forms are kept: a server agrees to few sets of parameters.
const MAX_FORMS: usize = 8;

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
        Self::new(plain.freeze(), false)
    }

    /// The same message, to be sent uncompressed whatever was agreed: for one that holds a secret
    /// beside what somebody else may choose, whose length would tell of it (CRIME, BREACH).
    #[must_use]
    pub fn uncompressed(&self) -> Self {
        Self::new(self.0.plain.clone(), true)
    }

    /// The frames one after the other, as a server without extensions sends them.
    #[must_use]
    pub fn plain(&self) -> &Bytes {
        &self.0.plain
    }

    /// Whether it is to be sent uncompressed.
    #[must_use]
    pub fn is_uncompressed(&self) -> bool {
        self.0.left_plain
    }

    /// The form of this key, made by `encode` if nobody has.
    pub(crate) fn form(
        &self,
        key: &[(&'static str, u64)],
        encode: impl FnOnce() -> Bytes,
    ) -> Bytes {
        // Nothing panics while the lock is held but `encode`, and then nothing was added.
        let mut forms = self.0.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, form)) = forms.iter().find(|(known, _)| **known == *key) {
            return form.clone();
        }
        let form = encode();
        if forms.len() < MAX_FORMS {
            forms.push((key.into(), form.clone()));
        }
        form
    }

    fn new(plain: Bytes, left_plain: bool) -> Self {
        Self(Arc::new(Inner {
            plain,
            left_plain,
            forms: Mutex::default(),
        }))
    }
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        let (this, that) = (&self.0, &other.0);
        this.plain == that.plain && this.left_plain == that.left_plain
    }
}

impl Eq for Prepared {}

impl From<&Message> for Prepared {
    /// The message in a single frame.
    fn from(message: &Message) -> Self {
        whole(message.kind().opcode(), message.as_bytes())
    }
}

impl From<Message> for Prepared {
    /// The message in a single frame.
    fn from(message: Message) -> Self {
        Self::from(&message)
    }
}

impl From<&Self> for Prepared {
    /// The same message, without a copy.
    fn from(prepared: &Self) -> Self {
        prepared.clone()
    }
}

impl From<&Text> for Prepared {
    /// A text message in a single frame.
    fn from(text: &Text) -> Self {
        whole(OpCode::Text, text.as_bytes())
    }
}

impl From<Text> for Prepared {
    /// A text message in a single frame.
    fn from(text: Text) -> Self {
        Self::from(&text)
    }
}

impl From<&str> for Prepared {
    /// A text message in a single frame.
    fn from(text: &str) -> Self {
        whole(OpCode::Text, text.as_bytes())
    }
}

impl From<String> for Prepared {
    /// A text message in a single frame.
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&[u8]> for Prepared {
    /// A binary message in a single frame.
    fn from(data: &[u8]) -> Self {
        whole(OpCode::Binary, data)
    }
}

impl From<Bytes> for Prepared {
    /// A binary message in a single frame.
    fn from(data: Bytes) -> Self {
        Self::from(data.as_ref())
    }
}

impl From<Vec<u8>> for Prepared {
    /// A binary message in a single frame.
    fn from(data: Vec<u8>) -> Self {
        Self::from(data.as_slice())
    }
}

fn whole(opcode: OpCode, payload: &[u8]) -> Prepared {
    let mut plain = BytesMut::with_capacity(payload.len() + generator::MAX_HEADER_BYTES);
    let header = FrameHeader::whole(opcode, payload.len() as u64);
    encode(&header, payload, &mut plain);
    Prepared::new(plain.freeze(), false)
}

fn encode(header: &FrameHeader, payload: &[u8], out: &mut BytesMut) {
    generator::encode_header(header, None, out);
    out.extend_from_slice(payload);
}
