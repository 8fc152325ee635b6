//! Messages: what the application sends and receives (RFC 6455 §5.6).

use std::ops::Deref;

use bytes::Bytes;

use crate::{MessageKind, ProtocolError};

/// UTF-8 text that shares its bytes: a slice of the read buffer when received, and cheap to clone.
///
/// A received text keeps the buffer that it arrived in alive, with whatever else came in the same
/// read: of 512 bytes, 4 KiB, 16 KiB or 64 KiB, and of a text that took several reads, at most four
/// times its length. [`Text::detach`] copies it out of there.
///
/// ```
/// use ws_core::Text;
/// let text = Text::from("héllo");
/// assert_eq!(text.as_str(), "héllo");
/// assert_eq!(text.len(), 6);
/// ```
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Text(Bytes);

impl Text {
    /// The empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Text whose bytes [`crate::Utf8Validator`] has already seen as a whole.
    pub(crate) const fn from_validated(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The text as a `str`.
    ///
    /// Checks the bytes again, at the speed of SIMD: there is no `unsafe` code here to skip that
    /// with. Keep the result rather than asking twice; [`Self::len`] and [`Self::as_bytes`] cost
    /// nothing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor has validated the bytes, and `Bytes` cannot change.
        simdutf8::basic::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes of the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of the text, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same text in an allocation of its own, which keeps no read buffer alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl TryFrom<Bytes> for Text {
    type Error = ProtocolError;

    fn try_from(bytes: Bytes) -> Result<Self, ProtocolError> {
        match simdutf8::compat::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(error) => Err(ProtocolError::InvalidUtf8 {
                at: error.valid_up_to() as u64,
            }),
        }
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A whole message.
///
/// ```
/// use ws_core::{Message, MessageKind};
/// let message = Message::text("hello");
/// assert_eq!((message.kind(), message.len()), (MessageKind::Text, 5));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 6455 §5.6 defines these two; a third needs a new RFC"
)]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Bytes whose meaning is the application's.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    #[must_use]
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    #[must_use]
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self::Binary(data.into())
    }

    /// A message of bytes that have been validated where the kind asks for it.
    pub(crate) const fn from_validated(kind: MessageKind, payload: Bytes) -> Self {
        match kind {
            MessageKind::Text => Self::Text(Text::from_validated(payload)),
            MessageKind::Binary => Self::Binary(payload),
        }
    }

    /// What the message carries.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// The payload's length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) => data.len(),
        }
    }

    /// Whether the payload is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The payload's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }

    /// The payload's bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(data) => data,
        }
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Self::Binary(data)
    }
}

/// A piece of a message, delivered as it arrives.
///
/// Pieces of a text end at a character, whatever the frames and the network did. The pieces of one
/// message, put together, are the message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Partial {
    pub(crate) piece: Message,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

impl Partial {
    /// The piece: never empty, unless it is the last.
    #[must_use]
    pub const fn piece(&self) -> &Message {
        &self.piece
    }

    /// The piece, without a copy.
    #[must_use]
    pub fn into_piece(self) -> Message {
        self.piece
    }

    /// Whether the message begins with this piece.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.first
    }

    /// Whether the message ends with this piece.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.last
    }
}
