//! The short way: a message that is one frame, which lies whole in what was read.

use bytes::{Buf, Bytes, BytesMut};

use super::Parser;
use crate::{MessageKind, mask};

/// A message that is one whole frame: where its payload begins and ends.
struct Whole {
    kind: MessageKind,
    /// Zeros, which change nothing, where there is none.
    key: [u8; 4],
    start: usize,
    end: usize,
}

impl Whole {
    /// Unmasks the payload if the message may have it. If not, whoever looks at it next finds what
    /// came.
    #[inline(always)]
    fn reveal(
        &self,
        payload: &mut [u8],
        is_valid: impl FnOnce(MessageKind, &[u8]) -> bool,
    ) -> bool {
        self.unmask(payload);
        let valid = is_valid(self.kind, payload);
        if !valid {
            self.unmask(payload);
        }
        valid
    }

    /// Masks what is unmasked, too.
    #[inline]
    fn unmask(&self, payload: &mut [u8]) {
        if self.key != [0; 4] {
            mask::apply(payload, self.key, 0);
        }
    }
}

impl Parser {
    /// Takes the message that `input` begins with, if it is one frame that is there as a whole and
    /// breaks no rule. So is nearly every message, and this is a third of the way through
    /// [`Self::next_part`]; otherwise nothing has happened, and that one says what there is.
    ///
    /// So it is where the payload is not what `is_valid` asks for. Where nothing else is in it, the
    /// whole buffer is taken.
    ///
    /// For a connection without extensions, [between messages](Self::is_between_messages).
    #[inline]
    pub(crate) fn take_whole(
        &self,
        input: &mut BytesMut,
        is_valid: impl FnOnce(MessageKind, &[u8]) -> bool,
    ) -> Option<(MessageKind, Bytes)> {
        let whole = self.whole(input)?;
        if !whole.reveal(&mut input[whole.start..whole.end], is_valid) {
            return None;
        }
        let frame = match input.len() == whole.end {
            true => std::mem::take(input),
            false => input.split_to(whole.end),
        };
        if whole.end == whole.start {
            // A slice of nothing would keep the buffer.
            return Some((whole.kind, Bytes::new()));
        }
        // Frozen first: 20 instructions less than the other way round.
        let mut payload = frame.freeze();
        payload.advance(whole.start);
        Some((whole.kind, payload))
    }

    /// The payload of the message that `input` is, if it is that and nothing else: as
    /// [`Self::take_whole`], but where it lies.
    #[inline]
    pub(crate) fn take_alone<'a>(
        &self,
        input: &'a mut [u8],
        is_valid: impl FnOnce(MessageKind, &[u8]) -> bool,
    ) -> Option<(MessageKind, &'a [u8])> {
        let whole = self.whole(input)?;
        if input.len() != whole.end {
            return None;
        }
        let payload = &mut input[whole.start..];
        whole
            .reveal(payload, is_valid)
            .then_some((whole.kind, payload))
    }

    /// Whether what comes next is the first byte of a message, or of a control frame.
    pub(crate) const fn is_between_messages(&self) -> bool {
        self.frame.is_none() && self.message.is_none() && self.head_len == 0
    }

    /// Where the message lies that `input` begins with, if it is one whole frame.
    #[inline]
    fn whole(&self, input: &[u8]) -> Option<Whole> {
        debug_assert!(self.is_between_messages());
        let [first, second, rest @ ..] = input else {
            return None;
        };
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let masked = second & 0x80 != 0;
        let (len, after_length) = match second & 0x7F {
            127 => return None,
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            len => (usize::from(len), 0),
        };
        let too_long_a_form = after_length == 2 && len < 126;
        if masked != self.role.peer().masks()
            || too_long_a_form
            || len as u64 > self.limits.max_whole_bytes(kind)
        {
            return None;
        }
        let (key, start) = match masked {
            true => (*rest[after_length..].first_chunk()?, 2 + after_length + 4),
            false => ([0; 4], 2 + after_length),
        };
        let end = start + len;
        (input.len() >= end).then_some(Whole {
            kind,
            key,
            start,
            end,
        })
    }
}
