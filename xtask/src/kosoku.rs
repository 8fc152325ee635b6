//! Autobahn's cases, run natively by the PyPI package kosoku: as a client of a server that is
//! already there, or as a server for a client that comes.

use std::{path::Path, time::Duration};

use crate::{
    child,
    listening::Listening,
    python::{ANSWER, Python, Venv},
    target,
    verdict::Case,
};

/// Pinned: another version may have other cases, and the committed list counts them.
const VERSION: &str = "0.1.0";

/// What the package asks for.
pub(crate) const PYTHON_MINOR: u32 = 10;

/// The runner, installed.
#[derive(Debug)]
pub(crate) struct Kosoku(Venv);

impl Kosoku {
    /// Finds it in its environment, or makes that with `python`.
    pub(crate) fn install(python: &Python) -> Result<Self, String> {
        let folder = target().join("autobahn").join("venv");
        Venv::install(python, &folder, "kosoku", VERSION).map(Self)
    }

    /// Runs the cases of `patterns` against the server at `url`; the report goes to `folder`.
    ///
    /// Failed cases are no error: the caller judges.
    pub(crate) fn run_against(
        &self,
        url: &str,
        patterns: &[String],
        folder: &Path,
        at_most: Duration,
    ) -> Result<Vec<Case>, String> {
        let mut run = self.0.python();
        run.args(["-c", RUN, "--mode", "fuzzingclient"]);
        run.args(["--parallelism", PARALLELISM]);
        for pattern in patterns {
            run.args(["--include", pattern]);
        }
        run.arg("--outdir").arg(folder).arg(url);
        let ran = child::capture(&mut run, at_most)?;
        self.report(folder)
            .map_err(|fault| format!("{fault}\nkosoku said:\n{}", ran.output()))
    }

    /// Serves the cases of `patterns` but for those of `excluded`, on any port of `host`, until a
    /// client asks for the report, which goes to `folder`.
    pub(crate) fn serve(
        &self,
        host: &str,
        patterns: &[String],
        excluded: &[String],
        folder: &Path,
    ) -> Result<Listening, String> {
        let mut serve = self.0.python();
        serve.args(["-u", "-c", RUN, "--mode", "fuzzingserver"]);
        for pattern in patterns {
            serve.args(["--include", pattern]);
        }
        for pattern in excluded {
            serve.args(["--exclude", pattern]);
        }
        serve.arg("--outdir").arg(folder).arg(format!("{host}:0"));
        Listening::start(&mut serve)
    }

    /// The verdicts of the report in `folder`, in the order of the suite.
    pub(crate) fn report(&self, folder: &Path) -> Result<Vec<Case>, String> {
        let mut read = self.0.python();
        read.args(["-c", READ_REPORT]).arg(folder);
        let report = child::capture(&mut read, ANSWER)?.success("reading the report")?;
        cases(&report.stdout)
    }
}

/// How many cases run at once against a server: most of them wait, for an answer that must not come
/// or for the end of a connection.
const PARALLELISM: &str = "4";

/// The package's own command, reached without its script: that one breaks when the folder moves.
///
/// The address of a fuzzing server is then on stdout. And one fault of the package is mended: its
/// cases about compression take a message as octets, which is how Python 2 had it, and it gives
/// them a string where a text was not compressed, as RFC 7692 §6 leaves to the sender.
const RUN: &str = "\
import sys
from kosoku import _caseindex
_caseindex.initialize_shims()
from case12_x_x import Case12_X_X, Case13_X_X
def with_octets(judge):
    def on_message(case, message, binary):
        judge(case, message.encode() if isinstance(message, str) else message, binary)
    return on_message
for case in Case12_X_X + Case13_X_X:
    case.onMessage = with_octets(case.onMessage)
from kosoku._cli import main
sys.argv[0] = 'kosoku'
sys.stderr = sys.stdout
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
    cases.sort_by_key(Case::place);
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
