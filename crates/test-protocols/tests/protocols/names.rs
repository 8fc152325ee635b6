//! Which protocol a handshake gets.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::peer::{header, start, within};

/// Shakes hands by hand, since tungstenite takes no answer without the subprotocol it offered.
/// Returns the head of the answer, in lower case, and the connection.
async fn shake_hands(server: SocketAddr, path: &str, headers: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    (head, stream)
}

/// What comes back, up to the Pong behind it, of a text in two fragments: it tells protocols apart.
async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, payload) in [(0x01, "a"), (0x80, "bcd"), (0x89, "")] {
        bytes.extend(header(first, payload.len() as u64));
        bytes.extend([0; 4]);
        bytes.extend(payload.as_bytes());
    }
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut pongs = 0;
    // A Pong overtakes data, so a second Ping makes sure that there is no more.
    while pongs < 2 {
        answer.push(stream.read_u8().await.unwrap());
        if answer.ends_with(b"\x8a\x00") {
            answer.truncate(answer.len() - 2);
            pongs += 1;
            if pongs == 1 {
                stream.write_all(b"\x89\x80\0\0\0\0").await.unwrap();
            }
        }
    }
    answer
}

const NOTHING: &[u8] = b"";
const AS_IT_CAME: &[u8] = b"\x01\x01a\x80\x03bcd";
const ASSEMBLED: &[u8] = b"\x81\x04abcd";
const HALVES: &[u8] = b"\x01\x02ab\x80\x02cd";

#[tokio::test]
async fn subprotocol_is_the_first_offered_that_is_known() {
    within(async {
        let server = start().await;
        for (offers, agreed, want) in [
            ("echo", Some("echo"), AS_IT_CAME),
            (
                "lws-mirror-protocol",
                Some("lws-mirror-protocol"),
                AS_IT_CAME,
            ),
            ("echo-broadcast", Some("echo-broadcast"), AS_IT_CAME),
            (
                "echo-broadcast-ping",
                Some("echo-broadcast-ping"),
                AS_IT_CAME,
            ),
            ("echo-assemble", Some("echo-assemble"), ASSEMBLED),
            ("echo-fragment", Some("echo-fragment"), HALVES),
            (
                "org.ietf.websocket.test-echo-fragment",
                Some("org.ietf.websocket.test-echo-fragment"),
                HALVES,
            ),
            (
                "soap, echo-assemble, echo",
                Some("echo-assemble"),
                ASSEMBLED,
            ),
            ("soap", None, NOTHING),
            ("ECHO", None, NOTHING),
            ("org.ietf.websocket.test-lws-mirror-protocol", None, NOTHING),
        ] {
            let headers = format!("Sec-WebSocket-Protocol: {offers}\r\n");

            let (head, mut stream) = shake_hands(server, "/", &headers).await;

            assert!(head.starts_with("http/1.1 101 "), "{offers}: {head}");
            let found = head
                .lines()
                .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
            assert_eq!(found, agreed, "{offers}");
            assert_eq!(answer(&mut stream).await, want, "{offers}");
        }
    })
    .await;
}

#[tokio::test]
async fn path_names_the_protocol_where_none_is_offered() {
    within(async {
        let server = start().await;
        for (path, want) in [
            ("/", NOTHING),
            ("/echo", AS_IT_CAME),
            ("/echo?agent=x", AS_IT_CAME),
            ("/lws-mirror-protocol", AS_IT_CAME),
            ("/echo-broadcast", AS_IT_CAME),
            ("/org.ietf.websocket.test-echo-assemble", ASSEMBLED),
            ("/echo-assemble", ASSEMBLED),
            ("/echo-fragment", HALVES),
            ("/echo/", NOTHING),
            ("/elsewhere", NOTHING),
        ] {
            let (head, mut stream) = shake_hands(server, path, "").await;

            assert!(head.starts_with("http/1.1 101 "), "{path}: {head}");
            assert!(!head.contains("sec-websocket-protocol"), "{path}: {head}");
            assert_eq!(answer(&mut stream).await, want, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn path_says_nothing_where_a_subprotocol_is_offered() {
    within(async {
        let server = start().await;
        for (offer, want) in [("echo-assemble", ASSEMBLED), ("soap", NOTHING)] {
            let headers = format!("Sec-WebSocket-Protocol: {offer}\r\n");

            let (_, mut stream) = shake_hands(server, "/echo", &headers).await;

            assert_eq!(answer(&mut stream).await, want, "{offer}");
        }
    })
    .await;
}

#[tokio::test]
async fn page_of_the_same_origin_may_connect_and_no_other() {
    within(async {
        let server = start().await;
        for (origin, status) in [
            (format!("http://{server}"), "101"),
            ("https://example.com".to_owned(), "403"),
            ("null".to_owned(), "403"),
        ] {
            let headers = format!("Origin: {origin}\r\n");

            let (head, _) = shake_hands(server, "/echo", &headers).await;

            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        }
    })
    .await;
}
