//! Bytes in, parts of frames out (RFC 6455 §5.2, §5.4).
//!
//! [`Parser`] is handed whatever the socket produced and gives back one [`FramePart`] at a time,
//! unmasked. It checks everything that a header can get wrong, also against the headers before
//! it, at the first byte that shows it; what needs the payload is for those behind it.
//!
//! Payload never stays here: a data frame that has not arrived whole is handed on in parts. What
//! it holds between two reads is a header of at most 14 bytes, or the 125 bytes of a control frame.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    FrameHeader, FramePart, Limits, MessageKind, OpCode, ProtocolError, ReservedBits, Role,
    generator::MAX_HEADER_BYTES, mask,
};

mod whole;

/// What the caller is ready to take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "frames are data or control, and a caller takes both or only the latter"
)]
pub enum Demand {
    /// Whatever comes next.
    Any,
    /// Control frames, up to the next data frame: what may be served while a message is handled.
    Control,
}

/// What [`Parser::next_part`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a parser has a part, lacks bytes, or is not asked for what it has"
)]
pub enum Parsed {
    /// The next part of a frame.
    Part(FramePart),
    /// The input is used up.
    NeedInput,
    /// A data frame is next, and only control frames were asked for.
    DataWaits,
}

/// The parser of one connection's inbound bytes.
///
/// ```
/// use bytes::BytesMut;
/// use ws_core::{Demand, Limits, Parsed, Parser, Role};
///
/// let mut parser = Parser::new(Role::Server, Limits::default());
/// let mut input = BytesMut::from(&b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..]);
/// let Ok(Parsed::Part(part)) = parser.next_part(&mut input, Demand::Any) else { panic!() };
/// assert_eq!(part.payload().as_ref(), b"Hello");
/// ```
#[derive(Debug)]
pub struct Parser {
    role: Role,
    limits: Limits,
    claimed: ReservedBits,
    /// The kind of the message that is under way, between its first and its last frame.
    message: Option<MessageKind>,
    /// The frame whose payload is arriving.
    frame: Option<OpenFrame>,
    /// The first bytes of a header that was cut by the end of a read.
    head: [u8; MAX_HEADER_BYTES],
    head_len: u8,
    /// The first bytes of a control frame's payload that was cut by the end of a read.
    control: Option<Box<BytesMut>>,
}

/// A frame whose header has been read.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    header: FrameHeader,
    key: [u8; 4],
    /// How much of the payload has been handed on.
    received: u64,
}

