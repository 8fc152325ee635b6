//! The rows of section 1 of the hostile inputs that need bytes: hyper and the handler together.

use tokio::io::AsyncWriteExt;
use ws_handler::Initiator;

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/close_code.rs"]
mod close_code;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/plain.rs"]
mod plain;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/recorder.rs"]
mod recorder;
#[path = "support/rows.rs"]
mod rows;
#[path = "support/serving.rs"]
mod serving;

use bounded::bounded;
use close_code::close_code;
use frames::{close, exactly, frame, masked};
use raw::{HANDSHAKE, Raw};
use recorder::Seen;
use rows::{
    KEY, Row,
    Want::{End, Inner, Last, Session, Status},
    assert_accepted, content_length, hold, spoilt, spoilt_bytes, start, status_of, with,
    with_headers,
};

#[tokio::test]
async fn method_version_and_upgrade_rows_hold() {
    let rows: Vec<Row> = vec![
        ("H1: as it should be", HANDSHAKE.into(), Session),
        (
            "H1: any header case",
            HANDSHAKE
                .to_uppercase()
                .replace(&KEY.to_uppercase(), KEY)
                .replace("/CHAT", "/chat")
                .into(),
            Session,
        ),
        (
            "H1: any header case, lower",
            spoilt("Sec-WebSocket-Key", "sec-websocket-KEY"),
            Session,
        ),
        (
            "H1: any value case, beside others",
            spoilt(
                "Connection: Upgrade\r\nUpgrade: websocket",
                "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket",
            ),
            Session,
        ),
        ("H4: HTTP/1.0", spoilt("HTTP/1.1", "HTTP/1.0"), Last(400)),
        ("H5: POST", spoilt("GET", "POST"), Status(405)),
        ("H5: PUT", spoilt("GET", "PUT"), Status(405)),
        ("H5: DELETE", spoilt("GET", "DELETE"), Status(405)),
        ("H6: HEAD", spoilt("GET", "HEAD"), Status(405)),
        (
            "H7: no Upgrade",
            spoilt("Upgrade: websocket\r\n", ""),
            Inner(r#""upgrade":"-""#),
        ),
        (
            "H8: websocketx",
            spoilt(": websocket\r", ": websocketx\r"),
            Inner("websocketx"),
        ),
        (
            "H8: h2c only",
            spoilt(": websocket\r", ": h2c\r"),
            Inner("h2c"),
        ),
        (
            "H9: a list",
            spoilt(": websocket\r", ": h2c, websocket\r"),
            Session,
        ),
    ];

    hold(rows).await;
}

#[tokio::test]
async fn syntax_and_size_rows_hold() {
    let rows: Vec<Row> = vec![
        (
            "H15: bare LF line ends (hyper: as CRLF)",
            HANDSHAKE.replace("\r\n", "\n").into(),
            Session,
        ),
        (
            "H16: obs-fold",
            spoilt("Host: example.com", "Host: example\r\n .com"),
            Last(400),
        ),
        (
            "H16: space before colon",
            spoilt("Host:", "Host :"),
            Last(400),
        ),
        ("H16: NUL", spoilt("example", "exam\0ple"), Last(400)),
        ("H16: bare CR", spoilt("example", "exam\rple"), Last(400)),
        (
            "H17: a header of 64 KiB",
            with(&format!("X-Long: {}", "a".repeat(64 * 1024))),
            Last(431),
        ),
        ("H18: 130 headers", with_headers(130), Last(431)),
        ("H18: 2,000 headers", with_headers(2_000), Last(431)),
        (
            "H19: a URI of 64 KiB (ours: the head's limit comes first)",
            spoilt("/chat", &format!("/{}", "a".repeat(64 * 1024))),
            Last(431),
        ),
        (
            "H20: fragment (hyper: cut off for everybody)",
            spoilt("/chat", "/chat#fragment"),
            Session,
        ),
        (
            "H20: raw UTF-8",
            spoilt("/chat", "/ch\u{e4}t"),
            Inner("/ch\u{e4}t"),
        ),
        ("H20: raw Latin-1", spoilt_bytes(b"/ch\xe4t"), Last(400)),
        ("H20: //", spoilt("/chat", "//chat"), Inner("//chat")),
        ("H20: %00", spoilt("/chat", "/chat%00"), Inner("/chat%00")),
        (
            "H20: ..;/",
            spoilt("/chat", "/..;/chat"),
            Inner("/..;/chat"),
        ),
        (
            "H20: ../",
            spoilt("/chat", "/a/../chat"),
            Inner("/a/../chat"),
        ),
        (
            "H21: absolute form",
            spoilt("/chat", "http://example.com/chat"),
            Session,
        ),
        ("H35: Expect", with("Expect: 100-continue"), Session),
    ];

    hold(rows).await;
}

#[tokio::test]
async fn host_connection_and_key_rows_hold() {
    let key = |value: &str| spoilt(KEY, value);
    let rows: Vec<Row> = vec![
        (
            "H2: no Host",
            spoilt("Host: example.com\r\n", ""),
            Status(400),
        ),
        ("H3: two Hosts", with("Host: example.com"), Status(400)),
        (
            "H10: no Connection",
            spoilt("Connection: Upgrade\r\n", ""),
            Status(400),
        ),
        (
            "H10: close",
            spoilt("Connection: Upgrade", "Connection: close"),
            Last(400),
        ),
        (
            "H10: notupgrade",
            spoilt("Connection: Upgrade", "Connection: notupgrade"),
            Status(400),
        ),
        (
            "H11: no key",
            spoilt(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""),
            Status(400),
        ),
        ("H11: empty", key(""), Status(400)),
        ("H11: 15 bytes", key("AAAAAAAAAAAAAAAAAAAA"), Status(400)),
        (
            "H11: 17 bytes",
            key("AAAAAAAAAAAAAAAAAAAAAAA="),
            Status(400),
        ),
        (
            "H11: no base64",
            key("dGhlIHNhbXBsZSBub25j!!=="),
            Status(400),
        ),
        ("H11: 4 KiB", key(&"A".repeat(4096)), Status(400)),
        (
            "H12: key twice",
            with(&format!("Sec-WebSocket-Key: {KEY}")),
            Status(400),
        ),
    ];

    hold(rows).await;
}

#[tokio::test]
async fn version_origin_and_subprotocol_rows_hold() {
    let version = |value: &str| spoilt("Version: 13", &format!("Version: {value}"));
    let rows: Vec<Row> = vec![
        (
            "H13: no version",
            spoilt("Sec-WebSocket-Version: 13\r\n", ""),
            Status(426),
        ),
        ("H14: version 8", version("8"), Status(426)),
        ("H14: version 7", version("7"), Status(426)),
        ("H14: version 14", version("14"), Status(426)),
        ("H14: version 013", version("013"), Status(426)),
        ("H14: version 13, 8", version("13, 8"), Status(426)),
        (
            "H14: two versions",
            with("Sec-WebSocket-Version: 13"),
            Status(426),
        ),
        (
            "H30: another origin",
            with("Origin: https://good.evil"),
            Status(403),
        ),
        ("H30: null", with("Origin: null"), Status(403)),
        ("H30: the same", with("Origin: http://EXAMPLE.com"), Session),
        (
            "H31: empty element",
            with("Sec-WebSocket-Protocol: a,,b"),
            Session,
        ),
        (
            "H31: bad token",
            with("Sec-WebSocket-Protocol: a, b@c"),
            Status(400),
        ),
        (
            "H31: duplicate",
            with("Sec-WebSocket-Protocol: a, a"),
            Session,
        ),
        (
            "H31: a list of 16 KiB",
            with(&format!("Sec-WebSocket-Protocol: {}", "a, ".repeat(5_461))),
            Session,
        ),
        (
            "H31: spaces inside",
            with(&format!("Sec-WebSocket-Protocol: b{}x", " ".repeat(32_000))),
            Status(400),
        ),
        (
            "H38: forged proxy headers do not make an origin the same",
            with(
                "Origin: http://evil.example\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nForwarded: host=evil.example",
            ),
            Status(403),
        ),
    ];

    hold(rows).await;
}

#[tokio::test]
async fn what_follows_the_head_is_never_taken_for_something_else() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let with_body = |lines: &str, body: &str| [with(lines), body.into()].concat();
    let length = smuggled.len();
    let chunked = format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n");
    let rows: Vec<Row> = vec![
        (
            "H22: a body that looks like a request",
            with_body(&format!("Content-Length: {length}"), smuggled),
            Last(400),
        ),
        (
            "H22: a body that looks like a frame",
            with_body("Content-Length: 6", "\u{1}\0\0\0\0\0"),
            Last(400),
        ),
        ("H22: no body at all", with("Content-Length: 0"), Session),
        (
            "H23: chunked",
            with_body("Transfer-Encoding: chunked", &chunked),
            Last(400),
        ),
        (
            "H24: length and chunked",
            with_body("Content-Length: 5\r\nTransfer-Encoding: chunked", &chunked),
            Last(400),
        ),
        (
            "H24: chunked and length",
            with_body("Transfer-Encoding: chunked\r\nContent-Length: 5", &chunked),
            Last(400),
        ),
        (
            "H24: two lengths",
            with_body(
                &format!("Content-Length: 0\r\nContent-Length: {length}"),
                smuggled,
            ),
            Last(400),
        ),
        (
            "H24: chunked twice",
            with_body(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                &chunked,
            ),
            Last(400),
        ),
        (
            "H24: chunked, then not",
            with_body("Transfer-Encoding: chunked, identity", &chunked),
            Last(400),
        ),
        (
            "H24: a length with a sign",
            with_body(&format!("Content-Length: +{length}"), smuggled),
            Last(400),
        ),
    ];

    hold(rows).await;
}

