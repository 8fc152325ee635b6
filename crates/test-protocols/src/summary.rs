//! The counts and times of a run in; the last lines of Jetty's `TestClient` out.

use std::{fmt, time::Duration};

/// What came of a run of `test-client`; displayed, the lines that end it.
///
/// | in the output | is |
/// |---|---|
/// | `frames`, `mesg` | data frames and messages, or pings and pongs; replies to what was sent |
/// | `time` | from the first message sent to the last reply |
/// | `m/s`, `bps` | replies, and bits of their payload, for each second of that time |
/// | `rtt` | over the replies to what the same connection sent |
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The host, as given.
    pub host: String,
    /// How many connections there were.
    pub clients: usize,
    /// What was sent and received.
    pub totals: Totals,
    /// How long the replies took.
    pub times: RoundTripTimes,
    /// From the first message sent to the last reply.
    pub elapsed: Duration,
    /// How many replies did not come, those to messages that could not be sent included.
    pub missing: u64,
}

/// What was sent and received on all connections of a run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames of replies.
    pub frames_received: u64,
    /// Messages, or pings, sent.
    pub messages_sent: u64,
    /// Replies.
    pub messages_received: u64,
    /// Bytes of payload in the replies.
    pub bytes_received: u64,
}

/// How long replies took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RoundTripTimes {
    count: u64,
    min: Duration,
    max: Duration,
    total: Duration,
}

impl RoundTripTimes {
    pub(crate) fn add(&mut self, time: Duration) {
        self.min = match self.count {
            0 => time,
            _ => self.min.min(time),
        };
        self.max = self.max.max(time);
        self.total += time;
        self.count += 1;
    }

    /// The shortest; zero if there is none.
    #[must_use]
    pub const fn min(&self) -> Duration {
        self.min
    }

    /// The mean of those that were timed; zero if there is none.
    #[must_use]
    pub fn average(&self) -> Duration {
        let nanos = self.total.as_nanos().checked_div(u128::from(self.count));
        // The mean of times that fit is one that fits.
        Duration::from_nanos(nanos.unwrap_or_default() as u64)
    }

    /// The longest; zero if there is none.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            clients,
            totals,
            times,
            elapsed,
            ..
        } = self;
        let connections = match clients {
            1 => "connection",
            _ => "connections",
        };
        writeln!(
            f,
            "--- {host} websocket ping statistics using {clients} {connections} ---"
        )?;
        writeln!(
            f,
            "{}/{} frames sent/recv, {}/{} mesg sent/recv, time {}ms {:.0}m/s {:.2}bps",
            totals.frames_sent,
            totals.frames_received,
            totals.messages_sent,
            totals.messages_received,
            elapsed.as_millis(),
            per_second(totals.messages_received, *elapsed).floor(),
            per_second(totals.bytes_received, *elapsed) * 8.0,
        )?;
        write!(
            f,
            "rtt min/ave/max = {:.3}/{:.3}/{:.3} ms",
            millis(times.min()),
            millis(times.average()),
            millis(times.max()),
        )
    }
}

/// 0 where no time has passed.
fn per_second(count: u64, elapsed: Duration) -> f64 {
    match elapsed.is_zero() {
        true => 0.0,
        false => count as f64 / elapsed.as_secs_f64(),
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            host: "localhost".to_owned(),
            clients: 1,
            totals: Totals::default(),
            times: RoundTripTimes::default(),
            elapsed: Duration::ZERO,
            missing: 0,
        }
    }

    #[test]
    fn lines_are_those_of_jetty() {
        let mut times = RoundTripTimes::default();
        for micros in [8481, 1224, 3681] {
            times.add(Duration::from_micros(micros));
        }
        let summary = Summary {
            totals: Totals {
                frames_sent: 3,
                frames_received: 6,
                messages_sent: 3,
                messages_received: 3,
                bytes_received: 192,
            },
            times,
            elapsed: Duration::from_millis(400),
            ..summary()
        };

        assert_eq!(
            summary.to_string(),
            "--- localhost websocket ping statistics using 1 connection ---\n\
             3/6 frames sent/recv, 3/3 mesg sent/recv, time 400ms 7m/s 3840.00bps\n\
             rtt min/ave/max = 1.224/4.462/8.481 ms"
        );
    }

    #[test]
    fn nothing_received_divides_by_nothing() {
        let summary = Summary {
            clients: 3,
            ..summary()
        };

        assert_eq!(
            summary.to_string(),
            "--- localhost websocket ping statistics using 3 connections ---\n\
             0/0 frames sent/recv, 0/0 mesg sent/recv, time 0ms 0m/s 0.00bps\n\
             rtt min/ave/max = 0.000/0.000/0.000 ms"
        );
    }
}
