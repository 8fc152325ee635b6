//! An endpoint that writes down what it is told, and then does what a test wants it to.

use std::{
    fmt::Write as _,
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Mutex},
};

use ws_factory::{Bytes, CloseEvent, Endpoint, EventResult, Message, Session, SessionError};

/// What the endpoint was told, in order: `"connect"`, `"text hi"`, `"close 1000 by Remote, clean"`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

/// An event, for whoever decides what to do in it.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Connect,
    Message(Message),
    Ping,
    Pong,
    Error,
    Close,
}

type Doing = Pin<Box<dyn Future<Output = EventResult> + Send>>;

pub(crate) struct Recorder {
    log: Log,
    act: Box<dyn FnMut(Session, Told) -> Doing + Send>,
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
}

impl Recorder {
    /// Only writes down.
    pub(crate) fn new(log: &Log) -> Self {
        Self::acting(log, |_, _| ready(Ok(())))
    }

    /// Writes down, and then acts.
    pub(crate) fn acting<Fut>(
        log: &Log,
        mut act: impl FnMut(Session, Told) -> Fut + Send + 'static,
    ) -> Self
    where
        Fut: Future<Output = EventResult> + Send + 'static,
    {
        Self {
            log: log.clone(),
            act: Box::new(move |session, told| Box::pin(act(session, told))),
        }
    }

    fn tell(&mut self, session: &Session, line: impl Into<String>, told: Told) -> Doing {
        self.log.push(line);
        (self.act)(session.clone(), told)
    }
}

impl Endpoint for Recorder {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.tell(session, "connect", Told::Connect).await
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        let line = match &message {
            Message::Text(text) if text.len() < 100 => format!("text {text}"),
            message => format!("message of {} bytes", message.len()),
        };
        self.tell(session, line, Told::Message(message)).await
    }

    async fn on_ping(&mut self, session: &Session, payload: Bytes) -> EventResult {
        let line = format!("ping {}", payload.escape_ascii());
        self.tell(session, line, Told::Ping).await
    }

    async fn on_pong(&mut self, session: &Session, payload: Bytes) -> EventResult {
        let line = format!("pong {}", payload.escape_ascii());
        self.tell(session, line, Told::Pong).await
    }

    async fn on_error(&mut self, session: &Session, error: &SessionError) {
        // Nothing can be done about what fails now.
        let _outcome = self
            .tell(session, format!("error: {error}"), Told::Error)
            .await;
    }

    async fn on_close(&mut self, session: &Session, event: &CloseEvent) {
        let _outcome = self.tell(session, ending(event), Told::Close).await;
    }
}

/// A session's end as one line.
pub(crate) fn ending(event: &CloseEvent) -> String {
    let mut line = format!("close {}", event.status());
    if !event.reason().is_empty() {
        write!(line, " '{}'", event.reason()).unwrap();
    }
    write!(line, " by {:?}", event.initiator()).unwrap();
    if event.is_clean() {
        line.push_str(", clean");
    }
    if let Some(cause) = event.cause() {
        write!(line, ": {cause}").unwrap();
    }
    line
}
