//! `cargo xtask interop`: other people's WebSocket libraries on the other side of the connection.
//!
//! Python websockets and ws for Node.js, at pinned versions under the target folder, as clients of
//! test-server and as servers for test-client, each way with and without compression. What they
//! check is in `xtask/interop`, one script a library; a line of theirs is one check. A library
//! whose language is not there is skipped with a line that says so; only a missing Python is a
//! failure where `CI` is set.

use std::{process::Command, thread, time::Duration};

use crate::{
    Outcome,
    binaries::{Binaries, DEFLATE, DEFLATE_NO_CONTEXT, Profile},
    child::{self, Captured},
    must_be_complete,
    node::Node,
    python::{Python, Venv},
    root, target,
};

pub(crate) fn run() -> Outcome {
    let checked = check_with(&|lines| println!("{lines}"))?;
    for why in &checked.skipped {
        println!("interop: skipped: {why}");
    }
    println!("{} checks passed", checked.passed);
    Ok(())
}

/// The same for `cargo xtask test`, heard only when it fails.
pub(crate) fn check() -> Result<Checked, String> {
    check_with(&|_| {})
}

/// What came of checks that found no fault.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) passed: usize,
    /// Why a library was not asked.
    pub(crate) skipped: Vec<String>,
}

/// Shows every run when it is done; the error is of all runs.
fn check_with(show: &dyn Fn(&str)) -> Result<Checked, String> {
    let mut checked = Checked::default();
    let mut libraries = Vec::new();
    for find in [python_websockets, node_ws] {
        match find()? {
            Found::Library(library) => libraries.push(library),
            Found::Nothing(why) => checked.skipped.push(why),
        }
    }
    if libraries.is_empty() {
        return Ok(checked);
    }
    let binaries = Binaries::build(Profile::Dev)?;
    let mut faults = Vec::new();
    for way in WAYS {
        for Run { title, result } in way.run(&libraries, &binaries)? {
            match result {
                Ok(lines) => {
                    checked.passed += lines.len();
                    show(&format!("{title}\n  {}\n", lines.join("\n  ")));
                }
                Err(fault) => faults.push(format!("{title}\n{fault}")),
            }
        }
    }
    if faults.is_empty() {
        return Ok(checked);
    }
    Err(faults.join("\n\n"))
}

/// A library, installed.
struct Library {
    name: String,
    /// Starts its script, to be given arguments.
    script: Box<dyn Fn() -> Command>,
}

enum Found {
    Library(Library),
    /// For this reason.
    Nothing(String),
}

fn python_websockets() -> Result<Found, String> {
    const VERSION: &str = "17.4";
    // What that version asks for.
    let python = match Python::find(11) {
        Ok(python) => python,
        Err(why) if must_be_complete() => return Err(format!("interop: {why}, and CI is set")),
        Err(why) => return Ok(Found::Nothing(why)),
    };
    let folder = target().join("interop").join("venv");
    let venv = Venv::install(&python, &folder, "websockets", VERSION)?;
    Ok(Found::Library(Library {
        name: format!("Python websockets {VERSION}"),
        script: Box::new(move || {
            let mut python = venv.python();
            python.arg(root().join("xtask/interop/python_websockets.py"));
            python
        }),
    }))
}

fn node_ws() -> Result<Found, String> {
    const VERSION: &str = "8.23.0";
    if let Err(why) = Node::look() {
        return Ok(Found::Nothing(why));
    }
    let folder = target().join("interop").join("node");
    let node = Node::install(&folder, "ws", VERSION)?;
    let script = node.module("node_ws.mjs", include_str!("../interop/node_ws.mjs"))?;
    Ok(Found::Library(Library {
        name: format!("Node.js ws {VERSION}"),
        script: Box::new(move || {
            let mut node = Node::command();
            node.arg(&script);
            node
        }),
    }))
}

/// One way to agree on compression, or not to.
struct Way {
    name: &'static str,
    /// Options of our programs.
    ours: &'static [&'static str],
    /// What the library asks for, in the words of the scripts.
    wish: &'static str,
    /// What must come of it.
    agreed: &'static str,
}

const WAYS: &[Way] = &[
    Way {
        name: "plain",
        ours: &[],
        wish: "takeover",
        agreed: "plain",
    },
    Way {
        name: "compressed",
        ours: DEFLATE,
        wish: "takeover",
        agreed: "takeover",
    },
    Way {
        name: "compressed, without contexts at its wish",
        ours: DEFLATE,
        wish: "no-takeover",
        agreed: "no-takeover",
    },
    Way {
        name: "compressed, without contexts at our wish",
        ours: DEFLATE_NO_CONTEXT,
        wish: "takeover",
        agreed: "no-takeover",
    },
];

/// A script that ended, or not: the checks that it passed, or what went wrong.
struct Run {
    title: String,
    result: Result<Vec<String>, String>,
}

impl Way {
    /// Every library in both roles, all at once: they wait for each other more than they compute.
    fn run(&self, libraries: &[Library], binaries: &Binaries) -> Result<Vec<Run>, String> {
        let mut servers = Vec::new();
        let mut scripts = Vec::new();
        for library in libraries {
            // One for each: whoever is connected hears a broadcast.
            let server = binaries.serve(0, self.ours)?;
            let mut client = (library.script)();
            client.args(["client", self.wish, self.agreed]);
            client.arg(format!("ws://{}/", server.address()));
            servers.push(server);
            scripts.push((format!("{}, client, {}", library.name, self.name), client));

            let mut server = (library.script)();
            server.args(["server", self.wish, self.agreed]);
            server.arg(&binaries.client).args(self.ours);
            scripts.push((format!("{}, server, {}", library.name, self.name), server));
        }
        let runs = thread::scope(|scope| {
            let started = scripts.into_iter().map(|(title, mut script)| {
                let run = move || child::capture(&mut script, AT_MOST).and_then(passed);
                (title, scope.spawn(run))
            });
            // All are started before the first is waited for.
            let started: Vec<_> = started.collect();
            let ended = started.into_iter().map(|(title, script)| Run {
                title,
                result: script.join().unwrap_or_else(|_| Err("panicked".to_owned())),
            });
            ended.collect()
        });
        for server in &mut servers {
            server.still_runs()?;
        }
        Ok(runs)
    }
}

/// Some seconds are enough; of what does not happen, each check has a deadline of its own.
const AT_MOST: Duration = Duration::from_secs(180);

/// The names of the checks that a script passed, if it passed all.
fn passed(script: Captured) -> Result<Vec<String>, String> {
    let script = script.success("the script")?;
    let lines = script.stdout.lines();
    let names: Option<Vec<String>> = lines
        .map(|line| line.strip_prefix("ok ").map(ToOwned::to_owned))
        .collect();
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err(format!("the script said:\n{}", script.output())),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn passed_by(script: &str) -> Result<Vec<String>, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        child::capture(&mut shell, Duration::from_secs(10)).and_then(passed)
    }

    #[test]
    fn each_line_of_a_script_is_a_check() {
        let names = passed_by("echo ok one; echo ok two more").unwrap();

        assert_eq!(names, ["one", "two more"]);
    }

    #[test]
    fn script_that_fails_or_says_something_else_is_quoted() {
        for script in [
            "echo ok one; echo FAIL two: why; exit 1",
            "echo ok one; echo FAIL two: why",
        ] {
            let fault = passed_by(script).unwrap_err();

            assert!(fault.contains("FAIL two: why"), "{fault}");
        }
    }

    #[test]
    fn script_that_checks_nothing_is_a_fault() {
        passed_by("true").unwrap_err();
    }
}
