//! Parts of frames in, messages out (RFC 6455 §5.4).
//!
//! Holds at most one message, which [`Limits`] bounds: the limit is counted here, after every
//! extension has run. A message that lay whole in the read buffer is handed on as it is; any other
//! is put together in a buffer that grows with what has arrived. Where pieces were asked for
//! nothing is held but the beginning of a character.

use bytes::{Bytes, BytesMut};

use crate::{
    Event, Frame, FramePart, Limits, Message, MessageKind, OpCode, Partial, ProtocolError, utf8,
};

/// The message that is arriving: nothing, and a word of room for it, while none is.
#[derive(Debug, Default)]
pub(crate) struct Assembler(Option<Box<Arriving>>);

#[derive(Debug, Default)]
struct Arriving {
    /// The message of which a part has come, and not the last.
    message: Option<OpenMessage>,
    /// What has come of it; of a text that is delivered in pieces, the unfinished character.
    buffer: BytesMut,
    /// Whether the message under way belongs to somebody who took its first frame.
    skipping: bool,
}

#[derive(Clone, Copy, Debug)]
struct OpenMessage {
    kind: MessageKind,
    /// How many bytes of it have come.
    len: u64,
    /// Whether a piece of it has been delivered.
    delivered: bool,
}

impl Assembler {
    /// Takes the next part; returns the message that it completes.
    pub(crate) fn push(
        &mut self,
        part: FramePart,
        limits: &Limits,
    ) -> Result<Option<Event>, ProtocolError> {
        let Some(message) = self.admit(&part, limits)? else {
            return Ok(None);
        };
        if !part.ends_message() {
            let arriving = self.0.get_or_insert_default();
            arriving.message = Some(message);
            arriving.buffer.extend_from_slice(&part.payload);
            return Ok(None);
        }

        let payload = self.end(part.payload);
        Ok(Some(Event::Message(Message::from_validated(
            message.kind,
            payload,
        ))))
    }

    /// Takes the next part; returns the piece that can be delivered of it.
    pub(crate) fn push_partial(
        &mut self,
        part: FramePart,
        limits: &Limits,
    ) -> Result<Option<Event>, ProtocolError> {
        let Some(mut message) = self.admit(&part, limits)? else {
            return Ok(None);
        };
        let last = part.ends_message();
        let first = !message.delivered;
        let piece = if last {
            // Text has no unfinished character here. Mostly nothing was kept, and no room is needed.
            self.end(part.payload)
        } else {
            let arriving = self.0.get_or_insert_default();
            let piece = match message.kind {
                MessageKind::Text => whole_characters(&mut arriving.buffer, part.payload),
                MessageKind::Binary => part.payload,
            };
            message.delivered |= !piece.is_empty();
            arriving.message = Some(message);
            piece
        };
        let wanted = last || !piece.is_empty();
        Ok(wanted.then(|| {
            Event::Partial(Partial {
                piece: Message::from_validated(message.kind, piece),
                first,
                last,
            })
        }))
    }

    /// Leaves the message that `frame` begins to whoever took the frame.
    pub(crate) fn skip(&mut self, frame: &Frame) {
        if frame.opcode != OpCode::Continuation {
            self.0.get_or_insert_default().skipping = true;
        }
        self.end_skipping(frame.fin);
    }

    /// How long the message that is arriving is so far.
    pub(crate) fn len(&self) -> u64 {
        let message = self.0.as_ref().and_then(|arriving| arriving.message);
        message.map_or(0, |message| message.len)
    }

    /// How much has been put together of the message that is arriving.
    pub(crate) fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |arriving| arriving.buffer.len())
    }

    /// The buffer that the rest of a frame is read into, past the parser; `None` unless a message
    /// is being put together in it.
    pub(crate) fn buffer(&mut self) -> Option<&mut BytesMut> {
        let arriving = self.0.as_mut()?;
        arriving.message.is_some().then_some(&mut arriving.buffer)
    }

    /// Counts what has been read into the buffer; returns the message if that was its end.
    pub(crate) fn recv_direct(
        &mut self,
        read: usize,
        ends_message: bool,
        limits: &Limits,
    ) -> Result<Option<Event>, ProtocolError> {
        let Some(arriving) = &mut self.0 else {
            return Ok(None);
        };
        let Some(message) = &mut arriving.message else {
            return Ok(None);
        };
        count(message, read, limits)?;
        if !ends_message {
            return Ok(None);
        }
        let kind = message.kind;
        arriving.message = None;
        // What is left of the buffer stays, for whoever asks for it.
        let payload = arriving.buffer.split().freeze();
        Ok(Some(Event::Message(Message::from_validated(kind, payload))))
    }

    /// What is left of the buffer of a message that has been handed on.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        let over = self.0.take_if(|arriving| arriving.is_over());
        over.map_or_else(BytesMut::new, |arriving| arriving.buffer)
    }

    /// Counts a part against the limit of its message; `None` when the message is somebody else's.
    fn admit(
        &mut self,
        part: &FramePart,
        limits: &Limits,
    ) -> Result<Option<OpenMessage>, ProtocolError> {
        let arriving = self.0.as_ref();
        if arriving.is_some_and(|arriving| arriving.skipping) {
            self.end_skipping(part.ends_message());
            return Ok(None);
        }
        let open = arriving.and_then(|arriving| arriving.message);
        let begins = part.header.opcode.message_kind().map(|kind| OpenMessage {
            kind,
            len: 0,
            delivered: false,
        });
        // The parser let no continuation pass that has nothing to continue.
        let Some(mut message) = open.or(begins) else {
            return Ok(None);
        };
        count(&mut message, part.payload.len(), limits)?;
        Ok(Some(message))
    }

    /// Ends the message under way; returns what was kept of it, and `payload` behind that.
    fn end(&mut self, payload: Bytes) -> Bytes {
        match self.0.take().map(|arriving| arriving.buffer) {
            Some(mut buffer) if !buffer.is_empty() => {
                buffer.extend_from_slice(&payload);
                buffer.freeze()
            }
            _ => payload,
        }
    }

    fn end_skipping(&mut self, fin: bool) {
        if fin {
            self.0.take_if(|arriving| arriving.message.is_none());
        }
    }
}

impl Arriving {
    /// Whether nothing of it is to come.
    fn is_over(&self) -> bool {
        self.message.is_none() && self.buffer.is_empty() && !self.skipping
    }
}

/// As many whole characters as there are; the beginning of the next one is kept in `buffer`.
fn whole_characters(buffer: &mut BytesMut, payload: Bytes) -> Bytes {
    if buffer.is_empty() {
        let whole = payload.len() - utf8::unfinished_len(&payload);
        buffer.extend_from_slice(&payload[whole..]);
        return payload.slice(..whole);
    }
    let mut text = std::mem::take(buffer);
    text.extend_from_slice(&payload);
    let whole = text.len() - utf8::unfinished_len(&text);
    buffer.extend_from_slice(&text[whole..]);
    text.truncate(whole);
    text.freeze()
}

/// Adds to a message's length, up to its limit.
fn count(message: &mut OpenMessage, bytes: usize, limits: &Limits) -> Result<(), ProtocolError> {
    message.len += bytes as u64;
    let max_bytes = limits.max_message_bytes(message.kind);
    if message.len > max_bytes {
        return Err(ProtocolError::MessageTooBig { max_bytes });
    }
    Ok(())
}
