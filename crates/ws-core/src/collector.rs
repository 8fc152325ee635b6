//! Parts of a frame in, whole frames out, for those who ask for frames.
//!
//! Holds at most one frame, which `Limits::max_frame_bytes` bounds. Its buffer grows with what
//! has arrived, never with what a header announced.

use bytes::BytesMut;

use crate::{Frame, FrameHeader, FramePart};

/// The frame that is arriving.
#[derive(Debug, Default)]
pub(crate) struct FrameCollector {
    buffer: BytesMut,
}

impl FrameCollector {
    /// Takes the next part; returns the frame that it completes.
    pub(crate) fn push(&mut self, part: FramePart) -> Option<Frame> {
        if part.first && part.last {
            return Some(part.into_frame());
        }
        self.buffer.extend_from_slice(&part.payload);
        part.last.then(|| self.take(&part.header))
    }

    /// Where payload that is read past the parser belongs.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The frame, once its last byte is in the buffer.
    pub(crate) fn take(&mut self, header: &FrameHeader) -> Frame {
        Frame {
            fin: header.fin,
            reserved: header.reserved,
            opcode: header.opcode,
            payload: std::mem::take(&mut self.buffer).freeze(),
        }
    }
}
