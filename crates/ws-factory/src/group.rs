//! Many sessions under one name: broadcast.
//!
//! A message is encoded once, and each member's outbox takes a share of the same bytes. Nothing
//! here waits: a member that does not keep up is dealt with as the group's [`SlowMember`] says, and
//! the rest do not notice.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use ws_core::{CloseCode, Prepared};

use crate::{SendError, Session, SessionId};

/// What happens to a member whose outbox has no room for a broadcast.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SlowMember {
    /// It misses the message.
    #[default]
    DropNewest,
    /// It is closed with 1013: it would miss messages, and must not without knowing.
    Close,
}

/// A set of sessions that receive the same messages.
///
/// A cheap clone. Broadcasts of one task reach every member in order; a member gets each message
/// whole.
///
/// ```
/// use ws_factory::{Endpoint, EventResult, Group, Membership, Message, Prepared, Session};
///
/// struct Chat {
///     room: Group,
///     membership: Option<Membership>,
/// }
///
/// impl Endpoint for Chat {
///     async fn on_connect(&mut self, session: &Session) -> EventResult {
///         self.membership = Some(self.room.join(session));
///         Ok(())
///     }
///
///     async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
///         self.room.broadcast(&Prepared::from(&message));
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    slow: SlowMember,
    members: RwLock<HashMap<SessionId, Session>>,
}

/// A session's place in a group; it leaves when this is dropped.
#[derive(Debug)]
#[must_use = "a session leaves its group when its membership is dropped"]
pub struct Membership {
    inner: Arc<Inner>,
    id: SessionId,
}

/// Who got a broadcast.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BroadcastReport {
    queued: usize,
    dropped: usize,
    closed: usize,
}

impl Group {
    /// An empty group.
    #[must_use]
    pub fn new(slow: SlowMember) -> Self {
        Self {
            inner: Arc::new(Inner {
                slow,
                members: RwLock::default(),
            }),
        }
    }

    /// Adds a session. It gets every broadcast that begins after this returns, and none before.
    ///
    /// A session that joins twice is one member, until either membership is dropped.
    pub fn join(&self, session: &Session) -> Membership {
        let mut members = self
            .inner
            .members
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        members.insert(session.id(), session.clone());
        Membership {
            inner: Arc::clone(&self.inner),
            id: session.id(),
        }
    }

    /// Queues a message at every member; tells who got it.
    #[expect(
        clippy::must_use_candidate,
        reason = "most who broadcast do not ask who got it"
    )]
    pub fn broadcast(&self, message: &Prepared) -> BroadcastReport {
        let mut report = BroadcastReport::default();
        for member in self.members().values() {
            match member.try_send_prepared(message) {
                Ok(()) => report.queued += 1,
                Err(SendError::Full(())) => match self.inner.slow {
                    SlowMember::DropNewest => report.dropped += 1,
                    SlowMember::Close => {
                        member.close(CloseCode::TRY_AGAIN_LATER, "too slow");
                        report.closed += 1;
                    }
                },
                // It is on its way out, and will leave the group by itself.
                Err(_closed) => {}
            }
        }
        report
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members().len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    fn members(&self) -> RwLockReadGuard<'_, HashMap<SessionId, Session>> {
        self.inner
            .members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self
            .inner
            .members
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        members.remove(&self.id);
    }
}

impl BroadcastReport {
    /// Members whose outbox took the message.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Members that missed it: their outbox was full.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Members that were closed: their outbox was full.
    #[must_use]
    pub const fn closed(&self) -> usize {
        self.closed
    }
}
