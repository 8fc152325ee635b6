//! Between the request and the session: heads in pieces, endpoints that cannot be made, and 101s
//! that no connection comes of.

use std::{future::pending, time::Duration};

use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
    task::yield_now,
};
use tower::ServiceExt;
use ws_handler::{
    Accept, Bytes, Endpoint, NotFound, Policy, Rejection, UpgradeRequest, WebSocketFactory,
    WebSocketHandler,
};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/client.rs"]
mod client;
#[path = "support/recorder.rs"]
mod recorder;
#[path = "support/refusal.rs"]
mod refusal;

use bounded::bounded;
use client::open;
use recorder::{Log, Seen, recorder};
use refusal::refused;

type Handler = WebSocketHandler<NotFound>;

fn recording() -> (WebSocketFactory, Log) {
    let (make, log) = recorder();
    let builder = WebSocketFactory::builder().fallback(make);
    let factory = builder.build().expect("an endpoint");
    (factory, log)
}

#[tokio::test]
async fn conversation_cut_at_every_byte_is_the_same_as_whole() {
    // H29, and F18 for the frames behind the head.
    let (factory, _log) = recording();
    let handler = WebSocketHandler::new(factory, NotFound);
    let mut bytes = HANDSHAKE.to_vec();
    bytes.extend_from_slice(b"\x81\x82\0\0\0\0hi\x01\x81\0\0\0\0a\x80\x81\0\0\0\0b");
    bytes.extend_from_slice(b"\x88\x82\0\0\0\0\x03\xe8");

    for serve in [serve_http1, serve_auto] {
        let whole = converse(&handler, serve, &[&bytes]).await;
        assert!(whole.starts_with(b"HTTP/1.1 101 "), "H29: {whole:?}");
        assert!(whole.ends_with(b"\r\n\r\n\x81\x02hi\x81\x02ab\x88\x02\x03\xe8"));

        for cut in 1..bytes.len() {
            let (before, after) = bytes.split_at(cut);
            let answer = converse(&handler, serve, &[before, after]).await;
            assert_eq!(answer, whole, "hostile input H29: cut at {cut}");
        }
        let one_by_one: Vec<_> = bytes.chunks(1).collect();
        let answer = converse(&handler, serve, &one_by_one).await;
        assert_eq!(answer, whole, "hostile input H28");
    }
}

const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

type Serve = fn(Handler, DuplexStream);

fn serve_http1(handler: Handler, stream: DuplexStream) {
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
    tokio::spawn(connection);
}

fn serve_auto(handler: Handler, stream: DuplexStream) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().auto_date_header(false);
    tokio::spawn(async move {
        builder
            .serve_connection_with_upgrades(TokioIo::new(stream), handler)
            .await
    });
}

/// Sends the pieces, each read before the next is there, and returns all that comes back.
async fn converse(handler: &Handler, serve: Serve, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut near, far) = duplex(4096);
    serve(handler.clone(), far);
    for piece in pieces {
        bounded(near.write_all(piece)).await.expect("a reader");
        // One thread, and everybody else is asleep: this lets the server read the piece.
        yield_now().await;
        yield_now().await;
    }
    let mut answer = Vec::new();
    let read = bounded(near.read_to_end(&mut answer)).await;
    read.expect("an end");
    answer
}

#[tokio::test]
async fn limits_of_the_server_around_the_handler_are_its_own() {
    // hyper's, where nobody set others; `Server` allows a head of 64 KiB.
    let (factory, _log) = recording();
    let handler = WebSocketHandler::new(factory, NotFound);
    let request = |target: &str, header: usize| {
        let head = String::from_utf8_lossy(HANDSHAKE).replace("GET /", &format!("GET /{target}"));
        let long = format!("\r\nX-Long: {}\r\n\r\n", "a".repeat(header));
        head.replace("\r\n\r\n", &long)
    };

    for (row, request, status) in [
        ("H17: a header of 64 KiB", request("", 64 << 10), "101"),
        ("H17: a header of 512 KiB", request("", 512 << 10), "431"),
        (
            "H19: a target of 64 KiB",
            request(&"a".repeat(64 << 10), 1),
            "414",
        ),
    ] {
        let (near, far) = duplex(4096);
        serve_http1(handler.clone(), far);
        let (mut reader, mut writer) = tokio::io::split(near);
        let sending = async move { drop(writer.write_all(request.as_bytes()).await) };
        let mut answer = [0; 12];
        let receiving = reader.read_exact(&mut answer);
        let ((), received) = bounded(async { tokio::join!(sending, receiving) }).await;
        received.unwrap();
        assert_eq!(&answer[9..], status.as_bytes(), "hostile input {row}");
    }
}

