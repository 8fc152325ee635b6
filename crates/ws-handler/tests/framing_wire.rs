//! Sections 2 and 4 of the hostile inputs on a real socket, byte by byte.
//!
//! A conformance suite believes a client library; this one looks at what is really sent: no mask,
//! the shortest lengths, one Close, nothing behind it, and an end of the stream that is ours.

use std::{net::SocketAddr, time::Duration};

use tokio::io::AsyncWriteExt;
use ws_handler::{
    Endpoint, EventResult, Initiator, Message, NotFound, Policy, Session, WebSocketFactory,
    WebSocketHandler,
};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/close_code.rs"]
mod close_code;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/recorder.rs"]
mod recorder;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/session.rs"]
mod session;

use bounded::bounded;
use close_code::close_code;
use frames::{close, exactly, frame, header, masked};
use recorder::{Log, Seen, recorder};
use serving::serve;
use session::session;

/// Text that is whole, text that goes on, and what goes on with it.
const TEXT: u8 = 0x81;
const TEXT_BEGINS: u8 = 0x01;
const BINARY: u8 = 0x82;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A row and the bytes that a client sends.
type Row = (String, Vec<u8>);

#[tokio::test]
async fn frame_that_breaks_a_rule_fails_the_connection_with_1002() {
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |name: &str, bytes: Vec<u8>| rows.push((name.to_owned(), bytes));
    let length = |first: u8, form: u8, bytes: &[u8]| [&[first, 0x80 | form], bytes].concat();

    for first in [TEXT, BINARY, PING, PONG, CLOSE, GOES_ON] {
        row(
            "F1: not masked",
            [header(first, 0, 2), b"hi".into()].concat(),
        );
    }
    for first in [TEXT, BINARY, TEXT_BEGINS, PING, PONG, CLOSE] {
        for bit in [0x40, 0x20, 0x10] {
            row("F3: a reserved bit", masked(first | bit, b""));
        }
    }
    let begun = masked(TEXT_BEGINS, b"a");
    for opcode in (3..=7).chain(11..=15) {
        row("F4: a reserved opcode", masked(0x80 | opcode, b""));
        let inside = [begun.clone(), masked(0x80 | opcode, b"")].concat();
        row("F4: inside a message", inside);
        row("F5: of 1 TiB", header(0x80 | opcode, 0x80, 1 << 40));
    }
    row("F6: 125 in 16 bits", length(TEXT, 126, &[0, 125]));
    row("F6: 0 in 16 bits", length(BINARY, 126, &[0, 0]));
    row(
        "F6: 65,535 in 64 bits",
        length(TEXT, 127, &65_535_u64.to_be_bytes()),
    );
    row("F6: 0 in 64 bits", length(BINARY, 127, &[0; 8]));
    row(
        "F7: the top bit",
        length(TEXT, 127, &(1_u64 << 63).to_be_bytes()),
    );
    row("F7: all bits", length(BINARY, 127, &[0xff; 8]));
    for first in [CLOSE, PING, PONG] {
        row("F10: 126 bytes", masked(first, &[0; 126]));
        row(
            "F10: 65,536 bytes, only announced",
            header(first, 0x80, 65_536),
        );
        row("F11: a control frame in pieces", masked(first & 0x0f, b""));
    }
    row("F12: nothing to continue", masked(ENDS, b"a"));
    row(
        "F12: nothing to continue, nor an end",
        masked(GOES_ON, b"a"),
    );
    row(
        "F13: text in text",
        [begun.clone(), masked(TEXT, b"b")].concat(),
    );
    row(
        "F13: binary in text",
        [begun.clone(), masked(BINARY, b"b")].concat(),
    );
    row("F13: text in text, begun", [begun.clone(), begun].concat());
    row(
        "H27: a request",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".into(),
    );
    row("K3: half a code", masked(CLOSE, &[3]));
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535,
    ] {
        row(&format!("K4: {code}"), close(code, ""));
    }
    row("K6: a reason of 124 bytes", close(1000, &"x".repeat(124)));

    fails_with(1002, rows).await;
}

