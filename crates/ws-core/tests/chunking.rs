//! What holds for all inputs, tested on random ones (hostile inputs F18 and F21): a legal
//! conversation leads to the same events however it is cut, delivered and asked for, and no bytes
//! make a connection panic. A failure prints the smallest input that shows it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "peer/wire.rs"]
mod peer;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::{collection::vec, sample::select};
use ws_core::extension::Identity;
use ws_core::generator::{self, MaskKeys};
use ws_core::{
    CloseCode, CloseFrame, Connection, Delivery, Event, ExtensionStack, Frame, FrameHeader, Limits,
    Message, MessageKind, OpCode, Role, Step,
};

/// What a peer does: the frames that it sends, and what they are to the application.
#[derive(Clone, Debug, Default)]
struct Conversation {
    frames: Vec<(u8, Vec<u8>)>,
    events: Vec<Event>,
}

impl Conversation {
    /// One message in fragments that begin at `cuts`, a Ping behind each fragment but the last.
    fn message(&mut self, message: &Message, cuts: &[usize], pings: bool) {
        let payload = message.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut opcode = message.kind().opcode();
        let mut start = 0;
        for end in cuts {
            self.frames
                .push((opcode.bits(), payload[start..end].to_vec()));
            if pings {
                self.frames.push((0x89, b"ping".to_vec()));
                self.events.push(Event::Ping(Bytes::from_static(b"ping")));
            }
            opcode = OpCode::Continuation;
            start = end;
        }
        self.frames
            .push((0x80 | opcode.bits(), payload[start..].to_vec()));
        self.events.push(Event::Message(message.clone()));
    }

    fn close(&mut self) {
        let close = CloseFrame::new(CloseCode::NORMAL, "bye");
        self.frames.push((0x88, close.to_payload()));
        self.events.push(Event::Close(close));
    }

    fn wire(&self, to: Role) -> Vec<u8> {
        let frames = self
            .frames
            .iter()
            .map(|(first, payload)| peer::frame(to, *first, payload));
        frames.collect::<Vec<_>>().concat()
    }
}

fn roles() -> impl Strategy<Value = Role> {
    select(vec![Role::Server, Role::Client])
}

fn deliveries() -> impl Strategy<Value = Delivery> {
    select(vec![
        Delivery::Messages,
        Delivery::Partials,
        Delivery::Frames,
        Delivery::FramesAndPartials,
    ])
}

fn messages() -> impl Strategy<Value = Message> {
    let characters = select(vec!['a', 'é', '€', '𝄞', '\0', '\u{10ffff}']);
    prop_oneof![
        vec(characters, 0..80).prop_map(|text| Message::text(String::from_iter(text))),
        vec(any::<u8>(), 0..300).prop_map(Message::binary),
        // Large enough to be read past the parser, and never a multiple of a character.
        (20_000..90_000_usize).prop_map(|len| Message::text("é€𝄞".repeat(len / 9))),
        (20_000..90_000_usize).prop_map(|len| Message::binary(vec![0x80; len])),
    ]
}

fn conversations() -> impl Strategy<Value = Conversation> {
    let message = (messages(), vec(any::<usize>(), 0..4), any::<bool>());
    (vec(message, 0..5), any::<bool>()).prop_map(|(messages, closes)| {
        let mut conversation = Conversation::default();
        for (message, cuts, pings) in messages {
            conversation.message(&message, &cuts, pings);
        }
        if closes {
            conversation.close();
        }
        conversation
    })
}

/// How the bytes come and how they are asked for.
#[derive(Clone, Debug)]
struct Manner {
    /// The sizes of the reads, over and over.
    reads: Vec<usize>,
    /// Whether each next question is for control frames only, over and over.
    control_first: Vec<bool>,
    /// Whether the rest of a large frame goes where the connection wants it.
    direct: bool,
    identity: bool,
}

fn manners() -> impl Strategy<Value = Manner> {
    let size = prop_oneof![1..20_usize, 1..3_000_usize, 10_000..70_000_usize];
    (
        vec(size, 1..6),
        vec(any::<bool>(), 1..6),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(reads, control_first, direct, identity)| Manner {
            reads,
            control_first,
            direct,
            identity,
        })
}

fn open(role: Role, delivery: Delivery, identity: bool) -> Connection {
    let limits = Limits::default()
        .with_max_text_bytes(1 << 20)
        .with_max_binary_bytes(1 << 20);
    let mut extensions = ExtensionStack::default();
    if identity {
        extensions.push(Box::new(Identity::default())).unwrap();
    }
    Connection::new(role, limits, delivery, extensions)
}