#[tokio::test]
async fn what_is_no_http_ends_at_once() {
    let client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20);
    let random: Vec<u8> = (0..1024_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let rows: Vec<Row> = vec![
        ("H34: TLS ClientHello", client_hello, Last(400)),
        (
            "H34: SSH banner",
            b"SSH-2.0-OpenSSH_9.9\r\n".into(),
            Last(400),
        ),
        ("H34: random bytes", random, Last(400)),
        (
            "H34: HTTP/2 preface, then not HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n".into(),
            End,
        ),
    ];

    hold(rows).await;
}

#[tokio::test]
async fn request_behind_a_refused_upgrade_is_a_request() {
    let refused = [
        (403, with("Origin: https://good.evil")),
        (404, spoilt("/chat", "/other")),
        (405, spoilt("GET", "PUT")),
        (426, spoilt("Version: 13", "Version: 8")),
    ];
    let (addr, _log) = start().await;

    for (status, request) in refused {
        let mut raw = Raw::connect(addr).await;
        // In one segment: the second was sent before the first was refused.
        raw.send([&request[..], masked(0x81, b"tunnel?").as_slice()].concat())
            .await;
        let head = raw.head().await;
        let want = if status == 404 { 200 } else { status };
        assert_eq!(status_of(&head), want, "hostile input H25: {head}");
        exactly(&mut raw, content_length(&head)).await;
        let after = raw.rest().await;
        let after = String::from_utf8_lossy(&after);
        assert!(
            after.starts_with("HTTP/1.1 400 ") && after.matches("HTTP/1.1").count() == 1,
            "hostile input H25: a frame behind {status} is a bad request: {after:?}"
        );
    }
}

