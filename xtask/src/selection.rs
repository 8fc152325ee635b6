//! Which of Autobahn's cases are run.

/// Whole groups, and single cases of others.
#[derive(Debug)]
pub(crate) struct Selection {
    groups: Vec<&'static str>,
    cases: Vec<String>,
}

impl Selection {
    pub(crate) fn new(groups: &[&'static str], cases: Vec<String>) -> Self {
        Self {
            groups: groups.to_vec(),
            cases,
        }
    }

    /// What takes seconds: all groups but 12 and 13, of which each part has two short cases.
    pub(crate) fn quick() -> Self {
        let parts = COMPRESSION.iter().flat_map(|(group, parts)| {
            let parts = 1..=*parts;
            parts.map(move |part| format!("{group}.{part}"))
        });
        let cases = parts.flat_map(|part| SHORT.iter().map(move |case| format!("{part}.{case}")));
        Self::new(PLAIN, cases.collect())
    }

    /// Every case of the suite.
    pub(crate) fn all() -> Self {
        let mut groups = PLAIN.to_vec();
        groups.extend(COMPRESSION.iter().map(|(group, _)| *group));
        Self::new(&groups, Vec::new())
    }

    /// The groups of which every case is selected.
    pub(crate) fn groups(&self) -> &[&'static str] {
        &self.groups
    }

    /// The cases of other groups.
    pub(crate) fn cases(&self) -> &[String] {
        &self.cases
    }

    /// The same as patterns for the runner.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|group| format!("{group}.*"));
        groups.chain(self.cases.iter().cloned()).collect()
    }

    /// What of it lies in `part`, such as `13.2`, as patterns for the runner.
    pub(crate) fn patterns_within(&self, part: &str) -> Vec<String> {
        let whole = self.groups.iter().any(|group| is_in(part, group));
        let cases = self.cases.iter().filter(|case| is_in(case, part));
        let whole = whole.then(|| format!("{part}.*"));
        whole.into_iter().chain(cases.cloned()).collect()
    }
}

/// Whether `7.13.1` is in `7`, or in `7.13`.
pub(crate) fn is_in(case: &str, part: &str) -> bool {
    let rest = case.strip_prefix(part);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// Everything but compression. 9 is about limits and speed, with messages of up to 16 MiB; 8 and
/// 11 have no cases.
const PLAIN: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "9", "10"];

/// The groups about compression, and how many parts each has: 12 by what is compressed, 13 by what
/// is negotiated.
const COMPRESSION: &[(&str, u32)] = &[("12", 5), ("13", 7)];

/// In each of these parts, 1,000 messages of 16 bytes and of 256 bytes.
const SHORT: &[&str] = &["1", "3"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_selection_has_two_cases_of_every_part_about_compression() {
        let selection = Selection::quick();

        assert_eq!(selection.cases().len(), 24);
        assert_eq!(selection.patterns_within("13.2"), ["13.2.1", "13.2.3"]);
        assert_eq!(selection.patterns_within("7.1"), ["7.1.*"]);
    }

    #[test]
    fn selection_of_all_has_whole_groups_only() {
        let selection = Selection::all();

        assert_eq!(selection.cases(), [""; 0]);
        assert_eq!(selection.patterns().last().unwrap(), "13.*");
        assert_eq!(selection.patterns_within("13.2"), ["13.2.*"]);
    }

    #[test]
    fn number_that_only_begins_alike_is_another_part() {
        assert!(is_in("13.2.1", "13.2"));
        assert!(!is_in("13.21.1", "13.2"));
        assert!(!is_in("13.2", "1"));
    }
}
