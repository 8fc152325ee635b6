//! Parts of a frame in, whole frames out, for those who ask for frames.
//!
//! Holds at most one frame. The parser has held its header against `Limits::max_frame_bytes`; what
//! extensions make of it, such as a small frame that inflates to a large one, is counted here. The
//! buffer grows with what has arrived, never with what a header announced.

use bytes::BytesMut;

use crate::{Frame, FrameHeader, FramePart, ProtocolError};

/// The frame that is arriving.
#[derive(Debug, Default)]
pub(crate) struct FrameCollector {
    buffer: BytesMut,
}

impl FrameCollector {
    /// Takes the next part; returns the frame that it completes.
    pub(crate) fn push(
        &mut self,
        part: FramePart,
        max_bytes: u64,
    ) -> Result<Option<Frame>, ProtocolError> {
        let bytes = (self.buffer.len() + part.payload.len()) as u64;
        if bytes > max_bytes {
            return Err(ProtocolError::FrameTooBig { bytes, max_bytes });
        }
        if part.first && part.last {
            return Ok(Some(part.into_frame()));
        }
        self.buffer.extend_from_slice(&part.payload);
        Ok(part.last.then(|| self.take(&part.header)))
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
            // What is left of the buffer stays, for whoever asks for it.
            payload: self.buffer.split().freeze(),
        }
    }

    /// What is left of the buffer of a frame that has been handed on.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        match self.buffer.is_empty() {
            true => std::mem::take(&mut self.buffer),
            false => BytesMut::new(),
        }
    }
}
