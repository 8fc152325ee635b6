//! What a process cost, as the kernel counts it (Linux).
//!
//! The time on a core is exact to the nanosecond (`schedstat`, over all threads). How it divides into user
//! and system is known in ticks only, of 10 ms each: as good as a run is long.

use std::{fs, ops::Sub};

/// Time on a core, since the process began or between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) nanoseconds: f64,
    user_ticks: f64,
    system_ticks: f64,
}

impl Cost {
    pub(super) fn of(process: u32) -> Result<Self, String> {
        let path = format!("/proc/{process}/task");
        let unreadable = |error| format!("{path}: {error}");
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(&path).map_err(unreadable)? {
            let path = thread.map_err(unreadable)?.path().join("schedstat");
            // A thread may be gone by now; what it did was done before.
            let Ok(text) = fs::read_to_string(path) else {
                continue;
            };
            nanoseconds += number(text.split_whitespace().next())?;
        }
        let stat = format!("/proc/{process}/stat");
        let text = fs::read_to_string(&stat).map_err(|error| format!("{stat}: {error}"))?;
        let (user_ticks, system_ticks) = ticks(&text)?;
        Ok(Self {
            nanoseconds,
            user_ticks,
            system_ticks,
        })
    }

    /// The part of it that was not the kernel's; `None` when there were too few ticks to tell.
    pub(super) fn user(self) -> Option<f64> {
        let ticks = self.user_ticks + self.system_ticks;
        (ticks >= MIN_TICKS).then(|| self.nanoseconds * self.user_ticks / ticks)
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds - before.nanoseconds,
            user_ticks: self.user_ticks - before.user_ticks,
            system_ticks: self.system_ticks - before.system_ticks,
        }
    }
}

/// A tenth of a second.
const MIN_TICKS: f64 = 10.0;

/// How much memory a process has in RAM, in bytes.
pub(super) fn resident_bytes(process: u32) -> Result<f64, String> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(number(kibibytes)? * 1024.0)
}

/// User and system ticks in a line of `/proc/PID/stat`, whose second field may hold anything.
fn ticks(stat: &str) -> Result<(f64, f64), String> {
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11);
    Ok((number(fields.next())?, number(fields.next())?))
}

fn number(text: Option<&str>) -> Result<f64, String> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("/proc has {text:?} where a number should be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 -1 5 6 7 8 9 1234 56 0 0 20";

        assert_eq!(ticks(stat), Ok((1234.0, 56.0)));
        assert!(ticks("7 (a) S 1").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_cost_and_memory() {
        let me = std::process::id();

        assert!(Cost::of(me).unwrap().nanoseconds > 0.0);
        assert!(resident_bytes(me).unwrap() > 4096.0);
    }

    #[test]
    fn user_part_is_divided_by_ticks() {
        let cost = Cost {
            nanoseconds: 1000.0,
            user_ticks: 5.0,
            system_ticks: 15.0,
        };
        let short = Cost {
            system_ticks: 4.0,
            ..cost
        };

        assert_eq!(cost.user(), Some(250.0));
        assert_eq!(short.user(), None);
    }
}
