//! `cargo xtask bench`: what a message, a connection, a delivery costs; this project and others.
//!
//! Builds the programs of `bench/`, then runs each scenario in rounds, server after server within a
//! round, so that what changes on the machine meanwhile is fair to all. A server is a new process in each
//! round, warmed up before it is looked at; the load is counted, not timed. What is printed is Markdown.

mod cost;
mod instructions;
mod machine;
mod placement;
mod program;
mod scenario;
mod table;

use std::{path::PathBuf, process::Command, time::Duration};

use self::{
    cost::{Cost, resident_bytes},
    placement::Placement,
    program::Program,
    scenario::{Measure, Scenario, Server},
    table::{Column, Row},
};
use crate::{Outcome, binaries::cargo, root, target};

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Asked<'a> {
    scenarios: Vec<&'a str>,
    rounds: usize,
    quick: bool,
    instructions: bool,
    check: bool,
}

pub(crate) fn run(flags: &[String]) -> Outcome {
    let asked = parse(flags)?;
    if !cfg!(target_os = "linux") {
        return Err("bench reads /proc, which only Linux has".to_owned());
    }
    if asked.check {
        return check();
    }
    let scenarios = scenario::chosen(&asked.scenarios)?;
    let programs = Programs::build()?;
    println!("{}", machine::description());
    if asked.instructions {
        return instructions::run(&programs);
    }
    for scenario in scenarios {
        println!("{}", measure(&programs, scenario, &asked)?);
    }
    Ok(())
}

fn parse(flags: &[String]) -> Result<Asked<'_>, String> {
    let mut asked = Asked {
        scenarios: Vec::new(),
        rounds: DEFAULT_ROUNDS,
        quick: false,
        instructions: false,
        check: false,
    };
    let mut flags = flags.iter().map(String::as_str);
    while let Some(flag) = flags.next() {
        match flag {
            "--rounds" => {
                let rounds = flags.next().and_then(|number| number.parse().ok());
                let rounds = rounds.filter(|rounds| (1..=MAX_ROUNDS).contains(rounds));
                let fault = || format!("--rounds takes a number from 1 to {MAX_ROUNDS}");
                asked.rounds = rounds.ok_or_else(fault)?;
            }
            "--quick" => asked.quick = true,
            "--instructions" => asked.instructions = true,
            "--check" => asked.check = true,
            name if !name.starts_with('-') => asked.scenarios.push(name),
            unknown => return Err(format!("unknown argument {unknown:?}")),
        }
    }
    if asked.instructions && !asked.scenarios.is_empty() {
        return Err("--instructions has scenarios of its own".to_owned());
    }
    Ok(asked)
}

const DEFAULT_ROUNDS: usize = 5;

const MAX_ROUNDS: usize = 101;

/// The programs of `bench/`, built.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn build() -> Result<Self, String> {
        let mut build = in_bench(&["build", "--quiet", "--release", "--bins"]);
        let status = build.status().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err("the programs of bench/ do not build".to_owned());
        }
        let folder = target().join("bench").join("release");
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A cargo in the workspace of `bench/`, which has its own lock file and target folder.
fn in_bench(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command
        .current_dir(root().join("bench"))
        .env("CARGO_TARGET_DIR", target().join("bench"));
    command
}

/// What `cargo xtask test` does not do for `bench/`, because it would build every peer: its lints, its
/// tests, and a short round of each scenario, so that the programs are seen to work.
fn check() -> Outcome {
    for arguments in [
        &["fmt", "--check"][..],
        &["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"],
        &["test", "--quiet"],
    ] {
        let status = in_bench(arguments).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("cargo {} failed in bench/", arguments.join(" ")));
        }
    }
    let programs = Programs::build()?;
    let asked = Asked {
        rounds: 1,
        quick: true,
        ..parse(&[])?
    };
    for scenario in scenario::SCENARIOS {
        measure(&programs, scenario, &asked)?;
        println!("ok   {}", scenario.name);
    }
    Ok(())
}

