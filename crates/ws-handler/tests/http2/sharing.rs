//! What the streams of a connection share, its place and its GOAWAY, and what they do not: a panic.

use std::{convert::Infallible, future::pending};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use ws_handler::{Bytes, Server, WebSocketFactory, WebSocketHandler, service_fn};

use crate::{
    bounded::bounded,
    recorder::recorder,
    serving::{Fickle, pages, recording, serve},
    wire::{
        CANCEL, CONNECT, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, RST_STREAM, Wire, frame,
        headers, rst_stream,
    },
};

/// Its sessions end in every way, and nobody is accepted before the connection ends itself.
#[tokio::test]
async fn connection_has_one_place_however_many_sessions_it_has_had() {
    let (make, mut log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let server = server.with_max_connections(Some(1));
    tokio::spawn(server.serve(WebSocketHandler::new(factory.clone(), pages()), pending()));
    let mut first = Wire::connect(addr).await;
    for round in 0..3 {
        for stream in [1, 3, 5] {
            first.open(stream).await;
        }
        first.send(&rst_stream(1, CANCEL)).await;
        first.send(&frame(DATA, END_STREAM, 3, b"")).await;
        for _ in 0..2 {
            log.life().await;
        }

        let mut next = Wire::connect(addr).await;
        next.send(&headers(7, END_HEADERS, CONNECT)).await;
        // Whoever was accepted would have been answered by then.
        first.open(7).await;
        first.echoes(7).await;
        assert_eq!(factory.stats().open(), 2, "round {round}");
        drop(first);

        assert!(next.on(7).await.is_ok(), "round {round}");
        next.send(&rst_stream(7, CANCEL)).await;
        drop(next);
        for _ in 0..3 {
            log.life().await;
        }
        assert_eq!(factory.stats().open(), 0, "round {round}");
        first = Wire::connect(addr).await;
    }
}

/// It says that it will take no more streams of ours, and we open none (RFC 9113 §6.8).
#[tokio::test]
async fn goaway_of_a_client_ends_none_of_its_sessions() {
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    wire.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;

    wire.echoes(1).await;
    wire.open(3).await;
    wire.echoes(3).await;
}

#[tokio::test]
async fn panic_of_the_inner_service_ends_its_own_stream_or_connection_only() {
    let pages = service_fn(|request: Request<Incoming>| {
        assert_ne!(request.uri().path(), "/page", "before there is a future");
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let factory = WebSocketFactory::builder().fallback(|_| Fickle);
    let addr = serve(WebSocketHandler::new(factory.build().unwrap(), pages)).await;
    let mut wire = Wire::connect(addr).await;
    wire.open(1).await;

    wire.send(&headers(3, END_HEADERS | END_STREAM, GET)).await;

    assert_eq!(wire.on(3).await.kind, RST_STREAM);
    wire.echoes(1).await;

    let mut http1 = TcpStream::connect(addr).await.unwrap();
    let request = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    http1.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    bounded(http1.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"", "it ends without an answer");
    wire.echoes(1).await;
}
