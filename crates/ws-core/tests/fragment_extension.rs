//! Jetty's `fragment`: what it agrees to, and how it cuts what we send.

use bytes::BytesMut;
use ws_core::extension::{DeflateConfig, Fragment};
use ws_core::{Connection, Delivery, Extension, ExtensionStack, Frame, Limits, Role};

type Offer<'a> = &'a [(&'a str, Option<&'a str>)];

fn sent(layers: Vec<Box<dyn Extension>>, frames: Vec<Frame>) -> Vec<u8> {
    let mut stack = ExtensionStack::default();
    for layer in layers {
        stack.push(layer).expect("no bit is claimed twice");
    }
    let mut server = Connection::new(Role::Server, Limits::default(), Delivery::Messages, stack);
    let mut out = BytesMut::new();
    for frame in frames {
        server.encode(frame, None, &mut out);
    }
    out.to_vec()
}

fn fragment(offer: Offer<'_>) -> Box<dyn Extension> {
    Box::new(Fragment::accept(offer).expect("a legal offer").0)
}

#[test]
fn frame_is_cut_by_length_and_then_by_number() {
    let cases: [(Offer<'_>, &[u8]); 6] = [
        (&[], b"\x81\x05Hello"),
        (&[("maxLength", Some("-1"))], b"\x81\x05Hello"),
        (&[("maxLength", Some("5"))], b"\x81\x05Hello"),
        (
            &[("maxLength", Some("2"))],
            b"\x01\x02He\x00\x02ll\x80\x01o",
        ),
        (
            &[("minFragments", Some("3"))],
            b"\x01\x02He\x00\x01l\x80\x02lo",
        ),
        (
            &[("maxLength", Some("4")), ("minFragments", Some("3"))],
            b"\x01\x04Hell\x00\x00\x80\x01o",
        ),
    ];

    for (offer, want) in cases {
        assert_eq!(
            sent(vec![fragment(offer)], vec![Frame::text("Hello")]),
            want,
            "{offer:?}"
        );
    }
}

#[test]
fn last_piece_ends_the_message_only_where_the_frame_does() {
    let layers = vec![fragment(&[("maxLength", Some("1"))])];
    let frames = vec![
        Frame::text("ab").not_final(),
        Frame::ping("control frames stay whole"),
        Frame::continuation("cd"),
    ];

    let out = sent(layers, frames);

    let want = b"\x01\x01a\x00\x01b\x89\x19control frames stay whole\x00\x01c\x80\x01d";
    assert_eq!(out, want);
}

/// RFC 7692 §6.1: behind the compression, only the first piece is marked.
#[test]
fn compressed_frame_is_cut_into_pieces_of_which_the_first_is_marked() {
    let (deflate, _) = DeflateConfig::default()
        .with_threshold_bytes(0)
        .accept(&[])
        .unwrap();
    let layers: Vec<Box<dyn Extension>> =
        vec![Box::new(deflate), fragment(&[("maxLength", Some("3"))])];

    let out = sent(layers, vec![Frame::text("Hello")]);

    let want = b"\x41\x03\xf2\x48\xcd\x00\x03\xc9\xc9\x07\x80\x01\x00";
    assert_eq!(out, want);
}

#[test]
fn offer_that_makes_no_sense_is_declined() {
    for param in [
        ("maxLength", None),
        ("maxLength", Some("")),
        ("maxLength", Some("0")),
        ("maxLength", Some("-2")),
        ("maxLength", Some("+5")),
        ("maxLength", Some("99999999999999999999999")),
        ("minFragments", Some("-1")),
        ("minFragments", Some("257")),
        ("minFragments", Some("4294967296")),
        ("other", Some("1")),
    ] {
        assert!(Fragment::accept(&[param]).is_none(), "{param:?}");
    }
    let twice = [("maxLength", Some("5")); 2];
    assert!(Fragment::accept(&twice).is_none());
}

#[test]
fn offer_is_answered_with_its_own_parameters() {
    let offer = [("minFragments", Some("2")), ("maxLength", Some("100"))];

    let (_, agreed) = Fragment::accept(&offer).unwrap();

    let want = [("minFragments", "2"), ("maxLength", "100")]
        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    assert_eq!(agreed, want);
}
