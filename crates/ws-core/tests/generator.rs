//! RFC 6455 §5.2 and §5.3, the writing side: what leaves is what the definition says.

use bytes::{Bytes, BytesMut};
use ws_core::generator::{
    MaskKeys, encode_header, encode_masked, encode_plain, plain_lengths, split_plain, wire_length,
};
use ws_core::{
    Connection, Delivery, ExtensionStack, Frame, FrameHeader, Limits, OpCode, ReservedBits, Role,
};

fn plain(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    encode_plain(frame, &mut out);
    out.freeze()
}

/// §5.2: the minimal number of bytes MUST be used to encode the length.
#[test]
fn length_takes_its_shortest_form() {
    let rows: [(u64, &[u8]); 6] = [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
        (1 << 40, b"\x82\x7f\0\0\x01\0\0\0\0\0"),
    ];
    for (len, want) in rows {
        let mut out = BytesMut::new();

        encode_header(&FrameHeader::whole(OpCode::Binary, len), None, &mut out);

        assert_eq!(out.as_ref(), want, "{len}");
        assert_eq!(plain_lengths(&out), Some((want.len(), len)));
        assert_eq!(wire_length(&out), Some(want.len() as u64 + len));
    }
}

#[test]
fn first_byte_is_fin_and_opcode() {
    for (opcode, bits) in [
        (OpCode::Continuation, 0x0),
        (OpCode::Text, 0x1),
        (OpCode::Binary, 0x2),
        (OpCode::Close, 0x8),
        (OpCode::Ping, 0x9),
        (OpCode::Pong, 0xA),
    ] {
        let header = FrameHeader::whole(opcode, 0);
        let mut out = BytesMut::new();

        encode_header(&header, None, &mut out);
        encode_header(&header.not_final(), None, &mut out);

        assert_eq!(out.as_ref(), [0x80 | bits, 0, bits, 0]);
    }
}

#[test]
fn examples_of_the_rfc_are_written_as_it_says() {
    let mut masked = BytesMut::new();
    encode_masked(&Frame::text("Hello"), [0x37, 0xfa, 0x21, 0x3d], &mut masked);

    assert_eq!(plain(&Frame::text("Hello")).as_ref(), b"\x81\x05Hello");
    assert_eq!(
        plain(&Frame::text("Hel").not_final()).as_ref(),
        b"\x01\x03Hel"
    );
    assert_eq!(plain(&Frame::continuation("lo")).as_ref(), b"\x80\x02lo");
    assert_eq!(
        masked.as_ref(),
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    );
}

/// §5.3, written behind what is already there: only the new payload is masked.
#[test]
fn masked_frame_leaves_what_was_written_before_it_alone() {
    for len in [0, 3, 125, 126, 70_000] {
        let key = [1, 2, 3, 4];
        let mut out = BytesMut::from(&b"before"[..]);

        encode_masked(&Frame::binary(vec![0; len]), key, &mut out);

        let keyed: Vec<u8> = key.into_iter().cycle().take(len).collect();
        assert!(out.starts_with(b"before"));
        assert!(out.ends_with(&keyed), "{len}");
        let frame_len = (out.len() - "before".len()) as u64;
        assert_eq!(wire_length(&out["before".len()..]), Some(frame_len));
    }
}

#[test]
fn plain_frame_taken_apart_is_the_frame_that_was_written() {
    for len in [0, 125, 126, 65_535, 65_536] {
        for frame in [
            Frame::text("x".repeat(len)),
            Frame::binary(vec![0; len]).not_final(),
            Frame::continuation(vec![0; len]),
        ] {
            let mut bytes = Bytes::from([&plain(&frame)[..], b"next"].concat());

            let split = split_plain(&mut bytes);

            assert_eq!(split, Some(frame));
            assert_eq!(bytes.as_ref(), b"next");
        }
    }
}

#[test]
fn plain_frame_that_is_cut_short_is_left_as_it_is() {
    let whole = plain(&Frame::binary(vec![7; 300]));
    for cut in 0..whole.len() {
        let mut bytes = whole.slice(..cut);

        assert_eq!(split_plain(&mut bytes), None, "cut at {cut}");
        assert_eq!(bytes.len(), cut);
    }
}

#[test]
fn what_is_masked_reserved_or_unknown_is_no_plain_frame() {
    for bytes in [&b"\x81\x80\0\0\0\0"[..], b"\xc1\x00", b"\x91\x00"] {
        assert_eq!(plain_lengths(bytes), None, "{bytes:x?}");
        assert_eq!(
            split_plain(&mut Bytes::copy_from_slice(bytes)),
            None,
            "{bytes:x?}"
        );
    }
    assert_eq!(split_plain(&mut Bytes::from_static(b"\x83\x00")), None);
}

#[derive(Debug)]
struct Keys(Vec<[u8; 4]>);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0.pop().expect("no more keys than frames")
    }
}

/// §5.3: the key is fresh for every frame. §5.1: a client masks, a server does not.
#[test]
fn client_takes_a_key_for_each_frame_and_server_takes_none() {
    let open = |role| {
        Connection::new(
            role,
            Limits::default(),
            Delivery::Messages,
            ExtensionStack::default(),
        )
    };
    let mut keys = Keys(vec![[2; 4], [1; 4]]);
    let mut from_client = BytesMut::new();
    let mut from_server = BytesMut::new();
    let mut client = open(Role::Client);

    client.encode(Frame::binary("\0"), Some(&mut keys), &mut from_client);
    client.encode(Frame::binary("\0"), Some(&mut keys), &mut from_client);
    open(Role::Server).encode(Frame::binary("\0"), Some(&mut keys), &mut from_server);

    assert_eq!(
        from_client.as_ref(),
        b"\x82\x81\x01\x01\x01\x01\x01\x82\x81\x02\x02\x02\x02\x02"
    );
    assert_eq!(from_server.as_ref(), b"\x82\x01\0");
    assert!(keys.0.is_empty());
}

#[test]
fn frames_that_applications_make_have_no_reserved_bits() {
    for frame in [
        Frame::text("a"),
        Frame::binary("b").not_final(),
        Frame::continuation("c"),
    ] {
        assert_eq!(frame.reserved(), ReservedBits::NONE);
        assert_eq!(plain(&frame)[0] & 0x70, 0);
    }
}
