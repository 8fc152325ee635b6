//! RFC 6455 §9: what extensions may do to frames on their way, through a whole connection.

#[path = "peer/wire.rs"]
mod peer;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use ws_core::Role::Server;
use ws_core::extension::Identity;
use ws_core::{
    CloseCode, Connection, Delivery, Event, Extension, ExtensionStack, Frame, FramePart, Limits,
    Message, OpCode, ProtocolError, ReservedBits, Step, generator,
};

/// Claims a bit and marks every frame with it. Inbound each part of such a frame becomes two parts;
/// outbound each frame becomes two frames.
#[derive(Debug)]
struct Halves {
    bit: ReservedBits,
    inbound: VecDeque<FramePart>,
    outbound: VecDeque<FramePart>,
}

impl Halves {
    fn boxed(bit: ReservedBits) -> Box<dyn Extension> {
        Box::new(Self {
            bit,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        })
    }
}

impl Extension for Halves {
    fn name(&self) -> &'static str {
        "halves"
    }

    fn reserved(&self) -> ReservedBits {
        self.bit
    }

    fn push_inbound(&mut self, part: FramePart) {
        assert!(self.inbound.is_empty(), "polled to the end before");
        let reserved = part.header().reserved();
        if !reserved.contains(self.bit) {
            return self.inbound.push_back(part);
        }
        let part = part.with_reserved(reserved.without(self.bit));
        let payload = part.payload().clone();
        let (head, tail) = (
            payload.slice(..payload.len() / 2),
            payload.slice(payload.len() / 2..),
        );
        self.inbound
            .push_back(part.clone().with_payload(head).not_last());
        self.inbound.push_back(part.with_payload(tail).not_first());
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        Ok(self.inbound.pop_front())
    }

    fn push_outbound(&mut self, frame: FramePart) {
        assert!(self.outbound.is_empty(), "polled to the end before");
        let header = frame.header();
        let reserved = header.reserved().with(self.bit);
        let mark = |frame| FramePart::whole(frame).with_reserved(reserved);
        let payload = frame.payload();
        let (head, tail) = (
            payload.slice(..payload.len() / 2),
            payload.slice(payload.len() / 2..),
        );
        let head = match header.opcode() {
            OpCode::Continuation => Frame::continuation(head),
            _ => Frame::binary(head),
        };
        let tail = match header.fin() {
            true => Frame::continuation(tail),
            false => Frame::continuation(tail).not_final(),
        };
        self.outbound.push_back(mark(head.not_final()));
        self.outbound.push_back(mark(tail));
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.outbound.pop_front()
    }
}

/// Puts its letter behind a payload outbound, and takes it off inbound: a payload that does not
/// end with it has gone through the extensions in the wrong order.
#[derive(Debug)]
struct Letter {
    letter: u8,
    inbound: Option<FramePart>,
    outbound: Option<FramePart>,
}

impl Letter {
    fn boxed(letter: u8) -> Box<dyn Extension> {
        Box::new(Self {
            letter,
            inbound: None,
            outbound: None,
        })
    }
}

impl Extension for Letter {
    fn name(&self) -> &'static str {
        "letter"
    }

    fn push_inbound(&mut self, part: FramePart) {
        self.inbound = Some(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        let Some(part) = self.inbound.take() else {
            return Ok(None);
        };
        match part.payload().strip_suffix(&[self.letter]) {
            Some(rest) => {
                let rest = Bytes::copy_from_slice(rest);
                Ok(Some(part.with_payload(rest)))
            }
            None => Err(ProtocolError::Extension {
                extension: "letter",
                rule: "payload ends with the letter",
                code: CloseCode::POLICY_VIOLATION,
            }),
        }
    }

    fn push_outbound(&mut self, frame: FramePart) {
        let payload = Bytes::from([frame.payload(), &[self.letter][..]].concat());
        self.outbound = Some(frame.with_payload(payload));
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.outbound.take()
    }
}

fn connection(delivery: Delivery, extensions: Vec<Box<dyn Extension>>) -> Connection {
    let mut stack = ExtensionStack::default();
    for extension in extensions {
        stack.push(extension).expect("no bit is claimed twice");
    }
    Connection::new(Server, Limits::default(), delivery, stack)
}

fn sent(connection: &mut Connection, frame: Frame) -> BytesMut {
    let mut out = BytesMut::new();
    connection.encode(frame, None, &mut out);
    out
}

#[test]
fn identity_changes_nothing_in_either_direction() {
    let mut plain = connection(Delivery::Frames, vec![]);
    let mut once = connection(Delivery::Frames, vec![Box::new(Identity::default())]);
    let mut twice = connection(
        Delivery::Frames,
        vec![Box::new(Identity::default()), Box::new(Identity::default())],
    );
    let inbound = [
        peer::frame(Server, 0x01, b"a"),
        peer::frame(Server, 0x89, b"p"),
        peer::frame(Server, 0x80, b"b"),
        peer::frame(Server, 0x88, b""),
    ]
    .concat();

    let want = peer::told(&mut plain, &inbound);

    assert_eq!(peer::told(&mut once, &inbound), want);
    assert_eq!(peer::told(&mut twice, &inbound), want);
    for frame in [Frame::text("a").not_final(), Frame::continuation("")] {
        assert_eq!(sent(&mut twice, frame.clone()), sent(&mut plain, frame));
    }
}