#[tokio::test]
async fn handshake_that_is_served_without_upgrades_leaves_nothing_but_a_count() {
    for serve in [without_upgrades_http1 as Serve, without_upgrades_auto] {
        let (factory, mut log) = recording();
        let (mut near, far) = duplex(4096);
        serve(WebSocketHandler::new(factory.clone(), NotFound), far);

        bounded(near.write_all(HANDSHAKE)).await.unwrap();
        let life = log.life().await;

        assert_eq!(life, [Seen::Dropped], "no event");
        let stats = factory.stats();
        assert_eq!((stats.failed_upgrades(), stats.opened()), (1, 0));
        assert!(factory.sessions().is_empty());
    }
}

fn without_upgrades_http1(handler: Handler, stream: DuplexStream) {
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), handler));
}

fn without_upgrades_auto(handler: Handler, stream: DuplexStream) {
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::spawn(async move {
        builder
            .serve_connection(TokioIo::new(stream), handler)
            .await
    });
}

#[tokio::test]
async fn handshake_that_no_server_is_behind_leaves_nothing_but_a_count() {
    let (factory, mut log) = recording();
    let handler = WebSocketHandler::new(factory.clone(), NotFound);
    let request = http::Request::get("/")
        .header("host", "example.com")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Empty::<Bytes>::new())
        .unwrap();

    let response = bounded(ServiceExt::oneshot(handler.clone(), request)).await;
    let page = http::Request::new(Empty::<Bytes>::new());
    let not_found = bounded(ServiceExt::oneshot(handler, page)).await;

    assert_eq!(response.unwrap().status(), 101);
    assert_eq!(log.life().await, [Seen::Dropped]);
    assert_eq!(factory.stats().failed_upgrades(), 1);
    assert_eq!(not_found.unwrap().status(), 404, "the inner service's");
}

#[tokio::test]
async fn endpoint_that_cannot_be_made_is_a_refusal_and_no_session() {
    // H36: no 101 before the endpoint exists.
    let policy = Policy::default().with_accept_deadline(Duration::from_millis(20));
    let factory = WebSocketFactory::builder()
        .endpoint("panics", panics)
        .endpoint_with("rejects", |_| async {
            Err::<Accept<Nothing>, _>(Rejection::not_found("no such room"))
        })
        .endpoint_with("breaks", |_| async {
            let broken = Accept::new(Nothing).with_header("x-room", "1\r\nset-cookie: a=b")?;
            Ok(broken)
        })
        .endpoint_with("hangs", |_| pending::<Result<Accept<Nothing>, Rejection>>())
        .with_policy(policy)
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let handler = WebSocketHandler::new(factory.clone(), NotFound);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handler.clone())
                .with_upgrades();
            tokio::spawn(connection);
        }
    });

    for (subprotocol, status, sentence) in [
        ("panics", 500, "the endpoint could not be made"),
        ("rejects", 404, "no such room"),
        ("breaks", 500, "internal server error"),
        ("hangs", 503, "no endpoint in time"),
        (
            "unknown",
            400,
            "Sec-WebSocket-Protocol: names nothing that is served here",
        ),
    ] {
        let refusal = refused(addr, "/", [("sec-websocket-protocol", subprotocol)]).await;
        assert_eq!(refusal, (status, sentence.to_owned()), "hostile input H36");
    }
    let stats = factory.stats();
    assert_eq!((stats.refused(), stats.failed_upgrades()), (5, 0));
    assert_eq!((stats.opened(), stats.open()), (0, 0));
    assert!(open(addr, "/", []).await.is_err(), "none is not served");
}

fn panics(_request: &UpgradeRequest) -> Nothing {
    panic!("the application's fault")
}

/// Sees nothing and does nothing.
struct Nothing;

impl Endpoint for Nothing {}
