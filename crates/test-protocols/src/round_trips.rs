//! What was sent and what came back, of all connections of a run: counts and times.
//!
//! A reply is told by its content, not by its turn: with a broadcast a connection receives what
//! others sent, and what nobody sent must not count. A message is remembered as a number until its
//! reply is here; the sender bounds how many are.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use tokio::time::Instant;
use ws_client::OpCode;

use crate::summary::{RoundTripTimes, Totals};

/// The books of a run.
#[derive(Debug)]
pub(crate) struct RoundTrips {
    scope: Scope,
    /// For each connection the replies that it is still to receive, in about the order of arrival.
    waiting: Vec<Waiting>,
    totals: Totals,
    times: RoundTripTimes,
    began: Option<Instant>,
    last_reply: Option<Instant>,
}

/// Who receives what one connection sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// The sender.
    Sender,
    /// Every connection, the sender included.
    Everyone,
}

#[derive(Debug, Default)]
struct Waiting {
    replies: VecDeque<Expected>,
    /// The connection has ended.
    gone: bool,
}

/// A message on its way back.
#[derive(Debug)]
struct Expected {
    digest: Digest,
    /// When it was sent, if this connection sent it: only such a trip is one around.
    sent: Option<Instant>,
}

/// A reply as it is to be shown.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Reply {
    /// How many came before it, and it, on all connections.
    pub(crate) number: u64,
    /// How long it took, if it answers what this connection sent.
    pub(crate) round_trip: Option<Duration>,
}

impl RoundTrips {
    pub(crate) fn new(clients: usize, scope: Scope) -> Self {
        Self {
            scope,
            waiting: (0..clients).map(|_| Waiting::default()).collect(),
            totals: Totals::default(),
            times: RoundTripTimes::default(),
            began: None,
            last_reply: None,
        }
    }

    /// `client` is about to send what is to come back like this. Before it is sent, since the
    /// reply may overtake the return from sending.
    pub(crate) fn expect(&mut self, client: usize, digest: Digest, now: Instant) {
        self.began.get_or_insert(now);
        let receivers = match self.scope {
            Scope::Sender => client..client + 1,
            Scope::Everyone => 0..self.waiting.len(),
        };
        for receiver in receivers {
            let sent = (receiver == client).then_some(now);
            let waiting = &mut self.waiting[receiver];
            if !waiting.gone {
                waiting.replies.push_back(Expected { digest, sent });
            }
        }
    }

    /// It was sent, in so many frames.
    pub(crate) fn sent(&mut self, frames: u64) {
        self.totals.frames_sent += frames;
        self.totals.messages_sent += 1;
    }

    /// `client` received something of so many bytes in so many frames; `None` if it is nothing
    /// that was sent.
    pub(crate) fn receive(
        &mut self,
        client: usize,
        digest: Digest,
        bytes: usize,
        frames: u64,
        now: Instant,
    ) -> Option<Reply> {
        let replies = &mut self.waiting[client].replies;
        let at = replies.iter().position(|it| it.digest == digest)?;
        let sent = replies.remove(at)?.sent;
        let round_trip = sent.map(|sent| now.duration_since(sent));
        if let Some(time) = round_trip {
            self.times.add(time);
        }
        self.totals.frames_received += frames;
        self.totals.messages_received += 1;
        self.totals.bytes_received += bytes as u64;
        self.last_reply = Some(now);
        Some(Reply {
            number: self.totals.messages_received,
            round_trip,
        })
    }

    /// `client` has ended: nothing that it waits for will come.
    pub(crate) fn give_up(&mut self, client: usize) {
        self.waiting[client] = Waiting {
            replies: VecDeque::new(),
            gone: true,
        };
    }

    /// How many replies `client` waits for.
    pub(crate) fn waiting(&self, client: usize) -> usize {
        self.waiting[client].replies.len()
    }

