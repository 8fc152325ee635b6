//! How an end is met, at once or while an event still runs; what it means is for `ending`, and what
//! is done about it for `finish`.

use ws_core::CloseFrame;

use crate::{SessionError, ending::End, link::Link};

/// An end, and our Close if that was already queued when it came.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) end: End,
    pub(crate) ours: Option<CloseFrame>,
}

impl Link {
    /// Remembers an end that was met while an event is running: the event may finish, within the
    /// close timeout, and what it sends before the peer's Close is answered still leaves.
    pub(crate) fn stop_after_event(&mut self, end: End) {
        if self.stop.is_some() {
            return;
        }
        let stop = self.stopped(end);
        match &stop.end {
            End::PeerClosed(_) => {}
            End::Error(error) => match error.close() {
                Some(close) => {
                    self.session.outbox().close(close);
                }
                None => self.session.outbox().end(),
            },
        }
        self.break_off(&stop);
        self.stop = Some(stop);
        self.clocks.limit_event(self.policy.close_timeout());
    }

    /// The end that an event brings about by failing; one that was an error before stands.
    pub(crate) fn failed(&mut self, error: SessionError) -> Box<Stop> {
        match self.stop.take() {
            Some(stop) if matches!(stop.end, End::Error(_)) => stop,
            _ => self.stopped(error.into()),
        }
    }

    /// The end that the peer's Close is; met while an event was running, it has been judged then.
    pub(crate) fn closed_by_peer(&mut self, close: CloseFrame) -> Box<Stop> {
        let met = self.stop.take();
        met.unwrap_or_else(|| self.stopped(End::PeerClosed(close)))
    }

    pub(crate) fn stopped(&self, end: End) -> Box<Stop> {
        let outbox = self.session.outbox();
        Box::new(Stop {
            // Whatever comes after an abort, it was the abort.
            end: if outbox.is_aborted() {
                SessionError::Aborted.into()
            } else {
                end
            },
            ours: outbox.ours(),
        })
    }
}
