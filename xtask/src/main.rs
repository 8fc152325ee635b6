//! `cargo xtask <command>`: everything the CI does, as Rust that runs anywhere.
//!
//! See <https://github.com/matklad/cargo-xtask>. No dependencies: it must build in a second.
//! Commands are one file each; below them stands what several of them need.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a command-line tool talks to its user"
)]

// Commands.
mod autobahn;
mod bench;
mod demo;
mod interop;
mod test;
mod tidy;

// What they stand on, from far to near.
mod binaries;
mod catalogue;
mod child;
mod kosoku;
mod listening;
mod node;
mod python;
mod selection;
mod source;
mod verdict;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
cargo xtask <command>

  demo [--once]            Jetty's test protocols, live: a table here, a page in the browser;
                           --once stops after the table, and fails unless every row is ok
  test                     every test and check there is, what fails fastest first
  ci                       the same
  tidy                     rules clippy cannot see: headers, file length, layering, the tests that
                           compliance/hostile-inputs.md names
  interop                  Python websockets and ws for Node.js as clients of test-server and as
                           servers for test-client (Python 3.11+, node 18+)
  autobahn [--all] [--keep]
                           Autobahn's cases against our server and our client (Python 3.10+);
                           --all adds the long ones of groups 12 and 13, which take a quarter of
                           an hour; --keep keeps the reports of a success
  bench [SCENARIO..] [--rounds N] [--quick]
                           what a message, a connection, a delivery costs here and in other
                           libraries; the scenarios are in bench/README.md (Linux)
  bench --instructions     instructions per message, held to bench/instructions.txt (valgrind)
  bench --check            lints and tests of bench/, and a short round of each scenario
  help                     this text
";

/// Every command has this shape: explain on failure.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (command, flags) = arguments
        .split_first()
        .map_or(("", &[][..]), |(command, flags)| (command.as_str(), flags));
    let outcome = match command {
        "demo" => only(flags, &["--once"]).and_then(|()| demo::run(has(flags, "--once"))),
        "test" | "ci" => only(flags, &[]).and_then(|()| test::run()),
        "tidy" => only(flags, &[]).and_then(|()| tidy::run()),
        "interop" => only(flags, &[]).and_then(|()| interop::run()),
        "autobahn" => only(flags, &["--all", "--keep"])
            .and_then(|()| autobahn::run(has(flags, "--all"), has(flags, "--keep"))),
        "bench" => bench::run(flags),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.trim_end().to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Refuses what a command does not know, so that a misspelt flag is not quietly the default.
fn only(flags: &[String], known: &[&str]) -> Outcome {
    match flags.iter().find(|flag| !known.contains(&flag.as_str())) {
        Some(flag) => Err(format!("unknown argument {flag:?}\n\n{}", USAGE.trim_end())),
        None => Ok(()),
    }
}

fn has(flags: &[String], flag: &str) -> bool {
    flags.iter().any(|given| given == flag)
}

/// Whether what cannot be run here is a failure: a machine that checks for others has it all.
fn must_be_complete() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// The workspace's folder.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where cargo builds to, and where everything else goes that is made and not kept in git.
fn target() -> PathBuf {
    let default = || root().join("target");
    env::var_os("CARGO_TARGET_DIR").map_or_else(default, |folder| root().join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo test` is the only gate: what the CI would refuse, a local test run refuses first.
    #[test]
    fn tree_is_tidy() {
        tidy::run().unwrap();
    }

    #[test]
    fn misspelt_flag_is_refused_by_name() {
        let fault = only(&["--onec".to_owned()], &["--once"]).unwrap_err();

        assert!(fault.starts_with("unknown argument \"--onec\""), "{fault}");
    }
}
