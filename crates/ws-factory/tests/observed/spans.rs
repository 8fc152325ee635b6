//! What `tracing` is told of a session, and what it is never told.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::io::AsyncWriteExt;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use ws_factory::{
    Close, CloseCode, Endpoint, EventResult, Message, RoutePattern, Session, WebSocketFactory,
};

use crate::pipe::{CLOSE, Served, TEXT, frame};

/// What was told on this test's thread, where all of its tasks run.
#[derive(Debug, Default)]
struct Heard {
    spans: HashMap<u64, String>,
    entered: Vec<u64>,
    events: Vec<String>,
}

thread_local! {
    static HEARD: RefCell<Heard> = RefCell::default();
}

/// Listens for the whole process: what one thread listens to, `tracing` may not tell it while
/// another thread, that does not, comes upon it first. Called before anything is told.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listens).unwrap());
}

fn heard<T>(look: impl FnOnce(&mut Heard) -> T) -> Option<T> {
    // A thread that ends may still drop a session.
    HEARD.try_with(|heard| look(&mut heard.borrow_mut())).ok()
}

fn spans() -> Vec<String> {
    heard(|heard| heard.spans.values().cloned().collect()).unwrap()
}

pub(crate) fn events() -> Vec<String> {
    heard(|heard| heard.events.clone()).unwrap()
}

/// The only event with this text in it.
fn event(text: &str) -> String {
    let mut found = events();
    found.retain(|event| event.contains(text));
    assert_eq!(found.len(), 1, "{text}: {:?}", events());
    found.remove(0)
}

fn assert_no_secret() {
    let all = heard(|heard| format!("{heard:?}")).unwrap();
    assert!(!all.contains("s3cret"), "{all}");
}

/// Keeps every span with its fields, and every event with its fields.
struct Listens;

/// Writes fields as ` name=value`.
struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Listens {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["ws_factory", "observed"].contains(&metadata.target().split("::").next().unwrap())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut line = format!("{} {}", span.metadata().level(), span.metadata().name());
        span.record(&mut Line(&mut line));
        heard(|heard| heard.spans.insert(id, line));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        heard(|heard| {
            let line = heard.spans.entry(span.into_u64()).or_default();
            values.record(&mut Line(line));
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        heard(|heard| {
            let within = match heard.entered.last() {
                Some(_) => "within",
                None => "outside",
            };
            let mut line = format!("{} {within}", event.metadata().level());
            event.record(&mut Line(&mut line));
            heard.events.push(line);
        });
    }

    fn enter(&self, span: &Id) {
        heard(|heard| heard.entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let exited = heard(|heard| heard.entered.pop());
        assert!(exited.is_none_or(|exited| exited == Some(span.into_u64())));
    }
}

/// Tells `tracing` of each message's length, and does as the message says.
struct Talks;

impl Endpoint for Talks {
    async fn on_message(&mut self, _: &Session, message: Message) -> EventResult {
        tracing::info!(target: "observed", bytes = message.len(), "handled");
        match message.as_bytes() {
            b"fail" => Err("out of order".into()),
            b"panic" => panic!("out of order"),
            b"leave" => Err(Close::new(CloseCode::NORMAL, "s3cret").into()),
            _ => Ok(()),
        }
    }
}

fn talks() -> Served {
    let builder = WebSocketFactory::builder()
        .endpoint("talk", |_| Talks)
        .fallback(|_| Talks);
    Served {
        target: "/s3cret/room?token=s3cret",
        peer: Some("192.0.2.7:50123".parse().unwrap()),
        route: Some(RoutePattern::new("/{user}/room")),
        ..Served::of(builder)
    }
}

#[tokio::test(start_paused = true)]
async fn span_says_who_it_was_and_how_it_ended_and_holds_no_secret() {
    let served = talks();
    let secrets = [
        ("sec-websocket-protocol", "talk"),
        ("authorization", "Bearer s3cret"),
        ("cookie", "sid=s3cret"),
        ("x-secret", "s3cret"),
    ];
    let (mut peer, _) = served.open(&secrets).await;
    let id = served.factory.sessions()[0].id();

    peer.write_all(&frame(TEXT, b"s3cret")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    peer.write_all(&frame(CLOSE, b"\x0f\xa1s3cret"))
        .await
        .unwrap();
    served.end_of(&mut peer).await;

    assert_eq!(
        spans(),
        [format!(
            "INFO session id={id} route=\"/{{user}}/room\" subprotocol=\"talk\" \
             peer=192.0.2.7:50123 code=4001 initiator=\"remote\" clean=true duration_ms=1500"
        )]
    );
    assert_eq!(
        events(),
        [
            "DEBUG within message=session opened",
            "INFO within message=handled bytes=6",
            "DEBUG within message=session closed code=4001 initiator=\"remote\" clean=true \
             duration_ms=1500",
        ]
    );
    assert_no_secret();
}

/// Hostile inputs A1, A17 and A20.
#[tokio::test(start_paused = true)]
async fn endpoint_that_fails_or_panics_is_an_error_within_its_span() {
    for (message, told) in [
        (
            &b"fail"[..],
            "ERROR within message=endpoint failed error=out of order",
        ),
        (b"panic", "ERROR within message=endpoint panicked"),
    ] {
        heard(std::mem::take);
        let served = talks();
        let mut peer = served.connect().await;

        peer.write_all(&frame(TEXT, message)).await.unwrap();
        served.end_of(&mut peer).await;

        assert_eq!(event("ERROR"), told);
        assert!(spans()[0].contains("code=1011 initiator=\"local\" clean=false"));
    }
}

#[tokio::test(start_paused = true)]
async fn session_that_leaves_on_purpose_is_no_error() {
    let served = talks();
    let mut peer = served.connect().await;

    peer.write_all(&frame(TEXT, b"leave")).await.unwrap();
    peer.write_all(&frame(CLOSE, b"\x03\xe8")).await.unwrap();
    served.end_of(&mut peer).await;

    assert!(spans()[0].contains("code=1000 initiator=\"local\" clean=true"));
    assert!(!events().iter().any(|event| event.starts_with("ERROR")));
    assert_no_secret();
}

/// Hostile input R13: a log that peers write to has a bound.
#[tokio::test(start_paused = true)]
async fn refusals_are_told_with_their_reason_and_at_most_ten_a_second() {
    let served = talks();
    let told = |level: &str| {
        let told = events().into_iter();
        told.filter(|event| event.starts_with(level)).count()
    };

    for _ in 0..100 {
        served.answer_to(&[("host", "")]).await;
    }
    let at_once = (told("INFO"), told("DEBUG"));
    tokio::time::advance(Duration::from_secs(1)).await;
    served
        .answer_to(&[("origin", "https://evil.example")])
        .await;

    assert_eq!(at_once, (10, 90));
    assert_eq!(
        event("origin"),
        "INFO outside message=handshake refused status=403 reason=\"origin\" left_out=90"
    );
    assert_no_secret();
}

#[tokio::test(start_paused = true)]
async fn failed_upgrade_is_a_warning_with_the_likely_cause() {
    let served = talks();

    served.answer_to(&[]).await;
    served.emptied().await;

    let told = event("WARN");
    assert!(told.contains("served without upgrades"), "{told}");
    assert!(spans().is_empty());
}
