//! The DEFLATE data of one message after the other in, their bytes out (RFC 7692 §7.2.2).
//!
//! Each message must end where its sender says it does: what DEFLATE data leaves open, or left
//! over, would become the beginning of the next message.

use bytes::{Buf, Bytes};
use zlib_rs::{Inflate, InflateFlush, Status};

use super::{TAIL, pool};

/// The peer's context, and where in it we are.
pub(super) struct Inflater {
    state: Inflate,
    place: Place,
}

/// The rule of RFC 7692 that the peer broke.
pub(super) type Fault = &'static str;

/// How far the data of the message under way has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// None of it has been seen.
    Start,
    /// Some blocks have been seen, and not a final one.
    Blocks,
    /// A block with BFINAL set has been seen, and nothing since.
    Final,
    /// Behind it the beginning of the empty block has been seen that ends a message (§7.2.3.4).
    FinalAndEmpty,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            state: pool::take_inflate(),
            place: Place::Start,
        }
    }

    /// Inflates from the front of `input` until that is used up or `out` is full; returns how much
    /// of `out` was written. A full `out` says that there may be more.
    pub(super) fn inflate(&mut self, input: &mut Bytes, out: &mut [u8]) -> Result<usize, Fault> {
        let mut written = 0;
        while written < out.len() {
            if matches!(self.place, Place::Final | Place::FinalAndEmpty) {
                self.pass_empty_block(input)?;
                break;
            }
            let run = self.run(input, &mut out[written..], InflateFlush::NoFlush)?;
            written += run.wrote;
            input.advance(run.read);
            if run.read > 0 {
                self.place = Place::Blocks;
            }
            if run.status == Status::StreamEnd {
                self.place = Place::Final;
            } else if run.read == 0 && run.wrote == 0 {
                break;
            }
        }
        Ok(written)
    }

    /// Ends the message, whose data has all been inflated, and is ready for the next one.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        match std::mem::replace(&mut self.place, Place::Start) {
            Place::Start => {}
            Place::Blocks => self.read_tail()?,
            Place::Final | Place::FinalAndEmpty => self.state.reset(false),
        }
        Ok(())
    }

    /// Lets go of the context.
    pub(super) fn release(self) {
        pool::give_inflate(self.state);
    }

    /// §7.2.2: the four bytes that the sender took away are given back. They are the length of the
    /// empty block that a message ends with, so they are read to the last, and yield nothing.
    fn read_tail(&mut self) -> Result<(), Fault> {
        let [a, b, c, d] = TAIL;
        // Told to stop between two blocks, the state leaves the fifth byte alone. Within a block it
        // would take that, too, or make one of the four into a byte of the message.
        let run = self.run(&[a, b, c, d, 0], &mut [0], InflateFlush::Block)?;
        if run.read != TAIL.len() || run.wrote != 0 || run.status != Status::Ok {
            return Err("message stops within a DEFLATE block");
        }
        Ok(())
    }

    fn pass_empty_block(&mut self, input: &mut Bytes) -> Result<(), Fault> {
        if input.is_empty() {
            return Ok(());
        }
        if self.place == Place::FinalAndEmpty || input.as_ref() != [0x00] {
            return Err("data behind a final DEFLATE block");
        }
        self.place = Place::FinalAndEmpty;
        input.clear();
        Ok(())
    }

    fn run(&mut self, input: &[u8], out: &mut [u8], flush: InflateFlush) -> Result<Run, Fault> {
        let (read, wrote) = (self.state.total_in(), self.state.total_out());
        let status = self
            .state
            .decompress(input, out, flush)
            .map_err(|_| "payload is not DEFLATE data")?;
        Ok(Run {
            status,
            // Cannot truncate: at most the lengths of the two slices.
            read: (self.state.total_in() - read) as usize,
            wrote: (self.state.total_out() - wrote) as usize,
        })
    }
}

/// What one call came to.
struct Run {
    status: Status,
    read: usize,
    wrote: usize,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