#[test]
fn connection_sends_plain_frames_only_without_extensions() {
    assert!(peer::open(Server, Delivery::Messages).sends_plain());
    assert!(!connection(Delivery::Messages, vec![Box::new(Identity::default())]).sends_plain());
}

/// §5.2: a reserved bit is legal on data frames once an extension has negotiated it, and no other.
#[test]
fn claimed_bit_passes_on_data_frames_only() {
    for (first, legal) in [
        (0xc2, true),
        (0xa2, false),
        (0xe2, false),
        (0xc9, false),
        (0xc8, false),
    ] {
        let mut connection =
            connection(Delivery::Messages, vec![Halves::boxed(ReservedBits::RSV1)]);

        let (_, end) = peer::told(&mut connection, &peer::frame(Server, first, b""));

        assert_eq!(end.is_ok(), legal, "{first:#x}");
    }
}

#[test]
fn frame_that_an_extension_splits_is_still_one_frame_of_one_message() {
    for delivery in [Delivery::Messages, Delivery::Frames] {
        let mut connection = connection(delivery, vec![Halves::boxed(ReservedBits::RSV1)]);

        let (mut events, _) = peer::told(&mut connection, &peer::frame(Server, 0xc1, b"halves"));

        assert_eq!(events.pop(), Some(Event::Message(Message::text("halves"))));
        match events.pop() {
            Some(Event::Frame(frame)) => assert_eq!(frame, Frame::text("halves")),
            other => assert_eq!(other, None),
        }
    }
}

#[test]
fn outbound_frame_may_become_several_marked_ones() {
    let mut connection = connection(Delivery::Messages, vec![Halves::boxed(ReservedBits::RSV1)]);

    let out = sent(&mut connection, Frame::binary("ab"));

    assert_eq!(out.as_ref(), b"\x42\x01a\xc0\x01b");
}

#[test]
fn what_two_layers_split_outbound_they_join_inbound() {
    let both = || {
        vec![
            Halves::boxed(ReservedBits::RSV2),
            Halves::boxed(ReservedBits::RSV1),
        ]
    };

    let out = sent(
        &mut connection(Delivery::Messages, both()),
        Frame::binary("abcd"),
    );
    let inbound: Vec<u8> = [(0x62, b"a"), (0x60, b"b"), (0x60, b"c"), (0xe0, b"d")]
        .iter()
        .flat_map(|(first, payload)| peer::frame(Server, *first, *payload))
        .collect();
    let (events, _) = peer::told(&mut connection(Delivery::Messages, both()), &inbound);

    assert_eq!(out.as_ref(), b"\x62\x01a\x60\x01b\x60\x01c\xe0\x01d");
    assert_eq!(events, [Event::Message(Message::binary("abcd"))]);
}

/// §9.1: with `a, b` agreed, data is sent as b(a(data)), and read the other way round.
#[test]
fn extensions_run_in_the_order_agreed_outbound_and_in_reverse_inbound() {
    let both = || vec![Letter::boxed(b'a'), Letter::boxed(b'b')];

    let out = sent(
        &mut connection(Delivery::Messages, both()),
        Frame::binary("data"),
    );
    let inbound = |payload: &[u8]| {
        let mut connection = connection(Delivery::Messages, both());
        peer::told(&mut connection, &peer::frame(Server, 0x82, payload))
    };

    assert_eq!(out.as_ref(), b"\x82\x06dataab");
    assert_eq!(
        inbound(b"dataab").0,
        [Event::Message(Message::binary("data"))]
    );
    assert!(inbound(b"databa").1.is_err());
}

#[test]
fn pieces_of_one_layer_meet_the_next_one_by_one() {
    // The wire's neighbour halves; the application's wants its letter at the end of each half.
    let layers = vec![Letter::boxed(b'!'), Halves::boxed(ReservedBits::RSV1)];
    let mut connection = connection(Delivery::Messages, layers);

    let (events, _) = peer::told(&mut connection, &peer::frame(Server, 0xc2, b"one!two!"));

    assert_eq!(events, [Event::Message(Message::binary("onetwo"))]);
}

#[test]
fn extension_that_fails_fails_the_connection_with_its_code() {
    let mut connection = connection(Delivery::Messages, vec![Letter::boxed(b'x')]);

    let (events, end) = peer::told(&mut connection, &peer::frame(Server, 0x82, b"no"));

    let error = end.unwrap_err();
    assert_eq!(events, []);
    assert_eq!(error.close_code(), CloseCode::POLICY_VIOLATION);
    assert_eq!(error.to_string(), "letter: payload ends with the letter");
    assert_eq!(connection.poll_event(), Ok(Step::Closed));
}

