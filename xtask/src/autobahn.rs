//! `cargo xtask autobahn`: what the rest of the world thinks of both ends of our connections.
//!
//! Autobahn's cases against test-server, then against autobahn-client, each as its own process;
//! then every verdict against the committed list of that role (see `verdict`). Without Python there
//! is nothing to run them with: that is said, and is a failure only where `CI` is set.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    Outcome,
    binaries::{Binaries, DEFLATE, DEFLATE_NO_CONTEXT, LOOPBACK, Profile},
    child,
    kosoku::{Kosoku, PYTHON_MINOR},
    must_be_complete,
    python::Python,
    root,
    selection::Selection,
    target,
    verdict::{self, Case, Expected},
};

/// How much of the suite is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    Quick,
    All,
}

pub(crate) fn run(all: bool, keep: bool) -> Outcome {
    let extent = if all { Extent::All } else { Extent::Quick };
    let checked = check(extent, keep, &|role, cases| {
        println!("{}\n{}", role.title(), verdict::table(cases));
        println!("no verdict is worse than {} says", role.list());
        if keep {
            println!("{}", role.report_lines());
        }
        println!();
    })?;
    if let Checked::Skipped(why) = checked {
        println!("autobahn: skipped: {why}");
    }
    Ok(())
}

/// A check of what takes seconds, for `cargo xtask test`.
pub(crate) fn check_quick() -> Result<Checked, String> {
    check(Extent::Quick, false, &|_, _| {})
}

/// How a check ended that found no fault.
#[derive(Debug)]
pub(crate) enum Checked {
    /// As many cases.
    Ran(usize),
    /// For this reason.
    Skipped(String),
}

/// Shows every role that has no fault when it is done; the error is of both.
fn check(extent: Extent, keep: bool, show: &dyn Fn(Role, &[Case])) -> Result<Checked, String> {
    let python = match Python::find(PYTHON_MINOR) {
        Ok(python) => python,
        Err(why) if must_be_complete() => return Err(format!("autobahn: {why}, and CI is set")),
        Err(why) => return Ok(Checked::Skipped(why)),
    };
    let kosoku = Kosoku::install(&python)?;
    let binaries = Binaries::build(extent.profile())?;
    let selection = extent.selection();
    let (mut ran, mut faulty) = (0, Vec::new());
    for role in Role::BOTH {
        let expected = role.expected()?;
        for folder in role.reports() {
            remove(&folder)?;
        }
        let cases = role.run(&kosoku, &binaries, &selection, extent.at_most())?;
        let faults = expected.faults(&selection, &cases);
        if !faults.is_empty() {
            faulty.push(format!(
                "{}\n{}\n\nworse than {} says:\n{}\n{}",
                role.title(),
                verdict::table(&cases),
                role.list(),
                faults.join("\n"),
                role.report_lines()
            ));
            continue;
        }
        show(role, &cases);
        if !keep {
            for folder in role.reports() {
                // Left behind it would be in the way of nothing: the next run removes it too.
                let _ = remove(&folder);
            }
        }
        ran += cases.len();
    }
    match faulty.is_empty() {
        true => Ok(Checked::Ran(ran)),
        false => Err(faulty.join("\n\n")),
    }
}

impl Extent {
    fn selection(self) -> Selection {
        match self {
            Self::Quick => Selection::quick(),
            Self::All => Selection::all(),
        }
    }

    /// Compressing is eight times slower in the dev profile: an hour in groups 12 and 13.
    const fn profile(self) -> Profile {
        match self {
            Self::Quick => Profile::Dev,
            Self::All => Profile::Release,
        }
    }

    /// Past this a run hangs. A case that gets no answer gives up after 1 s in the first groups,
    /// but after up to 480 s in 9, 12 and 13.
    const fn at_most(self) -> Duration {
        match self {
            Self::Quick => Duration::from_secs(600),
            Self::All => Duration::from_secs(3600),
        }
    }
}

