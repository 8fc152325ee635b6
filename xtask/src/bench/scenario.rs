//! What is measured, and of whom.

/// A server of `bench/`.
#[derive(Debug)]
pub(super) struct Server {
    /// As the tables have it.
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// No library: what nobody can be below.
    Ceiling,
    Peer,
    Ours,
    /// This project, too: what it is compared with where there is nobody else.
    OneWorker,
}

const fn server(
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    kind: Kind,
) -> Server {
    Server {
        name,
        program,
        arguments,
        kind,
    }
}

/// All that echo.
pub(super) const ECHO: &[Server] = &[
    server("bare tokio", "echo-bare", &[], Kind::Ceiling),
    server("ws-handler", "echo-ws-handler", &[], Kind::Ours),
    server("fastwebsockets", "echo-fastwebsockets", &[], Kind::Peer),
    server("tokio-websockets", "echo-tokio-websockets", &[], Kind::Peer),
    server("yawc", "echo-yawc", &[], Kind::Peer),
    server("yawc, by hand", "echo-yawc", &["batched"], Kind::Peer),
    server("tungstenite", "echo-tungstenite", &[], Kind::Peer),
    server(
        "tungstenite, by hand",
        "echo-tungstenite",
        &["batched"],
        Kind::Peer,
    ),
    server("axum", "echo-axum", &[], Kind::Peer),
];

/// All that compress: the others have no permessage-deflate.
const DEFLATE: &[Server] = &[
    server("ws-handler", "echo-ws-handler", &["deflate"], Kind::Ours),
    server("yawc", "echo-yawc", &["deflate"], Kind::Peer),
];

const BROADCAST: &[Server] = &[
    server("ws-handler, Group", "broadcast-ws-handler", &[], Kind::Ours),
    server(
        "axum, tokio::sync::broadcast",
        "broadcast-axum",
        &[],
        Kind::Peer,
    ),
];

/// This project on one thread and on several: as many as it has cores, where no number is said.
const WORKERS: &[Server] = &[
    server(
        "current-thread runtime, 1 worker",
        "echo-ws-handler",
        &[],
        Kind::OneWorker,
    ),
    server(
        "`PerCore`, 1 worker",
        "echo-ws-handler",
        &["per-core", "1"],
        Kind::Ours,
    ),
    server(
        "`PerCore`, N workers",
        "echo-ws-handler",
        &["per-core"],
        Kind::Ours,
    ),
    server(
        "multi-thread runtime, N workers",
        "echo-ws-handler",
        &["multi-thread"],
        Kind::Ours,
    ),
];

/// One thing to measure.
#[derive(Debug)]
pub(super) struct Scenario {
    /// As it is asked for.
    pub(super) name: &'static str,
    /// The heading of its table.
    pub(super) title: &'static str,
    pub(super) measure: Measure,
    pub(super) servers: &'static [Server],
    /// Of the load, but for address and number.
    pub(super) load: &'static [&'static str],
    /// Messages or connections in a round.
    pub(super) count: u64,
    /// What is divided by, one and many of it.
    pub(super) unit: (&'static str, &'static str),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Measure {
    /// Time on a core for each unit.
    Time,
    /// The same on several cores, and how many connections each of them has.
    Workers,
    /// Memory for each connection.
    Memory,
}