/// All rounds of a scenario, as a section of Markdown.
fn measure(programs: &Programs, scenario: &Scenario, asked: &Asked<'_>) -> Result<String, String> {
    let count = count(scenario, asked.quick);
    let mut rows: Vec<Row> = scenario
        .servers
        .iter()
        .map(|server| Row {
            name: server.name,
            kind: server.kind,
            rounds: Vec::new(),
        })
        .collect();
    let rounds = match scenario.measure {
        Measure::Time | Measure::Workers => asked.rounds,
        // Memory is hardly noisy, and ten thousand connections take their time.
        Measure::Memory => asked.rounds.min(MEMORY_ROUNDS),
    };
    for _ in 0..rounds {
        for (server, row) in scenario.servers.iter().zip(&mut rows) {
            let round = one_round(programs, scenario, server, count);
            row.rounds.push(
                round.map_err(|fault| format!("{} of {}: {fault}", scenario.name, server.name))?,
            );
        }
    }
    let table = match scenario.measure {
        Measure::Time | Measure::Workers => time_table(scenario, &mut rows),
        Measure::Memory => {
            let columns = [("bytes after an echo", 0), ("after connect", 0)];
            let columns = columns.map(|(name, decimals)| Column::new(name, decimals));
            table::markdown(&columns, &rows)
        }
    };
    let counted =
        if scenario.load.starts_with(&["echo"]) || scenario.load.starts_with(&["broadcast"]) {
            "messages"
        } else {
            "connections"
        };
    let heading = heading(scenario);
    Ok(format!(
        "{heading}\n\n{rounds} rounds of {count} {counted}\n\n{table}"
    ))
}

const MEMORY_ROUNDS: usize = 3;

fn heading(scenario: &Scenario) -> String {
    let Scenario { name, title, .. } = scenario;
    match scenario.measure {
        Measure::Time | Measure::Memory => format!("### `{name}`: {title}"),
        Measure::Workers => {
            let placement = Placement::of(scenario.measure);
            let (placed, description) = (placement.title(), placement.description());
            format!("### `{name}`: {title}; {placed}\n\n{description} {SPREAD}")
        }
    }
}

/// What the columns say of connections.
const SPREAD: &str = "Which worker of `PerCore` gets a connection is the kernel's choice, by a hash of its addresses \
     (SO_REUSEPORT), so that few connections are spread unevenly: shown are the worker with the fewest and the one with \
     the most. On the multi-thread runtime no connection belongs to a worker.";

fn time_table(scenario: &Scenario, rows: &mut [Row]) -> String {
    let workers = scenario.measure == Measure::Workers;
    let (one, many) = scenario.unit;
    let per = format!("µs a {one}");
    let rate = format!("{many} a second");
    // What is the same for all, or nothing, is no column.
    let wire = matches!(scenario.load, ["echo", "--deflate", ..]);
    let lost = scenario.load.starts_with(&["broadcast"]);
    let columns = [
        (true, Column::new(&per, 2)),
        (true, Column::new("user", 2)),
        (true, Column::new("system", 2)),
        (
            true,
            Column {
                compared: workers,
                ..Column::new(&rate, 0)
            },
        ),
        (wire, Column::new("bytes received", 0)),
        (lost, Column::new("lost", 0)),
        (workers, Column::new("fewest connections", 0)),
        (workers, Column::new("most connections", 0)),
    ];
    for round in rows.iter_mut().flat_map(|row| &mut row.rounds) {
        let values = columns.iter().zip(round.iter());
        *round = values
            .filter(|((shown, _), _)| *shown)
            .map(|(_, value)| *value)
            .collect();
    }
    let columns = columns.iter().filter(|(shown, _)| *shown);
    let columns: Vec<Column<'_>> = columns.map(|(_, column)| *column).collect();
    table::markdown(&columns, rows)
}

/// How many messages or connections a round has; fewer where the system does not allow as many.
fn count(scenario: &Scenario, quick: bool) -> u64 {
    let count = if quick {
        scenario.count / 10
    } else {
        scenario.count
    };
    let room = program::descriptors().map_or(u64::MAX, |all| all.saturating_sub(OTHER_DESCRIPTORS));
    match scenario.measure {
        Measure::Time | Measure::Workers => count,
        Measure::Memory => count.min(room),
    }
}

/// What a process has open besides its connections.
const OTHER_DESCRIPTORS: u64 = 64;