#[tokio::test]
async fn frame_over_the_limit_fails_with_1009_before_its_payload_is_there() {
    let announced = |bytes| header(BINARY, 0x80, bytes);
    let rows = vec![
        ("F8: limit + 1".to_owned(), announced(65_537)),
        ("F8: 2 GiB".to_owned(), announced(1 << 31)),
        ("F8: 4 GiB".to_owned(), announced(1 << 32)),
        ("F8: 1 TiB".to_owned(), announced(1 << 40)),
        ("F8: 2^63 - 1".to_owned(), announced((1 << 63) - 1)),
        (
            "F9: a sum past 64 bits".to_owned(),
            [masked(0x02, b"a"), header(ENDS, 0x80, (1 << 63) - 1)].concat(),
        ),
        (
            "F9: a sum past the limit".to_owned(),
            [
                masked(0x02, &[0; 65_536]),
                header(ENDS, 0x80, 1),
                vec![0; 5],
            ]
            .concat(),
        ),
    ];

    fails_with(1009, rows).await;
}

#[tokio::test]
async fn reason_that_is_no_text_fails_with_1007() {
    let rows = vec![("U6".to_owned(), masked(CLOSE, &[0x03, 0xe8, 0xff, 0xfe]))];

    fails_with(1007, rows).await;
}

/// A whole message passes; then each row ends its session, and the endpoint is told once.
async fn fails_with(code: u16, rows: Vec<Row>) {
    let (addr, mut log) = start().await;
    for (row, bytes) in rows {
        let mut raw = session(addr).await;
        raw.send([masked(TEXT, b"good"), bytes].concat()).await;

        assert_eq!(frame(&mut raw).await, (TEXT, "good".into()), "{row}");
        let told = close_code(&mut raw).await;
        assert_eq!(told, code, "hostile input {row}");
        assert_eq!(
            raw.rest().await,
            "",
            "hostile input {row}: our Close is the last"
        );
        let life = [
            Seen::Connected,
            Seen::Message(Message::text("good")),
            Seen::Error,
            Seen::Closed(code, Initiator::Local, false),
            Seen::Dropped,
        ];
        assert_eq!(log.life().await, life, "hostile input {row}");
    }
}

/// A row, the frames that are sent, and first byte and payload of what comes back.
type Exchange = (&'static str, Vec<Vec<u8>>, Vec<(u8, Vec<u8>)>);

#[tokio::test]
async fn legal_frames_come_back_as_they_should() {
    let (addr, _log) = start().await;
    let ping = |payload: &[u8]| (PONG, payload.to_vec());
    let text = |text: &str| (TEXT, text.as_bytes().to_vec());
    let no_mask = [&[TEXT, 0x82, 0, 0, 0, 0][..], b"hi"].concat();
    let rows: Vec<Exchange> = vec![
        (
            "F14: control frames between fragments",
            vec![
                masked(TEXT_BEGINS, b"a"),
                masked(PING, b"1"),
                masked(GOES_ON, b"b"),
                masked(PONG, b""),
                masked(PING, b"2"),
                masked(ENDS, b"c"),
            ],
            vec![ping(b"1"), ping(b"2"), text("abc")],
        ),
        (
            "F15: an empty message",
            vec![masked(TEXT, b"")],
            vec![text("")],
        ),
        (
            "F15: empty fragments",
            vec![
                masked(TEXT_BEGINS, b""),
                masked(GOES_ON, b"a"),
                masked(GOES_ON, b""),
                masked(ENDS, b""),
            ],
            vec![text("a")],
        ),
        (
            "F16: pings of 0 and 125 bytes, in order",
            vec![
                masked(PING, b""),
                masked(PING, &[7; 125]),
                masked(TEXT, b"x"),
            ],
            vec![ping(b""), ping(&[7; 125]), text("x")],
        ),
        (
            "F17: a pong that nobody asked for",
            vec![masked(PONG, b"?"), masked(TEXT, b"x")],
            vec![text("x")],
        ),
        ("F20: a key of zeros", vec![no_mask], vec![text("hi")]),
    ];

    for (row, sent, wanted) in rows {
        let mut raw = session(addr).await;
        raw.send([sent.concat(), close(1000, "")].concat()).await;
        for want in wanted {
            let (first, payload) = frame(&mut raw).await;
            assert_eq!((first, payload.to_vec()), want, "hostile input {row}");
        }
        assert_eq!(close_code(&mut raw).await, 1000, "hostile input {row}");
        assert_eq!(raw.rest().await, "", "hostile input {row}");
    }
}

#[tokio::test]
async fn lengths_are_written_in_their_shortest_form() {
    let (addr, _log) = start().await;
    let mut raw = session(addr).await;

    for (len, head) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        raw.send(masked(BINARY, &vec![9; len])).await;
        assert_eq!(exactly(&mut raw, head.len()).await, head, "{len} bytes");
        assert_eq!(exactly(&mut raw, len).await, vec![9; len]);
    }
}

