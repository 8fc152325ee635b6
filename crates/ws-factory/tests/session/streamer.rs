//! An endpoint that reads messages as they arrive, and writes down what comes of them.

use std::future::Future;

use tokio::io::AsyncReadExt;
use ws_factory::{
    Bytes, CloseEvent, Endpoint, EventResult, MessageReader, Policy, Session, SessionError,
};

use crate::recorder::{Log, ending};

/// Does with a message what a test wants, and writes down the rest.
pub(crate) struct Streamer<F> {
    log: Log,
    read: F,
}

impl<F, Fut> Endpoint for Streamer<F>
where
    F: FnMut(Session, MessageReader, Log) -> Fut + Send + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    const STREAM: bool = true;

    async fn on_stream(&mut self, session: &Session, message: MessageReader) -> EventResult {
        self.log.push(format!("{:?}", message.kind()));
        (self.read)(session.clone(), message, self.log.clone()).await
    }

    async fn on_ping(&mut self, _: &Session, payload: Bytes) -> EventResult {
        self.log.push(format!("ping {}", payload.escape_ascii()));
        Ok(())
    }

    async fn on_error(&mut self, _: &Session, error: &SessionError) {
        self.log.push(format!("error: {error}"));
    }

    async fn on_close(&mut self, _: &Session, event: &CloseEvent) {
        self.log.push(ending(event));
    }
}

pub(crate) fn streamer<F, Fut>(log: &Log, read: F) -> Streamer<F>
where
    F: FnMut(Session, MessageReader, Log) -> Fut + Send + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    Streamer {
        log: log.clone(),
        read,
    }
}

/// Writes down each part, and how the message ends.
pub(crate) async fn read_parts(_: Session, mut message: MessageReader, log: Log) -> EventResult {
    while let Some(part) = message.next().await {
        match part {
            Ok(part) => log.push(format!("part {}", String::from_utf8_lossy(&part))),
            Err(error) => {
                log.push(format!("{:?}: {error}", error.kind()));
                let again = message.next().await.is_none();
                let never_whole = message.read_u8().await.unwrap_err().kind() == error.kind();
                assert!(again && never_whole);
                return Err(error.into());
            }
        }
    }
    log.push("end");
    Ok(())
}

/// How large a message may be here.
pub(crate) fn large() -> Policy {
    Policy::default().with_max_message_bytes(1 << 20)
}
