//! Both arrows of the drawing and the machine between them (RFC 6455 §5–§8).
//!
//! A [`Connection`] holds what was read and not yet told, at most one incomplete message (or, for
//! those who ask for frames, one incomplete frame besides), and nothing between two messages.

use bytes::{Bytes, BytesMut};

use crate::{
    CloseFrame, Delivery, Demand, Event, ExtensionStack, Frame, FramePart, Limits, Message,
    MessageKind, OpCode, Parsed, Parser, Prepared, ProtocolError, Role, Step, Utf8Validator,
    assembler::Assembler,
    collector::FrameCollector,
    generator::{self, MaskKeys},
    prepared::FormKey,
    state::{CloseState, Input},
    utf8,
};

mod direct;
mod room;

/// One WebSocket connection after its handshake, as a state machine.
///
/// Methods come in kinds, told apart by name:
///
/// - `recv*` take what the peer sent; [`Self::direct_buffer`] says where the next bytes may go
///   without a detour;
/// - `poll_*` yield what there is to do about it, [`Self::next_message`] only what is nearly always
///   next;
/// - [`Self::resume`] and [`Self::consume`] answer an [`Event::Frame`];
/// - `send_*` and `encode` are the way out;
/// - the rest read or set.
///
/// Drain [`Self::poll_event`] to [`Step::NeedInput`] before the next [`Self::recv`].
#[derive(Debug)]
pub struct Connection {
    role: Role,
    delivery: Delivery,
    input: BytesMut,
    /// Whether there may be something to tell before more is received, or something to let go of in
    /// `input`: what was taken apart to its end still holds the allocation.
    is_busy: bool,
    /// What [`Self::takes_whole`] said when it last changed: so it is one question a message in the
    /// place of six.
    short_way: bool,
    parser: Parser,
    /// Mostly there are none, and that takes a word.
    extended: Option<Box<Extended>>,
    utf8: Utf8Validator,
    /// Whether the message under way is text, and so has to be UTF-8.
    in_text: bool,
    frames: FrameCollector,
    assembler: Assembler,
    state: CloseState,
}

/// What a connection has that agreed on extensions.
#[derive(Debug)]
struct Extended {
    extensions: ExtensionStack,
    /// What an encoded message depends on besides itself, if that can be said.
    form_key: Option<FormKey>,
}

impl Connection {
    /// A connection whose handshake is done.
    #[must_use]
    pub fn new(role: Role, limits: Limits, delivery: Delivery, extensions: ExtensionStack) -> Self {
        let mut connection = Self {
            role,
            delivery,
            input: BytesMut::new(),
            is_busy: !extensions.is_empty(),
            parser: Parser::new(role, limits).with_claimed(extensions.claimed()),
            extended: (!extensions.is_empty()).then(|| {
                Box::new(Extended {
                    form_key: extensions.outbound_key(),
                    extensions,
                })
            }),
            utf8: Utf8Validator::default(),
            in_text: false,
            frames: FrameCollector::default(),
            assembler: Assembler::default(),
            state: CloseState::Open,
            short_way: false,
        };
        connection.short_way = connection.takes_whole();
        connection
    }

