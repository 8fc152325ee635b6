//! `/stats`: what a server has counted, as JSON.

use std::{convert::Infallible, future::pending, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use test_protocols::StatsRoute;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::yield_now,
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use ws_handler::{
    Routes, Server, Servlets, Session, WebSocketFactoryBuilder, WebSocketHandler, from_fn,
    service_fn,
};

use crate::peer::{Peer, tungstenite, wire, within};

/// Serves some routes and their stats; it ends with the test.
async fn start(routes: Routes) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let stats = StatsRoute::new(routes.clone());
    let inner = service_fn(move |request| {
        let response = stats.serve(&request).expect("only /stats is asked for");
        async move { Ok::<_, Infallible>(response) }
    });
    let handler = WebSocketHandler::new(routes, inner);
    tokio::spawn(server.serve(handler, pending()));
    address
}

async fn start_test_protocols() -> SocketAddr {
    start(Routes::from(test_protocols::factory(None, None).unwrap())).await
}

/// Asks as a page of another origin would; returns the head of the answer, in lower case, and its
/// body.
async fn ask(server: SocketAddr, line: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {server}\r\nOrigin: http://elsewhere.example\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

const CLOSE: &str = "Connection: close\r\n";

/// Reads the stats until `part` is in them: a session adds up what it did only after its peer has
/// seen it done.
async fn stats_with(server: SocketAddr, part: &str) -> String {
    loop {
        let (_, json) = ask(server, "GET /stats", CLOSE).await;
        if json.contains(part) {
            return json;
        }
        yield_now().await;
    }
}

#[tokio::test]
async fn numbers_are_exactly_those_of_the_sessions_so_far() {
    within(async {
        let server = start_test_protocols().await;
        let mut ends = tungstenite(server, "/", Some("echo")).await;
        let mut stays = Peer::connect(server, "echo-assemble").await;

        for text in ["four", "", "Grüße"] {
            ends.send(Message::text(text)).await.unwrap();
            assert_eq!(ends.next().await.unwrap().unwrap(), Message::text(text));
        }
        ends.close(None).await.unwrap();
        while ends.next().await.is_some() {}
        stays.send(0x82, &[7; 100]).await;
        assert_eq!(stays.recv().await, wire(0x82, [7; 100]));
        stays.settle().await;
        let (head, _) = ask(server, "GET /echo", HANDSHAKE).await;
        assert!(head.starts_with("http/1.1 403 "), "{head}");

        stats_with(server, "\"closed\":{\"1005\":1}").await;
        let json = stats_with(server, "\"pongs_out\":1").await;
        assert_eq!(
            json,
            "{\"open\":1,\"handshakes\":0,\"peers\":0,\"opened\":2,\"failed_upgrades\":0,\
             \"cut_events\":0,\"messages_in\":4,\"messages_out\":4,\"bytes_in\":111,\"bytes_out\":111,\
             \"pings_in\":1,\"pings_out\":0,\"pongs_in\":0,\"pongs_out\":1,\"dropped\":0,\
             \"most_waiting_messages\":1,\"most_waiting_bytes\":100,\
             \"refused\":{\"method\":0,\"version\":0,\"header\":0,\"origin\":1,\"no_endpoint\":0,\
             \"application\":0,\"failed\":0,\"timeout\":0,\"sessions\":0,\"sessions_of_peer\":0,\
             \"handshakes\":0,\"shutting_down\":0},\"closed\":{\"1005\":1}}\n"
        );
    })
    .await;
}

/// What a handshake has besides; the connection is closed behind a refusal.
const HANDSHAKE: &str = "Connection: Upgrade, close\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn factories_are_added_up_and_of_the_peaks_there_is_the_highest() {
    within(async {
        let echo = |builder: WebSocketFactoryBuilder| {
            builder.fallback(|_| {
                from_fn(|session: Session, message| async move {
                    session.send(message).await?;
                    Ok(())
                })
            })
        };
        let servlets = Servlets::new().mount("/a", echo).unwrap();
        let servlets = servlets.mount("/b/*", echo).unwrap();
        let server = start(Routes::from(servlets)).await;

        for (path, text, code) in [("/a", "longest", 4000), ("/b/c", "short", 4999)] {
            let mut client = tungstenite(server, path, None).await;
            client.send(Message::text(text)).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), Message::text(text));
            let close = CloseFrame {
                code: code.into(),
                reason: "".into(),
            };
            client.close(Some(close)).await.unwrap();
            while client.next().await.is_some() {}
        }

        let json = stats_with(server, "\"closed\":{\"4000-4999\":2}").await;
        for part in [
            "\"open\":0,",
            "\"opened\":2,",
            "\"messages_in\":2,\"messages_out\":2,\"bytes_in\":12,\"bytes_out\":12,",
            "\"most_waiting_messages\":1,\"most_waiting_bytes\":7,",
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
    })
    .await;
}

#[tokio::test]
async fn answer_is_for_the_same_origin_and_for_no_cache() {
    within(async {
        let server = start_test_protocols().await;

        let (get, json) = ask(server, "GET /stats?t=1", CLOSE).await;
        let (head, nothing) = ask(server, "HEAD /stats", CLOSE).await;

        assert!(get.starts_with("http/1.1 200 "), "{get}");
        for header in [
            "content-type: application/json",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "cross-origin-resource-policy: same-origin",
            &format!("content-length: {}", json.len()),
        ] {
            assert!(get.lines().any(|line| line == header), "{header} in {get}");
            assert!(
                head.lines().any(|line| line == header),
                "{header} in {head}"
            );
        }
        assert!(!get.contains("access-control-"), "{get}");
        assert_eq!(nothing, "");
    })
    .await;
}

#[tokio::test]
async fn other_methods_are_refused_preflights_too() {
    within(async {
        let server = start_test_protocols().await;
        for method in ["POST", "DELETE", "OPTIONS"] {
            let (head, body) = ask(server, &format!("{method} /stats"), CLOSE).await;

            assert!(head.starts_with("http/1.1 405 "), "{method}: {head}");
            assert!(
                head.contains("\r\nallow: get, head\r\n"),
                "{method}: {head}"
            );
            assert!(!head.contains("access-control-"), "{method}: {head}");
            assert_eq!(body, "use GET or HEAD\n", "{method}");
        }
    })
    .await;
}
