//! What Autobahn said, held against what is expected (`compliance/autobahn-*.txt`).
//!
//! In: one [`Case`] per case that ran, and the committed list. Out: a table by group, and every
//! way in which the run was worse than the list. Better than the list is never a fault.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::selection::{Selection, is_in};

/// One case of the suite and how it went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Case {
    /// Such as `7.13.1`.
    pub(crate) id: String,
    /// The verdict on the messages.
    pub(crate) behavior: String,
    /// The verdict on the closing handshake.
    pub(crate) close: String,
    /// The suite's own words on both.
    pub(crate) why: String,
}

impl Case {
    /// The worse of its two verdicts.
    fn rank(&self) -> Rank {
        Rank::of(&self.behavior).max(Rank::of(&self.close))
    }

    /// `7.13.1` is in group `7`.
    fn group(&self) -> &str {
        self.id.split('.').next().unwrap_or(&self.id)
    }

    /// Where it stands in the suite: 1.2.10 after 1.2.9.
    pub(crate) fn place(&self) -> Vec<Option<u32>> {
        let numbers = self.id.split('.').map(|part| part.parse().ok());
        numbers.collect()
    }
}

/// Verdicts from best to worst. What the suite has no milder word for is a failure, an unknown
/// word too: `WRONG CODE`, `UNCLEAN`, `FAILED BY CLIENT`, `ERROR`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    Ok,
    Informational,
    NonStrict,
    Unimplemented,
    Failed,
}

impl Rank {
    const ALL: [Self; 5] = [
        Self::Ok,
        Self::Informational,
        Self::NonStrict,
        Self::Unimplemented,
        Self::Failed,
    ];

    fn of(verdict: &str) -> Self {
        let known = Self::ALL.into_iter().find(|rank| rank.word() == verdict);
        known.unwrap_or(Self::Failed)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Informational => "INFORMATIONAL",
            Self::NonStrict => "NON-STRICT",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Failed => "FAILED",
        }
    }
}

/// The committed list: how many cases a group has, and which may be less than OK.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    cases_in_group: BTreeMap<String, usize>,
    exceptions: BTreeMap<String, Rank>,
}