impl Parser {
    /// A parser at the start of a connection, for the end that we are.
    #[must_use]
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            claimed: ReservedBits::NONE,
            message: None,
            frame: None,
            head: [0; MAX_HEADER_BYTES],
            head_len: 0,
            control: None,
        }
    }

    /// Lets data frames carry these bits: an extension gives them their meaning.
    #[must_use]
    pub const fn with_claimed(mut self, claimed: ReservedBits) -> Self {
        self.claimed = claimed;
        self
    }

    /// Changes the limits; they hold from the next frame on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes the next part of a frame from the front of `input`.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. Nothing after it can be trusted: the parser must not be asked
    /// again.
    pub fn next_part(
        &mut self,
        input: &mut BytesMut,
        demand: Demand,
    ) -> Result<Parsed, ProtocolError> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => {
                if demand == Demand::Control && self.data_is_next(input) {
                    return Ok(Parsed::DataWaits);
                }
                let Some(frame) = self.take_header(input)? else {
                    return Ok(Parsed::NeedInput);
                };
                self.frame = Some(frame);
                frame
            }
        };

        if frame.header.opcode.is_control() {
            Ok(self.take_control(frame, input))
        } else if demand == Demand::Control {
            Ok(Parsed::DataWaits)
        } else {
            Ok(self.take_data(frame, input))
        }
    }

    /// Whether a header has been read whose payload has not come whole.
    pub(crate) const fn is_within_frame(&self) -> bool {
        self.frame.is_some()
    }

    /// How much is still to come of a data frame of which a part has been handed on.
    pub(crate) fn data_remaining(&self) -> Option<u64> {
        self.frame
            .filter(|frame| frame.received > 0 && !frame.header.opcode.is_control())
            .map(|frame| frame.header.payload_len - frame.received)
    }

    /// Unmasks payload that was read past the parser, straight to where it belongs; returns the
    /// frame's header, and whether the frame ends with these bytes.
    ///
    /// At most [`Self::data_remaining`] bytes.
    pub(crate) fn recv_direct(&mut self, payload: &mut [u8]) -> Option<(FrameHeader, bool)> {
        let frame = self.frame.as_mut()?;
        mask::apply(payload, frame.key, frame.received);
        frame.received += payload.len() as u64;
        let header = frame.header;
        let ends = frame.received >= header.payload_len;
        if ends {
            self.frame = None;
        }
        Some((header, ends))
    }

    /// Whether the next frame is a data frame, as far as its first byte can say.
    fn data_is_next(&self, input: &BytesMut) -> bool {
        let first = match self.head_len {
            0 => input.first().copied(),
            _ => Some(self.head[0]),
        };
        // §5.2: 0x8 and above are control frames, also those that are not defined yet.
        first.is_some_and(|byte| byte & 0x0F < 0x8)
    }

    /// Takes a whole header, or keeps what there is of it.
    fn take_header(&mut self, input: &mut BytesMut) -> Result<Option<OpenFrame>, ProtocolError> {
        let kept = usize::from(self.head_len);
        let decoded = if kept == 0 {
            self.decode(input)?
        } else {
            let more = input.len().min(MAX_HEADER_BYTES - kept);
            self.head[kept..kept + more].copy_from_slice(&input[..more]);
            self.decode(&self.head[..kept + more])?
        };

        let Some((header, key, header_len)) = decoded else {
            if kept == 0 {
                self.head[..input.len()].copy_from_slice(input);
            }
            // An incomplete header is shorter than 14 bytes.
            self.head_len = (kept + input.len()) as u8;
            input.clear();
            return Ok(None);
        };
        input.advance(header_len - kept);
        self.head_len = 0;
        match header.opcode {
            OpCode::Continuation if header.fin => self.message = None,
            OpCode::Text | OpCode::Binary if !header.fin => {
                self.message = header.opcode.message_kind();
            }
            _ => {}
        }
        Ok(Some(OpenFrame {
            header,
            key,
            received: 0,
        }))
    }

    /// Reads a header, its key and its length in bytes; `None` while bytes are missing.
    ///
    /// Each rule is checked as soon as the bytes that it needs are there.
    fn decode(&self, bytes: &[u8]) -> Result<Option<(FrameHeader, [u8; 4], usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (opcode, reserved, fin, kind) = self.check_first_byte(first)?;
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };

        // §5.1: a server closes on a frame that is not masked, a client on one that is.
        let masked = second & 0x80 != 0;
        if masked != self.role.peer().masks() {
            return Err(ProtocolError::WrongMasking { masked });
        }
        let short_len = second & 0x7F;
        // §5.5: control frames have a payload of 125 bytes or less.
        if opcode.is_control() && short_len > 125 {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((payload_len, len_bytes)) = decode_length(short_len, &bytes[2..])? else {
            return Ok(None);
        };
        if let Some(kind) = kind {
            let max_bytes = match self.claimed.is_empty() {
                true => self.limits.max_frame_bytes(kind),
                false => self.limits.max_extended_frame_bytes(kind),
            };
            if payload_len > max_bytes {
                return Err(ProtocolError::FrameTooBig {
                    bytes: payload_len,
                    max_bytes,
                });
            }
        }

        let header = FrameHeader {
            fin,
            reserved,
            opcode,
            payload_len,
        };
        let after_length = 2 + len_bytes;
        if !masked {
            return Ok(Some((header, [0; 4], after_length)));
        }
        match bytes[after_length..].first_chunk::<4>() {
            Some(key) => Ok(Some((header, *key, after_length + 4))),
            None => Ok(None),
        }
    }

    /// Everything that the first byte can get wrong, and the kind of message it belongs to.
    fn check_first_byte(
        &self,
        first: u8,
    ) -> Result<(OpCode, ReservedBits, bool, Option<MessageKind>), ProtocolError> {
        let fin = first & 0x80 != 0;
        let reserved = ReservedBits::from_first_byte(first);
        let bits = first & 0x0F;
        let opcode = OpCode::from_bits(bits).ok_or(ProtocolError::ReservedOpCode { bits });
        // §5.2: a bit that no extension claimed fails the connection; control frames have none.
        let claimed = match opcode {
            Ok(opcode) if !opcode.is_control() => self.claimed,
            _ => ReservedBits::NONE,
        };
        if !reserved.without(claimed).is_empty() {
            return Err(ProtocolError::ReservedBits {
                bits: reserved.bits(),
            });
        }
        let opcode = opcode?;
        // §5.5: control frames are not fragmented.
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        // §5.4: the frames of two messages do not interleave.
        let kind = match (opcode, self.message) {
            (OpCode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (OpCode::Text | OpCode::Binary, Some(_)) => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            (OpCode::Continuation, message) => message,
            (opcode, _) => opcode.message_kind(),
        };
        Ok((opcode, reserved, fin, kind))
    }

    /// Takes a control frame's payload once it is there as a whole.
    fn take_control(&mut self, frame: OpenFrame, input: &mut BytesMut) -> Parsed {
        // Cannot truncate: at most 125.
        let len = frame.header.payload_len as usize;
        let missing = len - self.control.as_ref().map_or(0, |begun| begun.len());
        if input.len() < missing {
            self.control
                .get_or_insert_default()
                .extend_from_slice(input);
            input.clear();
            return Parsed::NeedInput;
        }

        let mut payload = match self.control.take() {
            None => input.split_to(len),
            Some(mut begun) => {
                begun.extend_from_slice(&input.split_to(missing));
                *begun
            }
        };
        mask::apply(&mut payload, frame.key, 0);
        self.frame = None;
        Parsed::Part(FramePart {
            header: frame.header,
            payload: payload.freeze(),
            first: true,
            last: true,
            left_plain: false,
        })
    }

    /// Takes as much of a data frame's payload as there is.
    fn take_data(&mut self, frame: OpenFrame, input: &mut BytesMut) -> Parsed {
        let remaining = frame.header.payload_len - frame.received;
        // Cannot truncate: not more than the input's length.
        let len = remaining.min(input.len() as u64) as usize;
        if len == 0 && remaining > 0 {
            return Parsed::NeedInput;
        }

        let payload = if len == 0 {
            Bytes::new()
        } else {
            let mut payload = input.split_to(len);
            mask::apply(&mut payload, frame.key, frame.received);
            payload.freeze()
        };
        let last = len as u64 == remaining;
        self.frame = (!last).then_some(OpenFrame {
            received: frame.received + len as u64,
            ..frame
        });
        Parsed::Part(FramePart {
            header: frame.header,
            payload,
            first: frame.received == 0,
            last,
            left_plain: false,
        })
    }
}

/// Reads the length that follows the seven bits, and how many bytes it took.
fn decode_length(short_len: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    let (len, len_bytes, least) = match short_len {
        126 => match bytes.first_chunk::<2>() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 2, 126),
            None => return Ok(None),
        },
        127 => match bytes.first_chunk::<8>() {
            Some(len) => (u64::from_be_bytes(*len), 8, 1 << 16),
            None => return Ok(None),
        },
        len => (u64::from(len), 0, 0),
    };
    // §5.2: the most significant bit of a 64-bit length is 0.
    if len >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit);
    }
    // §5.2: the minimal number of bytes is used to encode the length.
    if len < least {
        return Err(ProtocolError::LongLengthForm);
    }
    Ok(Some((len, len_bytes)))
}
