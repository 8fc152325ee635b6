//! A message encoded once is the frames that it says, for whoever sends it.

use bytes::BytesMut;
use ws_core::{
    Connection, Delivery, Event, ExtensionStack, Frame, Limits, Message, Prepared, Role, Step,
    generator,
};

fn frames(prepared: &Prepared) -> Vec<Frame> {
    let mut rest = prepared.plain().clone();
    let mut frames = Vec::new();
    while let Some(frame) = generator::split_plain(&mut rest) {
        frames.push(frame);
    }
    assert!(rest.is_empty(), "whole frames and nothing else");
    frames
}

#[test]
fn message_without_cuts_is_one_frame() {
    for message in [
        Message::text("hello"),
        Message::binary(vec![1; 70_000]),
        Message::text(""),
    ] {
        let prepared = Prepared::from(&message);

        let [frame] = &frames(&prepared)[..] else {
            panic!("{prepared:?}")
        };
        assert!(frame.fin());
        assert_eq!(frame.payload().as_ref(), message.as_bytes());
        assert_eq!(frame.opcode(), message.kind().opcode());
    }
}

#[test]
fn cuts_are_where_frames_begin() {
    let prepared = Prepared::cut(&Message::text("Hello"), [1, 3]);

    assert_eq!(
        frames(&prepared),
        [
            Frame::text("H").not_final(),
            Frame::continuation("el").not_final(),
            Frame::continuation("lo"),
        ]
    );
}

/// A cut past the end, before its predecessor, or at a place that is already one: an empty frame.
#[test]
fn odd_cuts_make_empty_frames_and_lose_nothing() {
    let rows: [(&[usize], &[usize]); 5] = [
        (&[0], &[0, 4]),
        (&[4], &[4, 0]),
        (&[usize::MAX, 1], &[4, 0, 0]),
        (&[3, 1], &[3, 0, 1]),
        (&[2, 2], &[2, 0, 2]),
    ];
    for (cuts, want) in rows {
        let prepared = Prepared::cut(&Message::binary("data"), cuts.iter().copied());

        let frames = frames(&prepared);

        let lens: Vec<usize> = frames.iter().map(|frame| frame.payload().len()).collect();
        assert_eq!(lens, want, "{cuts:?}");
        assert!(frames.split_last().is_some_and(|(last, before)| {
            last.fin() && before.iter().all(|frame| !frame.fin())
        }));
    }
}

/// §5.4: a frame may end within a character; the message is still text.
#[test]
fn text_that_is_cut_within_a_character_arrives_as_it_was() {
    for cut in 0..=4 {
        let message = Message::text("𝄞");
        let prepared = Prepared::cut(&message, [cut]);
        let mut client = Connection::new(
            Role::Client,
            Limits::default(),
            Delivery::Messages,
            ExtensionStack::default(),
        );

        client.recv(BytesMut::from(prepared.plain().as_ref()));
        let step = client.poll_event();

        assert_eq!(
            step,
            Ok(Step::Event(Event::Message(message))),
            "cut at {cut}"
        );
    }
}

#[test]
fn clones_share_their_bytes() {
    let prepared = Prepared::from(&Message::binary(vec![0; 1_000]));

    let clone = prepared.clone();

    assert_eq!(clone.plain().as_ptr(), prepared.plain().as_ptr());
}