/// Feeds `bytes` in the given manner; returns everything that was told.
fn converse(connection: &mut Connection, mut bytes: &[u8], manner: &Manner) -> Vec<Event> {
    let mut told = Vec::new();
    let mut control_first = manner.control_first.iter().cycle();
    for read in manner.reads.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        match connection.direct_buffer(|_| None) {
            Some((buffer, room)) if manner.direct => {
                let (head, rest) = bytes.split_at((*read).min(room).min(bytes.len()));
                buffer.extend_from_slice(head);
                bytes = rest;
                let event = connection.recv_direct(head.len()).unwrap();
                told.extend(
                    event
                        .into_iter()
                        .flat_map(|event| follow(connection, event)),
                );
            }
            _ => {
                let (head, rest) = bytes.split_at((*read).min(bytes.len()));
                connection.recv(BytesMut::from(head));
                bytes = rest;
            }
        }
        drain(connection, &mut told, &mut control_first);
    }
    told
}

fn drain<'a>(
    connection: &mut Connection,
    told: &mut Vec<Event>,
    control_first: &mut impl Iterator<Item = &'a bool>,
) {
    let mut data_waits = false;
    loop {
        let control_only = !data_waits && control_first.next() == Some(&true);
        let step = if control_only {
            connection.poll_control()
        } else {
            connection.poll_event()
        };
        data_waits = false;
        match step.unwrap() {
            Step::Event(event) => {
                assert!(
                    !(control_only && is_data(&event)),
                    "{event:?} was not asked for"
                );
                told.extend(follow(connection, event));
            }
            Step::DataWaits => {
                assert!(
                    control_only,
                    "only a question for control frames is told to wait"
                );
                data_waits = true;
            }
            Step::NeedInput | Step::Closed => return,
        }
    }
}

fn is_data(event: &Event) -> bool {
    match event {
        Event::Message(_) | Event::Partial(_) => true,
        Event::Frame(frame) => !frame.opcode().is_control(),
        _ => false,
    }
}

/// An event, and what it leads to.
fn follow(connection: &mut Connection, event: Event) -> Vec<Event> {
    let completed = match &event {
        Event::Frame(frame) => connection.resume(frame.clone()).unwrap(),
        _ => None,
    };
    [event].into_iter().chain(completed).collect()
}

/// Puts pieces together, and leaves frames out: what `Delivery::Messages` would have told.
fn as_messages(events: &[Event]) -> Vec<Event> {
    let mut open: Option<(MessageKind, Vec<u8>)> = None;
    let mut messages = Vec::new();
    for event in events {
        match event {
            Event::Frame(_) => {}
            Event::Partial(partial) => {
                assert!(partial.is_last() || !partial.piece().is_empty());
                assert_eq!(partial.is_first(), open.is_none());
                if let Message::Text(text) = partial.piece() {
                    assert!(
                        std::str::from_utf8(text.as_bytes()).is_ok(),
                        "a character was cut"
                    );
                }
                let kind = partial.piece().kind();
                let (whole_kind, whole) = open.get_or_insert_with(|| (kind, Vec::new()));
                assert_eq!(*whole_kind, kind);
                whole.extend_from_slice(partial.piece().as_bytes());
                if partial.is_last() {
                    let (kind, whole) = open.take().unwrap();
                    messages.push(Event::Message(match kind {
                        MessageKind::Text => Message::text(String::from_utf8(whole).unwrap()),
                        MessageKind::Binary => Message::binary(whole),
                    }));
                }
            }
            other => messages.push(other.clone()),
        }
    }
    messages
}

fn frames_of(events: &[Event]) -> Vec<(u8, Vec<u8>)> {
    let frames = events.iter().filter_map(|event| match event {
        Event::Frame(frame) => Some((
            u8::from(frame.fin()) << 7 | frame.opcode().bits(),
            frame.payload().to_vec(),
        )),
        _ => None,
    });
    frames.collect()
}

/// A key for each frame, all of them different.
#[derive(Debug, Default)]
struct CountingKeys(u32);

impl MaskKeys for CountingKeys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        self.0.to_be_bytes()
    }
}

