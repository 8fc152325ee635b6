//! The ready-made server stops: what is queued leaves, who answers ends cleanly, nobody holds it up.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message as Foreign;
use ws_handler::{
    Accept, Bytes, Endpoint, EventResult, Message, NotFound, Rejection, Server, Session,
    ShutdownReport, WebSocketFactory, WebSocketHandler,
};

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
#[path = "support/session.rs"]
mod session;
#[path = "support/talk.rs"]
mod talk;

use bounded::bounded;
use client::{Client, open};
use close_code::close_code;
use frames::{close, frame, masked};
use raw::{HANDSHAKE, Raw};
use session::session;
use talk::{hear, say};

/// A server that can be stopped.
struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<ShutdownReport>,
}

impl Running {
    async fn start<S>(handler: WebSocketHandler<S>, deadline: Duration) -> Self
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
        let (stop, stopped) = oneshot::channel();
        let server = Server::bind("127.0.0.1:0").await.expect("a free port");
        let addr = server.local_addr();
        let server = server.with_shutdown_deadline(deadline);
        let done = tokio::spawn(server.serve(handler, async move { drop(stopped.await) }));
        Self { addr, stop, done }
    }

    /// Stops it, and waits until it has.
    async fn stopped(self) -> ShutdownReport {
        self.stop.send(()).expect("it serves");
        bounded(self.done).await.expect("it does not panic")
    }
}

const LONG: Duration = Duration::from_secs(15);

/// Echoes; queues a hundred messages and then tells when it is asked for them.
struct Chatty(Arc<Notify>);

impl Endpoint for Chatty {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        if message.as_bytes() != b"hundred" {
            session.send(message).await?;
            return Ok(());
        }
        for n in 0..100 {
            session.try_send_text(n.to_string())?;
        }
        self.0.notify_one();
        Ok(())
    }
}

fn chatty() -> (WebSocketFactory, Arc<Notify>) {
    let queued = Arc::new(Notify::new());
    let told = Arc::clone(&queued);
    let factory = WebSocketFactory::builder()
        .fallback(move |_| Chatty(Arc::clone(&told)))
        .build()
        .expect("an endpoint");
    (factory, queued)
}

#[tokio::test]
async fn sessions_get_1001_behind_what_was_queued_and_the_silent_are_cut() {
    let (factory, queued) = chatty();
    let handler = WebSocketHandler::new(factory.clone(), NotFound);
    let server = Running::start(handler, Duration::from_millis(500)).await;
    let addr = server.addr;
    let (mut first, _) = open(addr, "/", []).await.unwrap();
    let (mut second, _) = open(addr, "/", []).await.unwrap();
    let mut silent = session(addr).await;
    echoes(&mut second).await;
    silent.send(masked(0x81, b"hi")).await;
    frame(&mut silent).await;
    say(&mut first, Foreign::text("hundred")).await;
    bounded(queued.notified()).await;

    let answers = async {
        for n in 0..100 {
            let message = hear(&mut first).await;
            assert_eq!(message, Foreign::text(n.to_string()));
        }
        assert_eq!(ends_with(first).await, 1001);
        assert_eq!(ends_with(second).await, 1001);
        assert_eq!(close_code(&mut silent).await, 1001);
        let refused = bounded(TcpStream::connect(addr)).await;
        assert!(refused.is_err(), "nobody listens any more");
    };
    let (report, ()) = tokio::join!(server.stopped(), answers);

    assert_eq!((report.clean(), report.cut()), (2, 1));
    assert_eq!(silent.rest().await, "", "nothing behind the Close");
    assert_eq!(factory.stats().open(), 0);
}

#[tokio::test]
async fn request_in_flight_finishes_and_its_connection_ends() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (arrived, go) = (Arc::clone(&arrived), Arc::clone(&go));
        hyper::service::service_fn(move |_request| {
            let (arrived, go) = (Arc::clone(&arrived), Arc::clone(&go));
            async move {
                arrived.notify_one();
                go.notified().await;
                Ok(http::Response::new(Full::from("at last")))
            }
        })
    };
    let server = Running::start(WebSocketHandler::new(chatty().0, slow), LONG).await;
    let (client, _) = open(server.addr, "/", []).await.unwrap();
    let mut request = Raw::connect(server.addr).await;
    request.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    bounded(arrived.notified()).await;

    let answer = async {
        // The shutdown has begun by now.
        assert_eq!(ends_with(client).await, 1001);
        go.notify_one();
        request.rest().await
    };
    let (report, answer) = tokio::join!(server.stopped(), answer);

    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("at last"), "{answer}");
    assert_eq!((report.clean(), report.cut()), (1, 0));
}