/// Which end of the connection is ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Server,
    Client,
}

impl Role {
    pub(crate) const BOTH: [Self; 2] = [Self::Server, Self::Client];

    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Server => "test-server, as the server",
            Self::Client => "autobahn-client, as the client",
        }
    }

    /// What is expected, from the workspace's folder.
    pub(crate) fn list(self) -> String {
        format!("compliance/autobahn-{}.txt", self.name())
    }

    fn expected(self) -> Result<Expected, String> {
        let list = self.list();
        fs::read_to_string(root().join(&list))
            .map_err(|error| error.to_string())
            .and_then(|text| Expected::parse(&text))
            .map_err(|fault| format!("{list}: {fault}"))
    }

    /// Where kosoku's report goes.
    fn report(self) -> PathBuf {
        target().join("autobahn").join(self.name())
    }

    /// Where the report of the second run goes, of a client without context takeover.
    fn report_without_context(self) -> PathBuf {
        let name = format!("{}-no-context", self.name());
        target().join("autobahn").join(name)
    }

    fn reports(self) -> Vec<PathBuf> {
        match self {
            Self::Server => vec![self.report()],
            Self::Client => vec![self.report(), self.report_without_context()],
        }
    }

    fn report_lines(self) -> String {
        let reports = self.reports().into_iter();
        let lines = reports.map(|it| format!("report: {}", it.join("index.html").display()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn run(
        self,
        kosoku: &Kosoku,
        binaries: &Binaries,
        selection: &Selection,
        at_most: Duration,
    ) -> Result<Vec<Case>, String> {
        match self {
            Self::Server => self.run_server(kosoku, binaries, selection, at_most),
            Self::Client => self.run_client(kosoku, binaries, selection, at_most),
        }
    }

    fn run_server(
        self,
        kosoku: &Kosoku,
        binaries: &Binaries,
        selection: &Selection,
        at_most: Duration,
    ) -> Result<Vec<Case>, String> {
        let mut server = binaries.serve(0, DEFLATE)?;
        // No subprotocol is offered, so the path says which endpoint is meant.
        let url = format!("ws://{}/echo", server.address());
        let cases = kosoku.run_against(&url, &selection.patterns(), &self.report(), at_most)?;
        server.still_runs()?;
        Ok(cases)
    }

    /// Twice: in the parts [`NO_CONTEXT`] the suite's server takes no offer without that promise.
    fn run_client(
        self,
        kosoku: &Kosoku,
        binaries: &Binaries,
        selection: &Selection,
        at_most: Duration,
    ) -> Result<Vec<Case>, String> {
        let apart = NO_CONTEXT
            .iter()
            .flat_map(|it| selection.patterns_within(it));
        let apart: Vec<String> = apart.collect();
        let run = |patterns: &[String], excluded: &[String], options, folder: PathBuf| {
            let mut server = kosoku.serve(LOOPBACK, patterns, excluded, &folder)?;
            let mut client = Command::new(&binaries.autobahn_client);
            client.args(options);
            client.arg(format!("ws://{}", server.address()));
            child::capture(&mut client, at_most)?.success("autobahn-client")?;
            server.ends_within(REPORT)?;
            kosoku.report(&folder)
        };
        let mut cases = run(&selection.patterns(), &apart, DEFLATE, self.report())?;
        let folder = self.report_without_context();
        cases.extend(run(&apart, &[], DEFLATE_NO_CONTEXT, folder)?);
        cases.sort_by_key(Case::place);
        Ok(cases)
    }
}

/// Where a client has to promise that it starts every message anew.
const NO_CONTEXT: &[&str] = &["13.2", "13.5", "13.6"];

/// How long kosoku may take to write what it knows: two files a case.
const REPORT: Duration = Duration::from_secs(60);

fn remove(folder: &PathBuf) -> Outcome {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|error| format!("{} stays: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_lists_parse() {
        for role in Role::BOTH {
            role.expected().unwrap();
        }
    }
}
