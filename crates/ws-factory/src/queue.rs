//! What waits in an outbox: plain frames, and who may add to them.
//!
//! Bounded by [`Load`], in messages and in bytes. No lock, no task: `outbox` has those.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use bytes::Bytes;
use ws_core::{CloseFrame, Frame, FrameHeader, Message, MessageKind, OpCode, Prepared, generator};

use crate::{Policy, droppable::Droppable, pieces::Pieces, send_error::SendError, tally::Meter};

/// What waits in an outbox, and what the driver has taken of it.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Plain frames. Where these are not what the wire gets, only those behind `anew`.
    pub(crate) data: Pieces,
    /// What is written anew.
    #[expect(
        clippy::box_collection,
        reason = "mostly there is none, and that takes a word"
    )]
    pub(crate) anew: Option<Box<VecDeque<Outgoing>>>,
    /// Pings and Pongs; none for most.
    pub(crate) control: Pieces,
    /// What may give way to something newer; none for most.
    pub(crate) droppable: Option<Box<Droppable>>,
    /// What waits here, and what the driver has taken and not yet written.
    pub(crate) waiting: Load,
    pub(crate) in_flight: Load,
    pub(crate) limit: Load,
    /// The message that is under way in parts: its first frame was sent as a frame and its last was
    /// not, or a writer has the turn.
    pub(crate) sequence: Option<MessageKind>,
    /// Whether it is a writer's.
    pub(crate) has_writer: bool,
    pub(crate) phase: Phase,
    /// Whether our Close is queued and not gone.
    pub(crate) close_waits: bool,
    /// Our Close, queued or gone.
    pub(crate) ours: Option<Box<CloseFrame>>,
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) waker: Option<Waker>,
    /// How many of the messages that wait here are frames that do not end one.
    pub(crate) unfinished: u32,
    /// How many Pings and Pongs wait here.
    pub(crate) controls: (u32, u32),
    /// How many batches the driver has taken.
    pub(crate) taken: u64,
}

/// How much waits, or may wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Whether something can still be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Open,
    /// Our Close is queued or gone: nothing follows it (RFC 6455 §5.5.1).
    Closing,
    /// The session is over.
    Over,
}

/// What a client, or a connection with extensions, writes anew.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Plain frames; the payload of a large one is an item of its own.
    Plain(Bytes),
    /// A message that may have been written anew for somebody else.
    Prepared(Prepared),
}

/// Whether the plain frames of an outbox are what the wire gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    /// They are: a server without extensions.
    Plain,
    /// They are taken apart and written anew.
    Anew,
}

/// A payload from this size on is not copied, in bytes: there the copy begins to cost more than a
/// second piece in the write.
pub(crate) const SHARED_PAYLOAD_BYTES: usize = 16 * 1024;

/// How much of Pings and Pongs may wait, in bytes: 32 of the largest.
const MAX_CONTROL_BYTES: usize = 32 * 127;

/// Whether something may join the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    Granted,
    Full,
    Closed,
    OutOfSequence,
}

impl Admission {
    /// As a result, in which what was not admitted comes back.
    pub(crate) fn of<T>(self, item: T) -> Result<(), SendError<T>> {
        match self {
            Self::Granted => Ok(()),
            Self::Full => Err(SendError::Full(item)),
            Self::Closed => Err(SendError::Closed(item)),
            Self::OutOfSequence => Err(SendError::OutOfSequence(item)),
        }
    }
}

impl Queue {
    pub(crate) fn new(policy: &Policy, encoding: Encoding) -> Self {
        Self {
            data: Pieces::default(),
            anew: (encoding == Encoding::Anew).then(Box::default),
            control: Pieces::default(),
            droppable: None,
            waiting: Load::default(),
            in_flight: Load::default(),
            limit: Load::limit(policy),
            sequence: None,
            has_writer: false,
            phase: Phase::Open,
            close_waits: false,
            ours: None,
            policy: None,
            waker: None,
            unfinished: 0,
            controls: (0, 0),
            taken: 0,
        }
    }

    pub(crate) fn total(&self) -> Load {
        Load {
            messages: self.waiting.messages + self.in_flight.messages,
            bytes: self.waiting.bytes + self.in_flight.bytes,
        }
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.limit.takes(self.total(), bytes)
    }

    /// Books what waits as in flight, and counts it; returns the number of the batch.
    #[inline(always)]
    pub(crate) fn take_batch(&mut self, meter: &Meter) -> u64 {
        self.keep_droppable();
        meter.took(self.waiting, std::mem::take(&mut self.unfinished));
        self.in_flight = std::mem::take(&mut self.waiting);
        self.taken += 1;
        self.taken
    }

    pub(crate) fn holds_something(&self) -> bool {
        !self.data.is_empty() || self.anew.as_ref().is_some_and(|anew| !anew.is_empty())
    }

    /// Whether there is nothing to be done but to write what waits as it is.
    #[inline(always)]
    pub(crate) fn asks_for_nothing_else(&self) -> bool {
        self.anew.is_none()
            && self.control.is_empty()
            && self.phase == Phase::Open
            && self.policy.is_none()
    }

    pub(crate) fn admits_message<T>(&self, _item: &T, bytes: usize) -> Admission {
        if self.phase != Phase::Open {
            Admission::Closed
        } else if self.sequence.is_some() || !self.has_room(bytes) {
            // §5.4: a message waits for the end of the one that is sent as frames.
            Admission::Full
        } else {
            Admission::Granted
        }
    }

