//! `cargo xtask bench --instructions`: instructions per message, which noise cannot move.
//!
//! Every server runs twice in valgrind's callgrind, with different numbers of messages; the difference
//! of the two counts over the difference of the two numbers is what one message takes, without start,
//! handshake and end. Only instructions of the process are counted, not the kernel's. What this
//! project takes is held to `bench/instructions.txt`, which is lowered whenever it can be.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    ANSWER, Programs, Stage,
    program::Program,
    scenario::{ECHO, Kind, Server},
};
use crate::{Outcome, root, target};

struct Scenario {
    /// As in the file of bounds.
    name: &'static str,
    title: &'static str,
    load: &'static [&'static str],
    /// Messages in the shorter run; the longer one has three times as many.
    count: u64,
    goal: u64,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "64b",
        title: "64 B × 1",
        load: &["--bytes", "64", "--connections", "100"],
        count: 2_000,
        goal: 1_400,
    },
    Scenario {
        name: "64b-burst",
        title: "64 B × 64",
        load: &["--bytes", "64", "--connections", "100", "--in-flight", "64"],
        count: 12_800,
        goal: 450,
    },
    Scenario {
        name: "16k",
        title: "16 KiB × 1",
        load: &["--bytes", "16384", "--connections", "10"],
        count: 500,
        goal: 3_000,
    },
    Scenario {
        name: "1m",
        title: "1 MiB × 1",
        load: &["--bytes", "1048576", "--connections", "2"],
        count: 20,
        goal: 80_000,
    },
];

/// How far above its bound a count may be: what the order of events makes of it.
const TOLERANCE: f64 = 1.05;

pub(super) fn run(programs: &Programs) -> Outcome {
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !valgrind.is_ok_and(|status| status.success()) {
        println!("skipped: no valgrind");
        return Ok(());
    }
    let bounds =
        fs::read_to_string(root().join(BOUNDS)).map_err(|error| format!("{BOUNDS}: {error}"))?;
    let titles: Vec<&str> = SCENARIOS.iter().map(|it| it.title).collect();
    println!("### instructions a message, in the process (valgrind)\n");
    println!(
        "| | {} |\n|---|{}",
        titles.join(" | "),
        "---:|".repeat(titles.len())
    );
    let mut faults = Vec::new();
    for server in ECHO {
        let mut cells = Vec::new();
        for scenario in SCENARIOS {
            let each = per_message(programs, server, scenario)
                .map_err(|fault| format!("{} of {}: {fault}", scenario.name, server.name))?;
            cells.push(format!("{each:.0}"));
            if server.kind == Kind::Ours {
                faults.extend(above_bound(&bounds, scenario.name, each));
            }
        }
        let emphasis = if server.kind == Kind::Ours { "**" } else { "" };
        println!(
            "| {emphasis}{}{emphasis} | {} |",
            server.name,
            cells.join(" | ")
        );
        if server.kind == Kind::Ours {
            println!("{}", goals(&cells));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n"))
}

/// The bounds' file, from the workspace's folder.
const BOUNDS: &str = "bench/instructions.txt";

/// The goals as a row, each with whether it is reached.
fn goals(cells: &[String]) -> String {
    let marked = SCENARIOS.iter().zip(cells).map(|(scenario, cell)| {
        let reached = cell.parse::<u64>().is_ok_and(|each| each <= scenario.goal);
        format!("{} {}", scenario.goal, if reached { "✓" } else { "✗" })
    });
    let marked: Vec<String> = marked.collect();
    format!("| its goal | {} |", marked.join(" | "))
}

/// What is wrong with a count, by the file of bounds.
fn above_bound(bounds: &str, name: &str, each: f64) -> Option<String> {
    let bound = bounds.lines().find_map(|line| {
        let (key, bound) = line.split_once(' ')?;
        (key == name).then(|| bound.trim().parse::<f64>().ok())?
    });
    let Some(bound) = bound else {
        return Some(format!(
            "{BOUNDS} has no bound for {name}; measured: {each:.0}"
        ));
    };
    (each > bound * TOLERANCE).then(|| {
        format!("{name}: {each:.0} instructions a message, the bound in {BOUNDS} is {bound:.0}")
    })
}

fn per_message(programs: &Programs, server: &Server, scenario: &Scenario) -> Result<f64, String> {
    let (few, short) = counted(programs, server, scenario, scenario.count)?;
    let (many, long) = counted(programs, server, scenario, scenario.count * 3)?;
    Ok((long - short) / (many - few))
}

/// Messages of a run, and the instructions of all of it.
fn counted(
    programs: &Programs,
    server: &Server,
    scenario: &Scenario,
    messages: u64,
) -> Result<(f64, f64), String> {
    let out = target().join("bench").join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind
        .env("GLIBC_TUNABLES", WITHOUT_REPEATED_INSTRUCTIONS)
        .arg(programs.path(server.program))
        .args(server.arguments);
    let serving = Program::start(server.program, &mut valgrind)?;
    let mut load = Command::new(programs.path("load"));
    load.args([
        "echo",
        "--warm-up",
        "2",
        "--address",
        &serving.address(START)?,
    ]);
    load.args(scenario.load)
        .args(["--messages", &messages.to_string()]);
    let mut load = Program::start("load", &mut load)?;
    load.line(STAGE)?;
    load.go_on()?;
    let stage = Stage::parse(&load.line(STAGE)?)?;
    load.finish(ANSWER)?;
    serving.finish(ANSWER)?;
    let counts = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let _gone = fs::remove_file(&out);
    Ok((stage.messages, total(&counts)?))
}

/// The line `totals: 123` of callgrind's file.
fn total(counts: &str) -> Result<f64, String> {
    let total = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.ok_or_else(|| "callgrind wrote no total".to_owned())
}

/// Lets `memcpy` and `memset` take vectors instead of `rep movsb` and `rep stosb`, which valgrind counts
/// once for every byte: what copies a large message would seem to cost a hundred times what it does.
const WITHOUT_REPEATED_INSTRUCTIONS: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
     glibc.cpu.x86_rep_stosb_threshold=0x40000000";

/// valgrind is some fifty times slower than the processor.
const START: Duration = Duration::from_secs(120);

const STAGE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_above_its_bound_is_a_fault_and_a_little_above_is_none() {
        let bounds = "# what\n64b 1000\n16k 3000\n";

        assert_eq!(above_bound(bounds, "64b", 900.0), None);
        assert_eq!(above_bound(bounds, "64b", 1_049.0), None);
        assert!(above_bound(bounds, "64b", 1_051.0).is_some());
        assert!(above_bound(bounds, "1m", 1.0).is_some_and(|it| it.contains("no bound")));
    }

    #[test]
    fn every_scenario_has_a_bound() {
        let bounds = fs::read_to_string(root().join(BOUNDS)).unwrap();

        for scenario in SCENARIOS {
            assert_eq!(above_bound(&bounds, scenario.name, 0.0), None);
        }
    }

    #[test]
    fn goal_is_marked_when_it_is_reached() {
        let cells = ["1400", "451", "10", "90000"].map(str::to_owned);

        assert_eq!(
            goals(&cells),
            "| its goal | 1400 ✓ | 450 ✗ | 3000 ✓ | 80000 ✗ |"
        );
    }

    #[test]
    fn total_is_found_in_callgrinds_file() {
        let counts = total("events: Ir\nfn=(1) a\n1 2\n\ntotals: 12345\n");

        assert!(counts.is_ok_and(|total| (total - 12_345.0).abs() < f64::EPSILON));
        assert!(total("events: Ir\n").is_err());
    }
}
