//! The closing handshake (RFC 6455 §7.1).
//!
//! Everything that can change whether a frame may be sent or believed is in this file, and the
//! file knows nothing else: no bytes, no sockets, no timers. `Connection` asks, and obeys.
//!
//! ```text
//!             send Close                  recv Close
//!   Open ───────────────▶ CloseSent ─────────────────────▶ Closed
//!    │                                                       ▲
//!    │ recv Close                         send Close         │
//!    └──────────────────▶ CloseReceived ─────────────────────┤
//!                                                            │
//!   any ───────────────── transport lost ────────────────────┘
//! ```

/// How far the closing handshake has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum CloseState {
    /// Neither side has closed; every frame may flow.
    #[default]
    Open,
    /// Our Close has left; the peer may not have seen it yet, so we still listen.
    CloseSent,
    /// The peer's Close has arrived; ours is owed (§5.5.1), and may follow what was queued.
    CloseReceived,
    /// Both have closed, or the transport is gone.
    Closed,
}

/// What can move the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Input {
    RecvClose,
    SendClose,
    TransportLost,
}

impl CloseState {
    /// The state after `input`. Total: no input is an error in any state.
    pub(crate) const fn on(self, input: Input) -> Self {
        match (self, input) {
            (_, Input::TransportLost) => Self::Closed,
            (Self::Open, Input::SendClose) => Self::CloseSent,
            (Self::Open, Input::RecvClose) => Self::CloseReceived,
            (Self::CloseSent, Input::RecvClose) => Self::Closed,
            (Self::CloseReceived, Input::SendClose) => Self::Closed,
            // A Close repeated in the same direction says nothing new.
            (Self::CloseSent, Input::SendClose) => Self::CloseSent,
            (Self::CloseReceived, Input::RecvClose) => Self::CloseReceived,
            (Self::Closed, Input::SendClose | Input::RecvClose) => Self::Closed,
        }
    }

    /// Whether a frame may leave. None follows our Close (§5.5.1); what was queued before we
    /// answer the peer's may still go.
    pub(crate) const fn may_send(self) -> bool {
        matches!(self, Self::Open | Self::CloseReceived)
    }

    /// Whether an arriving frame is delivered; once the peer's Close is seen, the rest is
    /// discarded (§1.4).
    pub(crate) const fn may_deliver(self) -> bool {
        matches!(self, Self::Open | Self::CloseSent)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::{CloseState, Input};

    /// The whole machine on one page. A change to any transition shows up here as a diff.
    #[test]
    fn transition_table_is_this_one() {
        let mut table = String::new();
        for state in [
            CloseState::Open,
            CloseState::CloseSent,
            CloseState::CloseReceived,
            CloseState::Closed,
        ] {
            for input in [Input::SendClose, Input::RecvClose, Input::TransportLost] {
                let (from, by, to) = (state, input, state.on(input));
                writeln!(
                    table,
                    "{from:?} --{by:?}--> {to:?} send={} deliver={}",
                    to.may_send(),
                    to.may_deliver()
                )
                .unwrap();
            }
        }

        assert_eq!(
            table,
            "\
Open --SendClose--> CloseSent send=false deliver=true
Open --RecvClose--> CloseReceived send=true deliver=false
Open --TransportLost--> Closed send=false deliver=false
CloseSent --SendClose--> CloseSent send=false deliver=true
CloseSent --RecvClose--> Closed send=false deliver=false
CloseSent --TransportLost--> Closed send=false deliver=false
CloseReceived --SendClose--> Closed send=false deliver=false
CloseReceived --RecvClose--> CloseReceived send=true deliver=false
CloseReceived --TransportLost--> Closed send=false deliver=false
Closed --SendClose--> Closed send=false deliver=false
Closed --RecvClose--> Closed send=false deliver=false
Closed --TransportLost--> Closed send=false deliver=false
"
        );
    }
}
