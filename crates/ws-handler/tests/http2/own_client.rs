//! Our client over HTTP/2 against our server: both ends of a session are ours, and none of the bytes
//! between them is seen.

use std::{net::SocketAddr, time::Duration};

use http::Version;
use tokio::sync::mpsc;
use ws_client::{ConnectError, ConnectRequest, HttpVersion, connect};
use ws_handler::{
    Bytes, CloseCode, CloseEvent, Endpoint, EventResult, Initiator, Message, MessageKind, NotFound,
    PerCore, Policy, Session, SessionError, StatelessEndpoint, WebSocketFactory, WebSocketHandler,
    extension::DeflateConfig,
};

use crate::{
    bounded::bounded,
    recorder::{Seen, recorder},
    serving::{Running, pages, recording, serve},
};

/// Tells what it hears.
struct Hearing(mpsc::UnboundedSender<Heard>);

#[derive(Debug, PartialEq)]
enum Heard {
    Message(Message),
    Error(String),
    Closed(u16, Initiator, bool),
}

impl Endpoint for Hearing {
    async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
        self.0.send(Heard::Message(message))?;
        Ok(())
    }

    async fn on_error(&mut self, _session: &Session, error: &SessionError) {
        self.0.send(Heard::Error(error.to_string())).ok();
    }

    async fn on_close(&mut self, _session: &Session, event: &CloseEvent) {
        let status = event.status().get();
        let closed = Heard::Closed(status, event.initiator(), event.is_clean());
        self.0.send(closed).ok();
    }
}

fn request(addr: SocketAddr) -> ConnectRequest {
    let request = ConnectRequest::to(&format!("ws://{addr}/chat?room=7")).unwrap();
    request.with_http_version(HttpVersion::Http2)
}

async fn open(request: ConnectRequest) -> (Session, mpsc::UnboundedReceiver<Heard>) {
    let (told, heard) = mpsc::unbounded_channel();
    let session = bounded(connect(request, Hearing(told))).await.unwrap();
    (session, heard)
}

#[tokio::test]
async fn both_ends_close_and_both_know_how() {
    let (addr, mut log) = recording().await;
    let (session, mut heard) = open(request(addr)).await;

    session.send_text("hi").await.unwrap();
    assert_eq!(
        bounded(heard.recv()).await.unwrap(),
        Heard::Message(Message::text("hi"))
    );
    session.close(CloseCode::try_from(4001_u16).unwrap(), "enough");

    let closed = Heard::Closed(4001, Initiator::Local, true);
    assert_eq!(bounded(heard.recv()).await.unwrap(), closed);
    let closed = Seen::Closed(4001, Initiator::Remote, true);
    let hi = Seen::Message(Message::text("hi"));
    assert_eq!(
        log.life().await,
        [Seen::Connected, hi, closed, Seen::Dropped]
    );
    assert_eq!(session.request().version(), Version::HTTP_2);
}

#[tokio::test]
async fn abort_of_the_client_is_1006_at_the_server() {
    let (addr, mut log) = recording().await;
    let (session, mut heard) = open(request(addr)).await;

    session.abort();

    let closed = Heard::Closed(1006, Initiator::Local, false);
    assert_eq!(bounded(heard.recv()).await.unwrap(), closed);
    let closed = Seen::Closed(1006, Initiator::Remote, false);
    assert_eq!(
        log.life().await,
        [Seen::Connected, Seen::Error, closed, Seen::Dropped]
    );
}

#[tokio::test]
async fn idle_timeout_of_the_server_is_1001_at_the_client() {
    let factory = WebSocketFactory::builder()
        .fallback(|_| ws_handler::from_fn(|_session, _message| async { Ok(()) }))
        .with_policy(Policy::default().with_idle_timeout(Some(Duration::from_millis(50))))
        .build()
        .unwrap();
    let addr = serve(WebSocketHandler::new(factory, NotFound)).await;

    let (_session, mut heard) = open(request(addr)).await;

    let closed = Heard::Closed(1001, Initiator::Remote, true);
    assert_eq!(bounded(heard.recv()).await.unwrap(), closed);
}

