//! What a factory, and a session, has done so far, in plain numbers.

use std::ops::RangeInclusive;

use ws_core::CloseStatus;

use crate::{
    RefusalReason,
    refusal::REASONS,
    tally::{COUNTS, Count},
};

/// A reading of a factory's counters.
///
/// Each number is exact; together they are of about the same moment.
///
/// ```
/// # fn report(factory: &ws_factory::WebSocketFactory) {
/// let stats = factory.stats();
/// println!("{} of {} sessions are open", stats.open(), stats.opened());
/// println!("{} messages came", stats.traffic().messages_in());
/// for (codes, count) in stats.closed_by_code() {
///     println!("{count} ended with {} to {}", codes.start(), codes.end());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FactoryStats {
    pub(crate) open: usize,
    pub(crate) handshakes: usize,
    pub(crate) peers: usize,
    pub(crate) opened: u64,
    pub(crate) refused: [u64; REASONS],
    pub(crate) failed_upgrades: u64,
    pub(crate) cut_events: u64,
    pub(crate) closed: [u64; CLOSE_GROUPS],
    pub(crate) traffic: Traffic,
}

impl FactoryStats {
    /// Sessions that are open now.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Handshakes that are under way now: admitted, and not yet connected.
    #[must_use]
    pub const fn handshakes(&self) -> usize {
        self.handshakes
    }

    /// Peers that have a session or a handshake now; 0 without `Policy::max_sessions_per_peer`,
    /// where nobody counts them.
    #[must_use]
    pub const fn peers(&self) -> usize {
        self.peers
    }

    /// Sessions that were opened.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// Handshakes that were refused, for whatever reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Handshakes that were refused for this reason.
    #[must_use]
    pub const fn refused_for(&self, reason: RefusalReason) -> u64 {
        self.refused[reason.index()]
    }

    /// Handshakes that were accepted, and whose connection never came: mostly because the HTTP
    /// connection is served without upgrades.
    #[must_use]
    pub const fn failed_upgrades(&self) -> u64 {
        self.failed_upgrades
    }

    /// Events whose future was dropped at a deadline of their own; those that an abort, or the end of
    /// a shutdown, dropped are not counted.
    #[must_use]
    pub const fn cut_events(&self) -> u64 {
        self.cut_events
    }

    /// Sessions that have ended.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Sessions that ended with this code, as their `CloseEvent` tells it; for a code above 1015,
    /// with one of its group (see [`Self::closed_by_code`]).
    #[must_use]
    pub fn closed_with(&self, code: u16) -> u64 {
        self.closed[close_group(code)]
    }

    /// Sessions that ended, by code; codes that no session ended with are left out. The codes from
    /// 1000 to 1015 are counted one by one, those from 1016 to 2999, 3000 to 3999 and 4000 to 4999
    /// together: a peer chooses among them, and makes nothing grow.
    pub fn closed_by_code(&self) -> impl Iterator<Item = (RangeInclusive<u16>, u64)> {
        (0..CLOSE_GROUPS)
            .map(|group| (codes(group), self.closed[group]))
            .filter(|(_, count)| *count > 0)
    }

    /// What went through the sessions, those that have ended included, as far as it was added up:
    /// a session does so whenever it has nothing more to do.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

/// 1000 to 1015 each, and three ranges (RFC 6455 §7.4.2).
pub(crate) const CLOSE_GROUPS: usize = 19;

pub(crate) fn group_of(status: CloseStatus) -> usize {
    close_group(status.get())
}

const fn close_group(code: u16) -> usize {
    match code {
        1000..=1015 => (code - 1000) as usize,
        3000..=3999 => 17,
        4000..=4999 => 18,
        // No other code gets through the parser; these have no meaning yet.
        _ => 16,
    }
}

pub(crate) const fn codes(group: usize) -> RangeInclusive<u16> {
    match group {
        16 => 1016..=2999,
        17 => 3000..=3999,
        18 => 4000..=4999,
        // Cannot truncate: one of 16.
        single => (1000 + single as u16)..=(1000 + single as u16),
    }
}

/// What went through a session, or through all of a factory's: messages and payload, as the
/// application sees them, so before compression and after decompression.
///
/// ```
/// # fn report(session: &ws_factory::Session) {
/// let stats = session.stats();
/// println!("{} messages in, {} out", stats.messages_in(), stats.messages_out());
/// # }
/// ```
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Traffic {
    pub(crate) counts: [u64; COUNTS],
    /// Of messages and of bytes.
    pub(crate) peaks: [u64; 2],
}

impl Traffic {
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum += more;
        }
        for (highest, peak) in self.peaks.iter_mut().zip(other.peaks) {
            *highest = (*highest).max(peak);
        }
    }

    /// Messages that arrived whole, text and binary.
    #[must_use]
    pub const fn messages_in(&self) -> u64 {
        self.of(Count::MessagesIn)
    }

    /// Bytes of payload that arrived in messages.
    #[must_use]
    pub const fn bytes_in(&self) -> u64 {
        self.of(Count::BytesIn)
    }

    /// Messages that left the outbox for the socket, text and binary.
    #[must_use]
    pub const fn messages_out(&self) -> u64 {
        self.of(Count::MessagesOut)
    }

    /// Bytes of payload that left the outbox for the socket, as `Policy::with_max_outbox_bytes`
    /// counts them: of a prepared message, with the headers of its frames.
    #[must_use]
    pub const fn bytes_out(&self) -> u64 {
        self.of(Count::BytesOut)
    }

    /// Pings that arrived.
    #[must_use]
    pub const fn pings_in(&self) -> u64 {
        self.of(Count::PingsIn)
    }

    /// Pongs that arrived.
    #[must_use]
    pub const fn pongs_in(&self) -> u64 {
        self.of(Count::PongsIn)
    }

    /// Pings that left, those of `Policy::with_ping_interval` included.
    #[must_use]
    pub const fn pings_out(&self) -> u64 {
        self.of(Count::PingsOut)
    }

    /// Pongs that left. Fewer than the Pings that arrived where a peer did not read its Pongs: of
    /// those only the latest is sent (RFC 6455 §5.5.3).
    #[must_use]
    pub const fn pongs_out(&self) -> u64 {
        self.of(Count::PongsOut)
    }

    /// Messages that a group dropped, because the outbox was full.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.of(Count::Dropped)
    }

    /// The most messages that ever waited in the outbox; for a factory, in that of one session.
    #[must_use]
    pub const fn most_waiting_messages(&self) -> u64 {
        self.peaks[0]
    }

    /// The most bytes that ever waited in the outbox; for a factory, in that of one session.
    #[must_use]
    pub const fn most_waiting_bytes(&self) -> u64 {
        self.peaks[1]
    }
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic")
            .field("messages_in", &self.messages_in())
            .field("bytes_in", &self.bytes_in())
            .field("messages_out", &self.messages_out())
            .field("bytes_out", &self.bytes_out())
            .field("pings_in", &self.pings_in())
            .field("pongs_in", &self.pongs_in())
            .field("pings_out", &self.pings_out())
            .field("pongs_out", &self.pongs_out())
            .field("dropped", &self.dropped())
            .field("most_waiting_messages", &self.most_waiting_messages())
            .field("most_waiting_bytes", &self.most_waiting_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_holds_the_codes_that_it_says() {
        for group in 0..CLOSE_GROUPS {
            for code in codes(group) {
                assert_eq!(close_group(code), group, "{code}");
            }
        }
        assert_eq!(
            (999..=5000).filter(|code| close_group(*code) == 16).count(),
            1986
        );
    }
}
