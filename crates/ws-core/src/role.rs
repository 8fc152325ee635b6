//! Which end of the connection we are, and what that end owes the other (RFC 6455 §5.1).

/// Which end of the connection this is.
///
/// ```
/// assert!(ws_core::Role::Client.masks());
/// assert_eq!(ws_core::Role::Client.peer(), ws_core::Role::Server);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 6455 §1.2 knows two ends; a third needs a new RFC"
)]
pub enum Role {
    /// Accepts the handshake; sends unmasked, and fails a peer that does the same.
    Server,
    /// Opens the handshake; masks every frame, and fails a peer that does the same.
    Client,
}

impl Role {
    /// Whether this end masks what it sends (§5.3).
    #[must_use]
    pub const fn masks(self) -> bool {
        matches!(self, Self::Client)
    }

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}
