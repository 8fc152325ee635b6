//! Which cores a server and its load have.

use std::{ops::Range, path::Path, process::Command};

use super::{program, scenario::Measure};

/// The cores of each side; the same for both, where they have to share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placement {
    server: Range<usize>,
    load: Range<usize>,
}

impl Placement {
    /// The one on this machine, in every round.
    pub(super) fn of(measure: Measure) -> Self {
        match measure {
            Measure::Time | Measure::Memory => Self {
                server: 0..1,
                load: 1..2,
            },
            Measure::Workers => Self::of_workers(program::cores(), program::can_pin()),
        }
    }

    /// Half of the cores for each side, but no fewer than two for the server: where none are left,
    /// or nobody can be kept off them, both have all.
    fn of_workers(cores: usize, can_pin: bool) -> Self {
        let workers = (cores / 2).max(2);
        if workers >= cores || !can_pin {
            return Self {
                server: 0..cores,
                load: 0..cores,
            };
        }
        Self {
            server: 0..workers,
            load: workers..cores,
        }
    }

    /// A server, which sees no other cores than these.
    pub(super) fn server(&self, program: &Path) -> Command {
        program::on_cores(&list(&self.server), program)
    }

    /// A load with a thread for each of its cores: with fewer, several workers would mostly wait for it, and
    /// what they cost would be sleeping and waking.
    pub(super) fn load(&self, program: &Path, arguments: &[&str]) -> Command {
        let threads = self.load.len();
        let mut command = program::on_cores(&list(&self.load), program);
        command.args(arguments);
        command.args(["--threads", &threads.to_string()]);
        command
    }

    /// For a heading.
    pub(super) fn title(&self) -> String {
        if self.is_shared() {
            "load and server share the cores".to_owned()
        } else {
            "load on cores of its own".to_owned()
        }
    }

    /// What must be known to read a table of workers.
    pub(super) fn description(&self) -> String {
        let workers = self.server.len();
        let (server, load) = (list(&self.server), list(&self.load));
        if self.is_shared() {
            format!(
                "N = {workers}. The load has no core to itself, it shares the server's (cores {server}): compare \
                 the CPU time a message; messages a second are stated only."
            )
        } else {
            format!("N = {workers}. Server on cores {server}, load on cores {load}.")
        }
    }

    fn is_shared(&self) -> bool {
        self.server == self.load
    }
}

/// As `taskset` has it.
fn list(cores: &Range<usize>) -> String {
    match (cores.start, cores.end.saturating_sub(1)) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_workers(cores: usize, can_pin: bool) -> (String, String, bool) {
        let placement = Placement::of_workers(cores, can_pin);
        let (server, load) = (list(&placement.server), list(&placement.load));
        (server, load, placement.is_shared())
    }

    #[test]
    fn load_has_cores_of_its_own_where_two_are_left_to_the_server() {
        let apart = |server: &str, load: &str| (server.to_owned(), load.to_owned(), false);

        assert_eq!(of_workers(3, true), apart("0-1", "2"));
        assert_eq!(of_workers(4, true), apart("0-1", "2-3"));
        assert_eq!(of_workers(9, true), apart("0-3", "4-8"));
    }

    #[test]
    fn load_shares_all_cores_where_they_are_few_or_cannot_be_kept_apart() {
        let shared = |cores: &str| (cores.to_owned(), cores.to_owned(), true);

        assert_eq!(of_workers(1, false), shared("0"));
        assert_eq!(of_workers(2, true), shared("0-1"));
        assert_eq!(of_workers(8, false), shared("0-7"));
    }

    #[test]
    fn shared_cores_are_said_to_be_shared() {
        let said = |cores| Placement::of_workers(cores, true).description();

        assert!(said(2).contains("shares"), "{}", said(2));
        assert_eq!(said(8), "N = 4. Server on cores 0-3, load on cores 4-7.");
    }
}