impl Expected {
    /// Reads `group <number> <cases>` and `<case> <verdict>` lines; `#` begins a comment.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut expected = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let wrong = || format!("line {}: {line:?} is not understood", index + 1);
            match words[..] {
                [] => {}
                ["group", group, cases] => {
                    let cases = cases.parse().map_err(|_| wrong())?;
                    expected.cases_in_group.insert(group.to_owned(), cases);
                }
                [case, verdict] => {
                    let known = Rank::ALL.into_iter().find(|rank| rank.word() == verdict);
                    let rank = known.ok_or_else(wrong)?;
                    expected.exceptions.insert(case.to_owned(), rank);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(expected)
    }

    /// Every way in which `cases`, a run of `selection`, is worse than expected; one line each.
    pub(crate) fn faults(&self, selection: &Selection, cases: &[Case]) -> Vec<String> {
        let mut faults = Vec::new();
        for group in selection.groups() {
            let ran = cases.iter().filter(|case| is_in(&case.id, group)).count();
            let listed = self.cases_in_group.get(*group).copied().unwrap_or_default();
            if ran != listed || ran == 0 {
                faults.push(format!(
                    "group {group}: {ran} cases ran, {listed} are listed"
                ));
            }
        }
        for wanted in selection.cases() {
            if !cases.iter().any(|case| case.id == *wanted) {
                faults.push(format!("{wanted} did not run"));
            }
        }
        for case in cases {
            let allowed = self.exceptions.get(&case.id).copied().unwrap_or(Rank::Ok);
            if case.rank() > allowed {
                faults.push(format!(
                    "{}: {}, close {} (at worst {} expected): {}",
                    case.id,
                    case.behavior,
                    case.close,
                    allowed.word(),
                    case.why
                ));
            }
        }
        faults
    }
}

/// How many cases of each group came to which verdict, by the worse of a case's two.
pub(crate) fn table(cases: &[Case]) -> String {
    let mut table = format!("{:<6}{:>7}", "group", "cases");
    for rank in Rank::ALL {
        // Formatting into a `String` cannot fail; nor below.
        let _ = write!(table, "{:>15}", rank.word());
    }
    let by_group = cases.chunk_by(|a, b| a.group() == b.group());
    let by_group = by_group.map(|cases| (cases[0].group(), cases));
    for (name, cases) in by_group.chain([("total", cases)]) {
        let _ = write!(table, "\n{name:<6}{:>7}", cases.len());
        for rank in Rank::ALL {
            let count = cases.iter().filter(|case| case.rank() == rank).count();
            let _ = write!(table, "{count:>15}");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# comment
group 1 2
group 7 1   # trailing comment

7.1.6 INFORMATIONAL
";

    fn case(id: &str, behavior: &str, close: &str) -> Case {
        Case {
            id: id.to_owned(),
            behavior: behavior.to_owned(),
            close: close.to_owned(),
            why: "so it was".to_owned(),
        }
    }

    fn faults_of(groups: &[&'static str], cases: &[Case]) -> Vec<String> {
        let selection = Selection::new(groups, Vec::new());
        Expected::parse(LIST).unwrap().faults(&selection, cases)
    }

    /// A run that the list allows, with one case changed.
    fn faults_with(changed: Case) -> Vec<String> {
        let mut cases = vec![
            case("1.1.1", "OK", "OK"),
            case("1.1.2", "OK", "OK"),
            case("7.1.6", "INFORMATIONAL", "INFORMATIONAL"),
        ];
        let place = cases.iter_mut().find(|case| case.id == changed.id);
        *place.unwrap() = changed;
        faults_of(&["1", "7"], &cases)
    }

    #[test]
    fn run_as_listed_or_better_has_no_fault() {
        assert_eq!(faults_with(case("1.1.2", "OK", "OK")), [""; 0]);
        assert_eq!(faults_with(case("7.1.6", "OK", "OK")), [""; 0]);
        assert_eq!(faults_with(case("7.1.6", "OK", "INFORMATIONAL")), [""; 0]);
    }

    #[test]
    fn either_verdict_worse_than_listed_is_a_fault() {
        let worse = [
            case("1.1.2", "NON-STRICT", "OK"),
            case("1.1.2", "INFORMATIONAL", "OK"),
            case("1.1.2", "OK", "WRONG CODE"),
            case("1.1.2", "a word of the future", "OK"),
            case("7.1.6", "NON-STRICT", "OK"),
            case("7.1.6", "INFORMATIONAL", "FAILED BY CLIENT"),
        ];

        for case in worse {
            let id = case.id.clone();
            let faults = faults_with(case);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(&id), "{faults:?}");
        }
    }

    #[test]
    fn group_with_a_case_missing_is_a_fault() {
        let cases = [case("1.1.1", "OK", "OK")];

        let faults = faults_of(&["1"], &cases);

        assert_eq!(faults, ["group 1: 1 cases ran, 2 are listed"]);
    }

    #[test]
    fn group_that_is_not_listed_is_a_fault() {
        let faults = faults_of(&["12"], &[]);

        assert_eq!(faults, ["group 12: 0 cases ran, 0 are listed"]);
    }

    #[test]
    fn selected_case_that_is_missing_is_a_fault() {
        let selection = Selection::new(&[], vec!["1.1.1".to_owned(), "1.1.2".to_owned()]);
        let cases = [case("1.1.1", "OK", "OK")];

        let faults = Expected::parse(LIST).unwrap().faults(&selection, &cases);

        assert_eq!(faults, ["1.1.2 did not run"]);
    }

    #[test]
    fn line_that_is_not_understood_is_named() {
        let fault = Expected::parse("group 1 2\n7.1.6 FINE\n").unwrap_err();

        assert_eq!(fault, "line 2: \"7.1.6 FINE\" is not understood");
    }

    #[test]
    fn table_counts_a_case_by_its_worse_verdict() {
        let cases = [
            case("1.1.1", "OK", "OK"),
            case("1.1.2", "OK", "UNCLEAN"),
            case("7.1.6", "INFORMATIONAL", "OK"),
        ];

        let table = table(&cases);

        let lines = table.lines().skip(1);
        let counts: Vec<Vec<&str>> = lines.map(|it| it.split_whitespace().collect()).collect();
        assert_eq!(counts[0], ["1", "2", "1", "0", "0", "0", "1"]);
        assert_eq!(counts[1], ["7", "1", "0", "1", "0", "0", "0"]);
        assert_eq!(counts[2], ["total", "3", "1", "1", "0", "0", "1"]);
    }

    #[test]
    fn cases_stand_in_the_order_of_their_numbers() {
        assert!(case("1.2.9", "OK", "OK").place() < case("1.2.10", "OK", "OK").place());
        assert!(case("9.1.1", "OK", "OK").place() < case("10.1.1", "OK", "OK").place());
    }
}