    pub(crate) fn admits_frame(&self, frame: &Frame, bytes: usize) -> Admission {
        let in_sequence = match frame.opcode() {
            OpCode::Continuation => self.sequence.is_some() && !self.has_writer,
            OpCode::Text | OpCode::Binary => self.sequence.is_none() || self.has_writer,
            OpCode::Close | OpCode::Ping | OpCode::Pong => false,
        };
        if self.phase != Phase::Open {
            Admission::Closed
        } else if !in_sequence {
            Admission::OutOfSequence
        } else if self.has_writer || !self.has_room(bytes) {
            Admission::Full
        } else {
            Admission::Granted
        }
    }

    /// For the writer that has the turn.
    pub(crate) fn admits_part(&self, _frame: &Frame, bytes: usize) -> Admission {
        if self.phase != Phase::Open {
            Admission::Closed
        } else if !self.has_room(bytes) {
            Admission::Full
        } else {
            Admission::Granted
        }
    }

    pub(crate) fn admits_control(&self, frame: &Frame, _bytes: usize) -> Admission {
        if self.phase != Phase::Open {
            Admission::Closed
        } else if self.control.len() + frame.payload().len() + 2 > MAX_CONTROL_BYTES {
            Admission::Full
        } else {
            Admission::Granted
        }
    }

    pub(crate) fn follow(&mut self, frame: &Frame) {
        self.unfinished += u32::from(!frame.fin());
        self.sequence = match (frame.fin(), frame.opcode().message_kind()) {
            (true, _) => None,
            (false, Some(kind)) => Some(kind),
            (false, None) => self.sequence,
        };
    }

    /// Gives the turn to a writer, or to nobody.
    pub(crate) const fn turn_to(&mut self, writer: Option<MessageKind>) {
        self.sequence = writer;
        self.has_writer = writer.is_some();
    }

    /// Encodes a message; what is left of it is not to be used.
    #[inline(always)]
    pub(crate) fn encode_message(&mut self, message: &mut Message) {
        let tail = self.data.end();
        generator::encode_message_header(message.kind(), message.len(), tail);
        if message.len() < SHARED_PAYLOAD_BYTES {
            tail.extend_from_slice(message.as_bytes());
        } else {
            let message = std::mem::replace(message, Message::Binary(Bytes::new()));
            self.put_large(message.into_bytes());
        }
    }

    /// Encodes a frame.
    pub(crate) fn encode_frame(&mut self, frame: &Frame) {
        let tail = self.data.end();
        generator::encode_header(&plain_header(frame), None, tail);
        if frame.payload().len() < SHARED_PAYLOAD_BYTES {
            tail.extend_from_slice(frame.payload());
        } else {
            self.put_large(frame.payload().clone());
        }
    }

    /// Puts a payload behind its header.
    fn put_large(&mut self, payload: Bytes) {
        self.seal_anew();
        match &mut self.anew {
            Some(anew) => anew.push_back(Outgoing::Plain(payload)),
            None => self.data.push(payload),
        }
    }

    /// The first to wait is shared, however small: a broadcast to ten thousand who wait for nothing
    /// else would otherwise copy it as often. What joins it is copied, so that a burst leaves in few
    /// pieces.
    pub(crate) fn append(&mut self, prepared: &Prepared) {
        let plain = prepared.plain();
        self.seal_anew();
        if let Some(anew) = &mut self.anew {
            anew.push_back(Outgoing::Prepared(prepared.clone()));
        } else if plain.len() < SHARED_PAYLOAD_BYTES && !self.data.is_empty() {
            self.data.end().extend_from_slice(plain);
        } else {
            self.data.push(plain.clone());
        }
    }

    /// Adds a message behind everything else that may be removed again; returns its place.
    pub(crate) fn append_removable(&mut self, prepared: &Prepared) -> usize {
        self.seal_anew();
        match &mut self.anew {
            Some(anew) => {
                anew.push_back(Outgoing::Prepared(prepared.clone()));
                anew.len() - 1
            }
            None => self.data.push_removable(prepared.plain().clone()),
        }
    }

    /// Removes what [`Self::append_removable`] has added; what is behind it moves up by one.
    pub(crate) fn remove(&mut self, place: usize) {
        match &mut self.anew {
            Some(anew) => drop(anew.remove(place)),
            None => self.data.remove(place),
        }
    }

    /// Moves the data to what is written anew, if this is such a queue.
    pub(crate) fn seal_anew(&mut self) {
        if let Some(anew) = &mut self.anew
            && !self.data.is_empty()
        {
            anew.push_back(Outgoing::Plain(self.data.take_end()));
        }
    }
}

impl Load {
    /// How much the policy lets wait.
    pub(crate) fn limit(policy: &Policy) -> Self {
        Self {
            messages: policy.max_outbox_messages(),
            bytes: policy.max_outbox_bytes(),
        }
    }

    /// Whether this limit lets one more message join what waits.
    pub(crate) const fn takes(self, waiting: Self, bytes: usize) -> bool {
        // A message larger than the bound passes when nothing else waits.
        waiting.messages == 0
            || (waiting.messages < self.messages
                && waiting.bytes.saturating_add(bytes) <= self.bytes)
    }

    pub(crate) const fn without(self, gone: Self) -> Self {
        Self {
            messages: self.messages - gone.messages,
            bytes: self.bytes - gone.bytes,
        }
    }
}

/// Without reserved bits: a received frame may have kept some, and only extensions may set them.
const fn plain_header(frame: &Frame) -> FrameHeader {
    let header = FrameHeader::whole(frame.opcode(), frame.payload().len() as u64);
    match frame.fin() {
        true => header,
        false => header.not_final(),
    }
}
