//! How many there may be: sessions of a factory, sessions of one peer, handshakes under way.
//!
//! A place is taken by whoever finds one free in a single step, so of two handshakes that race for
//! the last place one gets it. It is held until the session's task ends.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
};

use dashmap::{DashMap, Entry};

use crate::{Policy, RefusalReason};

/// The places of one factory that are taken.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Handshakes and sessions.
    sessions: AtomicUsize,
    handshakes: AtomicUsize,
    /// Only who holds a place is in here, and only where there is a limit: a peer's last session
    /// takes its entry along.
    peers: DashMap<PeerNetwork, usize>,
}

/// What one handshake, and the session that comes of it, has taken.
#[derive(Debug)]
pub(crate) struct Place {
    peer: Option<PeerNetwork>,
}

/// Who counts as one peer: an IPv4 address, or the first 64 bits of an IPv6 address. A host with
/// IPv6 has at least those to itself (RFC 6177), and may have 2^64 addresses in them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum PeerNetwork {
    V4(Ipv4Addr),
    V6(u64),
}

impl PeerNetwork {
    fn of(address: IpAddr) -> Self {
        // A socket that listens on both families shows IPv4 as `::ffff:192.0.2.7`.
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }
}

impl Places {
    /// Takes a place for a handshake, or says which limit is reached.
    ///
    /// The places that most contend for come last: what is taken and given back on the way to a
    /// refusal can then only be missed by those who would have met the same refusal.
    pub(crate) fn take(
        &self,
        policy: &Policy,
        peer: Option<IpAddr>,
    ) -> Result<Place, RefusalReason> {
        let peer = match (policy.max_sessions_per_peer(), peer) {
            (Some(most), Some(address)) => Some(self.take_of_peer(PeerNetwork::of(address), most)?),
            _ => None,
        };
        let refused = if !take_one(&self.handshakes, policy.max_handshakes()) {
            RefusalReason::Handshakes
        } else if !take_one(&self.sessions, policy.max_sessions()) {
            self.handshakes.fetch_sub(1, Ordering::SeqCst);
            RefusalReason::Sessions
        } else {
            return Ok(Place { peer });
        };
        self.give_back_of_peer(peer);
        Err(refused)
    }

    /// The handshake of a place is over. To be called once for each.
    pub(crate) fn shaken(&self) {
        self.handshakes.fetch_sub(1, Ordering::SeqCst);
    }

    /// Gives everything back of a place whose handshake is over. To be called once for each.
    pub(crate) fn give_back(&self, place: &mut Place) {
        self.give_back_of_peer(place.peer.take());
        self.sessions.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many handshakes and sessions there are.
    pub(crate) fn taken(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }

    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }

    /// How many peers hold a place, where they are limited.
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    fn take_of_peer(&self, peer: PeerNetwork, most: usize) -> Result<PeerNetwork, RefusalReason> {
        let mut entry = match self.peers.entry(peer) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(_) if most == 0 => return Err(RefusalReason::SessionsOfPeer),
            Entry::Vacant(entry) => {
                entry.insert(1);
                return Ok(peer);
            }
        };
        if *entry.get() >= most {
            return Err(RefusalReason::SessionsOfPeer);
        }
        *entry.get_mut() += 1;
        Ok(peer)
    }

    fn give_back_of_peer(&self, peer: Option<PeerNetwork>) {
        let Some(peer) = peer else { return };
        if let Entry::Occupied(mut entry) = self.peers.entry(peer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Counts one more if that is at most `most`, in one step.
fn take_one(count: &AtomicUsize, most: usize) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
            (taken < most).then_some(taken + 1)
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Hostile input L8.
    #[test]
    fn of_two_that_race_for_the_last_place_exactly_one_gets_it() {
        let policies = [
            Policy::default().with_max_sessions(1),
            Policy::default().with_max_handshakes(1),
            Policy::default().with_max_sessions_per_peer(Some(1)),
        ];
        for policy in policies {
            for _round in 0..300 {
                let places = Places::default();
                let start = Barrier::new(2);
                let race = || {
                    start.wait();
                    places.take(&policy, Some(PEER)).is_ok()
                };

                let won = thread::scope(|scope| {
                    let other = scope.spawn(race);
                    (race(), other.join().unwrap())
                });

                assert!(won.0 != won.1, "{won:?} under {policy:?}");
            }
        }
    }

    #[test]
    fn place_that_is_given_back_leaves_nothing() {
        let places = Places::default();
        let policy = Policy::default().with_max_sessions_per_peer(Some(2));
        let mut first = places.take(&policy, Some(PEER)).unwrap();
        let mut second = places.take(&policy, Some(PEER)).unwrap();
        places.shaken();
        assert_eq!(
            (places.taken(), places.handshakes(), places.peers()),
            (2, 1, 1)
        );

        places.give_back(&mut first);
        places.shaken();
        places.give_back(&mut second);

        assert_eq!(
            (places.taken(), places.handshakes(), places.peers()),
            (0, 0, 0)
        );
    }

    #[test]
    fn refusal_at_one_limit_takes_nothing_of_the_others() {
        let limited = Policy::default().with_max_sessions_per_peer(Some(9));
        for (policy, reason) in [
            (
                limited.clone().with_max_sessions(0),
                RefusalReason::Sessions,
            ),
            (limited.with_max_handshakes(0), RefusalReason::Handshakes),
            (
                Policy::default().with_max_sessions_per_peer(Some(0)),
                RefusalReason::SessionsOfPeer,
            ),
        ] {
            let places = Places::default();

            assert_eq!(places.take(&policy, Some(PEER)).unwrap_err(), reason);

            assert_eq!(
                (places.taken(), places.handshakes(), places.peers()),
                (0, 0, 0)
            );
        }
    }

    #[test]
    fn peer_is_an_ipv4_address_or_half_an_ipv6_address() {
        let same = [
            ("192.0.2.7", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ];
        for (one, other, expected) in same {
            let network = |text: &str| PeerNetwork::of(text.parse().unwrap());
            assert_eq!(network(one) == network(other), expected, "{one} {other}");
        }
    }

    #[test]
    fn unknown_peer_is_not_limited() {
        let places = Places::default();
        let policy = Policy::default().with_max_sessions_per_peer(Some(0));

        assert!(places.take(&policy, None).is_ok());
    }
}