#[tokio::test]
async fn shutdown_closes_sessions_of_the_client_with_1001() {
    let (make, _log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let handler = WebSocketHandler::new(factory, pages());
    let running = Running::start(handler, Duration::from_secs(15)).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(open(request(running.addr)).await);
    }

    let report = running.stop().await;

    assert_eq!((report.clean(), report.cut()), (3, 0));
    for (_session, mut heard) in sessions {
        let closed = Heard::Closed(1001, Initiator::Remote, true);
        assert_eq!(bounded(heard.recv()).await.unwrap(), closed);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn server_of_several_threads_serves_sessions_over_http2_and_stops() {
    let (make, _log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    let handler = WebSocketHandler::new(factory, NotFound);
    let server = PerCore::bind("127.0.0.1:0", 2.try_into().unwrap())
        .await
        .unwrap();
    let addr = server.local_addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(handler, async move { drop(stopped.await) }));

    let mut sessions = Vec::new();
    for _ in 0..8 {
        let (session, mut heard) = open(request(addr)).await;
        session.send_text("hi").await.unwrap();
        assert_eq!(
            bounded(heard.recv()).await.unwrap(),
            Heard::Message(Message::text("hi"))
        );
        sessions.push(heard);
    }
    stop.send(()).unwrap();

    let report = bounded(serving).await.unwrap().unwrap();
    assert_eq!((report.clean(), report.cut()), (8, 0));
}

#[tokio::test]
async fn refusals_are_the_same_over_either_http() {
    let factory = WebSocketFactory::builder()
        .endpoint("a", |_| {
            ws_handler::from_fn(|_session, _message| async { Ok(()) })
        })
        .build()
        .unwrap();
    let addr = serve(WebSocketHandler::new(factory, NotFound)).await;
    let mut refusals = Vec::new();
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        for origin in ["http://evil.example", "null"] {
            let request = request(addr).with_http_version(version);
            let request = request.with_header("origin", origin).unwrap();
            let (told, _heard) = mpsc::unbounded_channel();
            match bounded(connect(request, Hearing(told))).await {
                Err(ConnectError::Refused(refusal)) => {
                    refusals.push((refusal.status().as_u16(), refusal.body().to_owned()));
                }
                other => panic!("not refused: {other:?}"),
            }
        }
    }
    let text = "Origin: may not open a WebSocket here";
    assert_eq!(refusals, vec![(403, text.to_owned()); 4]);
}

/// What the n-th message of a session is: no two are alike, and none is like its neighbour's.
fn nth(session: usize, n: usize) -> Bytes {
    const SIZES: [usize; 12] = [
        0, 1, 7, 125, 126, 1000, 4096, 16_383, 16_384, 65_535, 65_536, 200_000,
    ];
    let size = if n == MESSAGES / 2 {
        1 << 20
    } else {
        SIZES[n % SIZES.len()]
    };
    let seed = session
        .wrapping_mul(7919)
        .wrapping_add(n.wrapping_mul(104_729));
    // Compressible, and different at every place.
    let bytes = (0..size).map(|at| (seed.wrapping_add(at.wrapping_mul(at) >> 3) >> (at % 5)) as u8);
    bytes.collect()
}

const SESSIONS: usize = 4;
const MESSAGES: usize = 60;

/// Holds every message to the ledger before it echoes it; which session it is, the path says.
struct Ledger;

struct Place(std::sync::atomic::AtomicUsize);

impl StatelessEndpoint for Ledger {
    async fn on_connect(&self, session: &Session) -> EventResult {
        session.extensions().insert(Place(0.into()));
        Ok(())
    }

    async fn on_message(&self, session: &Session, message: Message) -> EventResult {
        let n = session
            .extensions()
            .get::<Place>()
            .ok_or("no place")?
            .0
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let which = session.request().query().unwrap().parse::<usize>()?;
        if message.as_bytes() != nth(which, n) {
            return Err(format!("message {n} of {which} is another").into());
        }
        session.send(message).await?;
        Ok(())
    }
}

/// Nothing is lost, doubled or out of order, in either direction: sizes from 0 to 1 MiB, whole and in
/// fragments, compressed and not, more of them under way than the windows hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledgers_of_both_ends_agree() {
    let compressing = Policy::default()
        .with_max_message_bytes(1 << 20)
        .with_compression(Some(DeflateConfig::default().with_level(1)));
    let factory = WebSocketFactory::builder()
        .fallback_shared(Ledger)
        .with_policy(compressing.clone())
        .build()
        .unwrap();
    let addr = serve(WebSocketHandler::new(factory.clone(), NotFound)).await;

    let mut sessions = tokio::task::JoinSet::new();
    for which in 0..SESSIONS {
        let policy = match which % 2 {
            0 => Policy::default().with_max_message_bytes(1 << 20),
            _ => compressing.clone(),
        };
        let request = ConnectRequest::to(&format!("ws://{addr}/ledger?{which}"))
            .unwrap()
            .with_http_version(HttpVersion::Http2)
            .with_policy(policy);
        sessions.spawn(async move {
            let (session, mut heard) = open(request).await;
            let sender = session.clone();
            let sending = tokio::spawn(async move {
                for n in 0..MESSAGES {
                    send(&sender, nth(which, n), n).await;
                }
            });
            for n in 0..MESSAGES {
                let message = bounded(heard.recv()).await.unwrap();
                assert!(
                    message == Heard::Message(Message::Binary(nth(which, n))),
                    "{n} of {which}"
                );
            }
            sending.await.unwrap();
            session.close(CloseCode::NORMAL, "");
            let closed = Heard::Closed(1000, Initiator::Local, true);
            assert_eq!(bounded(heard.recv()).await.unwrap(), closed);
        });
    }

    while let Some(done) = bounded(sessions.join_next()).await {
        done.unwrap();
    }
    let all = (SESSIONS * MESSAGES) as u64;
    let stats = factory.stats();
    let traffic = stats.traffic();
    assert_eq!((traffic.messages_in(), traffic.messages_out()), (all, all));
}

/// Every third message goes in fragments.
async fn send(session: &Session, data: Bytes, n: usize) {
    if !n.is_multiple_of(3) {
        return session.send_binary(data).await.unwrap();
    }
    let mut writer = session.message_writer(MessageKind::Binary).await.unwrap();
    for part in data.chunks(data.len() / 3 + 1) {
        writer.write(Bytes::copy_from_slice(part)).await.unwrap();
    }
    writer.finish().await.unwrap();
}