proptest! {
    #[test]
    fn conversation_is_the_same_however_it_is_cut_delivered_and_asked_for(
        conversation in conversations(),
        role in roles(),
        delivery in deliveries(),
        manner in manners(),
    ) {
        let mut connection = open(role, delivery, manner.identity);

        let told = converse(&mut connection, &conversation.wire(role), &manner);

        prop_assert_eq!(as_messages(&told), conversation.events);
        if delivery.frames() {
            prop_assert_eq!(frames_of(&told), conversation.frames);
        }
        prop_assert!(!connection.has_input());
    }

    #[test]
    fn what_one_end_encodes_the_other_reads(
        conversation in conversations(),
        sender in roles(),
        manner in manners(),
    ) {
        let mut from = open(sender, Delivery::Messages, manner.identity);
        let mut to = open(sender.peer(), Delivery::Messages, manner.identity);
        let mut keys = CountingKeys::default();
        let mut wire = BytesMut::new();
        for (first, payload) in &conversation.frames {
            let frame = plain_frame(*first, payload);
            from.encode(frame, Some(&mut keys), &mut wire);
        }

        let told = converse(&mut to, &wire, &manner);

        prop_assert_eq!(told, conversation.events);
    }

    #[test]
    fn random_bytes_never_panic_and_fail_for_good(
        role in roles(),
        delivery in deliveries(),
        segments in vec(hostile_segments(), 0..8),
    ) {
        let mut connection = peer::open(role, delivery);
        let mut failed = false;

        for segment in segments {
            let (events, end) = peer::told(&mut connection, &segment);

            prop_assert!(!failed || events.is_empty());
            prop_assert!(!failed || end == Ok(Step::Closed));
            failed |= end.is_err();
            prop_assert!(connection.direct_buffer(|_| None).is_none() || !failed);
        }
    }

    #[test]
    fn bytes_without_a_role_never_panic_the_generators_readers(bytes in vec(any::<u8>(), 0..40)) {
        let mut rest = Bytes::from(bytes.clone());

        let frame = generator::split_plain(&mut rest);

        prop_assert_eq!(frame.is_none(), rest.len() == bytes.len());
        prop_assert!(generator::plain_lengths(&bytes).is_none() || generator::wire_length(&bytes).is_some());
    }
}

/// Noise, and noise that looks enough like frames to come further.
fn hostile_segments() -> impl Strategy<Value = Vec<u8>> {
    let first = select(vec![
        0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xc1, 0x83,
    ]);
    let payload = vec(any::<u8>(), 0..140);
    prop_oneof![
        vec(any::<u8>(), 0..200),
        (first, payload, roles(), 0..20_usize).prop_map(|(first, payload, role, lost)| {
            let mut bytes = peer::frame(role, first, &payload);
            bytes.truncate(bytes.len().saturating_sub(lost).max(1));
            bytes
        }),
    ]
}

/// A frame by way of the plain form, which is how control frames travel too.
fn plain_frame(first: u8, payload: &[u8]) -> Frame {
    let opcode = OpCode::from_bits(first & 0x0F).unwrap();
    let header = FrameHeader::whole(opcode, payload.len() as u64);
    let header = if first & 0x80 == 0 {
        header.not_final()
    } else {
        header
    };
    let mut plain = BytesMut::new();
    generator::encode_header(&header, None, &mut plain);
    plain.extend_from_slice(payload);
    generator::split_plain(&mut plain.freeze()).unwrap()
}

/// The exhaustive end of the property: every cut of a short conversation, in every delivery.
#[test]
fn conversation_cut_in_two_at_every_byte_is_the_same() {
    let mut conversation = Conversation::default();
    conversation.message(&Message::text("é€𝄞"), &[1, 4], true);
    conversation.message(&Message::binary(vec![1; 200]), &[], false);
    conversation.close();
    for role in [Role::Server, Role::Client] {
        let wire = conversation.wire(role);
        for delivery in [Delivery::Messages, Delivery::Partials, Delivery::Frames] {
            for cut in 0..=wire.len() {
                let mut connection = peer::open(role, delivery);

                let (mut told, _) = peer::told(&mut connection, &wire[..cut]);
                let (rest, end) = peer::told(&mut connection, &wire[cut..]);
                told.extend(rest);

                assert_eq!(
                    as_messages(&told),
                    conversation.events,
                    "{delivery:?} cut at {cut}"
                );
                assert_eq!(end, Ok(Step::Closed));
            }
        }
    }
}

#[test]
fn large_frame_is_the_same_read_directly_or_not() {
    let mut conversation = Conversation::default();
    conversation.message(
        &Message::text("é€𝄞".repeat(20_000)),
        &[60_001, 90_002],
        false,
    );
    for (role, delivery) in [
        (Role::Server, Delivery::Messages),
        (Role::Client, Delivery::Messages),
        (Role::Server, Delivery::Frames),
    ] {
        for direct in [true, false] {
            let manner = Manner {
                reads: vec![977],
                control_first: vec![false],
                direct,
                identity: false,
            };
            let mut connection = open(role, delivery, false);

            let told = converse(&mut connection, &conversation.wire(role), &manner);

            assert_eq!(
                as_messages(&told),
                conversation.events,
                "{role:?} {delivery:?} {direct}"
            );
        }
    }
}
