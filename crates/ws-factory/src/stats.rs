//! What a factory has done so far, in plain numbers.

/// A reading of a factory's counters.
///
/// ```
/// # fn report(factory: &ws_factory::WebSocketFactory) {
/// let stats = factory.stats();
/// println!("{} of {} sessions are open", stats.open(), stats.opened());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FactoryStats {
    pub(crate) open: usize,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) failed_upgrades: u64,
    pub(crate) cut_events: u64,
}

impl FactoryStats {
    /// Sessions that are open now.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Sessions that were opened.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// Handshakes that were refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Handshakes that were accepted, and whose connection never came: mostly because the HTTP
    /// connection is served without upgrades.
    #[must_use]
    pub const fn failed_upgrades(&self) -> u64 {
        self.failed_upgrades
    }

    /// Events whose future was dropped at its deadline.
    #[must_use]
    pub const fn cut_events(&self) -> u64 {
        self.cut_events
    }
}
