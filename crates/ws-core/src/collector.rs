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
    /// Mostly there is none, and that takes a word.
    buffer: Option<Box<BytesMut>>,
}

impl FrameCollector {
    /// Takes the next part; returns the frame that it completes.
    pub(crate) fn push(
        &mut self,
        part: FramePart,
        max_bytes: u64,
    ) -> Result<Option<Frame>, ProtocolError> {
        let bytes = (self.held() + part.payload.len()) as u64;
        if bytes > max_bytes {
            return Err(ProtocolError::FrameTooBig { bytes, max_bytes });
        }
        if part.first && part.last {
            return Ok(Some(part.into_frame()));
        }
        self.buffer().extend_from_slice(&part.payload);
        if !part.last {
            return Ok(None);
        }
        let frame = self.take(&part.header);
        self.take_rest();
        Ok(Some(frame))
    }

    /// How much has been put together of the frame that is arriving.
    pub(crate) fn held(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.len())
    }

    /// Where payload that is read past the parser belongs.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.get_or_insert_default()
    }

    /// The frame, once its last byte is in the buffer. What is left of that stays, for whoever asks
    /// for it.
    pub(crate) fn take(&mut self, header: &FrameHeader) -> Frame {
        Frame {
            fin: header.fin,
            reserved: header.reserved,
            opcode: header.opcode,
            payload: self.buffer().split().freeze(),
        }
    }

    /// What is left of the buffer of a frame that has been handed on.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        let rest = self.buffer.take_if(|buffer| buffer.is_empty());
        rest.map_or_else(BytesMut::new, |rest| *rest)
    }
}
