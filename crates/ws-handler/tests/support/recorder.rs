//! An endpoint that echoes, and tells the test what it sees.

use tokio::sync::mpsc;
use ws_handler::{
    CloseEvent, Endpoint, EventResult, Initiator, Message, Session, SessionError, UpgradeRequest,
};

use crate::bounded::bounded;

/// What an endpoint saw, or that it is gone.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    Connected,
    Message(Message),
    Error,
    /// Status, who began, whether it was clean.
    Closed(u16, Initiator, bool),
    Dropped,
}

/// Echoes messages.
#[derive(Debug)]
pub(crate) struct Recorder(mpsc::UnboundedSender<Seen>);

impl Recorder {
    fn note(&self, seen: Seen) {
        let _nobody_listens = self.0.send(seen);
    }
}

impl Endpoint for Recorder {
    async fn on_connect(&mut self, _session: &Session) -> EventResult {
        self.note(Seen::Connected);
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        self.note(Seen::Message(message.clone()));
        session.send(message).await?;
        Ok(())
    }

    async fn on_error(&mut self, _session: &Session, _error: &SessionError) {
        self.note(Seen::Error);
    }

    async fn on_close(&mut self, _session: &Session, event: &CloseEvent) {
        let status = event.status().get();
        self.note(Seen::Closed(status, event.initiator(), event.is_clean()));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.note(Seen::Dropped);
    }
}

/// What a [`Recorder`] told.
pub(crate) struct Log(mpsc::UnboundedReceiver<Seen>);

impl Log {
    /// Everything up to the end of the next endpoint.
    pub(crate) async fn life(&mut self) -> Vec<Seen> {
        let mut life = Vec::new();
        while life.last() != Some(&Seen::Dropped) {
            life.push(bounded(self.0.recv()).await.expect("an endpoint exists"));
        }
        life
    }
}

/// A maker of recorders, and their log.
pub(crate) fn recorder() -> (impl Fn(&UpgradeRequest) -> Recorder + Clone, Log) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let make = move |_: &UpgradeRequest| Recorder(sender.clone());
    (make, Log(receiver))
}
