//! The ready-made server: its deadline, what it says of a connection, and accepts that fail.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use ws_handler::{
    Bytes, Endpoint, EventResult, NotFound, Server, Session, WebSocketFactory, WebSocketHandler,
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

use bounded::bounded;
use close_code::close_code;
use frames::{close, frame, masked};
use raw::{HANDSHAKE, Raw};
use recorder::{Seen, recorder};

/// Short, and only ever waited for: nothing here depends on being faster than it.
const DEADLINE: Duration = Duration::from_millis(500);

/// All of a client's side of HTTP/2 before its first request.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn client_without_a_request_is_closed_at_the_deadline_whatever_it_sent() {
    let half = &HANDSHAKE.as_bytes()[..HANDSHAKE.len() / 2];
    let rows: [(&str, &[u8]); 6] = [
        ("T1: nothing", b""),
        ("T2: one letter", b"G"),
        ("T2: half a head", half),
        (
            "T2: a head without its last byte",
            &HANDSHAKE.as_bytes()[..HANDSHAKE.len() - 1],
        ),
        ("H34: half an HTTP/2 preface", &PREFACE[..10]),
        ("H34: an HTTP/2 preface, then silence", PREFACE),
    ];
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), NotFound)).await;

    let begin = Instant::now();
    let mut silent = Vec::new();
    for (row, bytes) in rows {
        let mut raw = Raw::connect(addr).await;
        raw.send(bytes).await;
        silent.push((row, raw));
    }
    for (row, raw) in silent {
        let answer = raw.rest().await;
        let is_http1 = answer.starts_with(b"HTTP/1.1 ");
        let refuses = answer.starts_with(b"HTTP/1.1 4");
        assert!(!is_http1 || refuses, "hostile input {row}: {answer:?}");
        assert!(begin.elapsed() < 20 * DEADLINE, "hostile input {row}");
    }
}

#[tokio::test]
async fn bytes_that_trickle_do_not_move_the_deadline() {
    let ping = b"\0\0\x08\x06\0\0\0\0\0pingping".as_slice();
    let rows: [(&str, &[u8], &[u8]); 3] = [
        ("T2: a head without end", b"GET / HTTP/1.1\r\nX: ", b"x"),
        ("T2: empty lines", b"", b"\r\n"),
        ("T2: HTTP/2 pings", PREFACE, ping),
    ];
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), NotFound)).await;

    for (row, first, then) in rows {
        let begin = Instant::now();
        let (mut reader, mut writer) = Raw::connect(addr).await.stream.into_split();
        let trickle = async move {
            let mut pace = tokio::time::interval(DEADLINE / 6);
            let mut next = first;
            while writer.write_all(next).await.is_ok() {
                pace.tick().await;
                next = then;
            }
        };
        let ended =
            async move { while reader.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
        let mut trickle = pin!(trickle);
        let mut ended = pin!(ended);
        bounded(async {
            tokio::select! {
                () = &mut trickle => ended.await,
                () = &mut ended => {}
            }
        })
        .await;
        assert!(begin.elapsed() < 20 * DEADLINE, "hostile input {row}");
    }
}

#[tokio::test]
async fn connection_that_is_served_is_not_cut_by_the_deadline() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = slow_page(Arc::clone(&arrived), Arc::clone(&go));
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), slow)).await;
    let mut session = Raw::connect(addr).await;
    session.send(HANDSHAKE).await;
    session.head().await;
    let mut request = Raw::connect(addr).await;
    request
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    bounded(arrived.notified()).await;

    // Accepted last, so that its deadline is the last: the others' have passed.
    let silent = Raw::connect(addr).await;
    assert_eq!(silent.rest().await, "");
    go.notify_one();

    let answer = request.rest().await;
    assert!(answer.ends_with(b"at last"), "{answer:?}");
    session.send(masked(0x81, b"still here?")).await;
    assert_eq!(frame(&mut session).await, (0x81, "still here?".into()));
}

#[tokio::test]
async fn connection_that_was_served_is_closed_when_its_next_head_takes_too_long() {
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), NotFound)).await;
    let mut raw = Raw::connect(addr).await;

    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n")
        .await;

    assert!(raw.head().await.starts_with("HTTP/1.1 404 "));
    let begin = Instant::now();
    raw.rest().await;
    assert!(begin.elapsed() < 20 * DEADLINE);
}

