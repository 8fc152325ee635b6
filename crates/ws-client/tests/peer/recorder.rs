//! An endpoint that tells a test what it is told.

use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use ws_client::{Bytes, CloseEvent, Endpoint, EventResult, Initiator, Session, SessionError, Text};

/// What an endpoint can be told.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    Error(String),
    Close(u16, String, Initiator),
}

pub(crate) struct Recorder(UnboundedSender<Seen>);

/// The endpoint, and where to read what it has seen.
pub(crate) fn recorder() -> (Recorder, UnboundedReceiver<Seen>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Recorder(sender), receiver)
}

/// A test that hangs fails instead.
pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(Duration::from_secs(30), test).await;
    outcome.expect("the test ends in time")
}

impl Recorder {
    fn saw(&self, seen: Seen) {
        // A test that has seen enough no longer listens.
        self.0.send(seen).ok();
    }
}

impl Endpoint for Recorder {
    async fn on_text(&mut self, _session: &Session, text: Text) -> EventResult {
        self.saw(Seen::Text(text.to_string()));
        Ok(())
    }

    async fn on_binary(&mut self, _session: &Session, data: Bytes) -> EventResult {
        self.saw(Seen::Binary(data));
        Ok(())
    }

    async fn on_ping(&mut self, _session: &Session, payload: Bytes) -> EventResult {
        self.saw(Seen::Ping(payload));
        Ok(())
    }

    async fn on_pong(&mut self, _session: &Session, payload: Bytes) -> EventResult {
        self.saw(Seen::Pong(payload));
        Ok(())
    }

    async fn on_error(&mut self, _session: &Session, error: &SessionError) {
        self.saw(Seen::Error(error.to_string()));
    }

    async fn on_close(&mut self, _session: &Session, event: &CloseEvent) {
        let reason = event.reason().to_owned();
        self.saw(Seen::Close(event.status().get(), reason, event.initiator()));
    }
}
