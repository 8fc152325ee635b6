//! From a request on the wire to a session in the live set, and out of it again: hyper serves one
//! end of a pipe, the test is the other. No port, and a paused clock.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    future::pending,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::mpsc,
    task::yield_now,
    time::{Instant, timeout},
};
use ws_factory::{
    Accept, CloseEvent, Endpoint, EventResult, Policy, Rejection, Session, SessionListener,
    StatelessEndpoint, Text, Transport, UnwrapUpgraded, UpgradeRequest, WebSocketFactory,
};

#[path = "wire/serving.rs"]
mod serving;

use serving::{accept, ask, serve};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `"hi"`, masked with zeros.
const HI: &[u8] = b"\x81\x82\0\0\0\0hi";

/// Close 1001, masked with zeros.
const GOING_AWAY: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

/// Echoes, and tells whether its session was still in the live set in `on_close`.
struct Echo {
    factory: Arc<OnceLock<WebSocketFactory>>,
    closed: mpsc::UnboundedSender<(u16, bool)>,
}

impl Endpoint for Echo {
    async fn on_text(&mut self, session: &Session, text: Text) -> EventResult {
        if text == "stuck" {
            pending::<()>().await;
        }
        session.send_text(text).await?;
        Ok(())
    }

    async fn on_close(&mut self, session: &Session, event: &CloseEvent) {
        let live = self
            .factory
            .get()
            .is_some_and(|factory| factory.session(session.id()).is_some());
        let _ = self.closed.send((event.status().get(), live));
    }
}

type Closed = mpsc::UnboundedReceiver<(u16, bool)>;

fn echo(policy: Policy) -> (WebSocketFactory, Closed) {
    let (closed, events) = mpsc::unbounded_channel();
    let built = Arc::new(OnceLock::new());
    let own = Arc::clone(&built);
    let factory = WebSocketFactory::builder()
        .fallback(move |_| Echo {
            factory: Arc::clone(&own),
            closed: closed.clone(),
        })
        .with_policy(policy)
        .build()
        .unwrap();
    built.set(factory.clone()).unwrap();
    (factory, events)
}

/// Serves one connection, and sends `bytes` over it; returns its other end and the status.
async fn connect(factory: &WebSocketFactory, bytes: &[u8]) -> (DuplexStream, u16) {
    let factory = factory.clone();
    let mut far = serve(64 * 1024, move |request| accept(factory.clone(), request));
    let (status, _) = ask(&mut far, bytes).await;
    (far, status)
}

async fn read<const BYTES: usize>(peer: &mut DuplexStream) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    peer.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Writes down who a session is, in every event from the first, and before.
#[derive(Default)]
struct Knows(Mutex<Vec<String>>);

/// What the endpoint factory found out.
struct User(String);

impl Knows {
    fn note(&self, event: &str, session: &Session) {
        let user = session.extensions().get::<User>();
        let name = user.map_or_else(|| "nobody".to_owned(), |user| user.0.clone());
        self.0.lock().unwrap().push(format!("{event} {name}"));
    }
}

impl StatelessEndpoint for Knows {
    async fn on_connect(&self, session: &Session) -> EventResult {
        self.note("on_connect", session);
        session.extensions().insert(User("renamed".to_owned()));
        Ok(())
    }

    async fn on_close(&self, session: &Session, _: &CloseEvent) {
        self.note("on_close", session);
    }
}

struct Listens(Arc<Knows>);

impl SessionListener for Listens {
    fn opened(&self, session: &Session) {
        self.0.note("opened", session);
    }
}

/// What was known of a session whose request was for this path; at `/`, nobody is found out.
async fn known_of(path: &str) -> Vec<String> {
    let shared = Arc::new(Knows::default());
    let endpoint = Arc::clone(&shared);
    let make = move |request: UpgradeRequest| {
        let endpoint = Arc::clone(&endpoint);
        async move {
            let accept = Accept::new(endpoint);
            let accept = match request.path() {
                "/" => accept,
                path => accept
                    .with_session_extension(User("somebody".to_owned()))
                    .with_session_extension(User(path.to_owned())),
            };
            Ok::<_, Rejection>(accept)
        }
    };
    let factory = WebSocketFactory::builder()
        .fallback_with(make)
        .with_listener(Listens(Arc::clone(&shared)))
        .build()
        .unwrap();
    let handshake = HANDSHAKE.replace("/chat", path);
    let (peer, status) = connect(&factory, handshake.as_bytes()).await;
    assert_eq!(status, 101);
    drop(peer);
    let over = async {
        while factory.stats().open() + factory.stats().handshakes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), over).await.unwrap();
    let noted = shared.0.lock().unwrap();
    noted.clone()
}

