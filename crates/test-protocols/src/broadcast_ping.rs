//! `echo-broadcast-ping`: `echo-broadcast`, and a Ping every ten seconds.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};
use ws_handler::{
    BoxError, Bytes, Endpoint, EventResult, Frame, FrameAction, Group, Message, Session,
};

use crate::broadcast::Broadcast;

/// A [`Broadcast`] that also pings, with a payload of its own; `Policy::with_ping_interval` would
/// choose the payload itself.
#[derive(Debug)]
pub(crate) struct BroadcastPing {
    broadcast: Broadcast,
    /// The one task that pings; it ends when this is dropped.
    pings: JoinSet<()>,
}

/// Jetty's interval.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Jetty's payload.
const PING_PAYLOAD: Bytes = Bytes::from_static(&[1, 2, 3]);

impl BroadcastPing {
    pub(crate) fn new(group: Group) -> Self {
        Self {
            broadcast: Broadcast::new(group),
            pings: JoinSet::new(),
        }
    }
}

impl Endpoint for BroadcastPing {
    const FRAMES: bool = true;

    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.pings.spawn(ping(session.clone()));
        self.broadcast.on_connect(session).await
    }

    async fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        self.broadcast.on_frame(session, frame).await
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        self.broadcast.on_message(session, message).await
    }
}

/// Pings until the session closes.
async fn ping(session: Session) {
    let mut ticks = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if session.ping(PING_PAYLOAD).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use ws_handler::{Established, Role, SlowMember, Transport};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ping_leaves_every_ten_seconds_and_none_before() {
        let (near, mut far) = duplex(1024);
        let endpoint = BroadcastPing::new(Group::new(SlowMember::Close));
        let start = Instant::now();
        let established = Established::new(Transport::boxed(near), Role::Server);
        let session = tokio::spawn(established.run(endpoint));

        for seconds in [10, 20, 30] {
            let mut ping = [0; 5];
            far.read_exact(&mut ping).await.unwrap();

            assert_eq!(ping, *b"\x89\x03\x01\x02\x03");
            assert_eq!(start.elapsed().as_secs(), seconds);
        }

        drop(far);
        session.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn no_task_is_left_behind_a_session() {
        let (near, far) = duplex(1024);
        let endpoint = BroadcastPing::new(Group::new(SlowMember::Close));
        let established = Established::new(Transport::boxed(near), Role::Server);
        let session = tokio::spawn(established.run(endpoint));

        drop(far);
        session.await.unwrap();
        tokio::task::yield_now().await;

        let alive = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        assert_eq!(alive, 0);
    }
}
