//! Groups by name.
//!
//! A topic begins with the first session that joins it and is gone with the last, so there is
//! nothing to clean up. How many there are and how long a name is are bounded: the names are often
//! the peers' choice.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, mapref::entry::Entry};
use ws_core::Prepared;

use crate::{BroadcastReport, Group, GroupStats, Membership, Session, SlowMember};

/// A registry of groups by name: rooms, tickers, documents.
///
/// A cheap clone. A topic exists as long as it has a member: [`Self::join`] makes it, and it
/// disappears when its last member leaves or is over, whereupon the name is free.
///
/// ```
/// use ws_factory::{CloseCode, Close, Endpoint, EventResult, Membership, Message, Session};
/// use ws_factory::{SlowMember, Topics};
///
/// struct Chat {
///     rooms: Topics,
///     room: Option<(String, Membership)>,
/// }
///
/// impl Endpoint for Chat {
///     async fn on_connect(&mut self, session: &Session) -> EventResult {
///         let name = session.request().path_param("room").unwrap_or("lobby").to_owned();
///         let membership = self
///             .rooms
///             .join(&name, session)
///             .map_err(|error| Close::new(CloseCode::POLICY_VIOLATION, error.to_string()))?;
///         self.room = Some((name, membership));
///         Ok(())
///     }
///
///     async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
///         if let Some((name, _)) = &self.room {
///             self.rooms.broadcast_except(name, &message, session);
///         }
///         Ok(())
///     }
/// }
/// # let rooms = Topics::new(SlowMember::DropNewest);
/// # assert!(rooms.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Topics {
    shelf: Arc<Shelf>,
    max_topics: usize,
    max_name_bytes: usize,
}

/// What all clones of a registry share.
#[derive(Debug)]
struct Shelf {
    slow: SlowMember,
    groups: DashMap<Arc<str>, Group>,
    /// How many topics there are; the map would have to lock all of itself to tell.
    len: AtomicUsize,
}

/// The name under which a group can be found.
#[derive(Debug)]
pub(crate) struct Topic {
    shelf: Weak<Shelf>,
    name: Arc<str>,
}

/// Why a session could not join a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Whoever chose the name: it is longer than [`Topics::with_max_name_bytes`] lets it be.
    #[error("topic name of {bytes} bytes, more than {max_bytes}")]
    NameTooLong {
        /// The name's length.
        bytes: usize,
        /// The longest that is taken.
        max_bytes: usize,
    },
    /// Nobody in particular: there is no such topic yet, and as many others as
    /// [`Topics::with_max_topics`] lets there be.
    #[error("more than {max_topics} topics")]
    TooMany {
        /// How many there may be.
        max_topics: usize,
    },
}

impl Topics {
    /// How many topics there may be, unless set otherwise.
    pub const DEFAULT_MAX_TOPICS: usize = 65_536;

    /// How long the name of a topic may be in bytes, unless set otherwise.
    pub const DEFAULT_MAX_NAME_BYTES: usize = 256;

    /// No topics yet. Each deals with its slow members as told.
    #[must_use]
    pub fn new(slow: SlowMember) -> Self {
        Self {
            shelf: Arc::new(Shelf {
                slow,
                groups: DashMap::new(),
                len: AtomicUsize::new(0),
            }),
            max_topics: Self::DEFAULT_MAX_TOPICS,
            max_name_bytes: Self::DEFAULT_MAX_NAME_BYTES,
        }
    }

    /// Sets how many topics there may be; [`Self::DEFAULT_MAX_TOPICS`] unless set. For those who
    /// join through this handle and the clones made of it from now on.
    #[must_use]
    pub const fn with_max_topics(mut self, max_topics: usize) -> Self {
        self.max_topics = max_topics;
        self
    }

    /// Sets how long a name may be, in bytes; [`Self::DEFAULT_MAX_NAME_BYTES`] unless set. For
    /// those who join through this handle and the clones made of it from now on.
    #[must_use]
    pub const fn with_max_name_bytes(mut self, max_name_bytes: usize) -> Self {
        self.max_name_bytes = max_name_bytes;
        self
    }