#[tokio::test]
async fn frames_behind_the_request_are_read_once_and_in_order() {
    let (addr, mut log) = start().await;
    let mut raw = Raw::connect(addr).await;
    let mut bytes = HANDSHAKE.as_bytes().to_vec();
    for n in 0..100 {
        bytes.extend(masked(0x81, format!("message {n}").as_bytes()));
    }
    bytes.extend(close(1000, "done"));

    raw.send(bytes).await;

    assert_accepted("hostile input H26", &raw.head().await);
    for n in 0..100 {
        let text = format!("message {n}");
        assert_eq!(frame(&mut raw).await, (0x81, text.into()), "H26");
    }
    assert_eq!(close_code(&mut raw).await, 1000);
    assert_eq!(raw.rest().await, "");
    let life = log.life().await;
    let messages = life.iter().filter(|seen| matches!(seen, Seen::Message(_)));
    assert_eq!(messages.count(), 100, "hostile input H26");
}

#[tokio::test]
async fn request_of_one_byte_per_write_is_accepted() {
    let (addr, _log) = start().await;
    let mut raw = Raw::connect(addr).await;

    for byte in HANDSHAKE.as_bytes() {
        raw.send([*byte]).await;
        tokio::task::yield_now().await;
    }

    assert_accepted("hostile input H28", &raw.head().await);
}

#[tokio::test]
async fn client_that_ends_right_behind_its_request_is_told_of_once() {
    let (addr, mut log) = start().await;
    let mut raw = Raw::connect(addr).await;

    raw.send(HANDSHAKE).await;
    bounded(raw.stream.shutdown()).await.unwrap();

    // Whether there is a session depends on whether the end was seen before the 101 was written.
    let answer = raw.rest().await;
    let life = log.life().await;
    let want: &[Seen] = if life.len() == 1 {
        &[Seen::Dropped]
    } else {
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "hostile input H37");
        &[
            Seen::Connected,
            Seen::Error,
            Seen::Closed(1006, Initiator::Remote, false),
            Seen::Dropped,
        ]
    };
    assert_eq!(life, want, "hostile input H37");
}