/// Hostile input T13, over a socket.
#[tokio::test]
async fn response_that_nobody_takes_does_not_hold_its_connection() {
    /// Told when nobody has any of it any more.
    struct Page(Vec<u8>, Arc<Notify>);
    impl AsRef<[u8]> for Page {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Page {
        fn drop(&mut self) {
            self.1.notify_one();
        }
    }
    // More than the sockets' buffers hold.
    const LARGE: usize = 64 << 20;
    let given_up = Arc::new(Notify::new());
    let page = Bytes::from_owner(Page(vec![0; LARGE], Arc::clone(&given_up)));
    let page = std::sync::Mutex::new(Some(page));
    let pages = hyper::service::service_fn(move |_request| {
        let page = page.lock().unwrap().take().expect("one request");
        std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(
            Full::new(page),
        )))
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let server = server.with_write_deadline(DEADLINE);
    let handler = WebSocketHandler::new(echo(), pages);
    tokio::spawn(server.serve(handler, std::future::pending()));
    let mut raw = Raw::connect(addr).await;

    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    bounded(given_up.notified()).await;
    assert!(raw.rest().await.len() < LARGE, "hostile input T13");
}

#[tokio::test]
async fn deadline_without_end_is_one() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let server = server
        .with_request_deadline(Duration::MAX)
        .with_write_deadline(Duration::MAX)
        .with_http2_idle_timeout(Duration::MAX)
        .with_http2_ping_interval(Duration::MAX);
    let handler = WebSocketHandler::new(echo(), NotFound);
    tokio::spawn(server.serve(handler, std::future::pending()));
    let mut raw = Raw::connect(addr).await;

    raw.send(HANDSHAKE).await;

    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn request_over_http2_reaches_the_inner_service() {
    let arrived = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    go.notify_one();
    let page = slow_page(Arc::clone(&arrived), go);
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), page)).await;
    let stream = TokioIo::new(bounded(TcpStream::connect(addr)).await.unwrap());
    let (mut sender, connection) = bounded(hyper::client::conn::http2::handshake(
        TokioExecutor::new(),
        stream,
    ))
    .await
    .unwrap();
    tokio::spawn(connection);

    let request = http::Request::get(format!("http://{addr}/")).body(Empty::<Bytes>::new());
    let response = bounded(sender.send_request(request.unwrap()))
        .await
        .unwrap();

    let body = bounded(response.into_body().collect()).await.unwrap();
    assert_eq!(body.to_bytes(), "at last");
}

/// Says who is connected to whom.
struct WhoAmI;

impl Endpoint for WhoAmI {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let request = session.request();
        let who = format!(
            "{:?} {:?} {}",
            request.peer(),
            request.local(),
            request.secure()
        );
        session.send_text(who).await?;
        Ok(())
    }
}

#[tokio::test]
async fn session_knows_its_peer_and_believes_no_header_about_it() {
    for address in ["127.0.0.1:0", "0.0.0.0:0"] {
        let factory = WebSocketFactory::builder()
            .fallback(|_| WhoAmI)
            .build()
            .unwrap();
        let server = Server::bind(address).await.unwrap();
        let port = server.local_addr().port();
        let handler = WebSocketHandler::new(factory, NotFound);
        tokio::spawn(server.serve(handler, std::future::pending()));
        let mut raw = Raw::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let forged = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
            Forwarded: for=6.6.6.6;proto=https\r\nForwarded: for=6.6.6.7\r\n\r\n";

        raw.send(HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{forged}")))
            .await;

        raw.head().await;
        let (peer, local) = (raw.stream.local_addr(), raw.stream.peer_addr());
        let want = format!("Some({}) Some({}) false", peer.unwrap(), local.unwrap());
        let (_, told) = frame(&mut raw).await;
        assert_eq!(told, want, "hostile input H38");
    }
}

#[tokio::test]
async fn panic_of_the_inner_service_ends_its_own_connection() {
    let panics = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
        assert_ne!(request.uri().path(), "/panic", "the application's fault");
        std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(
            Full::<Bytes>::from("fine"),
        )))
    });
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), panics)).await;

    let mut panicking = Raw::connect(addr).await;
    panicking
        .send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(panicking.rest().await, "");

    let mut raw = Raw::connect(addr).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(raw.rest().await.ends_with(b"fine"));
}

