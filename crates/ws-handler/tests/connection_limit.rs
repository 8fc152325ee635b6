//! A ready-made server with a limit of connections: nobody is accepted beyond it, and everybody who
//! ends, in whatever way, makes room for one more.

use std::{
    convert::Infallible, future::pending, net::SocketAddr, num::NonZeroUsize, time::Duration,
};

use http_body_util::Empty;
use tokio::{sync::oneshot, time::timeout};
use ws_handler::{
    Bytes, NotFound, PerCore, Server, WebSocketFactory, WebSocketHandler, service_fn,
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
#[expect(dead_code, reason = "the log is read by nobody here")]
mod recorder;
#[path = "support/session.rs"]
mod session;

use bounded::bounded;
use close_code::close_code;
use frames::close;
use raw::{HANDSHAKE, Raw};
use recorder::recorder;
use session::session;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const LAST_REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Who has not been answered by then waits.
const A_WHILE: Duration = Duration::from_millis(200);

fn echo() -> WebSocketFactory {
    let (make, _log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build();
    factory.expect("an endpoint")
}

async fn start(most: usize) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr();
    let server = server.with_max_connections(Some(most));
    tokio::spawn(server.serve(WebSocketHandler::new(echo(), NotFound), pending()));
    addr
}

/// Asks, and is not answered; returns who asked.
async fn waits(addr: SocketAddr) -> Raw {
    let mut raw = Raw::connect(addr).await;
    raw.send(LAST_REQUEST).await;
    let answered = timeout(A_WHILE, raw.fill()).await;
    assert!(answered.is_err(), "{:?}", raw.buffer);
    raw
}

async fn is_answered(raw: Raw) {
    let answer = raw.rest().await;
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{answer:?}");
}

#[tokio::test]
async fn connection_beyond_the_limit_is_served_once_another_ends() {
    let addr = start(2).await;
    let silent = Raw::connect(addr).await;
    let mut asking = Raw::connect(addr).await;
    asking.send(REQUEST).await;
    asking.head().await;

    let waiting = waits(addr).await;
    drop(silent);

    is_answered(waiting).await;
    let _silent = Raw::connect(addr).await;
    // The one that was answered may ask again, so it has kept its place.
    let waiting = waits(addr).await;
    drop(asking);
    is_answered(waiting).await;
}

#[tokio::test]
async fn session_counts_from_its_handshake_to_its_end() {
    let addr = start(1).await;
    for ends_by_itself in [true, false] {
        let mut open = session(addr).await;

        let waiting = waits(addr).await;
        if ends_by_itself {
            open.send(close(1000, "")).await;
            assert_eq!(close_code(&mut open).await, 1000);
            open.rest().await;
        } else {
            open.stream.set_zero_linger().unwrap();
            drop(open);
        }

        is_answered(waiting).await;
    }
}

#[tokio::test]
async fn connection_that_the_inner_service_upgrades_counts() {
    let (give, taken) = oneshot::channel();
    let give = std::sync::Mutex::new(Some(give));
    let pages = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let response = http::Response::builder();
        let response = match give.lock().unwrap().take() {
            Some(give) => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move { give.send(upgrade.await) });
                response.status(101).header("upgrade", "else")
            }
            None => response.status(404),
        };
        std::future::ready(Ok::<_, Infallible>(
            response.body(Empty::<Bytes>::new()).unwrap(),
        ))
    });
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr();
    let server = server.with_max_connections(Some(1));
    tokio::spawn(server.serve(WebSocketHandler::new(echo(), pages), pending()));
    let mut raw = Raw::connect(addr).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: else\r\n\r\n")
        .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    let upgraded = bounded(taken).await.unwrap().unwrap();

    let waiting = waits(addr).await;
    drop(upgraded);

    is_answered(waiting).await;
}

#[tokio::test]
async fn handshake_that_is_refused_makes_room() {
    let addr = start(1).await;
    for _ in 0..5 {
        let mut raw = Raw::connect(addr).await;
        let two_keys = "\r\nSec-WebSocket-Key: x\r\nConnection: close\r\n\r\n";
        raw.send(HANDSHAKE.replace("\r\n\r\n", two_keys)).await;

        assert!(raw.rest().await.starts_with(b"HTTP/1.1 400 "));
    }
}

#[tokio::test]
async fn shutdown_does_not_wait_for_room() {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let handler = WebSocketHandler::new(echo(), NotFound);
    let serving = tokio::spawn(
        server
            .with_max_connections(Some(1))
            .with_shutdown_deadline(A_WHILE)
            .serve(handler, async { stopped.await.unwrap() }),
    );
    let _open = session(addr).await;
    let waiting = waits(addr).await;

    stop.send(()).unwrap();

    let report = bounded(serving).await.unwrap();
    assert_eq!(report.cut(), 1);
    assert_eq!(waiting.rest().await, "", "nobody accepts it any more");
}

/// Threads that nobody has connected to hold no place back: with as many threads as the kernel
/// spreads these connections over, and one place.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn limit_holds_for_all_threads_together() {
    const THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("it is not 0");
    let server = PerCore::bind("127.0.0.1:0", THREADS).await.unwrap();
    let addr = server.local_addr();
    let server = server
        .with_max_connections(Some(1))
        .with_shutdown_deadline(A_WHILE);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(
        server.serve(WebSocketHandler::new(echo(), NotFound), async {
            stopped.await.unwrap();
        }),
    );

    for _ in 0..30 {
        let mut raw = Raw::connect(addr).await;
        raw.send(LAST_REQUEST).await;
        is_answered(raw).await;
    }
    for _ in 0..5 {
        let open = session(addr).await;
        let waiting = waits(addr).await;
        drop(open);
        is_answered(waiting).await;
    }

    let _open = session(addr).await;
    let _waiting = waits(addr).await;
    stop.send(()).unwrap();
    bounded(serving).await.unwrap().unwrap();
}