#[tokio::test]
async fn request_that_never_finishes_is_cut_at_the_deadline() {
    let (arrived, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let stuck = {
        let arrived = Arc::clone(&arrived);
        hyper::service::service_fn(move |_request| {
            arrived.notify_one();
            std::future::pending()
        })
    };
    let making = Arc::clone(&told);
    let factory = WebSocketFactory::builder()
        .fallback_with(move |_| {
            making.notify_one();
            std::future::pending::<Result<Accept<Chatty>, Rejection>>()
        })
        .build()
        .unwrap();
    let handler = WebSocketHandler::new(factory, stuck);
    let server = Running::start(handler, Duration::from_millis(100)).await;
    let mut page = Raw::connect(server.addr).await;
    page.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut handshake = Raw::connect(server.addr).await;
    handshake.send(HANDSHAKE).await;
    bounded(arrived.notified()).await;
    bounded(told.notified()).await;

    let begin = Instant::now();
    server.stopped().await;

    // The endpoint factory would have had ten seconds.
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(page.rest().await, "");
    assert_eq!(handshake.rest().await, "");
}

#[tokio::test]
async fn handshake_that_was_being_accepted_becomes_a_session_that_is_closed() {
    let (told, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (making, made) = (Arc::clone(&told), Arc::clone(&go));
    let factory = WebSocketFactory::builder()
        .fallback_with(move |_| {
            let (making, made) = (Arc::clone(&making), Arc::clone(&made));
            async move {
                making.notify_one();
                made.notified().await;
                Ok::<_, Rejection>(Accept::new(Chatty(making)))
            }
        })
        .endpoint("chatty", |_| Chatty(Arc::new(Notify::new())))
        .build()
        .unwrap();
    let server = Running::start(WebSocketHandler::new(factory, NotFound), LONG).await;
    let chatty = [("sec-websocket-protocol", "chatty")];
    let (client, _) = open(server.addr, "/", chatty).await.unwrap();
    let mut raw = Raw::connect(server.addr).await;
    raw.send(HANDSHAKE).await;
    bounded(told.notified()).await;

    let answers = async {
        assert_eq!(ends_with(client).await, 1001);
        go.notify_one();
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // hyper's own addition; a list (RFC 9110 §7.6.1).
        assert!(
            head.contains("\r\nconnection: Upgrade, close\r\n"),
            "{head}"
        );
        assert_eq!(close_code(&mut raw).await, 1001);
        raw.send(close(1001, "")).await;
        assert_eq!(raw.rest().await, "");
    };
    tokio::join!(server.stopped(), answers);
}

#[tokio::test]
async fn handshake_that_comes_too_late_is_no_session() {
    let (factory, _) = chatty();
    let handler = WebSocketHandler::new(factory.clone(), NotFound);
    let server = Running::start(handler, LONG).await;
    let (half, other_half) = HANDSHAKE.split_at(HANDSHAKE.len() / 2);
    let mut late = Raw::connect(server.addr).await;
    late.send(half).await;
    let (mut client, _) = open(server.addr, "/", []).await.unwrap();
    echoes(&mut client).await;

    let answer = async {
        assert_eq!(ends_with(client).await, 1001);
        late.send(other_half).await;
        late.rest().await
    };
    let (_, answer) = tokio::join!(server.stopped(), answer);

    // Whether there is an answer depends on how much of the head had been read by then.
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "),
        "{answer:?}"
    );
    assert_eq!(factory.stats().opened(), 1);
}

#[tokio::test]
async fn clients_that_flood_are_closed_like_any_other() {
    const CLIENTS: usize = 8;
    let (factory, _) = chatty();
    let server = Running::start(WebSocketHandler::new(factory, NotFound), LONG).await;
    let mut floods = Vec::new();
    for _ in 0..CLIENTS {
        let (mut client, _) = open(server.addr, "/", []).await.unwrap();
        echoes(&mut client).await;
        floods.push(tokio::spawn(async move {
            let (mut sink, mut stream) = client.split();
            let flood = tokio::spawn(async move {
                while sink.send(Foreign::text("x".repeat(1000))).await.is_ok() {}
            });
            let mut code = None;
            while let Some(Ok(message)) = stream.next().await {
                if let Foreign::Close(Some(close)) = message {
                    code = Some(u16::from(close.code));
                }
            }
            flood.abort();
            code
        }));
    }

    let report = server.stopped().await;

    assert_eq!((report.clean(), report.cut()), (CLIENTS, 0));
    for flood in floods {
        assert_eq!(bounded(flood).await.unwrap(), Some(1001));
    }
}

#[tokio::test]
async fn server_without_sessions_stops_at_once() {
    let server = Running::start(WebSocketHandler::new(chatty().0, NotFound), LONG).await;
    let silent = Raw::connect(server.addr).await;
    let mut idle = Raw::connect(server.addr).await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.head().await;

    let begin = Instant::now();
    let report = server.stopped().await;

    assert_eq!(report, ShutdownReport::default());
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(silent.rest().await, "");
    assert_eq!(idle.rest().await, "nothing here\n");
}

async fn echoes(client: &mut Client) {
    say(client, Foreign::text("hi")).await;
    assert_eq!(hear(client).await, Foreign::text("hi"));
}

/// Reads to the end, answers as a client does, and goes: the code of the Close that came.
async fn ends_with(mut client: Client) -> u16 {
    let mut code = None;
    while let Some(Ok(message)) = bounded(client.next()).await {
        if let Foreign::Close(Some(close)) = message {
            code = Some(close.code.into());
        }
    }
    code.expect("a Close with a code")
}
