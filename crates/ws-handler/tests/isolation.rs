//! A client that sends garbage, vanishes or stops reading ends its own connection and no other.

use std::{net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt, task::JoinHandle};
use tokio_tungstenite::tungstenite::Message as Foreign;
use ws_handler::{NotFound, Session, WebSocketFactory, WebSocketHandler};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/client.rs"]
mod client;
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
#[path = "support/talk.rs"]
mod talk;

use bounded::bounded;
use client::{Client, open};
use close_code::close_code;
use frames::{close, frame, masked};
use raw::Raw;
use recorder::{Log, Seen, recorder};
use serving::serve;
use session::session;
use talk::{hear, say};

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let (addr, factory, _log) = start().await;
    let mut bystander = open(addr, "/", []).await.unwrap().0;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |bytes: usize| -> Vec<u8> {
        let next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 32) as u8
        };
        std::iter::repeat_with(next).take(bytes).collect()
    };

    for round in 0..100 {
        let mut as_request = Raw::connect(addr).await;
        as_request.send(random(500)).await;
        as_request.send("\r\n\r\n").await;
        let mut as_frames = session(addr).await;
        // F21. The first byte is a text frame's, so that some of it is looked at.
        as_frames.send([vec![0x81], random(500)].concat()).await;
        bounded(as_frames.stream.shutdown()).await.unwrap();

        echoes(&mut bystander, round).await;
        as_frames.rest().await;
        as_request.stream.shutdown().await.unwrap();
        as_request.rest().await;
    }
    only_the_bystander_is_left(&factory).await;
    let mut newcomer = session(addr).await;
    newcomer.send(close(1000, "")).await;
    assert_eq!(close_code(&mut newcomer).await, 1000);
}

#[tokio::test]
async fn a_thousand_sessions_that_come_and_go_leave_nothing() {
    let (addr, factory, mut log) = start().await;

    for _ in 0..1000 {
        let mut raw = session(addr).await;
        raw.send(close(1000, "")).await;
        assert_eq!(close_code(&mut raw).await, 1000);
        drop(raw);
        assert_eq!(log.life().await.len(), 3, "hostile input K14");
    }

    assert_eq!(factory.stats().opened(), 1000);
    // Resolves only once no task is left.
    bounded(factory.shutdown(Duration::MAX)).await;
    assert_eq!(factory.stats().open(), 0, "hostile input K14");
}

#[tokio::test]
async fn vanishing_ends_only_its_own_connection() {
    let (addr, factory, mut log) = start().await;
    let mut bystander = open(addr, "/", []).await.unwrap().0;
    echoes(&mut bystander, 0).await;

    for round in 0..100 {
        let mut raw = session(addr).await;
        // A message first, so that its endpoint is known to exist; half a frame behind it.
        raw.send([masked(0x82, b"mine"), vec![0x82, 0xfe, 1]].concat())
            .await;
        frame(&mut raw).await;
        if round % 2 == 0 {
            raw.stream.set_zero_linger().unwrap();
        }
        drop(raw);
        echoes(&mut bystander, round).await;
    }

    only_the_bystander_is_left(&factory).await;
    drop(bystander);
    let mut closed = 0;
    for _ in 0..101 {
        let life = log.life().await;
        closed += life
            .iter()
            .filter(|seen| matches!(seen, Seen::Closed(1006, ..)))
            .count();
    }
    assert_eq!(closed, 101, "everybody's end was told, once");
}

#[tokio::test]
async fn not_reading_stops_only_its_own_connection() {
    let (addr, factory, _log) = start().await;
    let mut bystander = open(addr, "/", []).await.unwrap().0;
    let mut floods = Vec::new();
    for _ in 0..4 {
        floods.push(flood(session(addr).await));
    }

    // R3: what they do not read piles up at them, and then at us, up to the outbox's bound.
    let is_full = |session: &Session| session.queued().1 > (1 << 20) - 60_000;
    let full = async {
        while factory.sessions().iter().filter(|one| is_full(one)).count() < floods.len() {
            echoes(&mut bystander, 0).await;
        }
    };
    bounded(full).await;
    for round in 0..500 {
        echoes(&mut bystander, round).await;
    }
    for session in factory.sessions() {
        assert!(session.queued().1 <= 1 << 20, "{:?}", session.queued());
    }
    for flood in floods {
        flood.abort();
        assert!(bounded(flood).await.unwrap_err().is_cancelled());
    }
    only_the_bystander_is_left(&factory).await;
    echoes(&mut bystander, 0).await;
}

/// Sends without end, and never reads; the connection is lost with the task.
fn flood(mut raw: Raw) -> JoinHandle<()> {
    let message = masked(0x82, &[7; 60_000]);
    tokio::spawn(async move { while raw.stream.write_all(&message).await.is_ok() {} })
}

async fn start() -> (SocketAddr, WebSocketFactory, Log) {
    let (make, log) = recorder();
    let factory = WebSocketFactory::builder()
        .fallback(make)
        .build()
        .expect("an endpoint");
    let handler = WebSocketHandler::new(factory.clone(), NotFound);
    (serve(handler).await, factory, log)
}

async fn only_the_bystander_is_left(factory: &WebSocketFactory) {
    bounded(async {
        while factory.stats().open() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(factory.stats().open(), 1);
}

async fn echoes(client: &mut Client, round: usize) {
    let message = Foreign::text(format!("round {round}"));
    say(client, message.clone()).await;
    assert_eq!(hear(client).await, message);
}
