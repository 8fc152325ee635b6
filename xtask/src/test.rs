//! `cargo xtask test`: the one list of what must pass, in the order that fails fastest.
//!
//! A line per step with its time; a step that fails shows what it said, and is the last. The
//! tests' own output is shown as it comes. The closing line counts everything that passed, in
//! the shape of cargo's, so that whoever reads it knows that something was run.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    ops::AddAssign,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Outcome, autobahn, binaries::cargo, child, demo, interop, tidy};

struct Step {
    name: &'static str,
    run: fn() -> Result<Done, (Count, String)>,
}

/// From seconds to minutes.
const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        run: || one(tidy::run()),
    },
    Step {
        name: "fmt",
        run: || {
            quiet(&mut cargo(&["fmt", "--all", "--check"]))?;
            // All of bench/ that costs nothing; the rest is `cargo xtask bench --check`.
            quiet(&mut cargo(&[
                "fmt",
                "--check",
                "--manifest-path",
                "bench/Cargo.toml",
            ]))
        },
    },
    Step {
        name: "clippy",
        run: || {
            let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--all-features"]);
            quiet(clippy.args(["--", "-D", "warnings"]))
        },
    },
    Step {
        name: "doc",
        run: || {
            let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
            quiet(
                doc.arg("--document-private-items")
                    .env("RUSTDOCFLAGS", "-D warnings"),
            )
        },
    },
    Step {
        name: "test",
        run: tests,
    },
    Step {
        name: "demo",
        run: || all(demo::check(), "protocols"),
    },
    Step {
        name: "interop",
        run: || match interop::check() {
            Ok(interop::Checked { passed, skipped }) => {
                let skipped = skipped.iter().map(|why| format!(", SKIPPED: {why}"));
                all(
                    Ok(passed),
                    &format!("checks{}", skipped.collect::<String>()),
                )
            }
            Err(fault) => all(Err(fault), "checks"),
        },
    },
    Step {
        name: "autobahn",
        run: || match autobahn::check_quick() {
            Ok(autobahn::Checked::Ran(cases)) => all(Ok(cases), "cases, both roles"),
            Ok(autobahn::Checked::Skipped(why)) => Ok(Done {
                count: Count::default(),
                note: format!("SKIPPED: {why}"),
            }),
            Err(fault) => all(Err(fault), "cases"),
        },
    },
];

pub(crate) fn run() -> Outcome {
    let start = Instant::now();
    let mut total = Count::default();
    let mut notes = Vec::new();
    for step in STEPS {
        // Said before, so that a long step is seen to run.
        begin_line(step.name);
        let begun = Instant::now();
        let result = (step.run)();
        let seconds = begun.elapsed().as_secs_f64();
        match result {
            Ok(done) => {
                println!("ok   {seconds:7.1}s  {}", done.note);
                total += done.count;
                if !done.note.is_empty() {
                    notes.push(format!("{}: {}", step.name, done.note));
                }
            }
            Err((count, fault)) => {
                println!("FAIL {seconds:7.1}s");
                println!("\n{}\n", fault.trim_end());
                total += count;
                let stopped = format!("stopped at {}", step.name);
                return Err(total.closing_line("FAILED", start.elapsed(), &stopped));
            }
        }
    }
    let line = total.closing_line("ok", start.elapsed(), &notes.join(", "));
    println!("{line}");
    Ok(())
}

fn begin_line(step: &str) {
    print!("{step:<9} ");
    // Nobody may be reading; the verdict stands without.
    let _ = io::stdout().flush();
}

/// What passed, and what is worth a word beside it.
struct Done {
    count: Count,
    note: String,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Count {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Count {
    const ONE_FAILED: Self = Self {
        passed: 0,
        failed: 1,
        ignored: 0,
    };

    const fn passed(passed: usize) -> Self {
        Self {
            passed,
            failed: 0,
            ignored: 0,
        }
    }

    /// Reads a line such as `test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; …`.
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |label: &str| {
            let mut parts = counts.split("; ");
            let number = parts.find_map(|part| part.strip_suffix(label))?;
            number.trim().parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }

    fn closing_line(self, verdict: &str, elapsed: Duration, notes: &str) -> String {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        let seconds = elapsed.as_secs_f64();
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; \
             finished in {seconds:.1}s ({notes})"
        )
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// A step that is one check.
fn one(outcome: Outcome) -> Result<Done, (Count, String)> {
    match outcome {
        Ok(()) => Ok(Done {
            count: Count::passed(1),
            note: String::new(),
        }),
        Err(fault) => Err((Count::ONE_FAILED, fault)),
    }
}

/// A step of several checks, which fails as one.
fn all(passed: Result<usize, String>, what: &str) -> Result<Done, (Count, String)> {
    match passed {
        Ok(passed) => Ok(Done {
            count: Count::passed(passed),
            note: format!("{passed} {what}"),
        }),
        Err(fault) => Err((Count::ONE_FAILED, fault)),
    }
}

/// A command that is heard only when it fails.
fn quiet(command: &mut Command) -> Result<Done, (Count, String)> {
    let captured = child::capture(command, QUIET_AT_MOST);
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let what = format!("cargo {}", arguments.join(" "));
    one(captured.and_then(|it| it.success(&what)).map(|_| ()))
}

/// Clippy and rustdoc compile the whole tree the first time, on a machine that may be slow.
const QUIET_AT_MOST: Duration = Duration::from_secs(30 * 60);

/// All of them, also past a failure: one run shows everything that is to be mended.
const TEST_COMMAND: &[&str] = &["test", "--workspace", "--all-features", "--no-fail-fast"];

/// Unit, integration and doc tests; the examples are built.
fn tests() -> Result<Done, (Count, String)> {
    let failed = |fault: String| (Count::ONE_FAILED, fault);
    let mut command = cargo(TEST_COMMAND);
    let mut tests = child::Guarded::spawn(command.stdout(Stdio::piped())).map_err(failed)?;
    let stdout = tests.inner.stdout.take();
    println!("cargo {}", TEST_COMMAND.join(" "));
    let mut count = Count::default();
    for line in BufReader::new(stdout.ok_or_else(|| failed("no stdout".to_owned()))?).lines() {
        let line = line.map_err(|error| failed(error.to_string()))?;
        println!("{line}");
        count += Count::parse(&line).unwrap_or_default();
    }
    begin_line("test");
    let status = tests
        .inner
        .wait()
        .map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        // A test target that does not compile, or aborts, has no count of its own.
        count.failed = count.failed.max(1);
        return Err((count, format!("cargo test ended with {status}")));
    }
    if count.passed == 0 {
        return Err(failed("cargo test ran no test".to_owned()));
    }
    Ok(Done {
        count,
        note: format!("{} tests", count.passed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_own_line_is_counted() {
        let line = "test result: ok. 5 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; \
                    finished in 0.00s";

        let count = Count::parse(line).unwrap();

        assert_eq!((count.passed, count.failed, count.ignored), (5, 1, 2));
        assert_eq!(Count::parse("test a::b ... ok"), None);
    }

    #[test]
    fn closing_line_has_the_shape_of_cargos() {
        let line = Count::passed(7).closing_line("ok", Duration::from_secs(2), "test: 7 tests");

        assert_eq!(Count::parse(&line), Some(Count::passed(7)));
    }
}