#[tokio::test(start_paused = true)]
async fn shared_endpoint_knows_what_its_factory_found_out_before_its_first_event() {
    let somebody = known_of("/ada").await;
    let nobody = known_of("/").await;

    assert_eq!(
        somebody,
        ["opened /ada", "on_connect /ada", "on_close renamed"]
    );
    assert_eq!(
        nobody,
        ["opened nobody", "on_connect nobody", "on_close renamed"]
    );
}

#[tokio::test(start_paused = true)]
async fn session_is_live_from_its_connection_to_its_end() {
    let (factory, mut closed) = echo(Policy::default());

    let (mut peer, status) = connect(&factory, HANDSHAKE.as_bytes()).await;
    peer.write_all(HI).await.unwrap();
    let echoed: [u8; 4] = read(&mut peer).await;
    let [session] = &factory.sessions()[..] else {
        panic!("{:?}", factory.sessions());
    };
    drop(peer);

    assert_eq!((status, &echoed), (101, b"\x81\x02hi"));
    assert_eq!(session.request().path(), "/chat");
    assert_eq!(closed.recv().await, Some((1006, false)));
    let stats = factory.stats();
    assert_eq!(
        (stats.open(), stats.opened(), stats.failed_upgrades()),
        (0, 1, 0)
    );
}

/// Hostile input H26: sent together with the handshake.
#[tokio::test(start_paused = true)]
async fn frame_behind_the_handshake_is_not_lost() {
    let (factory, _closed) = echo(Policy::default());

    let (mut peer, _) = connect(&factory, &[HANDSHAKE.as_bytes(), HI].concat()).await;

    assert_eq!(&read::<4>(&mut peer).await, b"\x81\x02hi");
}

/// A server may put something around its socket, here a pipe in a pipe.
#[tokio::test(start_paused = true)]
async fn session_runs_on_what_the_server_has_wrapped() {
    /// Where an unwrapped connection goes instead, to be told from one that is not.
    static INSIDE: Mutex<Option<DuplexStream>> = Mutex::new(None);
    type Served = TokioIo<DuplexStream>;
    let knows = UnwrapUpgraded::new(|upgraded| {
        let parts = upgraded.downcast::<Served>()?;
        let inside = INSIDE.lock().unwrap().take().expect("one connection");
        Ok((Transport::boxed(inside), parts.read_buf))
    });
    let knows_others = UnwrapUpgraded::new(|upgraded| {
        let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
        Ok((Transport::tcp(parts.io.into_inner()), parts.read_buf))
    });
    for (unwrap, is_unwrapped) in [(knows, true), (knows_others, false)] {
        let (near, mut inside) = duplex(1024);
        *INSIDE.lock().unwrap() = Some(near);
        let (factory, _closed) = echo(Policy::default());
        let mut outside = serve(1024, move |mut request| {
            request.extensions_mut().insert(unwrap);
            accept(factory.clone(), request)
        });

        ask(&mut outside, &[HANDSHAKE.as_bytes(), HI].concat()).await;

        let peer = match is_unwrapped {
            true => &mut inside,
            false => &mut outside,
        };
        assert_eq!(&read::<4>(peer).await, b"\x81\x02hi", "{is_unwrapped}");
    }
}

#[tokio::test(start_paused = true)]
async fn open_session_counts_against_max_sessions_and_a_closed_one_does_not() {
    let (factory, mut closed) = echo(Policy::default().with_max_sessions(1));

    let (peer, first) = connect(&factory, HANDSHAKE.as_bytes()).await;
    let (_, second) = connect(&factory, HANDSHAKE.as_bytes()).await;
    drop(peer);
    closed.recv().await;
    yield_now().await;
    let (_third, third) = connect(&factory, HANDSHAKE.as_bytes()).await;

    assert_eq!((first, second, third), (101, 503, 101));
}