    /// Adds a session to a topic, as [`Group::join`]; makes the topic if it is the first.
    ///
    /// A session that is over joins nothing. One whose peer may choose any number of names can take
    /// all that there may be: how many each may have is up to whoever keeps the memberships.
    ///
    /// # Errors
    ///
    /// [`TopicError`], when a limit is reached.
    ///
    /// ```
    /// # use ws_factory::{Established, Role, Transport};
    /// use ws_factory::{SlowMember, TopicError, Topics};
    ///
    /// # let (near, _far) = tokio::io::duplex(64);
    /// # let mut established = Established::new(Transport::boxed(near), Role::Server);
    /// # let session = established.session();
    /// let rooms = Topics::new(SlowMember::DropNewest).with_max_topics(1);
    /// let membership = rooms.join("lobby", session)?;
    /// let refused = rooms.join("cellar", session).map(drop);
    /// assert_eq!(refused, Err(TopicError::TooMany { max_topics: 1 }));
    ///
    /// drop(membership); // the last one out of the lobby
    /// assert!(rooms.is_empty());
    /// # Ok::<(), TopicError>(())
    /// ```
    pub fn join(&self, name: &str, session: &Session) -> Result<Membership, TopicError> {
        if name.len() > self.max_name_bytes {
            return Err(TopicError::NameTooLong {
                bytes: name.len(),
                max_bytes: self.max_name_bytes,
            });
        }
        // Joined before the name is let go of: a topic that has a member does not disappear.
        if let Some(group) = self.shelf.groups.get(name) {
            return Ok(group.join(session));
        }
        let name = Arc::from(name);
        match self.shelf.groups.entry(Arc::clone(&name)) {
            Entry::Occupied(group) => Ok(group.get().join(session)),
            Entry::Vacant(place) => {
                if !self.shelf.reserve(self.max_topics) {
                    return Err(TopicError::TooMany {
                        max_topics: self.max_topics,
                    });
                }
                let shelf = Arc::downgrade(&self.shelf);
                let group = Group::known_as(Topic { shelf, name }, self.shelf.slow);
                let membership = group.join(session);
                if group.is_empty() {
                    // The session is over.
                    self.shelf.len.fetch_sub(1, Ordering::Relaxed);
                } else {
                    place.insert(group);
                }
                Ok(membership)
            }
        }
    }

    /// As [`Group::broadcast`]; `None` if there is no such topic.
    pub fn broadcast(&self, name: &str, message: impl Into<Prepared>) -> Option<BroadcastReport> {
        Some(self.group(name)?.broadcast(message))
    }

    /// As [`Group::broadcast_except`]; `None` if there is no such topic.
    pub fn broadcast_except(
        &self,
        name: &str,
        message: impl Into<Prepared>,
        sender: &Session,
    ) -> Option<BroadcastReport> {
        Some(self.group(name)?.broadcast_except(message, sender))
    }

    /// As [`Group::broadcast_within`]; `None` if there is no such topic.
    ///
    /// # Cancel safety
    ///
    /// As [`Group::broadcast_within`].
    pub async fn broadcast_within(
        &self,
        name: &str,
        message: impl Into<Prepared>,
        limit: Duration,
    ) -> Option<BroadcastReport> {
        Some(self.group(name)?.broadcast_within(message, limit).await)
    }

    /// As [`Group::broadcast_except_within`]; `None` if there is no such topic.
    ///
    /// # Cancel safety
    ///
    /// As [`Group::broadcast_within`].
    pub async fn broadcast_except_within(
        &self,
        name: &str,
        message: impl Into<Prepared>,
        sender: &Session,
        limit: Duration,
    ) -> Option<BroadcastReport> {
        let group = self.group(name)?;
        let report = group.broadcast_except_within(message, sender, limit).await;
        Some(report)
    }

    /// What a topic has done since it began; `None` if there is no such topic.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<GroupStats> {
        Some(self.group(name)?.stats())
    }

    /// The topics in no particular order, each with the number of its members. Those that begin or
    /// end meanwhile may be among them or not.
    #[must_use]
    pub fn sizes(&self) -> Vec<(Arc<str>, usize)> {
        let groups = self.shelf.groups.iter();
        groups
            .map(|entry| (Arc::clone(entry.key()), entry.value().len()))
            .collect()
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelf.len.load(Ordering::Relaxed)
    }

    /// Whether there is no topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Only for a moment: the group may lose its name, and joined under none it could not be found.
    fn group(&self, name: &str) -> Option<Group> {
        let group = self.shelf.groups.get(name)?;
        Some(group.clone())
    }
}

impl Shelf {
    /// Takes a place for one more topic, if there is one.
    fn reserve(&self, max_topics: usize) -> bool {
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
                (len < max_topics).then_some(len + 1)
            })
            .is_ok()
    }
}

impl Topic {
    /// The group has no member left, unless one has just joined: then it stays.
    pub(crate) fn retire(&self) {
        let Some(shelf) = self.shelf.upgrade() else {
            return;
        };
        // Whoever joins holds the name, too, so nobody joins between the look and the removal.
        let retired = shelf
            .groups
            .remove_if(&*self.name, |_, group| group.is_empty());
        if retired.is_some() {
            shelf.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
