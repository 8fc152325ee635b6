//! Listeners are told of each session once when it opens and once when it has closed.

use std::sync::{Arc, Mutex, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use ws_factory::{
    CloseEvent, Endpoint, EventResult, Message, Session, SessionListener, WebSocketFactory,
};

use crate::pipe::{CLOSE, Echo, Served, TEXT, close, frame};

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Writes down what it is told, and whether the session is live by then.
struct Told {
    log: Log,
    factory: Arc<OnceLock<WebSocketFactory>>,
}

impl SessionListener for Told {
    fn opened(&self, session: &Session) {
        let factory = self.factory.get().unwrap();
        let live = factory.session(session.id()).is_some();
        self.log.push(format!("opened, live: {live}"));
    }

    fn closed(&self, session: &Session, event: &CloseEvent) {
        let factory = self.factory.get().unwrap();
        let live = factory.session(session.id()).is_some();
        assert_eq!(
            session.close_event().map(CloseEvent::status),
            Some(event.status())
        );
        self.log
            .push(format!("closed {}, live: {live}", event.status()));
    }
}

struct Panics;

impl SessionListener for Panics {
    fn opened(&self, _: &Session) {
        panic!("a listener's own fault");
    }

    fn closed(&self, _: &Session, _: &CloseEvent) {
        panic!("a listener's own fault");
    }
}

/// Writes down its events.
struct Tells(Log);

impl Endpoint for Tells {
    async fn on_connect(&mut self, _: &Session) -> EventResult {
        self.0.push("on_connect");
        Ok(())
    }

    async fn on_message(&mut self, _: &Session, _: Message) -> EventResult {
        panic!("as a message may make it");
    }

    async fn on_close(&mut self, _: &Session, _: &CloseEvent) {
        self.0.push("on_close");
    }
}

/// Two listeners, of which the first panics whenever it is told something.
fn told() -> (Served, Log) {
    let log = Log::default();
    let factory = Arc::new(OnceLock::new());
    let endpoint_log = log.clone();
    let served = Served::of(
        WebSocketFactory::builder()
            .fallback(move |_| Tells(endpoint_log.clone()))
            .with_listener(Panics)
            .with_listener(Told {
                log: log.clone(),
                factory: Arc::clone(&factory),
            }),
    );
    factory.set(served.factory.clone()).unwrap();
    (served, log)
}

/// Hostile input A16; and A1, for listeners.
#[tokio::test(start_paused = true)]
async fn listener_is_told_before_the_endpoint_and_whatever_another_listener_does() {
    let (served, log) = told();
    let mut peer = served.connect().await;

    peer.write_all(&frame(CLOSE, &close(1000))).await.unwrap();
    served.end_of(&mut peer).await;

    assert_eq!(
        log.lines(),
        [
            "opened, live: true",
            "on_connect",
            "closed 1000, live: false",
            "on_close"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn session_that_panics_is_told_of_once() {
    let (served, log) = told();
    let mut peer = served.connect().await;

    peer.write_all(&frame(TEXT, b"panic")).await.unwrap();
    served.end_of(&mut peer).await;

    let closed = "closed 1011, live: false";
    let count = log.lines().iter().filter(|line| *line == closed).count();
    assert_eq!(count, 1, "{:?}", log.lines());
}

/// Hostile input A15.
#[test]
fn runtime_that_is_dropped_tells_the_listeners_of_every_session() {
    let (served, log) = told();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let peers = runtime.block_on(async { (served.connect().await, served.connect().await) });

    drop(runtime);

    let lines = log.lines();
    let count = |line: &str| lines.iter().filter(|it| *it == line).count();
    assert_eq!(count("opened, live: true"), 2, "{lines:?}");
    assert_eq!(count("closed 1006, live: false"), 2, "{lines:?}");
    assert_eq!(count("on_close"), 0, "no event can run");
    drop(peers);
}

#[tokio::test(start_paused = true)]
async fn listener_may_turn_a_session_away() {
    struct Bouncer;
    impl SessionListener for Bouncer {
        fn opened(&self, session: &Session) {
            session.abort();
        }
    }
    let builder = WebSocketFactory::builder().fallback(|_| Echo);
    let served = Served::of(builder.with_listener(Bouncer));

    let mut peer = served.connect().await;
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    served.emptied().await;

    assert_eq!(rest, b"");
    let stats = served.factory.stats();
    assert_eq!((stats.opened(), stats.closed_with(1006)), (1, 1));
}
