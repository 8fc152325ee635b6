//! Many sessions that receive the same messages: broadcast.
//!
//! A message is encoded once, and each member's outbox takes a share of the same bytes. A member
//! that does not keep up is dealt with as the group's [`SlowMember`] says, and the rest do not
//! notice: nothing here waits but [`Group::broadcast_within`], and that for the slow ones only.

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use ws_core::{CloseCode, CloseFrame, Prepared};

use crate::{
    BroadcastReport, GroupStats, Membership, SendError, Session,
    broadcast_report::{Counters, Tally},
    outbox::Outbox,
    roster::Roster,
    together::Together,
    topics::Topic,
};

/// What happens to a member whose outbox has no room for a broadcast.
///
/// To wait for it first, as long as it takes or a given time, is [`Group::broadcast_within`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SlowMember {
    /// It misses the message.
    #[default]
    DropNewest,
    /// It misses earlier ones: for a ticker, of which the latest counts.
    ///
    /// The oldest broadcasts of such groups that still wait in its outbox are dropped, as many as
    /// it takes. What has been handed to the socket and what the application has sent to the
    /// session itself stay; if there is no room because of those, it misses the message.
    DropOldest,
    /// It is closed with 1013: it would miss messages, and must not without knowing.
    Close,
}

/// A set of sessions that receive the same messages.
///
/// A cheap clone. Broadcasts of one task reach every member in order; a member gets each message
/// whole. A session is a member from [`Self::join`] until its [`Membership`] is dropped or it is
/// over, whichever comes first; nothing has to be cleaned up.
///
/// A message is what [`Prepared`] can be made of: text (`&str`, `String`, `Text`), bytes (`Bytes`,
/// `Vec<u8>`), a `Message`, or one that was prepared before, which is shared.
///
/// While a message is being sent to a member frame by frame ([`Session::send_frame`]), there is no
/// room for another (RFC 6455 §5.4).
///
/// ```
/// use ws_factory::{Endpoint, EventResult, Group, Membership, Message, Session};
///
/// struct Chat {
///     room: Group,
///     membership: Option<Membership>,
/// }
///
/// impl Endpoint for Chat {
///     async fn on_connect(&mut self, session: &Session) -> EventResult {
///         self.membership = Some(self.room.join(session));
///         self.room.broadcast_except("somebody has come", session);
///         Ok(())
///     }
///
///     async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
///         self.room.broadcast(message);
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    slow: SlowMember,
    roster: Arc<Roster>,
    counters: Counters,
}

impl Group {
    /// An empty group.
    #[must_use]
    pub fn new(slow: SlowMember) -> Self {
        Self::with_roster(slow, Roster::new(None))
    }

    /// An empty group with a name.
    pub(crate) fn known_as(topic: Topic, slow: SlowMember) -> Self {
        Self::with_roster(slow, Roster::new(Some(topic)))
    }

    fn with_roster(slow: SlowMember, roster: Arc<Roster>) -> Self {
        Self {
            inner: Arc::new(Inner {
                slow,
                roster,
                counters: Counters::default(),
            }),
        }
    }

    /// Adds a session. It gets every broadcast that begins after this returns, and none before.
    ///
    /// A session that joins twice is one member, and gets each message once, until both
    /// memberships are dropped. One that is over joins nothing.
    pub fn join(&self, session: &Session) -> Membership {
        self.inner.roster.join(session)
    }

    /// Queues a message at every member; tells who got it. Never waits.
    ///
    /// ```
    /// # use ws_factory::{Established, Group, Role, SlowMember, Transport};
    /// # let (near, _far) = tokio::io::duplex(64);
    /// # let mut established = Established::new(Transport::boxed(near), Role::Server);
    /// # let session = established.session();
    /// let room = Group::new(SlowMember::DropNewest);
    /// let membership = room.join(session);
    /// assert_eq!(room.broadcast("hello").queued(), 1);
    ///
    /// drop(membership);
    /// assert_eq!(room.broadcast("hello?").queued(), 0);
    /// ```
    pub fn broadcast(&self, message: impl Into<Prepared>) -> BroadcastReport {
        self.send(&message.into(), None)
    }

    /// As [`Self::broadcast`], to everybody but `sender`, who need not be a member.
    pub fn broadcast_except(
        &self,
        message: impl Into<Prepared>,
        sender: &Session,
    ) -> BroadcastReport {
        self.send(&message.into(), Some(sender))
    }