#[tokio::test]
async fn ten_thousand_frames_in_one_segment_are_ten_thousand_messages() {
    let (addr, _log) = start().await;
    let mut raw = session(addr).await;
    let frames: Vec<_> = (0..10_000_u16)
        .map(|n| masked(BINARY, &n.to_be_bytes()))
        .collect();

    raw.send(frames.concat()).await;

    for n in 0..10_000_u16 {
        let (_, payload) = frame(&mut raw).await;
        assert_eq!(payload[..], n.to_be_bytes(), "hostile input F18");
    }
}

#[tokio::test]
async fn close_is_answered_with_its_code_and_nothing_follows() {
    let (addr, mut log) = start().await;
    let registered = (1000..=1003)
        .chain(1007..=1014)
        .map(|code| ("K1, K5", code));
    let others = [3000, 3999, 4000, 4999].map(|code| ("K1", code));
    let after = [
        masked(TEXT, b"late"),
        masked(PING, b"late"),
        close(1001, "again"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];

    for (row, code) in registered.chain(others) {
        for reason in ["", "bye", &"x".repeat(123)] {
            let mut raw = session(addr).await;
            // K8: in the middle of a message.
            let close = [masked(TEXT_BEGINS, b"part"), close(code, reason)].concat();
            raw.send([close, after.concat()].concat()).await;

            assert_eq!(close_code(&mut raw).await, code, "hostile input {row}");
            assert_eq!(raw.rest().await, "", "hostile input K7");
            let closed = Seen::Closed(code, Initiator::Remote, true);
            let life = [Seen::Connected, closed, Seen::Dropped];
            assert_eq!(log.life().await, life, "hostile input {row}, K7, K8");
        }
    }

    let mut raw = session(addr).await;
    raw.send(masked(CLOSE, b"")).await;
    assert_eq!(raw.rest().await, b"\x88\x00"[..], "hostile input K2");
    let closed = Seen::Closed(1005, Initiator::Remote, true);
    assert_eq!(log.life().await, [Seen::Connected, closed, Seen::Dropped]);
}

#[tokio::test]
async fn end_without_a_close_is_1006_and_told_once() {
    let (addr, mut log) = start().await;
    let half_header = vec![BINARY, 0x80 | 126, 1];
    let half_payload = [header(BINARY, 0x80, 100), vec![0; 50]].concat();

    for (row, bytes) in [
        ("K12: nothing", vec![]),
        ("F19: half a header", half_header),
        ("F19: half a payload", half_payload),
        ("F19: half a message", masked(TEXT_BEGINS, b"half")),
    ] {
        for resets in [false, true] {
            let mut raw = session(addr).await;
            // Its echo tells that the endpoint is there, so that a reset is not met by the 101.
            raw.send([masked(TEXT, b"good"), bytes.clone()].concat())
                .await;
            frame(&mut raw).await;
            if resets {
                raw.stream.set_zero_linger().unwrap();
                drop(raw);
            } else {
                bounded(raw.stream.shutdown()).await.unwrap();
                assert_eq!(raw.rest().await, "", "hostile input {row}");
            }
            let life = [
                Seen::Connected,
                Seen::Message(Message::text("good")),
                Seen::Error,
                Seen::Closed(1006, Initiator::Remote, false),
                Seen::Dropped,
            ];
            assert_eq!(
                log.life().await,
                life,
                "hostile input {row}, reset {resets}"
            );
        }
    }
}

/// Closes with 4000 when it is told anything.
struct Closes;

impl Endpoint for Closes {
    async fn on_message(&mut self, session: &Session, _message: Message) -> EventResult {
        let code = ws_handler::CloseCode::from_wire(4000).expect("free for applications");
        session.close(code, "as you wish");
        Ok(())
    }
}

#[tokio::test]
async fn sides_that_close_at_once_send_one_close_each() {
    let (addr, factory) = start_closing(Duration::from_secs(10)).await;
    let mut raw = session(addr).await;
    let opened = only_session(&factory).await;

    raw.send([masked(TEXT, b"close"), close(3000, "me too")].concat())
        .await;

    assert_eq!(close_code(&mut raw).await, 4000, "hostile input K9");
    assert_eq!(raw.rest().await, "", "hostile input K9");
    let event = bounded(opened.closed()).await;
    assert!(event.is_clean() && event.initiator() == Initiator::Local);
    assert_eq!(event.status().get(), 3000, "hostile input K9");
}

#[tokio::test]
async fn close_that_is_never_answered_ends_at_the_close_timeout() {
    let (addr, factory) = start_closing(Duration::from_millis(50)).await;
    let mut raw = session(addr).await;
    let opened = only_session(&factory).await;

    raw.send(masked(TEXT, b"close")).await;

    assert_eq!(close_code(&mut raw).await, 4000);
    let event = bounded(opened.closed()).await;
    assert_eq!(
        (event.status().get(), event.is_clean()),
        (1006, false),
        "K10"
    );
    assert_eq!(
        raw.rest().await,
        "",
        "hostile input K10: the stream is ended by us"
    );
}

#[tokio::test]
async fn peer_that_keeps_its_half_open_is_left_after_a_while() {
    let (addr, factory) = start_closing(Duration::from_secs(10)).await;
    let mut raw = session(addr).await;

    raw.send([masked(TEXT, b"close"), close(4000, "")].concat())
        .await;
    assert_eq!(close_code(&mut raw).await, 4000);

    // No task is left, although `raw` is still open on its side; a shutdown would cut it later.
    bounded(factory.shutdown(Duration::from_secs(60))).await;
    assert_eq!(raw.rest().await, "", "hostile input K11");
}

async fn start() -> (SocketAddr, Log) {
    let (make, log) = recorder();
    let factory = WebSocketFactory::builder()
        .fallback(make)
        .build()
        .expect("an endpoint");
    (serve(WebSocketHandler::new(factory, NotFound)).await, log)
}

async fn start_closing(close_timeout: Duration) -> (SocketAddr, WebSocketFactory) {
    let factory = WebSocketFactory::builder()
        .fallback(|_| Closes)
        .with_policy(Policy::default().with_close_timeout(close_timeout))
        .build()
        .expect("an endpoint");
    (
        serve(WebSocketHandler::new(factory.clone(), NotFound)).await,
        factory,
    )
}

/// The session, which may begin a little after its 101 has arrived.
async fn only_session(factory: &WebSocketFactory) -> Session {
    bounded(async {
        loop {
            if let Some(session) = factory.sessions().pop() {
                return session;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
