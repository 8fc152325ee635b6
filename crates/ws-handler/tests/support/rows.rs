//! How a row of the catalogue's first section is held: one request, its answer, and then whatever
//! tells that there was exactly one: after a 101 a Close, after anything else another request,
//! unless the connection has to end.

use std::net::SocketAddr;

use ws_handler::{Initiator, Message, Servlets, WebSocketFactoryBuilder};

use crate::{
    close_code::close_code,
    frames::{close, exactly, frame, masked},
    plain::plain,
    raw::{HANDSHAKE, Raw},
    recorder::{Log, Seen, recorder},
    serving::serve,
};

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Want {
    /// 101, whole and proven, and a session.
    Session,
    /// This status, and the connection goes on.
    Status(u16),
    /// This status, and the connection ends.
    Last(u16),
    /// No answer: the connection ends.
    End,
    /// It reaches the inner service, whose answer contains this.
    Inner(&'static str),
}

/// One row of the catalogue.
pub(crate) type Row = (&'static str, Vec<u8>, Want);

/// A server with an endpoint at `/chat` around a plain service.
pub(crate) async fn start() -> (SocketAddr, Log) {
    let (make, log) = recorder();
    let chat = move |factory: WebSocketFactoryBuilder| factory.fallback(make);
    let servlets = Servlets::new().mount("/chat", chat).expect("a pattern");
    (serve(servlets.around(plain())).await, log)
}

pub(crate) async fn hold(rows: Vec<Row>) {
    let (addr, mut log) = start().await;
    for (row, request, want) in rows {
        let mut raw = Raw::connect(addr).await;
        raw.send(&request).await;
        match want {
            Want::Session => {
                assert_accepted(row, &raw.head().await);
                raw.send([masked(0x82, row.as_bytes()), close(1000, "")].concat())
                    .await;
                let echo = Message::binary(row);
                assert_eq!(frame(&mut raw).await, (0x82, echo.clone().into_bytes()));
                assert_eq!(close_code(&mut raw).await, 1000, "{row}");
                assert_eq!(raw.rest().await, "", "hostile input {row}");
                let closed = Seen::Closed(1000, Initiator::Remote, true);
                let life = [Seen::Connected, Seen::Message(echo), closed, Seen::Dropped];
                assert_eq!(log.life().await, life, "hostile input {row}");
            }
            Want::Status(status) => {
                let body = one_answer(row, &request, &mut raw, status).await;
                assert!(!body.contains("smuggled"), "hostile input {row}: {body}");
                goes_on(row, raw).await;
            }
            Want::Inner(part) => {
                let body = one_answer(row, &request, &mut raw, 200).await;
                assert!(body.contains(part), "hostile input {row}: {body}");
                goes_on(row, raw).await;
            }
            Want::Last(status) => {
                one_answer(row, &request, &mut raw, status).await;
                assert_eq!(raw.rest().await, "", "hostile input {row}");
            }
            Want::End => {
                let rest = raw.rest().await;
                assert!(!rest.starts_with(b"HTTP/1.1 1"), "hostile input {row}");
            }
        }
    }
}

/// Reads one answer that is no 101, and returns its body.
async fn one_answer(row: &str, request: &[u8], raw: &mut Raw, status: u16) -> String {
    let head = raw.head().await;
    assert_eq!(status_of(&head), status, "hostile input {row}: {head}");
    match status {
        405 => assert!(head.contains("\r\nallow: GET\r\n"), "{row}: {head}"),
        426 => {
            let version = "\r\nsec-websocket-version: 13\r\n";
            let upgrade = "\r\nupgrade: websocket\r\n";
            assert!(head.contains(version) && head.contains(upgrade), "{head}");
        }
        _ => {}
    }
    if request.starts_with(b"HEAD") {
        return String::new();
    }
    let body = exactly(raw, content_length(&head)).await;
    String::from_utf8_lossy(&body).into_owned()
}

/// The connection is still HTTP, and what is sent next is the next request.
async fn goes_on(row: &str, mut raw: Raw) {
    raw.send("GET /next HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
        .await;
    let head = raw.head().await;
    assert_eq!(status_of(&head), 200, "hostile input {row}: {head}");
    let body = raw.rest().await;
    assert!(
        String::from_utf8_lossy(&body).contains(r#""path":"/next""#),
        "hostile input {row}: exactly one answer: {body:?}"
    );
}

/// RFC 6455 §4.2.2, item 5, for the key of §1.3.
pub(crate) fn assert_accepted(row: &str, head: &str) {
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "hostile input {row}: {head}"
    );
    for line in [
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: Upgrade\r\n",
        "\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ] {
        assert_eq!(head.matches(line).count(), 1, "{row}: {line} in {head}");
    }
    for name in ["content-length", "transfer-encoding", "sec-websocket-ext"] {
        assert!(!head.contains(name), "{row}: {name} in {head}");
    }
}

pub(crate) fn status_of(head: &str) -> u16 {
    let status = head.split(' ').nth(1).expect("a status line");
    status.parse().expect("a number")
}

pub(crate) fn content_length(head: &str) -> usize {
    let (_, rest) = head
        .split_once("\r\ncontent-length: ")
        .expect("a body of known length");
    let (digits, _) = rest.split_once("\r\n").expect("a whole line");
    digits.parse().expect("a number")
}

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The handshake with something else in the place of `from`.
pub(crate) fn spoilt(from: &str, to: &str) -> Vec<u8> {
    assert!(HANDSHAKE.contains(from), "{from}");
    HANDSHAKE.replacen(from, to, 1).into()
}

pub(crate) fn spoilt_bytes(path: &[u8]) -> Vec<u8> {
    let (before, after) = HANDSHAKE.split_once("/chat").expect("its path");
    [before.as_bytes(), path, after.as_bytes()].concat()
}

/// The handshake with further header lines.
pub(crate) fn with(lines: &str) -> Vec<u8> {
    spoilt("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

pub(crate) fn with_headers(count: usize) -> Vec<u8> {
    let lines: Vec<String> = (0..count).map(|n| format!("X-{n}: {n}")).collect();
    with(&lines.join("\r\n"))
}