    /// Takes what was read from the peer.
    pub fn recv(&mut self, bytes: BytesMut) {
        if !self.state.may_deliver() {
            // §1.4: what follows the peer's Close is discarded.
            return;
        }
        self.is_busy = true;
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            self.input.extend_from_slice(&bytes);
        }
    }

    /// Takes the message that `bytes`, all that was read, is alone; `keep` makes of its payload what
    /// the message holds. So is nearly every read while no peer hurries, and then there is nothing
    /// to keep between reading and telling.
    ///
    /// `None` if it is anything else, or breaks a rule, or there are extensions, or the endpoint
    /// wants messages in other pieces: then nothing has happened, and [`Self::recv`] takes it.
    #[inline]
    pub fn recv_alone(
        &mut self,
        bytes: &mut [u8],
        keep: impl FnOnce(&[u8]) -> Bytes,
    ) -> Option<Message> {
        if self.is_busy || !self.short_way {
            return None;
        }
        let (kind, payload) = self.parser.take_alone(bytes, is_valid)?;
        Some(Message::from_validated(kind, keep(payload)))
    }

    /// As [`Self::recv_alone`], for what may be given away as it is: takes the message that `bytes`
    /// begins with, and leaves what is behind it for [`Self::recv`].
    #[inline]
    pub fn recv_first(&mut self, bytes: &mut BytesMut) -> Option<Message> {
        if self.is_busy || !self.short_way {
            return None;
        }
        let (kind, payload) = self.parser.take_whole(bytes, is_valid)?;
        Some(Message::from_validated(kind, payload))
    }

    /// Whether a message that is one whole frame can be told as it is.
    fn takes_whole(&self) -> bool {
        self.delivery == Delivery::Messages
            && self.extended.is_none()
            && self.state.may_deliver()
            && self.parser.is_between_messages()
    }

    /// The next thing that the peer did.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. The connection has failed (§7.1.7): send a Close with the
    /// error's code; every later call yields [`Step::Closed`].
    #[inline]
    pub fn poll_event(&mut self) -> Result<Step, ProtocolError> {
        // Asked twice for every message that came alone, so the answer is short.
        match self.is_busy {
            false => Ok(Step::NeedInput),
            true => self.poll_input(),
        }
    }

    fn poll_input(&mut self) -> Result<Step, ProtocolError> {
        if self.input.is_empty() && self.extended.is_none() && self.state.may_deliver() {
            return Ok(self.need_input());
        }
        if let Some(message) = self.next_message() {
            return Ok(Step::Event(Event::Message(message)));
        }
        let result = self.step(Demand::Any);
        self.settle(result)
    }

    /// The message that what was received begins with, if it is one whole frame that breaks no rule:
    /// the short way to what [`Self::poll_event`] would tell next. `None` says nothing.
    #[inline]
    pub fn next_message(&mut self) -> Option<Message> {
        if !self.short_way {
            return None;
        }
        let (kind, payload) = self.parser.take_whole(&mut self.input, is_valid)?;
        // Then the buffer is gone with it, and there is nothing to let go of: 40 instructions.
        self.is_busy = !self.input.is_empty();
        Some(Message::from_validated(kind, payload))
    }

    /// The next control frame, up to the next data frame: for while a message is being handled.
    ///
    /// # Errors
    ///
    /// As [`Self::poll_event`].
    pub fn poll_control(&mut self) -> Result<Step, ProtocolError> {
        let result = self.step(Demand::Control);
        self.settle(result)
    }

    /// Goes on with a frame that was told as [`Event::Frame`]; returns what it completes.
    ///
    /// That very frame: it has passed every check, and none is made again.
    ///
    /// # Errors
    ///
    /// As [`Self::poll_event`].
    pub fn resume(&mut self, frame: Frame) -> Result<Option<Event>, ProtocolError> {
        let result = match frame.opcode() {
            OpCode::Ping => Ok(Some(Event::Ping(frame.into_payload()))),
            OpCode::Pong => Ok(Some(Event::Pong(frame.into_payload()))),
            OpCode::Close => {
                CloseFrame::parse(frame.payload()).map(|close| Some(Event::Close(close)))
            }
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {
                self.assemble(FramePart::whole(frame))
            }
        };
        self.settle(result)
    }

    /// Leaves a frame that was told as [`Event::Frame`] to whoever took it. Taking the first frame
    /// of a message takes the message: its later frames are told, and not assembled. A later frame
    /// cannot be taken from a message whose first frame was not.
    ///
    /// # Errors
    ///
    /// As [`Self::poll_event`].
    pub fn consume(&mut self, frame: Frame) -> Result<Option<Event>, ProtocolError> {
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => self.assembler.skip(&frame),
            OpCode::Continuation => return self.resume(frame),
            OpCode::Close | OpCode::Ping | OpCode::Pong => {}
        }
        Ok(None)
    }

    /// Writes the wire form of `frame`: through the extensions, and masked if we are a client. A
    /// [`FramePart`] may say what becomes of it on the way ([`FramePart::left_plain`]).
    ///
    /// # Panics
    ///
    /// Never: a client without `keys` would have nothing to mask with, and writes nothing.
    pub fn encode(
        &mut self,
        frame: impl Into<FramePart>,
        keys: Option<&mut dyn MaskKeys>,
        out: &mut BytesMut,
    ) {
        let frame = frame.into();
        let mut keys = keys;
        let masks = self.role.masks();
        let mut write = |frame: Frame| match (masks, &mut keys) {
            (false, _) => generator::encode_plain(&frame, out),
            (true, Some(keys)) => generator::encode_masked(&frame, keys.next_key(), out),
            (true, None) => {}
        };
        match &mut self.extended {
            Some(extended) if !frame.header.opcode.is_control() => {
                extended.extensions.push_outbound(frame);
                while let Some(part) = extended.extensions.poll_outbound() {
                    write(part.into_frame());
                }
            }
            _ => write(frame.into_frame()),
        }
    }

    /// Writes the wire form of a message that was encoded before, or returns it where all
    /// connections that have agreed on the same extensions can share it.
    ///
    /// # Panics
    ///
    /// As [`Self::encode`].
    pub fn encode_prepared(
        &mut self,
        prepared: &Prepared,
        keys: Option<&mut dyn MaskKeys>,
        out: &mut BytesMut,
    ) -> Option<Bytes> {
        let key = match &mut self.extended {
            Some(extended) => extended.form_key.take(),
            None => Some(FormKey::default()),
        };
        let shared = match &key {
            Some(key) if !self.role.masks() => Some(prepared.form(key, || {
                let mut form = BytesMut::new();
                self.encode_frames(prepared, None, &mut form);
                form.freeze()
            })),
            _ => {
                self.encode_frames(prepared, keys, out);
                None
            }
        };
        if let Some(extended) = &mut self.extended {
            extended.form_key = key;
        }
        shared
    }

    fn encode_frames(
        &mut self,
        prepared: &Prepared,
        mut keys: Option<&mut dyn MaskKeys>,
        out: &mut BytesMut,
    ) {
        let mut plain = prepared.plain().clone();
        while let Some(frame) = generator::split_plain(&mut plain) {
            let part = FramePart::whole(frame);
            let part = if prepared.is_uncompressed() {
                part.left_plain()
            } else {
                part
            };
            let keys = keys.as_mut().map(|keys| &mut **keys as &mut dyn MaskKeys);
            self.encode(part, keys, out);
        }
    }

    /// Whether plain frames are on the wire what they are in the outbox.
    #[must_use]
    pub fn sends_plain(&self) -> bool {
        !self.role.masks() && self.extended.is_none()
    }

    /// Notes that our Close has been queued for the wire.
    pub fn send_close(&mut self) {
        self.change(Input::SendClose);
    }

    /// Notes that the transport is gone.
    pub fn recv_end(&mut self) {
        self.change(Input::TransportLost);
        self.input = BytesMut::new();
    }

    /// Whether a frame may still leave (§5.5.1).
    #[must_use]
    pub const fn may_send(&self) -> bool {
        self.state.may_send()
    }

    /// Whether an arriving frame would still be told (§1.4).
    #[must_use]
    pub const fn may_deliver(&self) -> bool {
        self.state.may_deliver()
    }

    /// Whether there may be something to tell, or a buffer to let go of, before more is received. If
    /// not, [`Self::poll_event`] says [`Step::NeedInput`].
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether bytes were received that have not been told.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Changes the limits; they hold from the next frame on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.parser.set_limits(limits);
    }

    fn step(&mut self, demand: Demand) -> Result<Step, ProtocolError> {
        while self.state.may_deliver() {
            let part = match self.next_part(demand)? {
                Ok(part) => part,
                Err(step) => return Ok(step),
            };
            let event = if part.header.opcode.is_control() {
                Some(self.take_control(part)?)
            } else {
                self.take_data(part)?
            };
            if let Some(event) = event {
                return Ok(Step::Event(event));
            }
        }
        Ok(Step::Closed)
    }

    /// The next part as the extensions leave it, or why there is none.
    fn next_part(&mut self, demand: Demand) -> Result<Result<FramePart, Step>, ProtocolError> {
        loop {
            if let Some(Extended { extensions, .. }) = self.extended.as_deref_mut() {
                if demand == Demand::Control {
                    if extensions.has_inbound()? {
                        return Ok(Err(Step::DataWaits));
                    }
                } else if let Some(part) = extensions.poll_inbound()? {
                    return Ok(Ok(part));
                }
            }
            match self.parser.next_part(&mut self.input, demand)? {
                Parsed::Part(part) => match &mut self.extended {
                    Some(extended) if !part.header.opcode.is_control() => {
                        extended.extensions.push_inbound(part);
                    }
                    _ => return Ok(Ok(part)),
                },
                Parsed::NeedInput => return Ok(Err(self.need_input())),
                Parsed::DataWaits => return Ok(Err(Step::DataWaits)),
            }
        }
    }

    /// Lets go of the read buffer: an idle connection holds none.
    fn need_input(&mut self) -> Step {
        self.is_busy = self.extended.is_some();
        self.input = BytesMut::new();
        Step::NeedInput
    }

    fn change(&mut self, input: Input) {
        self.state = self.state.on(input);
        // It may be closed now, and tells that instead of asking for more.
        self.is_busy = true;
        self.short_way = self.takes_whole();
    }

    fn take_control(&mut self, part: FramePart) -> Result<Event, ProtocolError> {
        let opcode = part.header.opcode;
        if opcode == OpCode::Close {
            let close = CloseFrame::parse(&part.payload)?;
            self.change(Input::RecvClose);
            self.input = BytesMut::new();
            if !self.delivery.frames() {
                return Ok(Event::Close(close));
            }
        }
        if self.delivery.frames() {
            return Ok(Event::Frame(part.into_frame()));
        }
        Ok(match opcode {
            OpCode::Ping => Event::Ping(part.payload),
            _ => Event::Pong(part.payload),
        })
    }

    fn take_data(&mut self, part: FramePart) -> Result<Option<Event>, ProtocolError> {
        if let Some(kind) = part.header.opcode.message_kind() {
            self.in_text = kind.opcode() == OpCode::Text;
        }
        let fits = self.admit(&part)?;
        let ends_message = part.ends_message() && fits == part.payload.len();
        self.check_text(&part.payload[..fits], ends_message)?;
        if self.delivery.frames() {
            // Without extensions nothing grows, and the parser has counted.
            let max_bytes = match self.extended.is_none() {
                true => u64::MAX,
                false => self.parser.limits().max_told_frame_bytes(self.kind()),
            };
            let frame = self.frames.push(part, max_bytes)?;
            return Ok(frame.map(Event::Frame));
        }
        self.assemble(part)
    }

    fn assemble(&mut self, part: FramePart) -> Result<Option<Event>, ProtocolError> {
        if self.delivery.partials() {
            self.assembler.push_partial(part, self.parser.limits())
        } else {
            self.assembler.push(part, self.parser.limits())
        }
    }

    /// §8.1: text that is not UTF-8 fails the connection, here at its first impossible byte.
    fn check_text(&mut self, payload: &[u8], ends_message: bool) -> Result<(), ProtocolError> {
        if !self.in_text {
            return Ok(());
        }
        self.utf8.feed(payload)?;
        if ends_message {
            self.utf8.finish()?;
        }
        Ok(())
    }

    /// What every way but the short one ends with.
    fn settle<T>(&mut self, result: Result<T, ProtocolError>) -> Result<T, ProtocolError> {
        if result.is_err() {
            self.recv_end();
        }
        self.short_way = self.takes_whole();
        result
    }
}

/// Whether a message may have this payload (§8.1).
#[inline]
fn is_valid(kind: MessageKind, payload: &[u8]) -> bool {
    kind == MessageKind::Binary || utf8::is_valid(payload)
}
