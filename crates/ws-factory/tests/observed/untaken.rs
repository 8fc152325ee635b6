//! A message that comes to nothing is told of once, as it mostly is a mistake.

use tokio::io::AsyncWriteExt;
use ws_factory::{
    BoxError, Endpoint, Established, EventResult, Frame, FrameAction, Message, MessageReader, Role,
    Session, StatelessEndpoint, Transport, WebSocketFactory,
};

use crate::{
    pipe::{CLOSE, Served, TEXT, close, frame},
    spans,
};

const BINARY: u8 = 0x82;

/// Reads messages as they arrive, and forgot to say so.
struct Forgets;

impl StatelessEndpoint for Forgets {
    async fn on_stream(&self, _: &Session, _: MessageReader) -> EventResult {
        panic!("without its constant it is never called");
    }
}

/// The other way round.
struct Unfinished;

impl Endpoint for Unfinished {
    const STREAM: bool = true;
}

/// Takes messages, to do nothing with them.
struct Ignores;

impl Endpoint for Ignores {
    async fn on_message(&mut self, _: &Session, _: Message) -> EventResult {
        Ok(())
    }
}

/// Needs no messages: it has seen their frames.
struct Watches;

impl Endpoint for Watches {
    const FRAMES: bool = true;

    async fn on_frame(&mut self, _: &Session, _: &Frame) -> Result<FrameAction, BoxError> {
        Ok(FrameAction::Continue)
    }
}

/// Forgets to take messages, without a factory.
struct Silent;

impl Endpoint for Silent {}

/// What one session of each factory is told of, at warn.
async fn warnings_of<E: Endpoint>(make: impl Fn() -> E + Send + Sync + 'static) -> Vec<String> {
    let served = Served::of(WebSocketFactory::builder().fallback(move |_| make()));
    for first in [TEXT, BINARY] {
        let mut peer = served.connect().await;
        peer.write_all(&frame(first, b"hi")).await.unwrap();
        peer.write_all(&frame(TEXT, b"again")).await.unwrap();
        peer.write_all(&frame(CLOSE, &close(1000))).await.unwrap();
        served.end_of(&mut peer).await;
    }
    warnings()
}

fn warnings() -> Vec<String> {
    let mut events = spans::events();
    events.retain(|event| event.starts_with("WARN"));
    events
}

fn is_of(warning: &str, endpoint: &str, event: &str) -> bool {
    warning.starts_with("WARN within message=message dropped: ")
        && warning.contains(&format!("::{endpoint}\""))
        && warning.ends_with(&format!("event=\"{event}\""))
}

#[tokio::test(start_paused = true)]
async fn message_that_an_endpoint_forgot_to_ask_for_is_told_once_in_a_factory() {
    let shared = std::sync::Arc::new(Forgets);

    let warnings = warnings_of(move || std::sync::Arc::clone(&shared)).await;

    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(is_of(&warnings[0], "Forgets", "on_text"), "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn stream_that_nobody_reads_is_told_once_in_a_factory() {
    let warnings = warnings_of(|| Unfinished).await;

    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        is_of(&warnings[0], "Unfinished", "on_stream"),
        "{warnings:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn message_that_is_ignored_on_purpose_is_not_told() {
    assert_eq!(warnings_of(|| Ignores).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn message_whose_frames_were_seen_is_not_told() {
    assert_eq!(warnings_of(|| Watches).await, [""; 0]);
}

/// The only test of this program whose sessions have no factory: they share one warning.
#[tokio::test(start_paused = true)]
async fn sessions_without_a_factory_are_told_of_once_together() {
    spans::listen();

    for _ in 0..2 {
        let (near, mut far) = tokio::io::duplex(1024);
        let session =
            tokio::spawn(Established::new(Transport::boxed(near), Role::Server).run(Silent));
        far.write_all(&frame(BINARY, b"hi")).await.unwrap();
        drop(far);
        session.await.unwrap();
    }

    let warnings = warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(is_of(&warnings[0], "Silent", "on_binary"), "{warnings:?}");
}
