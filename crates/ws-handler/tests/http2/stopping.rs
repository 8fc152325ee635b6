//! Shutdown with sessions over HTTP/2: 1001, then the streams end, then the connection.

use std::time::Duration;

use tokio_tungstenite::tungstenite::{
    Message as Foreign, protocol::frame::coding::CloseCode as ForeignCode,
};
use ws_handler::{WebSocketFactory, WebSocketHandler};

use crate::{
    bounded::bounded,
    client::{Client, echoes, hear},
    recorder::{Seen, recorder},
    serving::{Running, pages},
    wire::{DATA, END_STREAM, GOAWAY, NO_ERROR, PING, SETTINGS, Wire, frame},
};

const LONG: Duration = Duration::from_secs(15);

/// Hostile input P16.
#[tokio::test]
async fn sessions_get_1001_and_then_their_streams_and_the_connection_end() {
    let (make, mut log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let running = Running::start(WebSocketHandler::new(factory, pages()), LONG).await;
    let mut wire = Wire::connect(running.addr).await;
    wire.open(1).await;
    wire.open(3).await;

    let stopped = tokio::spawn(running.stop());
    let mut closes = Vec::new();
    let mut ended = Vec::new();
    let mut said_go_away = false;
    while let Some(next) = wire.next().await {
        match next.kind {
            DATA => {
                if !next.payload.is_empty() {
                    assert_eq!(
                        (next.payload[0], &next.payload[2..4]),
                        (0x88, &b"\x03\xe9"[..])
                    );
                    closes.push(next.stream);
                    let answer = b"\x88\x82\0\0\0\0\x03\xe9";
                    wire.send(&frame(DATA, END_STREAM, next.stream, answer))
                        .await;
                }
                if next.flags & END_STREAM != 0 {
                    ended.push(next.stream);
                }
            }
            GOAWAY => {
                assert_eq!(next.error(), NO_ERROR);
                said_go_away = true;
            }
            PING if next.flags == 0 => wire.send(&frame(PING, 1, 0, &next.payload)).await,
            _ => assert!(matches!(next.kind, PING | SETTINGS | 8), "{next:?}"),
        }
    }

    closes.sort_unstable();
    ended.sort_unstable();
    assert_eq!(
        (closes, ended, said_go_away),
        (vec![1, 3], vec![1, 3], true)
    );
    let report = bounded(stopped).await.unwrap();
    assert_eq!((report.clean(), report.cut()), (2, 0));
    for _ in 0..2 {
        assert!(
            log.life()
                .await
                .iter()
                .any(|seen| matches!(seen, Seen::Closed(1001, _, true)))
        );
    }
}

#[tokio::test]
async fn foreign_client_is_closed_cleanly_and_new_sessions_get_503() {
    let (make, _log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let running = Running::start(WebSocketHandler::new(factory, pages()), LONG).await;
    let mut client = Client::connect(running.addr).await;
    let (mut tunnel, _) = client.open("/chat").await;
    echoes(&mut tunnel).await;

    let stopped = tokio::spawn(running.stop());
    let Foreign::Close(Some(close)) = hear(&mut tunnel).await else {
        panic!("no Close");
    };
    assert_eq!(close.code, ForeignCode::Away);
    // Reading on answers it.
    while let Some(Ok(_)) = bounded(futures_util::StreamExt::next(&mut tunnel)).await {}
    drop(tunnel);

    let report = bounded(stopped).await.unwrap();
    assert_eq!((report.clean(), report.cut()), (1, 0));
    bounded(client.connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn session_that_does_not_answer_is_cut_at_the_deadline_with_its_connection() {
    let (make, mut log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let handler = WebSocketHandler::new(factory, pages());
    let running = Running::start(handler, Duration::from_millis(200)).await;
    let mut wire = Wire::connect(running.addr).await;
    wire.open(1).await;

    let report = running.stop().await;

    assert_eq!((report.clean(), report.cut()), (0, 1));
    assert_eq!(log.life().await.last(), Some(&Seen::Dropped));
    while wire.next().await.is_some() {}
}
