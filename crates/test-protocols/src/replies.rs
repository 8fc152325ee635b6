//! What a connection of `test-client` receives: counted, timed, shown.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};
use ws_client::{
    BoxError, Bytes, CloseEvent, Endpoint, EventResult, Frame, FrameAction, Message, OpCode,
    Session,
};

use crate::{
    lines::Lines,
    round_trips::{Digest, Reply, RoundTrips},
    summary::millis,
};

/// The books of a run, and a bell that rings when they change.
#[derive(Debug)]
pub(crate) struct Ledger {
    trips: Mutex<RoundTrips>,
    /// How many connections have answered the Ping before the first message, or have ended.
    greeted: AtomicUsize,
    changed: Notify,
}

impl Ledger {
    pub(crate) fn new(trips: RoundTrips) -> Self {
        Self {
            trips: Mutex::new(trips),
            greeted: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    pub(crate) fn trips(&self) -> MutexGuard<'_, RoundTrips> {
        self.trips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn greeted(&self) -> usize {
        self.greeted.load(Ordering::SeqCst)
    }

    fn greet(&self) {
        self.greeted.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Waits until `enough` says so; `false` if there was no change for `patience`.
    ///
    /// For one waiter at a time.
    pub(crate) async fn wait(
        &self,
        patience: Duration,
        enough: impl Fn(&RoundTrips) -> bool,
    ) -> bool {
        while !enough(&self.trips()) {
            if timeout(patience, self.changed.notified()).await.is_err() {
                return enough(&self.trips());
            }
        }
        true
    }
}

/// The endpoint: one connection's share of a run.
#[derive(Debug)]
pub(crate) struct Replies {
    client: usize,
    expects: Expects,
    ledger: Arc<Ledger>,
    /// Where each reply is shown, and whom it is from.
    shown: Option<(Lines, Arc<str>)>,
    /// Data frames since the last message.
    frames: u64,
    ended: Option<oneshot::Sender<CloseEvent>>,
}

/// What the replies are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expects {
    Messages,
    Pongs,
}

impl Replies {
    /// The endpoint of connection number `client`, and how it will have ended.
    pub(crate) fn new(
        client: usize,
        expects: Expects,
        ledger: Arc<Ledger>,
        shown: Option<(Lines, Arc<str>)>,
    ) -> (Self, oneshot::Receiver<CloseEvent>) {
        let (ended, end) = oneshot::channel();
        let replies = Self {
            client,
            expects,
            ledger,
            shown,
            frames: 0,
            ended: Some(ended),
        };
        (replies, end)
    }

    fn take(&self, opcode: OpCode, payload: &[u8], frames: u64) {
        let (now, bytes) = (Instant::now(), payload.len());
        let digest = Digest::of(opcode, payload);
        let reply = self
            .ledger
            .trips()
            .receive(self.client, digest, bytes, frames, now);
        let Some(Reply { number, round_trip }) = reply else {
            return;
        };
        self.ledger.changed.notify_one();
        if let (Some((out, host)), Some(time)) = (&self.shown, round_trip) {
            out.line(format_args!(
                "{bytes} bytes from {host}: frames={frames} req={number} time={:.1}ms opcode=0x{:02x}",
                millis(time),
                opcode.bits(),
            ));
        }
    }
}

impl Endpoint for Replies {
    const FRAMES: bool = true;

    async fn on_frame(
        &mut self,
        _session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        self.frames += u64::from(!frame.opcode().is_control());
        Ok(FrameAction::Continue)
    }

    async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
        let frames = std::mem::take(&mut self.frames);
        if self.expects == Expects::Messages {
            self.take(message.kind().opcode(), message.as_bytes(), frames);
        }
        Ok(())
    }

    async fn on_pong(&mut self, _session: &Session, payload: Bytes) -> EventResult {
        match self.expects {
            Expects::Pongs => self.take(OpCode::Pong, &payload, 1),
            Expects::Messages => self.ledger.greet(),
        }
        Ok(())
    }

    async fn on_close(&mut self, _session: &Session, event: &CloseEvent) {
        if let Some(ended) = self.ended.take() {
            // Nobody asks before the end of the run.
            ended.send(event.clone()).ok();
        }
    }
}

impl Drop for Replies {
    /// However it ended, nobody waits for more of it.
    fn drop(&mut self) {
        self.ledger.trips().give_up(self.client);
        self.ledger.greet();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round_trips::Scope;

    fn ledger() -> Ledger {
        let mut trips = RoundTrips::new(1, Scope::Sender);
        let digest = Digest::of(OpCode::Text, b"a");
        trips.expect(0, digest, Instant::now());
        Ledger::new(trips)
    }

    #[tokio::test(start_paused = true)]
    async fn reply_that_never_comes_is_waited_for_with_bounded_patience() {
        let (ledger, start) = (ledger(), Instant::now());

        let settled = ledger
            .wait(Duration::from_secs(10), RoundTrips::is_settled)
            .await;

        assert!(!settled);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn end_of_the_connection_ends_the_wait() {
        let (ledger, start) = (Arc::new(ledger()), Instant::now());
        let (endpoint, _end) = Replies::new(0, Expects::Messages, Arc::clone(&ledger), None);

        let waiting = ledger.wait(Duration::from_secs(10), RoundTrips::is_settled);
        let (settled, ()) = tokio::join!(waiting, async move { drop(endpoint) });

        assert!(settled);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
