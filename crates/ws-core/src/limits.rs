//! How much a peer may make us hold (RFC 6455 §10.4).

use crate::MessageKind;

/// Ceilings that one connection enforces on its peer.
///
/// Everything a peer can grow has a ceiling here. The worst case that one connection holds is one
/// message and one read.
///
/// | setting            | default             | reached                       |
/// |--------------------|---------------------|-------------------------------|
/// | `max_text_bytes`   | 64 KiB              | fails with 1009               |
/// | `max_binary_bytes` | 64 KiB              | fails with 1009               |
/// | `max_frame_bytes`  | the message's limit | fails with 1009 at the header |
///
/// A message fails as soon as its frames announce more than it may have: what it says is not looked
/// at, so text that is too long and not UTF-8 is too long. Where the connection has extensions only
/// what leaves them counts, and such text fails by the rule that it breaks first. Where frames are
/// told, a frame is put together and judged before it counts for its message.
///
/// ```
/// let limits = ws_core::Limits::default().with_max_text_bytes(16 * 1024);
/// assert_eq!(limits.max_text_bytes(), 16 * 1024);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    max_text_bytes: u64,
    max_binary_bytes: u64,
    max_frame_bytes: Option<u64>,
}

impl Limits {
    /// The longest text message accepted, in bytes after every extension has run. Default: 65 536.
    #[must_use]
    pub const fn with_max_text_bytes(mut self, bytes: u64) -> Self {
        self.max_text_bytes = bytes;
        self
    }

    /// The longest binary message accepted, in bytes after every extension has run. Default:
    /// 65 536.
    #[must_use]
    pub const fn with_max_binary_bytes(mut self, bytes: u64) -> Self {
        self.max_binary_bytes = bytes;
        self
    }

    /// The longest payload of one data frame accepted, in bytes as they arrive. Default: the limit
    /// of the message that the frame belongs to, and an eighth more where extensions claim a
    /// reserved bit: what compression cannot make shorter it makes longer. Control frames have the
    /// RFC's limit of 125.
    #[must_use]
    pub const fn with_max_frame_bytes(mut self, bytes: u64) -> Self {
        self.max_frame_bytes = Some(bytes);
        self
    }

    /// See [`Self::with_max_text_bytes`].
    #[must_use]
    pub const fn max_text_bytes(&self) -> u64 {
        self.max_text_bytes
    }

    /// See [`Self::with_max_binary_bytes`].
    #[must_use]
    pub const fn max_binary_bytes(&self) -> u64 {
        self.max_binary_bytes
    }

    /// The limit of one message of this kind.
    #[must_use]
    pub const fn max_message_bytes(&self, kind: MessageKind) -> u64 {
        match kind {
            MessageKind::Text => self.max_text_bytes,
            MessageKind::Binary => self.max_binary_bytes,
        }
    }

    /// The limit of one frame of a message of this kind.
    #[must_use]
    pub const fn max_frame_bytes(&self, kind: MessageKind) -> u64 {
        match self.max_frame_bytes {
            Some(bytes) => bytes,
            None => self.max_message_bytes(kind),
        }
    }

    /// The limit of one frame that is a message.
    pub(crate) fn max_whole_bytes(&self, kind: MessageKind) -> u64 {
        self.max_frame_bytes(kind).min(self.max_message_bytes(kind))
    }

    /// The limit of one frame behind the extensions, where frames are told: it may be told to
    /// somebody who takes it, so it may be as long as a frame or as a message.
    pub(crate) fn max_told_frame_bytes(&self, kind: MessageKind) -> u64 {
        self.max_frame_bytes(kind).max(self.max_message_bytes(kind))
    }

    /// As [`Self::max_frame_bytes`], where extensions claim a reserved bit: one that compresses
    /// makes what it cannot compress longer, by an eighth and a few bytes at the worst
    /// (`deflateBound` of zlib). What counts is still the message that it leaves.
    pub(crate) const fn max_extended_frame_bytes(&self, kind: MessageKind) -> u64 {
        let bytes = self.max_frame_bytes(kind);
        match self.max_frame_bytes {
            Some(bytes) => bytes,
            None => bytes.saturating_add(bytes / 8).saturating_add(64),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_text_bytes: 64 * 1024,
            max_binary_bytes: 64 * 1024,
            max_frame_bytes: None,
        }
    }
}
