//! `cargo xtask autobahn`: what the rest of the world thinks of test-server.
//!
//! Autobahn's cases, as the client, against test-server as its own process; then every verdict
//! against the committed list (see `verdict`). Without Python there is nothing to run them with:
//! that is said, and is a failure only where `CI` is set.

use std::{env, fs, time::Duration};

use crate::{
    Outcome,
    binaries::{Binaries, Server},
    kosoku::{Kosoku, Python},
    root, target,
    verdict::{self, Case, Expected},
};

/// What is expected, from the workspace's folder.
pub(crate) const LIST: &str = "compliance/autobahn-server.txt";

/// The groups that take seconds. 12 and 13 test compression, which the server does not offer.
const QUICK: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "10"];

/// And 9: limits and speed, with messages of up to 16 MiB.
const ALL: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "9", "10"];

/// Past this a run hangs. A case that gets no answer gives up after 1 s in the quick groups,
/// but after up to 480 s in group 9.
const QUICK_AT_MOST: Duration = Duration::from_secs(600);
const ALL_AT_MOST: Duration = Duration::from_secs(3600);

pub(crate) fn run(all: bool, keep: bool) -> Outcome {
    let groups = if all { ALL } else { QUICK };
    match check(groups, keep)? {
        Checked::Ran(cases) => {
            println!("{}", verdict::table(groups, &cases));
            println!("no verdict is worse than {LIST} says");
            if keep {
                println!("report: {}", report().join("index.html").display());
            }
        }
        Checked::Skipped(why) => println!("autobahn: skipped: {why}"),
    }
    Ok(())
}

/// A check of the quick groups, for `cargo xtask test`.
pub(crate) fn check_quick() -> Result<Checked, String> {
    check(QUICK, false)
}

/// How a check ended that found no fault.
#[derive(Debug)]
pub(crate) enum Checked {
    Ran(Vec<Case>),
    /// For this reason.
    Skipped(String),
}

fn check(groups: &[&str], keep: bool) -> Result<Checked, String> {
    let expected = fs::read_to_string(root().join(LIST))
        .map_err(|error| error.to_string())
        .and_then(|text| Expected::parse(&text))
        .map_err(|fault| format!("{LIST}: {fault}"))?;
    let python = match Python::find() {
        Ok(python) => python,
        Err(why) if env::var_os("CI").is_some_and(|value| !value.is_empty()) => {
            return Err(format!("autobahn: {why}, and CI is set"));
        }
        Err(why) => return Ok(Checked::Skipped(why)),
    };
    let kosoku = Kosoku::install(&python)?;
    let binaries = Binaries::build()?;

    if report().exists() {
        fs::remove_dir_all(report()).map_err(|error| format!("the last report stays: {error}"))?;
    }
    let mut server = Server::start(&binaries, 0)?;
    // No subprotocol is offered, so the path says which endpoint is meant.
    let url = format!("ws://{}/echo", server.address());
    let at_most = if groups == ALL {
        ALL_AT_MOST
    } else {
        QUICK_AT_MOST
    };
    let cases = kosoku.run(&url, groups, &report(), at_most)?;
    server.still_runs()?;

    let faults = expected.faults(groups, &cases);
    if !faults.is_empty() {
        return Err(format!(
            "{}\n\nworse than {LIST} says:\n{}\n\nreport: {}",
            verdict::table(groups, &cases),
            faults.join("\n"),
            report().join("index.html").display()
        ));
    }
    if !keep {
        // Left behind it would be in the way of nothing: the next run removes it too.
        let _ = fs::remove_dir_all(report());
    }
    Ok(Checked::Ran(cases))
}

/// Where kosoku's report goes.
fn report() -> std::path::PathBuf {
    target().join("autobahn").join("server")
}
