//! The short ways (`recv_alone`, `recv_first`, `next_message`, a message that lies whole in what was read) tell
//! what the long one does, which is taken byte by byte: for legal input and for any that is not.
//! A failure prints the smallest input that shows it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::{collection::vec, sample::select};
use ws_core::{
    Connection, Delivery, Event, ExtensionStack, Limits, Message, ProtocolError, Role, Step,
};

/// What came, and what it ended with: `None` while the connection waits for more.
type Told = (Vec<Event>, Option<ProtocolError>);

/// One frame on the wire, legal or not.
#[derive(Clone, Debug)]
struct Sent {
    first: u8,
    payload: Vec<u8>,
    /// `None` for a frame that is not masked.
    key: Option<[u8; 4]>,
    /// Whether its length has the form of a longer one.
    long_form: bool,
    /// How many bytes of its end are lost.
    lost: usize,
}

impl Sent {
    fn wire(&self) -> Vec<u8> {
        let mask_bit = u8::from(self.key.is_some()) << 7;
        let mut bytes = vec![self.first];
        match (self.payload.len(), self.long_form) {
            (len @ 0..126, false) => bytes.push(mask_bit | len as u8),
            (len @ 0..126, true) | (len @ 126..65_536, false) => {
                bytes.push(mask_bit | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            (len, _) => {
                bytes.push(mask_bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(self.key.iter().flatten());
        let key = self.key.unwrap_or_default();
        let masked = self.payload.iter().zip(key.iter().cycle());
        bytes.extend(masked.map(|(byte, key)| byte ^ key));
        bytes.truncate(bytes.len() - self.lost.min(bytes.len()));
        bytes
    }
}

/// The limits that `payloads` go up to and past.
fn limits() -> Limits {
    Limits::default()
        .with_max_text_bytes(130)
        .with_max_binary_bytes(400)
        .with_max_frame_bytes(300)
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let len = select(vec![0_usize, 1, 2, 125, 126, 127, 130, 131, 300, 301]);
    prop_oneof![
        4 => len.prop_map(|len| vec![b'a'; len]),
        2 => "[a-zé€𝄞]{0,20}".prop_map(String::into_bytes),
        // The beginnings and the ends of characters, and what is neither.
        1 => vec(select(&b"a\xe2\x82\xac\xf0\x9d\xff\xc0\xed\xa0"[..]), 0..12),
    ]
}

/// A frame to `role`; one in a few breaks a rule.
fn frames(role: Role) -> impl Strategy<Value = Sent> {
    let first = prop_oneof![
        12 => select(vec![0x81, 0x82]),
        6 => select(vec![0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => select(vec![0x88, 0xc1, 0xa2, 0x83, 0x09]),
    ];
    let key = prop_oneof![2 => any::<[u8; 4]>(), 1 => Just([0; 4])];
    let seldom = || prop::bool::weighted(0.02);
    (
        first,
        payloads(),
        key,
        seldom(),
        seldom(),
        prop_oneof![30 => Just(0), 1 => 1..6_usize],
    )
        .prop_map(move |(first, payload, key, wrong, long_form, lost)| Sent {
            first,
            payload,
            key: ((role == Role::Server) != wrong).then_some(key),
            long_form,
            lost,
        })
}

/// The frames, and how they are cut: between two of them mostly.
fn streams() -> impl Strategy<Value = (Role, Vec<Vec<u8>>)> {
    select(vec![Role::Server, Role::Client]).prop_flat_map(|role| {
        let cut = prop_oneof![
            3 => Just(None),
            2 => Just(Some(usize::MAX)),
            2 => (0..20_usize).prop_map(Some),
        ];
        vec((frames(role), cut), 1..10).prop_map(move |sent| {
            let mut reads = vec![Vec::new()];
            for (frame, cut) in sent {
                let wire = frame.wire();
                let last = reads.last_mut().unwrap();
                match cut {
                    // With whatever follows it.
                    None => last.extend(wire),
                    Some(cut) => {
                        let (head, tail) = wire.split_at(cut.min(wire.len()));
                        last.extend(head);
                        reads.push(tail.to_vec());
                    }
                }
            }
            (
                role,
                reads.into_iter().filter(|read| !read.is_empty()).collect(),
            )
        })
    })
}

/// How it is asked what there is, over and over.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Event,
    Message,
    Control,
}

fn open(role: Role, delivery: Delivery) -> Connection {
    Connection::new(role, limits(), delivery, ExtensionStack::default())
}

/// The long way: no frame ever lies whole in what was read.
fn byte_by_byte(role: Role, delivery: Delivery, bytes: &[u8]) -> Told {
    let mut connection = open(role, delivery);
    let mut events = Vec::new();
    for byte in bytes {
        connection.recv(BytesMut::from(&[*byte][..]));
        loop {
            match connection.poll_event() {
                Ok(Step::Event(event)) => match follow(&mut connection, event, &mut events) {
                    Ok(()) => {}
                    Err(error) => return (events, Some(error)),
                },
                Ok(_) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// Every way that there is, in reads as they came.
fn in_reads(role: Role, delivery: Delivery, reads: &[Vec<u8>], asks: &[Ask]) -> Told {
    let mut connection = open(role, delivery);
    let mut events = Vec::new();
    let mut asks = asks.iter().cycle();
    for read in reads {
        let taken = match asks.next() {
            Some(Ask::Message) => recv_first(&mut connection, read),
            _ => recv_alone(&mut connection, read),
        };
        events.extend(taken.map(Event::Message));
        if let Err(error) = drain(&mut connection, &mut asks, &mut events) {
            assert_eq!(connection.next_message(), None);
            assert_eq!(connection.poll_event(), Ok(Step::Closed));
            return (events, Some(error));
        }
    }
    (events, None)
}

fn recv_alone(connection: &mut Connection, read: &[u8]) -> Option<Message> {
    let mut bytes = read.to_vec();
    let message = connection.recv_alone(&mut bytes, Bytes::copy_from_slice);
    if message.is_some() {
        assert!(!connection.is_busy() && !connection.has_input());
    } else {
        assert_eq!(bytes, read, "nothing has happened");
        connection.recv(BytesMut::from(&bytes[..]));
    }
    message
}

fn recv_first(connection: &mut Connection, read: &[u8]) -> Option<Message> {
    let mut bytes = BytesMut::from(read);
    let message = connection.recv_first(&mut bytes);
    if message.is_none() {
        assert_eq!(bytes, read, "nothing has happened");
    }
    if !bytes.is_empty() {
        connection.recv(bytes);
    }
    message
}

fn drain<'a>(
    connection: &mut Connection,
    asks: &mut impl Iterator<Item = &'a Ask>,
    events: &mut Vec<Event>,
) -> Result<(), ProtocolError> {
    let mut data_waits = false;
    loop {
        let step = match asks.next() {
            Some(Ask::Message) => match connection.next_message() {
                Some(message) => Step::Event(Event::Message(message)),
                None => connection.poll_event()?,
            },
            Some(Ask::Control) if !data_waits => connection.poll_control()?,
            _ => connection.poll_event()?,
        };
        data_waits = step == Step::DataWaits;
        match step {
            Step::Event(event) => follow(connection, event, events)?,
            Step::DataWaits => {}
            Step::NeedInput => {
                assert!(!connection.is_busy() && !connection.has_input());
                return Ok(());
            }
            Step::Closed => return Ok(()),
        }
    }
}

/// An event, and what it leads to.
fn follow(
    connection: &mut Connection,
    event: Event,
    events: &mut Vec<Event>,
) -> Result<(), ProtocolError> {
    events.push(event.clone());
    if let Event::Frame(frame) = event {
        events.extend(connection.resume(frame)?);
    }
    Ok(())
}

/// With pieces put together: how they are cut is the reads' business.
fn whole((events, end): Told) -> Told {
    let mut open = Vec::new();
    let mut told = Vec::new();
    for event in events {
        let Event::Partial(partial) = event else {
            told.push(event);
            continue;
        };
        open.extend_from_slice(partial.piece().as_bytes());
        if partial.is_last() {
            let whole = std::mem::take(&mut open);
            told.push(Event::Message(match partial.piece() {
                Message::Text(_) => Message::text(String::from_utf8(whole).unwrap()),
                Message::Binary(_) => Message::binary(whole),
            }));
        }
    }
    (told, end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn short_ways_tell_what_the_long_one_does(
        (role, reads) in streams(),
        asks in vec(select(vec![Ask::Event, Ask::Message, Ask::Control]), 1..6),
        delivery in select(vec![
            Delivery::Messages,
            Delivery::Messages,
            Delivery::Partials,
            Delivery::Frames,
            Delivery::FramesAndPartials,
        ]),
    ) {
        let long = byte_by_byte(role, delivery, &reads.concat());

        let short = in_reads(role, delivery, &reads, &asks);

        let (told, end) = whole(short);
        let (expected, expected_end) = whole(long);
        prop_assert_eq!(told, expected);
        prop_assert_eq!(end, expected_end);
    }
}

/// The place where text goes wrong is counted from the beginning of the message, whichever way.
#[test]
fn text_that_is_no_text_is_refused_where_it_goes_wrong_by_every_way() {
    for at in 0..140_usize {
        for alone in [true, false] {
            let mut payload = vec![b'a'; 141];
            payload[at] = 0xFF;
            let sent = Sent {
                first: 0x81,
                payload,
                key: Some([1, 2, 3, 4]),
                long_form: false,
                lost: 0,
            };
            let mut wire = sent.wire();
            let mut connection = Connection::new(
                Role::Server,
                Limits::default(),
                Delivery::Messages,
                ExtensionStack::default(),
            );

            if alone {
                assert!(connection.recv_alone(&mut wire, |_| Bytes::new()).is_none());
            }
            connection.recv(BytesMut::from(&wire[..]));

            assert_eq!(connection.next_message(), None);
            let error = connection.poll_event().unwrap_err();
            assert_eq!(error, ProtocolError::InvalidUtf8 { at: at as u64 });
        }
    }
}
