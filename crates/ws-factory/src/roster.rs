//! Who is in a group.
//!
//! A group holds its sessions, and a session knows its groups, so that none keeps it once it is
//! over: not by a [`Membership`] that is held for longer, nor by one that was put where only the
//! session itself keeps it alive. Bounded by the sessions that are open; a broadcast goes to a
//! snapshot, so that nobody waits for a broadcast to join or to leave.
//!
//! Locks are taken in one order: a topic's name, its group, the session's list of groups. Nothing
//! of the application's is dropped or woken under any of them.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{Session, SessionId, topics::Topic};

/// A session's place in a group; it leaves when this is dropped, or when it is over.
///
/// Of several memberships of one session in one group, the last counts.
#[must_use = "a session leaves its group when its membership is dropped"]
pub struct Membership {
    roster: Arc<Roster>,
    id: SessionId,
}

/// The members of one group.
pub(crate) struct Roster {
    members: Mutex<Members>,
    /// Where the group is known by a name, as long as it has members.
    topic: Option<Topic>,
}

#[derive(Default)]
struct Members {
    by_id: HashMap<SessionId, Member>,
    /// All of them, since somebody asked and until somebody joins or leaves.
    everyone: Option<Arc<[Session]>>,
}

struct Member {
    session: Session,
    memberships: usize,
}

/// A roster that nobody has grown into is not worth shrinking.
const MIN_CAPACITY: usize = 64;

impl Roster {
    pub(crate) fn new(topic: Option<Topic>) -> Arc<Self> {
        Arc::new(Self {
            members: Mutex::default(),
            topic,
        })
    }

    /// Adds a session, unless it is over.
    pub(crate) fn join(self: &Arc<Self>, session: &Session) -> Membership {
        let mut members = self.lock();
        let mut outdated = None;
        match members.by_id.entry(session.id()) {
            Entry::Occupied(mut member) => member.get_mut().memberships += 1,
            Entry::Vacant(place) => {
                if session.joined().add(self) {
                    place.insert(Member {
                        session: session.clone(),
                        memberships: 1,
                    });
                    outdated = members.everyone.take();
                }
            }
        }
        drop(members);
        drop(outdated);
        Membership {
            roster: Arc::clone(self),
            id: session.id(),
        }
    }

    /// Everybody who is in the group now.
    pub(crate) fn everyone(&self) -> Arc<[Session]> {
        let mut members = self.lock();
        let Members { by_id, everyone } = &mut *members;
        let everyone = everyone.get_or_insert_with(|| {
            by_id
                .values()
                .map(|member| member.session.clone())
                .collect()
        });
        Arc::clone(everyone)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// One membership of a session is gone.
    fn leave(&self, id: SessionId) {
        let mut members = self.lock();
        let Some(member) = members.by_id.get_mut(&id) else {
            return;
        };
        member.memberships -= 1;
        if member.memberships == 0 {
            member.session.joined().forget(self);
            self.remove(members, id);
        }
    }

    /// A session is over, whatever memberships it has.
    fn expel(&self, id: SessionId) {
        self.remove(self.lock(), id);
    }

    fn remove(&self, mut members: MutexGuard<'_, Members>, id: SessionId) {
        let gone = members.by_id.remove(&id);
        let outdated = members.everyone.take();
        let Members { by_id, .. } = &mut *members;
        if by_id.capacity() > MIN_CAPACITY && by_id.len() < by_id.capacity() / 4 {
            by_id.shrink_to(by_id.len() * 2);
        }
        let is_empty = by_id.is_empty();
        drop(members);
        // These may be the session's last handles, and take with them what the application keeps
        // there, as another membership.
        drop((gone, outdated));
        if let (true, Some(topic)) = (is_empty, &self.topic) {
            topic.retire();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Nothing panics while the lock is held.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.roster.leave(self.id);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("session", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster")
            .field("members", &self.len())
            .field("topic", &self.topic)
            .finish()
    }
}

/// The groups that a session is in.
pub(crate) struct Joined(Mutex<Groups>);

enum Groups {
    /// None yet, as for most.
    None,
    /// By address, which is unique as long as the group is not freed; this list keeps it from that.
    #[expect(
        clippy::box_collection,
        reason = "mostly there is none, and that takes a word"
    )]
    Open(Box<BTreeMap<usize, Weak<Roster>>>),
    /// The session is over, and joins no more.
    Over,
}

impl Joined {
    /// Adds a group; false if the session is over.
    fn add(&self, roster: &Arc<Roster>) -> bool {
        let mut joined = self.lock();
        if matches!(&*joined, Groups::None) {
            *joined = Groups::Open(Box::default());
        }
        let Groups::Open(groups) = &mut *joined else {
            return false;
        };
        groups.insert(Arc::as_ptr(roster).addr(), Arc::downgrade(roster));
        true
    }

    fn forget(&self, roster: &Roster) {
        if let Groups::Open(groups) = &mut *self.lock() {
            groups.remove(&std::ptr::from_ref(roster).addr());
        }
    }

    /// Leaves every group for good.
    pub(crate) fn end(&self, id: SessionId) {
        let groups = std::mem::replace(&mut *self.lock(), Groups::Over);
        if let Groups::Open(groups) = groups {
            for roster in groups.into_values().filter_map(|roster| roster.upgrade()) {
                roster.expel(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Joined {
    fn default() -> Self {
        Self(Mutex::new(Groups::None))
    }
}

#[cfg(test)]
mod tests {
    use ws_core::Role;

    use super::*;
    use crate::{Established, Transport};

    #[tokio::test]
    async fn session_that_has_left_its_groups_remembers_none() {
        let (near, _far) = tokio::io::duplex(64);
        let mut established = Established::new(Transport::boxed(near), Role::Server);
        let session = established.session();
        let rosters: Vec<_> = (0..10).map(|_| Roster::new(None)).collect();

        let memberships: Vec<_> = rosters.iter().map(|roster| roster.join(session)).collect();
        assert!(matches!(&*session.joined().lock(), Groups::Open(groups) if groups.len() == 10));
        drop(memberships);

        assert!(matches!(&*session.joined().lock(), Groups::Open(groups) if groups.is_empty()));
        assert!(rosters.iter().all(|roster| Arc::weak_count(roster) == 0));
    }

    #[tokio::test]
    async fn group_that_was_large_does_not_stay_so() {
        let roster = Roster::new(None);
        let mut sessions: Vec<_> = (0..1_000)
            .map(|_| {
                let (near, _far) = tokio::io::duplex(64);
                Established::new(Transport::boxed(near), Role::Server)
            })
            .collect();

        let mut memberships: Vec<_> = sessions
            .iter_mut()
            .map(|established| roster.join(established.session()))
            .collect();
        memberships.truncate(10);

        assert_eq!(roster.everyone().len(), 10);
        assert!(roster.lock().by_id.capacity() <= 2 * MIN_CAPACITY);
    }
}