/// In the order in which they are run and shown.
#[rustfmt::skip]
pub(super) const SCENARIOS: &[Scenario] = &[
    echo("64b", "64 B, 100 connections, 1 in flight", 200_000, SMALL),
    echo("64b-burst", "64 B, 100 connections, 64 in flight", 640_000, SMALL_BURST),
    echo("1k", "1 KiB, 100 connections, 1 in flight", 200_000,
        &["echo", "--bytes", "1024", "--connections", "100", "--warm-up", "100"]),
    echo("16k", "16 KiB, 100 connections, 1 in flight", 50_000,
        &["echo", "--bytes", "16384", "--connections", "100", "--warm-up", "20"]),
    echo("1m", "1 MiB, 10 connections, 1 in flight", 1_000,
        &["echo", "--bytes", "1048576", "--connections", "10", "--warm-up", "5"]),
    echo("16m", "16 MiB, 2 connections, 1 in flight", 40,
        &["echo", "--bytes", "16777216", "--connections", "2", "--warm-up", "1"]),
    echo("unicode", "1 KiB of text that is not ASCII, 100 connections, 1 in flight", 200_000,
        &["echo", "--kind", "unicode", "--bytes", "1024", "--connections", "100", "--warm-up", "100"]),
    Scenario {
        servers: DEFLATE,
        ..echo("deflate-1k", "permessage-deflate, JSON of 1 KiB, 100 connections, 1 in flight", 50_000,
            &["echo", "--deflate", "--kind", "json", "--bytes", "1024", "--connections", "100", "--warm-up", "20"])
    },
    Scenario {
        servers: DEFLATE,
        ..echo("deflate-16k", "permessage-deflate, JSON of 16 KiB, 100 connections, 1 in flight", 10_000,
            &["echo", "--deflate", "--kind", "json", "--bytes", "16384", "--connections", "100", "--warm-up", "5"])
    },
    Scenario {
        name: "churn",
        title: "connect, upgrade, close; 32 at a time",
        measure: Measure::Time,
        servers: ECHO,
        load: &["churn", "--connections", "32", "--warm-up", "10"],
        count: 4_800,
        unit: ("connection", "connections"),
    },
    Scenario {
        name: "broadcast-10",
        title: "broadcast of 128 B, 1 to 1,000, 10 messages a second",
        measure: Measure::Time,
        servers: BROADCAST,
        load: &["broadcast", "--bytes", "128", "--connections", "1000", "--rate", "10"],
        count: 20,
        unit: ("delivery", "deliveries"),
    },
    Scenario {
        name: "broadcast-1000",
        title: "broadcast of 128 B, 1 to 1,000, 1,000 messages a second",
        measure: Measure::Time,
        servers: BROADCAST,
        load: &["broadcast", "--bytes", "128", "--connections", "1000", "--rate", "1000"],
        count: 300,
        unit: ("delivery", "deliveries"),
    },
    Scenario {
        measure: Measure::Workers,
        servers: WORKERS,
        ..echo("workers-64b", "64 B, 100 connections, 1 in flight, over workers", 200_000, SMALL)
    },
    Scenario {
        measure: Measure::Workers,
        servers: WORKERS,
        ..echo("workers-64b-burst", "64 B, 100 connections, 64 in flight, over workers", 1_280_000, SMALL_BURST)
    },
    idle("idle", "idle connections, a minimal request", &["idle"]),
    idle("idle-browser", "idle connections, a browser's request", &["idle", "--browser"]),
];

#[rustfmt::skip]
const SMALL: &[&str] =
    &["echo", "--bytes", "64", "--connections", "100", "--warm-up", "100"];

#[rustfmt::skip]
const SMALL_BURST: &[&str] =
    &["echo", "--bytes", "64", "--connections", "100", "--in-flight", "64", "--warm-up", "5"];

const fn echo(
    name: &'static str,
    title: &'static str,
    count: u64,
    load: &'static [&'static str],
) -> Scenario {
    Scenario {
        name,
        title,
        measure: Measure::Time,
        servers: ECHO,
        load,
        count,
        unit: ("message", "messages"),
    }
}

const fn idle(name: &'static str, title: &'static str, load: &'static [&'static str]) -> Scenario {
    Scenario {
        name,
        title,
        measure: Measure::Memory,
        servers: ECHO,
        load,
        count: 10_000,
        unit: ("connection", "connections"),
    }
}

/// The scenarios that are meant: by name, or all of a family (`broadcast`); all, when none is named.
pub(super) fn chosen(names: &[&str]) -> Result<Vec<&'static Scenario>, String> {
    let mut chosen = Vec::new();
    for name in names {
        let exact = SCENARIOS.iter().filter(|it| it.name == *name);
        let family = SCENARIOS.iter().filter(|it| {
            let member = it.name.strip_prefix(name);
            member.is_some_and(|rest| rest.starts_with('-'))
        });
        let mut found: Vec<_> = exact.collect();
        if found.is_empty() {
            found = family.collect();
        }
        if found.is_empty() {
            let known: Vec<&str> = SCENARIOS.iter().map(|it| it.name).collect();
            return Err(format!(
                "no scenario {name:?}; there are {}",
                known.join(", ")
            ));
        }
        chosen.extend(found);
    }
    if names.is_empty() {
        chosen = SCENARIOS.iter().collect();
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &[&str]) -> Vec<&'static str> {
        let chosen = chosen(asked).unwrap();
        chosen.iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn scenario_is_chosen_by_name_or_family() {
        assert_eq!(names(&["64b"]), ["64b"]);
        assert_eq!(names(&["broadcast"]), ["broadcast-10", "broadcast-1000"]);
        assert_eq!(names(&["workers"]), ["workers-64b", "workers-64b-burst"]);
        assert_eq!(names(&["1k", "16k"]), ["1k", "16k"]);
        assert_eq!(names(&[]).len(), SCENARIOS.len());
    }

    #[test]
    fn unknown_scenario_is_refused_with_the_known_ones() {
        let fault = chosen(&["64"]).unwrap_err();

        assert!(fault.contains("64b-burst"), "{fault}");
    }

    #[test]
    fn every_scenario_has_us_and_somebody_to_compare_with() {
        for scenario in SCENARIOS {
            for kinds in [&[Kind::Ours][..], &[Kind::Peer, Kind::OneWorker]] {
                let found = scenario.servers.iter().any(|it| kinds.contains(&it.kind));
                assert!(found, "{}: {kinds:?}", scenario.name);
            }
        }
    }
}