#[tokio::test(start_paused = true)]
async fn shutdown_closes_with_1001_and_waits_for_the_answers() {
    let (factory, mut closed) = echo(Policy::default());
    let (mut peer, _) = connect(&factory, HANDSHAKE.as_bytes()).await;
    peer.write_all(HI).await.unwrap();

    let stopping = tokio::spawn({
        let factory = factory.clone();
        async move { factory.shutdown(Duration::from_secs(30)).await }
    });
    let said: [u8; 23] = read(&mut peer).await;
    peer.write_all(HI).await.unwrap();
    peer.write_all(GOING_AWAY).await.unwrap();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    drop(peer);
    let report = stopping.await.unwrap();

    assert_eq!(&said, b"\x81\x02hi\x88\x11\x03\xe9server shutdown");
    assert_eq!(rest, b"");
    assert_eq!((report.clean(), report.cut()), (1, 0));
    assert_eq!(closed.recv().await, Some((1001, false)));
}

#[tokio::test(start_paused = true)]
async fn shutdown_cuts_at_its_deadline_who_does_not_answer_or_is_stuck() {
    let (factory, mut closed) = echo(Policy::default().with_close_timeout(Duration::MAX));
    let (_silent, _) = connect(&factory, HANDSHAKE.as_bytes()).await;
    let (mut stuck, _) = connect(&factory, HANDSHAKE.as_bytes()).await;
    stuck.write_all(b"\x81\x85\0\0\0\0stuck").await.unwrap();
    yield_now().await;
    let start = Instant::now();

    let report = factory.shutdown(Duration::from_secs(5)).await;

    assert_eq!((report.clean(), report.cut()), (0, 2));
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(closed.try_recv(), Ok((1006, false)));
    assert_eq!(closed.try_recv(), Ok((1006, false)));
    assert_eq!(factory.stats().open(), 0);
}

/// Admitted before the shutdown, and connected in the middle of it.
#[tokio::test(start_paused = true)]
async fn session_that_connects_during_a_shutdown_is_closed_as_well() {
    let (open, mut opened) = mpsc::channel::<()>(1);
    let (factory, _closed) = echo(Policy::default());
    let (_silent, _) = connect(&factory, HANDSHAKE.as_bytes()).await;
    let slow = factory.clone();
    let mut far = serve(1024, move |request| {
        let (answer, open) = (accept(slow.clone(), request), open.clone());
        async move {
            let answer = answer.await;
            // Accepted; the 101 takes its time.
            let _told = open.send(()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer
        }
    });
    far.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    opened.recv().await;

    let stopping = factory.shutdown(Duration::from_secs(30));
    let peer = async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"server shutdown") {
            bytes.push(far.read_u8().await.unwrap());
        }
        far.write_all(GOING_AWAY).await.unwrap();
        drop(far);
    };
    let (report, ()) = tokio::join!(stopping, peer);

    assert_eq!((report.clean(), report.cut()), (1, 1), "both are told of");
}

/// Nor does a connection that never comes keep a shutdown past its deadline.
#[tokio::test(start_paused = true)]
async fn handshake_whose_connection_does_not_come_is_cut_at_the_deadline() {
    let (factory, _closed) = echo(Policy::default());
    let stuck = factory.clone();
    let mut far = serve(1024, move |request| {
        let answer = accept(stuck.clone(), request);
        async move {
            let _accepted = answer.await;
            pending().await
        }
    });
    far.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    yield_now().await;
    let start = Instant::now();

    let report = factory.shutdown(Duration::from_secs(2)).await;

    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!((report.clean(), report.cut()), (0, 0));
    assert_eq!(factory.stats().failed_upgrades(), 1);
}

/// Hostile input A15.
#[test]
fn runtime_that_is_dropped_leaves_no_session_live() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (factory, _closed) = echo(Policy::default());
    let (peer, sessions) = runtime.block_on(async {
        let (mut peer, _) = connect(&factory, HANDSHAKE.as_bytes()).await;
        peer.write_all(HI).await.unwrap();
        let _echoed: [u8; 4] = read(&mut peer).await;
        (peer, factory.sessions())
    });

    drop(runtime);

    assert_eq!((sessions.len(), factory.stats().open()), (1, 0));
    assert_eq!(
        sessions[0].close_event().map(|event| event.status().get()),
        Some(1006)
    );
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn shutdown_of_many_sessions_reports_them_all() {
    let (factory, _closed) = echo(Policy::default());
    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(connect(&factory, HANDSHAKE.as_bytes()).await.0);
    }
    yield_now().await;

    for peer in &mut peers[..60] {
        peer.write_all(GOING_AWAY).await.unwrap();
    }
    let report = timeout(
        Duration::from_secs(60),
        factory.shutdown(Duration::from_secs(1)),
    );
    let report = report.await.expect("bounded");

    assert_eq!((report.clean(), report.cut()), (60, 40));
    assert_eq!(factory.stats().open(), 0);
}