    /// Whether no connection waits for a reply.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.iter().all(|it| it.replies.is_empty())
    }

    /// From the first message sent to the last reply.
    pub(crate) fn elapsed(&self) -> Duration {
        match (self.began, self.last_reply) {
            (Some(began), Some(last)) => last.duration_since(began),
            _ => Duration::ZERO,
        }
    }

    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    pub(crate) const fn times(&self) -> RoundTripTimes {
        self.times
    }
}

/// What a payload is told by: unlike for unlike ones, as far as a test client will ever see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Of what is received with this opcode.
    pub(crate) fn of(opcode: OpCode, payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(opcode.bits());
        hasher.write(payload);
        Self(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> Digest {
        Digest::of(OpCode::Text, payload.as_bytes())
    }

    /// Books, and a moment `ms` after their beginning.
    fn books(clients: usize, scope: Scope) -> (RoundTrips, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let at = move |ms| start + Duration::from_millis(ms);
        (RoundTrips::new(clients, scope), at)
    }

    #[test]
    fn replies_are_timed_and_counted() {
        let (mut trips, at) = books(1, Scope::Sender);
        trips.expect(0, text("a"), at(0));
        trips.expect(0, text("bb"), at(10));
        trips.sent(1);
        trips.sent(3);

        let first = trips.receive(0, text("a"), 1, 1, at(4)).unwrap();
        let second = trips.receive(0, text("bb"), 2, 2, at(18)).unwrap();

        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(first.round_trip, Some(Duration::from_millis(4)));
        assert_eq!(second.round_trip, Some(Duration::from_millis(8)));
        assert!(trips.is_settled());
        assert_eq!(trips.elapsed(), Duration::from_millis(18));
        let want = Totals {
            frames_sent: 4,
            frames_received: 3,
            messages_sent: 2,
            messages_received: 2,
            bytes_received: 3,
        };
        assert_eq!(trips.totals(), want);
    }

    #[test]
    fn broadcast_is_expected_by_all_and_timed_at_its_sender() {
        let (mut trips, at) = books(2, Scope::Everyone);
        trips.expect(0, text("a"), at(0));
        trips.expect(1, text("b"), at(1));

        let others = trips.receive(0, text("b"), 1, 1, at(5)).unwrap();
        let own = trips.receive(0, text("a"), 1, 1, at(6)).unwrap();

        assert_eq!(others.round_trip, None);
        assert_eq!(own.round_trip, Some(Duration::from_millis(6)));
        assert_eq!((trips.waiting(0), trips.waiting(1)), (0, 2));
        assert!(!trips.is_settled());
    }

    #[test]
    fn what_nobody_sent_is_no_reply() {
        let (mut trips, at) = books(1, Scope::Sender);
        let binary = Digest::of(OpCode::Binary, b"a");
        trips.expect(0, text("a"), at(0));

        assert_eq!(trips.receive(0, text("b"), 1, 1, at(1)), None);
        assert_eq!(trips.receive(0, binary, 1, 1, at(1)), None);
        assert!(trips.receive(0, text("a"), 1, 1, at(1)).is_some());
        assert_eq!(trips.receive(0, text("a"), 1, 1, at(1)), None, "twice");
        assert_eq!(trips.totals().messages_received, 1);
    }

    #[test]
    fn connection_that_is_gone_waits_for_nothing() {
        let (mut trips, at) = books(2, Scope::Everyone);
        trips.expect(0, text("a"), at(0));

        trips.give_up(1);
        trips.expect(0, text("b"), at(0));
        trips.receive(0, text("b"), 1, 1, at(1));
        trips.receive(0, text("a"), 1, 1, at(1));

        assert!(trips.is_settled());
    }

    #[test]
    fn without_replies_no_time_has_passed() {
        let (mut trips, at) = books(1, Scope::Sender);
        trips.expect(0, text("a"), at(0));

        assert_eq!(trips.elapsed(), Duration::ZERO);
    }
}