/// R7, R8: in a process of its own, since the table is the process's.
#[cfg(unix)]
#[test]
fn full_file_table_is_survived() {
    const INSIDE: &str = "WS_HANDLER_TEST_FULL_FILE_TABLE";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(fill_the_file_table());
        return;
    }
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 64 && exec "$0" --exact full_file_table_is_survived"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .output()
        .unwrap();

    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[cfg(unix)]
async fn fill_the_file_table() {
    let addr = start(DEADLINE, WebSocketHandler::new(echo(), NotFound)).await;
    let mut before = Raw::connect(addr).await;
    before.send(HANDSHAKE).await;
    before.head().await;

    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    // Room for the client's end; there is none for the server's.
    drop(files.pop());
    let mut raw = Raw::connect(addr).await;
    raw.send(HANDSHAKE).await;
    before.send(masked(0x81, b"who is open lives")).await;
    assert_eq!(frame(&mut before).await, (0x81, "who is open lives".into()));
    let mut head = pin!(raw.head());
    let waited = tokio::time::timeout(DEADLINE, &mut head).await;
    assert!(waited.is_err(), "it cannot have been accepted");

    drop(files);
    assert!(head.await.starts_with("HTTP/1.1 101 "), "hostile input R7");
}

#[tokio::test]
async fn every_session_that_began_ends_even_if_its_client_vanishes_in_the_handshake() {
    let (make, mut log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let addr = start(DEADLINE, WebSocketHandler::new(factory.clone(), NotFound)).await;

    for _ in 0..50 {
        let mut raw = Raw::connect(addr).await;
        raw.send(HANDSHAKE).await;
        raw.stream.set_zero_linger().unwrap();
        drop(raw);
    }
    // Accepted last, so everybody else has been.
    let mut raw = Raw::connect(addr).await;
    raw.send([HANDSHAKE.as_bytes(), &close(1000, "")].concat())
        .await;
    raw.head().await;
    assert_eq!(close_code(&mut raw).await, 1000);
    raw.rest().await;
    bounded(factory.shutdown(Duration::from_secs(10))).await;

    let stats = factory.stats();
    let made = stats.opened() + stats.failed_upgrades();
    let mut seen = Vec::new();
    for _ in 0..made {
        seen.extend(log.life().await);
    }
    let count = |wanted: fn(&Seen) -> bool| seen.iter().filter(|seen| wanted(seen)).count() as u64;
    let opened = count(|seen| *seen == Seen::Connected);
    let closed = count(|seen| matches!(seen, Seen::Closed(..)));
    assert_eq!((opened, closed), (stats.opened(), stats.opened()), "R5");
    assert_eq!(stats.open(), 0, "hostile input R5");
}

fn echo() -> WebSocketFactory {
    let (make, _log) = recorder();
    WebSocketFactory::builder()
        .fallback(make)
        .build()
        .expect("an endpoint")
}

/// Tells that a request arrived, and answers when it may.
fn slow_page(
    arrived: Arc<Notify>,
    go: Arc<Notify>,
) -> impl hyper::service::Service<
    http::Request<hyper::body::Incoming>,
    Response = http::Response<Full<Bytes>>,
    Error = std::convert::Infallible,
    Future: Send,
> + Send
+ Sync
+ 'static {
    hyper::service::service_fn(move |_request| {
        let (arrived, go) = (Arc::clone(&arrived), Arc::clone(&go));
        async move {
            arrived.notify_one();
            go.notified().await;
            Ok(http::Response::new(Full::from("at last")))
        }
    })
}

async fn start<S>(deadline: Duration, handler: WebSocketHandler<S>) -> SocketAddr
where
    S: hyper::service::Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<Full<Bytes>>,
            Error = std::convert::Infallible,
            Future: Send,
        > + Send
        + Sync
        + 'static,
{
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let addr = server.local_addr();
    let server = server.with_request_deadline(deadline);
    tokio::spawn(server.serve(handler, std::future::pending()));
    addr
}