    /// Queues a message at every member that has room, at once, and then waits for the others, all
    /// together and at most `limit`; those that have no room until then are dealt with as the
    /// group's [`SlowMember`] says. Tells who got it.
    ///
    /// A slow member delays nobody but the caller, who so is held back to the pace of the slowest,
    /// or to one message per `limit`. The next broadcast of the same task therefore comes behind
    /// this one at every member; those of other tasks may come first where this one waits.
    ///
    /// ```
    /// # use ws_factory::{Established, Policy, Role, Transport};
    /// use std::time::Duration;
    /// use ws_factory::{Group, SlowMember};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let (near, _far) = tokio::io::duplex(64);
    /// # let mut established = Established::new(Transport::boxed(near), Role::Server)
    /// #     .with_policy(Policy::default().with_max_outbox_messages(1));
    /// # let session = established.session();
    /// let room = Group::new(SlowMember::Close);
    /// let membership = room.join(session);
    /// room.broadcast("one");
    /// // There is no room for a second one, and nobody reads: it is waited for, and then closed.
    /// let report = room.broadcast_within("two", Duration::from_millis(10)).await;
    /// assert_eq!((report.queued(), report.timed_out(), report.closed()), (0, 1, 1));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with a clock.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, members that had room have the message, and those that were
    /// still waited for miss it, whatever the policy; no member has a part of it.
    pub async fn broadcast_within(
        &self,
        message: impl Into<Prepared>,
        limit: Duration,
    ) -> BroadcastReport {
        self.send_within(&message.into(), None, limit).await
    }

    /// As [`Self::broadcast_within`], to everybody but `sender`, who need not be a member.
    ///
    /// # Panics
    ///
    /// As [`Self::broadcast_within`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::broadcast_within`].
    pub async fn broadcast_except_within(
        &self,
        message: impl Into<Prepared>,
        sender: &Session,
        limit: Duration,
    ) -> BroadcastReport {
        self.send_within(&message.into(), Some(sender), limit).await
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        self.inner.counters.read(self.len())
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.roster.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn send(&self, message: &Prepared, except: Option<&Session>) -> BroadcastReport {
        let mut tally = Tally::new(&self.inner.counters);
        for member in self.inner.roster.everyone().iter() {
            if Some(member) != except {
                self.queue(message, member, &mut tally.report);
            }
        }
        tally.report
    }

    async fn send_within(
        &self,
        message: &Prepared,
        except: Option<&Session>,
        limit: Duration,
    ) -> BroadcastReport {
        let attempt = match self.inner.slow {
            SlowMember::DropNewest | SlowMember::Close => Outbox::try_prepared,
            SlowMember::DropOldest => Outbox::try_droppable,
        };
        let mut tally = Tally::new(&self.inner.counters);
        let mut slow = Vec::new();
        for member in self.inner.roster.everyone().iter() {
            if Some(member) == except {
                continue;
            }
            match attempt(member.outbox(), message) {
                Ok(()) => tally.report.queued += 1,
                Err(SendError::Full(())) => slow.push(member.clone()),
                Err(_closing) => {}
            }
        }
        if !slow.is_empty() {
            self.wait_for(slow, message, attempt, limit, &mut tally)
                .await;
        }
        tally.report
    }

    async fn wait_for(
        &self,
        slow: Vec<Session>,
        message: &Prepared,
        attempt: impl Fn(&Outbox, &Prepared) -> Result<(), SendError<()>> + Copy + Send + Sync,
        limit: Duration,
        tally: &mut Tally<'_>,
    ) {
        tally.waiting = slow.len();
        let mut late = slow.iter().map(Some).collect::<Vec<_>>();
        let mut together = Together::new(slow.iter().enumerate().map(async |(at, member)| {
            let attempt = |outbox: &Outbox, ()| attempt(outbox, message);
            (at, member.outbox().when_room((), attempt).await)
        }));
        let mut expired = pin!(tokio::time::sleep(limit));
        poll_fn(|cx| {
            while let Poll::Ready(Some((at, outcome))) = together.poll_next(cx) {
                late[at] = None;
                tally.waiting -= 1;
                tally.report.queued += usize::from(outcome.is_ok());
            }
            if tally.waiting > 0 {
                ready!(expired.as_mut().poll(cx));
            }
            Poll::Ready(())
        })
        .await;
        for member in late.into_iter().flatten() {
            tally.waiting -= 1;
            tally.report.timed_out += 1;
            self.queue(message, member, &mut tally.report);
        }
    }

    /// Queues a message at one member, or does what is done with a slow one.
    fn queue(&self, message: &Prepared, member: &Session, report: &mut BroadcastReport) {
        let outcome = match self.inner.slow {
            SlowMember::DropNewest | SlowMember::Close => {
                member.outbox().try_prepared(message).map(|()| 0)
            }
            SlowMember::DropOldest => member.outbox().try_displacing(message),
        };
        match outcome {
            Ok(displaced) => {
                report.queued += 1;
                report.displaced += displaced;
                if displaced > 0 {
                    member.meter().dropped(displaced);
                }
            }
            Err(SendError::Full(())) => match self.inner.slow {
                SlowMember::DropNewest | SlowMember::DropOldest => {
                    member.meter().dropped(1);
                    report.dropped += 1;
                }
                SlowMember::Close => {
                    let close = CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "too slow");
                    report.closed += usize::from(member.outbox().close(close));
                }
            },
            // It is on its way out, and leaves the group when it is over.
            Err(_closing) => {}
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("slow", &self.inner.slow)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
