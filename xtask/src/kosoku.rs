//! Autobahn's cases, run natively: the PyPI package kosoku in a virtual environment of our own.
//!
//! The environment is made under the target folder and used again as long as it answers with
//! the pinned version; whatever does not, a half-made one included, is made anew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{child, target, verdict::Case};

/// Pinned: another version may have other cases, and the committed list counts them.
const VERSION: &str = "0.1.0";

/// The runner, installed.
#[derive(Debug)]
pub(crate) struct Kosoku {
    /// The environment's own.
    python: PathBuf,
}

impl Kosoku {
    /// Finds the environment, or makes it with `python`.
    pub(crate) fn install(python: &Python) -> Result<Self, String> {
        let folder = target().join("autobahn").join("venv");
        let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
        let kosoku = Self {
            python: programs.join("python"),
        };
        if kosoku.version().as_deref() == Some(VERSION) {
            return Ok(kosoku);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|error| format!("{} is in the way: {error}", folder.display()))?;
        }
        let mut make = Command::new(python.0);
        make.args(["-m", "venv"]).arg(&folder);
        child::capture(&mut make, INSTALL)?.success("making a virtual environment")?;

        let mut install = Command::new(&kosoku.python);
        install.args(["-m", "pip", "install", "--disable-pip-version-check"]);
        install.args(["--no-input", &format!("kosoku=={VERSION}")]);
        child::capture(&mut install, INSTALL)?.success("installing kosoku")?;
        match kosoku.version() {
            Some(version) if version == VERSION => Ok(kosoku),
            version => Err(format!("installed kosoku {VERSION}, found {version:?}")),
        }
    }

    /// What the environment says that it has, or `None` when it cannot even be asked.
    fn version(&self) -> Option<String> {
        let mut ask = Command::new(&self.python);
        ask.args(["-c", ASK_VERSION]);
        let captured = child::capture(&mut ask, ANSWER).ok()?;
        let answered = captured.status.success();
        answered.then(|| captured.stdout.trim().to_owned())
    }

    /// Runs all cases of `groups` against the server at `url`; the report goes to `folder`.
    ///
    /// Failed cases are no error: the caller judges.
    pub(crate) fn run(
        &self,
        url: &str,
        groups: &[&str],
        folder: &Path,
        at_most: Duration,
    ) -> Result<Vec<Case>, String> {
        let mut run = Command::new(&self.python);
        run.args(["-c", RUN, "--mode", "fuzzingclient"]);
        for group in groups {
            run.arg("--include").arg(format!("{group}.*"));
        }
        run.arg("--outdir").arg(folder).arg(url);
        let ran = child::capture(&mut run, at_most)?;

        let mut read = Command::new(&self.python);
        read.args(["-c", READ_REPORT]).arg(folder);
        let report = child::capture(&mut read, ANSWER)?
            .success("reading the report")
            .map_err(|fault| format!("{fault}\nkosoku said:\n{}", ran.output()))?;
        cases(&report.stdout)
    }
}

/// The name of a Python that is good enough.
#[derive(Debug)]
pub(crate) struct Python(&'static str);

impl Python {
    /// The first of the usual names that is Python 3.10 or later, which kosoku needs, with the
    /// modules that make an environment (Debian packages them apart); or why there is none.
    pub(crate) fn find() -> Result<Self, String> {
        let usable = |name: &&str| {
            let mut ask = Command::new(name);
            ask.args(["-c", ASK_PYTHON]);
            child::capture(&mut ask, ANSWER).is_ok_and(|captured| captured.status.success())
        };
        let found = ["python3", "python"].into_iter().find(usable);
        found
            .map(Self)
            .ok_or_else(|| "no Python 3.10 or later with its venv module was found".to_owned())
    }
}

const ASK_PYTHON: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

const ASK_VERSION: &str = "\
import importlib.metadata, kosoku
print(importlib.metadata.version('kosoku'))";

/// The package's own command, reached without its script: that one breaks when the folder moves.
const RUN: &str = "\
import sys
from kosoku._cli import main
sys.argv[0] = 'kosoku'
main()";

/// The report is JSON and Python is at hand: it hands us a table, one line a case.
const READ_REPORT: &str = "\
import json, os, sys
folder = sys.argv[1]
def load(name):
    with open(os.path.join(folder, name)) as file:
        return json.load(file)
for agent, cases in load('index.json').items():
    for case, verdict in cases.items():
        detail = load(verdict['reportfile'])
        why = dict.fromkeys([detail['result'], detail['resultClose']])
        why = ' '.join('; '.join(map(str, why)).split())
        print(case, verdict['behavior'], verdict['behaviorClose'], why, sep='\\t')";

/// A new environment with one download of 3 MB: minutes on a slow line.
const INSTALL: Duration = Duration::from_secs(300);

/// A question to Python; the first start of a fresh environment compiles what it imports.
const ANSWER: Duration = Duration::from_secs(60);

/// Reads what [`READ_REPORT`] prints, in the order of the suite: 1.2.10 after 1.2.9.
fn cases(table: &str) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for line in table.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, behavior, close, why] = columns[..] else {
            return Err(format!("the report has a line {line:?}"));
        };
        cases.push(Case {
            id: id.to_owned(),
            behavior: behavior.to_owned(),
            close: close.to_owned(),
            why: why.to_owned(),
        });
    }
    cases.sort_by_key(|case| {
        let numbers = case.id.split('.').map(|part| part.parse::<u32>().ok());
        numbers.collect::<Vec<_>>()
    });
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_read_in_the_order_of_the_suite() {
        let table = "10.1.1\tOK\tOK\tfine\n1.2.1\tOK\tOK\tfine\n1.1.10\tOK\tUNCLEAN\tnot fine\n";

        let cases = cases(table).unwrap();

        let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
        assert_eq!(ids, ["1.1.10", "1.2.1", "10.1.1"]);
        assert_eq!(cases[0].close, "UNCLEAN");
        assert_eq!(cases[0].why, "not fine");
    }

    #[test]
    fn report_line_of_another_shape_is_an_error() {
        assert!(cases("1.1.1\tOK\n").is_err());
    }
}
