//! The tests that `compliance/hostile-inputs.md` names: each must be in the file where it is said
//! to be.
//!
//! In: the catalogue's text, whose last column has tests as `crate file::name`, or as
//! `crate src file::name`. Out: a complaint for every one that is not there.

use std::{collections::BTreeMap, fs};

use crate::{
    root,
    source::{code_only, words},
};

/// What the catalogue promises and nobody keeps, one line each.
pub(crate) fn faults() -> Vec<String> {
    let text = match fs::read_to_string(root().join(CATALOGUE)) {
        Ok(text) => text,
        Err(error) => return vec![format!("{CATALOGUE}: {error}")],
    };
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for (line, test) in tests(&text) {
        let place = test.place();
        let code = files.entry(place.clone()).or_insert_with(|| {
            let text = fs::read_to_string(root().join(&place));
            text.map(|text| code_only(&text))
        });
        let name = test.name;
        let fault = match code {
            Ok(code) if has_test(code, name) => continue,
            Ok(_) => format!("{place} has no test `{name}`"),
            Err(error) => format!("`{name}` is said to be in {place}: {error}"),
        };
        faults.push(format!("{CATALOGUE}:{line}: {fault}"));
    }
    faults
}

const CATALOGUE: &str = "compliance/hostile-inputs.md";

/// A test as the catalogue names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Test<'a> {
    package: &'a str,
    /// `src` or `tests`.
    folder: &'a str,
    file: &'a str,
    name: &'a str,
}

impl Test<'_> {
    /// Where it must be, from the workspace's folder.
    fn place(&self) -> String {
        format!("crates/{}/{}/{}.rs", self.package, self.folder, self.file)
    }
}

/// Every test in the last column of a table, with its line, counted from 1.
fn tests(catalogue: &str) -> Vec<(usize, Test<'_>)> {
    let mut tests = Vec::new();
    for (index, line) in catalogue.lines().enumerate() {
        let row = line.strip_prefix('|').and_then(|it| it.strip_suffix('|'));
        let Some((_, cell)) = row.and_then(|row| row.rsplit_once('|')) else {
            continue;
        };
        let (mut before, mut last) = ("", "");
        for word in cell.split_whitespace() {
            if let Some((file, name)) = word.rsplit_once("::") {
                let (package, folder) = match last {
                    "src" => (before, "src"),
                    package => (package, "tests"),
                };
                let name = name.trim_end_matches([',', '.', ';']);
                let test = Test {
                    package,
                    folder,
                    file,
                    name,
                };
                tests.push((index + 1, test));
            }
            (before, last) = (last, word);
        }
    }
    tests
}

/// Whether `code`, without its comments and literals, has a function `name` with an attribute that
/// makes it a test: `#[test]`, `#[tokio::test]`.
fn has_test(code: &str, name: &str) -> bool {
    let lines: Vec<&str> = code.lines().collect();
    let is_test = |at: usize| {
        let above = lines[..at].iter().rev();
        // What stands before the end of another item belongs to that.
        let mut own = above.take_while(|line| !line.trim_end().ends_with(['{', '}', ';']));
        own.any(|line| line.contains("#[") && words(line).any(|(_, word, _)| word == "test"))
    };
    let defines = |line: &str| {
        words(line).any(|(before, word, _)| word == name && before.trim_end().ends_with("fn"))
    };
    (0..lines.len()).any(|at| defines(lines[at]) && is_test(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_read_from_the_last_column() {
        let catalogue = "\
A test is named as `crate file::name`.

| # | input | test |
|---|---|---|
| F1 | a::b | — |
| F2 | an input | ws-core framing::one, ws-core src mask::two (told; the rest is ws-factory's: —) |
| F3 | an input | ws-factory session/closing::three, measured: `cargo run` |
";

        let tests: Vec<(usize, String, &str)> = tests(catalogue)
            .into_iter()
            .map(|(line, test)| (line, test.place(), test.name))
            .collect();

        let want = [
            (6, "crates/ws-core/tests/framing.rs", "one"),
            (6, "crates/ws-core/src/mask.rs", "two"),
            (7, "crates/ws-factory/tests/session/closing.rs", "three"),
        ];
        assert_eq!(
            tests,
            want.map(|(line, place, name)| (line, place.to_owned(), name))
        );
    }

    #[test]
    fn test_is_a_function_with_the_attribute_of_one() {
        let code = "\
#[test]
fn plain() {}
#[tokio::test(
    start_paused = true
)]
async fn waiting() {
    let x = 1;
}
fn helper() {}
#[test]
#[cfg(unix)]
fn behind_another() {}
// fn commented() {}
";
        let code = code_only(code);

        for name in ["plain", "waiting", "behind_another"] {
            assert!(has_test(&code, name), "{name}");
        }
        for name in ["helper", "commented", "plai", "x"] {
            assert!(!has_test(&code, name), "{name}");
        }
    }
}