/// A new server and a new load; gives the columns of the scenario's table.
fn one_round(
    programs: &Programs,
    scenario: &Scenario,
    server: &Server,
    count: u64,
) -> Result<Vec<f64>, String> {
    let placement = Placement::of(scenario.measure);
    let mut command = placement.server(&programs.path(server.program));
    let serving = Program::start(server.program, command.args(server.arguments))?;
    let mut command = placement.load(&programs.path("load"), scenario.load);
    command.args(["--address", &serving.address(ANSWER)?]);
    let counted = match scenario.measure {
        Measure::Time | Measure::Workers => "--messages",
        Measure::Memory => "--connections",
    };
    let mut load = Program::start("load", command.args([counted, &count.to_string()]))?;
    load.line(STAGE)?;
    let mut columns = match scenario.measure {
        Measure::Time | Measure::Workers => {
            let before = Cost::of(serving.id())?;
            load.go_on()?;
            let stage = Stage::parse(&load.line(STAGE)?)?;
            time_columns(Cost::of(serving.id())? - before, stage)
        }
        Measure::Memory => {
            let before = resident_bytes(serving.id())?;
            let mut each = || -> Result<f64, String> {
                load.go_on()?;
                load.line(STAGE)?;
                Ok((resident_bytes(serving.id())? - before) / count as f64)
            };
            let (connected, echoed) = (each()?, each()?);
            vec![echoed, connected]
        }
    };
    load.finish(ANSWER)?;
    let last = serving.finish(ANSWER)?;
    if scenario.measure != Measure::Memory {
        columns.extend(spread(last.as_deref())?);
    }
    Ok(columns)
}

fn time_columns(cost: Cost, stage: Stage) -> Vec<f64> {
    let microseconds = |nanoseconds: f64| nanoseconds / 1e3 / stage.messages;
    let user = cost.user().unwrap_or(f64::NAN);
    vec![
        microseconds(cost.nanoseconds),
        microseconds(user),
        microseconds(cost.nanoseconds - user),
        stage.messages / (stage.nanoseconds / 1e9),
        stage.bytes / stage.messages,
        stage.lost,
    ]
}

/// The fewest and the most connections on one worker, from a server's last line; NaN if it says none.
fn spread(line: Option<&str>) -> Result<[f64; 2], String> {
    let Some(line) = line else {
        return Ok([f64::NAN; 2]);
    };
    let each = line.strip_prefix("connections ").unwrap_or_default();
    let each: Result<Vec<f64>, _> = each.split_whitespace().map(str::parse).collect();
    match each {
        Ok(each) if !each.is_empty() => {
            let fewest = each.iter().copied().fold(f64::INFINITY, f64::min);
            let most = each.iter().copied().fold(0.0, f64::max);
            Ok([fewest, most])
        }
        _ => Err(format!("a server's last line is {line:?}")),
    }
}

/// What a load says at the end of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stage {
    messages: f64,
    nanoseconds: f64,
    bytes: f64,
    lost: f64,
}

impl Stage {
    fn parse(line: &str) -> Result<Self, String> {
        let number = |name: &str| {
            let mut words = line.split_whitespace();
            let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            let number = value.and_then(|value| value.parse().ok());
            number.ok_or_else(|| format!("the load said {line:?}, without {name}"))
        };
        Ok(Self {
            messages: number("messages")?,
            nanoseconds: number("nanoseconds")?,
            bytes: number("bytes")?,
            lost: number("lost")?,
        })
    }
}

/// How long a program may take to start, or to end.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a stage of a load may take: each takes seconds at most on an idle machine.
const STAGE: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(flags: &[&str]) -> Result<(Vec<String>, usize, bool), String> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let asked = parse(&flags)?;
        let names = asked.scenarios.iter().map(|name| (*name).to_owned());
        Ok((names.collect(), asked.rounds, asked.quick))
    }

    #[test]
    fn scenarios_and_flags_are_told_apart() {
        let parsed = asked(&["64b", "--rounds", "3", "--quick"]).unwrap();

        assert_eq!(parsed, (vec!["64b".to_owned()], 3, true));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for flags in [
            &["--rounds"][..],
            &["--rounds", "0"],
            &["--rounds", "1000"],
            &["--fast"],
            &["--instructions", "64b"],
        ] {
            assert!(asked(flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn line_of_a_load_is_read_by_name() {
        let stage = Stage::parse("done messages=4 nanoseconds=9 bytes=8 lost=1").unwrap();

        assert!((stage.nanoseconds - 9.0).abs() < f64::EPSILON);
        assert!((stage.lost - 1.0).abs() < f64::EPSILON);
        assert!(Stage::parse("done messages=4").is_err());
    }

    #[test]
    fn spread_is_the_fewest_and_the_most_of_a_last_line() {
        assert_eq!(spread(Some("connections 50 7 43")), Ok([7.0, 50.0]));
        assert_eq!(spread(Some("connections 0")), Ok([0.0, 0.0]));
        assert!(spread(None).is_ok_and(|none| none.iter().all(|it| it.is_nan())));
        for wrong in ["connections ", "panicked 3", ""] {
            assert!(spread(Some(wrong)).is_err(), "{wrong:?}");
        }
    }
}