#[test]
fn control_frames_pass_extensions_by() {
    let mut connection = connection(Delivery::Messages, vec![Letter::boxed(b'x')]);

    let (events, _) = peer::told(&mut connection, &peer::frame(Server, 0x89, b"ping"));
    let pong = generator::split_plain(&mut Bytes::from_static(b"\x8a\x04pong"));
    let out = sent(&mut connection, pong.expect("a whole frame"));

    assert_eq!(events, [Event::Ping(Bytes::from_static(b"ping"))]);
    assert_eq!(out.as_ref(), b"\x8a\x04pong");
}

/// §9.1: two extensions that use one bit cannot be agreed on together.
#[test]
fn bit_that_is_claimed_twice_is_a_conflict() {
    let mut stack = ExtensionStack::default();
    stack.push(Halves::boxed(ReservedBits::RSV1)).unwrap();

    let refused = stack.push(Halves::boxed(ReservedBits::RSV1)).unwrap_err();

    assert_eq!(refused.name(), "halves");
    assert_eq!(stack.len(), 1);
    assert_eq!(stack.claimed(), ReservedBits::RSV1);
    assert!(stack.push(Box::new(Identity::default())).is_ok());
}

/// Hostile input U7: §8.1 is about the message, not about what was on the wire.
#[test]
fn text_is_judged_behind_the_extensions() {
    let inbound = |payload: &[u8]| {
        let mut connection = connection(Delivery::Messages, vec![Letter::boxed(0xff)]);
        peer::told(&mut connection, &peer::frame(Server, 0x81, payload))
    };

    assert_eq!(
        inbound(b"text\xff").0,
        [Event::Message(Message::text("text"))]
    );
    assert_eq!(
        inbound(b"\xc3\x28\xff").1,
        Err(ProtocolError::InvalidUtf8 { at: 0 })
    );
}

/// Hostile inputs L1 and C11: what counts is the message that the extensions leave.
#[test]
fn message_is_counted_behind_the_extensions() {
    let limits = Limits::default()
        .with_max_binary_bytes(4)
        .with_max_frame_bytes(100);
    let inbound = |payload: &[u8]| {
        let mut stack = ExtensionStack::default();
        stack.push(Letter::boxed(b'x')).unwrap();
        let mut connection = Connection::new(Server, limits, Delivery::Messages, stack);
        peer::told(&mut connection, &peer::frame(Server, 0x82, payload)).1
    };

    assert_eq!(inbound(b"1234x"), Ok(Step::NeedInput));
    assert_eq!(
        inbound(b"12345x"),
        Err(ProtocolError::MessageTooBig { max_bytes: 4 })
    );
}

#[test]
fn ping_behind_a_message_is_told_while_the_message_is_handled() {
    let mut connection = connection(Delivery::Messages, vec![Halves::boxed(ReservedBits::RSV1)]);
    let bytes = [
        peer::frame(Server, 0xc2, b"message"),
        peer::frame(Server, 0x89, b""),
    ]
    .concat();
    connection.recv(BytesMut::from(&bytes[..]));

    let message = connection.poll_event();
    let ping = connection.poll_control();

    assert!(matches!(message, Ok(Step::Event(Event::Message(_)))));
    assert_eq!(ping, Ok(Step::Event(Event::Ping(Bytes::new()))));
}

#[test]
fn piece_that_an_extension_still_holds_waits_in_front_of_a_ping() {
    let mut connection = connection(Delivery::Partials, vec![Halves::boxed(ReservedBits::RSV1)]);
    let bytes = [
        peer::frame(Server, 0xc2, b"ab"),
        peer::frame(Server, 0x89, b""),
    ]
    .concat();
    connection.recv(BytesMut::from(&bytes[..]));

    let first = connection.poll_event();
    let waits = [connection.poll_control(), connection.poll_control()];
    let second = connection.poll_event();
    let ping = connection.poll_control();

    let piece = |step| match step {
        Ok(Step::Event(Event::Partial(partial))) => partial.into_piece(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits, [Ok(Step::DataWaits), Ok(Step::DataWaits)]);
    assert_eq!(piece(first), Message::binary("a"));
    assert_eq!(piece(second), Message::binary("b"));
    assert_eq!(ping, Ok(Step::Event(Event::Ping(Bytes::new()))));
}

#[test]
fn frame_on_its_way_through_extensions_is_never_read_directly() {
    let mut connection = connection(Delivery::Messages, vec![Box::new(Identity::default())]);
    let bytes = peer::frame(Server, 0x82, &[0; 60_000]);

    let (_, end) = peer::told(&mut connection, &bytes[..1_000]);

    assert_eq!(end, Ok(Step::NeedInput));
    assert!(connection.direct_buffer(|_| None).is_none());
}
