//! The driver's part in messages that are read as they arrive.
//!
//! One event, `on_stream`, runs for the whole of a message. While it is pending, the driver's turn
//! goes on as for any other event, only that parts of this message are taken, too, whenever the
//! reader has room. What is left when the event returns is passed over as it comes.

use std::task::Context;

use ws_core::{Partial, ProtocolError, Step};

use crate::{
    Endpoint, MessageReader, Session, clocks::Waiting, link::Link, message_reader::Failure,
    stop::Stop,
};

/// Runs `on_stream` for the message that begins with `part`.
pub(crate) async fn stream<E: Endpoint>(
    endpoint: &mut E,
    session: &Session,
    link: &mut Link,
    part: Partial,
) -> Result<Option<()>, Box<Stop>> {
    if !part.is_first() {
        // The rest of a message whose event has returned.
        return Ok(None);
    }
    let (feed, reader) = MessageReader::begin(part);
    link.feed = Some(feed);
    let served = link.serve(|| endpoint.on_stream(session, reader)).await;
    link.feed = None;
    served
}

impl Link {
    /// The next step while an event runs: control frames and, where a message is being read, its
    /// parts as long as there is room for one.
    pub(crate) fn step_meanwhile(&mut self, cx: &Context<'_>) -> Result<Step, ProtocolError> {
        match &self.feed {
            Some(feed) if feed.wants_part(cx) => self.connection.poll_event(),
            _ => self.connection.poll_control(),
        }
    }

    /// Hands a part to whoever reads the message.
    pub(crate) fn feed(&self, part: Partial) {
        if let Some(feed) = &self.feed {
            feed.put(part);
        }
    }

    /// Breaks off the message that is being read, if there is one.
    pub(crate) fn break_off(&self, stop: &Stop) {
        if let Some(feed) = &self.feed {
            feed.fail(|| Failure::of(&stop.end));
        }
    }

    /// For whom a running event waits: while a message is being read and has no part left, it is
    /// the peer that has to go on.
    pub(crate) fn event_waits_for(&self) -> Waiting {
        match &self.feed {
            Some(feed) if feed.awaits_peer() => Waiting::Peer,
            _ => Waiting::Event,
        }
    }
}
