//! A server's bytes in, complete messages out, each checked.
//!
//! The length of every message and the bits of every frame are compared; the bytes of one in
//! sixteen, and of the first. A message may come in several frames. Holds one message at most, and
//! that only of a compressed sample.

use std::{io, sync::Arc};

use crate::{
    frame::{BINARY, CLOSE, COMPRESSED, FIN, TEXT},
    payload,
};

/// What every message must be.
#[derive(Debug)]
pub struct Expected {
    opcode: u8,
    payload: Vec<u8>,
    compressed: bool,
}

impl Expected {
    /// An echo of this; `compressed` if that was agreed, though a server may leave it.
    #[must_use]
    pub const fn new(opcode: u8, payload: Vec<u8>, compressed: bool) -> Self {
        Self {
            opcode,
            payload,
            compressed,
        }
    }
}

/// One connection's messages.
#[derive(Debug)]
pub struct Replies {
    expected: Arc<Expected>,
    header: Vec<u8>,
    /// Still to come of the frame.
    frame_left: usize,
    last_frame: bool,
    compressed: bool,
    /// Of the message, so far.
    message_bytes: usize,
    sample: Vec<u8>,
    messages: u64,
    wire_bytes: u64,
}

impl Replies {
    /// Before the first byte.
    #[must_use]
    pub const fn new(expected: Arc<Expected>) -> Self {
        Self {
            expected,
            header: Vec::new(),
            frame_left: 0,
            last_frame: false,
            compressed: false,
            message_bytes: 0,
            sample: Vec::new(),
            messages: 0,
            wire_bytes: 0,
        }
    }

    /// How many complete messages there were.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// How many bytes there were, headers included.
    #[must_use]
    pub const fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// Takes what was read.
    ///
    /// # Errors
    ///
    /// If it is not what was to come.
    pub fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.wire_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.frame_left == 0 {
                let header_len = self.header.len();
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                debug_assert!(header_len < MAX_HEADER_BYTES, "a header has an end");
                if !self.begin_frame()? {
                    continue;
                }
            }
            let (now, rest) = bytes.split_at(self.frame_left.min(bytes.len()));
            self.payload(now)?;
            bytes = rest;
            self.frame_left -= now.len();
            if self.frame_left == 0 && self.last_frame {
                self.end_message()?;
            }
        }
        Ok(())
    }

    /// Whether the header is complete, and what follows is payload.
    fn begin_frame(&mut self) -> io::Result<bool> {
        let [first, second, extended @ ..] = &self.header[..] else {
            return Ok(false);
        };
        let len = match (second, extended.len()) {
            (126, 2) => extended
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte)),
            (127, 8) => extended
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte)),
            (126 | 127, _) => return Ok(false),
            (128.., _) => return Err(io::Error::other("a server's frame is masked")),
            (short, _) => usize::from(*short),
        };
        let (bits, opcode) = (first & 0xf0 & !FIN, first & 0x0f);
        let begins = self.message_bytes == 0 && opcode != 0;
        let fits = match opcode {
            0 => !begins && bits == 0,
            TEXT | BINARY => {
                let allowed = self.expected.compressed && bits == COMPRESSED;
                self.compressed = bits == COMPRESSED;
                opcode == self.expected.opcode && (bits == 0 || allowed)
            }
            _ => false,
        };
        if !fits {
            let what = if opcode == CLOSE {
                "a Close"
            } else {
                "a frame"
            };
            return Err(io::Error::other(format!(
                "{what} that was not to come, header {:02x?}",
                self.header
            )));
        }
        self.last_frame = first & FIN != 0;
        self.frame_left = len;
        self.header.clear();
        Ok(true)
    }

    fn payload(&mut self, bytes: &[u8]) -> io::Result<()> {
        let from = self.message_bytes;
        self.message_bytes += bytes.len();
        if !self.messages.is_multiple_of(SAMPLE_EVERY) {
            return Ok(());
        }
        if self.compressed {
            self.sample.extend_from_slice(bytes);
            return Ok(());
        }
        let want = self.expected.payload.get(from..from + bytes.len());
        if want != Some(bytes) {
            return Err(io::Error::other("a message has other bytes"));
        }
        Ok(())
    }

    fn end_message(&mut self) -> io::Result<()> {
        let want = &self.expected.payload;
        let right = if !self.compressed {
            self.message_bytes == want.len()
        } else if self.messages.is_multiple_of(SAMPLE_EVERY) {
            payload::inflated(&self.sample, want.len()).as_ref() == Some(want)
        } else {
            self.message_bytes > 0
        };
        if !right {
            let len = self.message_bytes;
            return Err(io::Error::other(format!(
                "a message of {len} bytes is wrong"
            )));
        }
        self.sample.clear();
        self.message_bytes = 0;
        self.messages += 1;
        Ok(())
    }
}

const SAMPLE_EVERY: u64 = 16;

const MAX_HEADER_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(payload: &[u8], compressed: bool) -> Replies {
        let expected = Expected::new(TEXT, payload.to_vec(), compressed);
        Replies::new(Arc::new(expected))
    }

    #[test]
    fn messages_are_counted_whatever_the_pieces() {
        let wire = b"\x81\x02ab\x01\x01a\x80\x01b\x81\x02ab";
        for piece in 1..=wire.len() {
            let mut replies = replies(b"ab", false);

            for bytes in wire.chunks(piece) {
                replies.feed(bytes).unwrap();
            }

            assert_eq!(replies.messages(), 3, "pieces of {piece}");
        }
    }

    #[test]
    fn what_differs_is_refused() {
        let wires: [&[u8]; 7] = [
            b"\x81\x02ac",         // bytes
            b"\x81\x03abc",        // longer
            b"\x81\x01a",          // shorter
            b"\x82\x02ab",         // another opcode
            b"\xc1\x02ab",         // compressed, not agreed
            b"\x88\x02\x03\xe8",   // Close
            b"\x81\x82\0\0\0\0ab", // masked
        ];
        for wire in wires {
            assert!(replies(b"ab", false).feed(wire).is_err(), "{wire:02x?}");
        }
    }

    #[test]
    fn compressed_sample_is_inflated() {
        let payload = payload::Kind::Json.payload(100);
        let deflated = payload::deflated(&payload);
        let mut wire = vec![FIN | COMPRESSED | TEXT, deflated.len() as u8];
        wire.extend(&deflated);

        replies(&payload, true).feed(&wire).unwrap();

        assert!(replies(b"another", true).feed(&wire).is_err());
    }
}
