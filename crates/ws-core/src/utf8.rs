//! Text in pieces, judged at the first byte that cannot be UTF-8 (RFC 6455 §8.1).
//!
//! Between two pieces at most three bytes are kept: the beginning of a character.

use crate::ProtocolError;

/// Validates one text message after the other, piece by piece.
///
/// ```
/// let mut utf8 = ws_core::Utf8Validator::default();
/// utf8.feed(b"\xe2\x82").unwrap(); // the first two bytes of €
/// utf8.feed(b"\xac").unwrap();
/// utf8.finish().unwrap();
/// assert!(utf8.feed(b"\xff").is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    /// The beginning of a character whose end has not come.
    pending: [u8; 4],
    pending_len: u8,
    /// How much of the message is whole characters.
    at: u64,
}

impl Utf8Validator {
    /// Takes the next piece of the message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidUtf8`] as soon as no continuation could make the message valid.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.pending_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            let len = usize::from(self.pending_len) + 1;
            self.pending[len - 1] = byte;
            match std::str::from_utf8(&self.pending[..len]) {
                Ok(_) => {
                    self.at += len as u64;
                    self.pending_len = 0;
                }
                // Still the beginning of a character.
                Err(error) if error.error_len().is_none() => self.pending_len += 1,
                Err(_) => return Err(ProtocolError::InvalidUtf8 { at: self.at }),
            }
            piece = rest;
        }

        let Err(error) = simdutf8::compat::from_utf8(piece) else {
            self.at += piece.len() as u64;
            return Ok(());
        };
        let valid = error.valid_up_to();
        self.at += valid as u64;
        if error.error_len().is_some() {
            return Err(ProtocolError::InvalidUtf8 { at: self.at });
        }
        let tail = &piece[valid..];
        self.pending[..tail.len()].copy_from_slice(tail);
        // A character has at most four bytes, and this one is not whole.
        self.pending_len = tail.len() as u8;
        Ok(())
    }

    /// Ends the message, and is ready for the next one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidUtf8`] when the message stops within a character.
    pub fn finish(&mut self) -> Result<(), ProtocolError> {
        let ended = std::mem::take(self);
        match ended.pending_len {
            0 => Ok(()),
            _ => Err(ProtocolError::InvalidUtf8 { at: ended.at }),
        }
    }
}

/// Whether a message may be this text: the verdict alone comes faster than the place.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

/// How many bytes at the end of `text` are the beginning of a character.
///
/// `text` is what a [`Utf8Validator`] accepted, from the start of a character on.
pub(crate) fn unfinished_len(text: &[u8]) -> usize {
    let tail = text.len().saturating_sub(3);
    for (back, byte) in text[tail..].iter().rev().enumerate() {
        let char_len = match byte {
            0x00..=0x7F => return 0,
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
        };
        return if back + 1 < char_len { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_comes_at_the_first_impossible_byte() {
        // Hostile inputs U1 to U4; the byte before the last is still possible.
        for (possible, impossible) in [
            (&b""[..], 0xFF),
            (b"", 0xC0),
            (b"\xED", 0xA0),
            (b"\xF4", 0x90),
            (b"\xE2\x82", 0x28),
            (b"abc", 0x80),
        ] {
            let mut utf8 = Utf8Validator::default();

            for byte in possible {
                utf8.feed(&[*byte]).unwrap();
            }

            assert!(
                utf8.feed(&[impossible]).is_err(),
                "{possible:x?} {impossible:x}"
            );
        }
    }

    #[test]
    fn unfinished_tail_is_what_the_validator_keeps() {
        let text = "aé€𝄞b";
        for end in 0..=text.len() {
            let piece = &text.as_bytes()[..end];
            let mut utf8 = Utf8Validator::default();

            utf8.feed(piece).unwrap();

            assert_eq!(
                unfinished_len(piece),
                usize::from(utf8.pending_len),
                "cut at {end}"
            );
        }
    }
}
