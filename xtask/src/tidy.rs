//! `cargo xtask tidy`: the layout rules that clippy cannot see.
//!
//! Every file is read once and given to each rule; all faults are shown, not the first alone.
//! A rule takes text and gives lines to complain about, so that the tests need no files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Outcome, catalogue, root,
    source::{code_only, is_word, words},
};

/// A file past this is two files.
const MAX_FILE_LINES: usize = 500;

/// What an issue is for, in a file. Split, so that this file passes its own rule.
const LEFTOVER_WORDS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// What must not stay in code. A lint is silenced by `expect`, which says why and notices when it
/// is no longer needed.
const LEFTOVER_CODE: &[&str] = &[
    "todo!",
    "unimplemented!",
    "dbg!",
    "#[ignore",
    "#[allow(",
    "#![allow(",
];

/// One crate's place in the drawing of ARCHITECTURE.md.
struct Layer {
    /// From the workspace's folder.
    folder: &'static str,
    /// All that its manifest may depend on, tests apart; `None`: whatever `never` lets through.
    only: Option<&'static [&'static str]>,
    /// What its `src` and its dependencies must not name; `std` modules end in `::`.
    never: &'static [&'static str],
    /// What one file alone may name.
    confined: &'static [(&'static str, &'static str)],
}

/// The arrows of ARCHITECTURE.md, kept true.
const LAYERS: &[Layer] = &[
    Layer {
        folder: "crates/ws-core",
        only: Some(&["bytes", "simdutf8", "thiserror", "zlib-rs"]),
        // No socket, clock, task, randomness or HTTP: time is told, bytes are given.
        #[rustfmt::skip]
        never: &[
            "tokio", "hyper", "hyper_util", "http", "http_body", "tower_service",
            "tungstenite", "tokio_tungstenite", "rand", "getrandom", "tracing",
            "ws_factory", "ws_handler", "ws_client",
            "time::", "net::", "thread::", "fs::", "env::", "process::",
            "Instant", "SystemTime", "async", "await",
        ],
        confined: &[],
    },
    Layer {
        folder: "crates/ws-factory",
        #[rustfmt::skip]
        only: Some(&[
            "async-trait", "bytes", "dashmap", "futures-core", "http", "hyper", "hyper-util",
            "metrics", "parking_lot",
            "percent-encoding", "pin-project-lite", "rustix", "thiserror", "tokio",
            "tokio-tungstenite", "tracing", "ws-core",
        ]),
        never: &["ws_handler", "ws_client", "test_protocols"],
        #[rustfmt::skip]
        confined: &[
            ("hyper", "upgrade.rs"), ("hyper_util", "upgrade.rs"), ("rustix", "socket.rs"),
        ],
    },
    Layer {
        folder: "crates/ws-handler",
        only: None,
        never: &["ws_client", "test_protocols", "axum", "tower", "rand"],
        confined: &[],
    },
    Layer {
        folder: "crates/ws-client",
        only: None,
        never: &["ws_handler", "test_protocols", "axum", "tower"],
        confined: &[],
    },
    Layer {
        folder: "crates/test-protocols",
        only: None,
        never: &[
            "ws_core",
            "ws_factory",
            "hyper",
            "hyper_util",
            "tungstenite",
        ],
        confined: &[],
    },
    Layer {
        folder: "xtask",
        only: Some(&[]),
        never: &[],
        confined: &[],
    },
];

pub(crate) fn run() -> Outcome {
    let mut faults = Vec::new();
    for path in files(&root())? {
        let place = place(&path);
        let text = fs::read_to_string(&path).map_err(|error| format!("{place}: {error}"))?;
        for (line, fault) in faults_in(&place, &text) {
            faults.push(format!("{place}:{line}: {fault}"));
        }
    }
    faults.extend(unexplained_dependencies());
    faults.extend(other_lints());
    faults.extend(catalogue::faults());
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n"))
}

/// A line, counted from 1, and what is wrong there.
type Fault = (usize, String);

/// Everything that is wrong with the file at `place`, by its kind.
fn faults_in(place: &str, text: &str) -> Vec<Fault> {
    let mut faults = leftover_words(text);
    if place.ends_with(".rs") {
        let code = code_only(text);
        faults.extend(header(text));
        faults.extend(length(text));
        faults.extend(place_name(place));
        faults.extend(leftover_code(&code));
        for layer in LAYERS {
            if let Some(file) = in_folder(place, layer.folder, "src/") {
                faults.extend(names_in_code(layer, file, &code));
            }
        }
    }
    if place.ends_with("Cargo.toml") {
        faults.extend(
            LAYERS
                .iter()
                .filter(|it| in_folder(place, it.folder, "").is_some())
                .flat_map(|layer| names_in_manifest(layer, text)),
        );
    }
    faults
}

fn header(text: &str) -> Option<Fault> {
    let fault = || (1, "the file does not open with a `//!` header".to_owned());
    (!text.starts_with("//! ")).then(fault)
}

fn length(text: &str) -> Option<Fault> {
    let lines = text.lines().count();
    let text = || format!("{lines} lines; {MAX_FILE_LINES} is the most");
    let fault = || (lines, text());
    (lines > MAX_FILE_LINES).then(fault)
}

/// `x.rs` beside `x/`: editor tabs and `grep` name the thing. A test's helper has no other way.
fn place_name(place: &str) -> Option<Fault> {
    let text = "named mod.rs, which says nothing; `x.rs` beside `x/`";
    let fault = || (1, text.to_owned());
    (place.contains("/src/") && place.ends_with("/mod.rs")).then(fault)
}

fn leftover_words(text: &str) -> Vec<Fault> {
    each_line(text, |line| {
        let word = words(line).find(|(_, word, _)| LEFTOVER_WORDS.contains(word));
        word.map(|(_, word, _)| format!("{word}: make it an issue"))
    })
}

fn leftover_code(code: &str) -> Vec<Fault> {
    each_line(code, |line| {
        let found = LEFTOVER_CODE.iter().find(|code| contains_code(line, code));
        found.map(|code| format!("`{code}` is left in the code"))
    })
}

/// Whether `line` has `code`, and not as the end of a longer word.
fn contains_code(line: &str, code: &str) -> bool {
    line.match_indices(code)
        .any(|(at, _)| !line[..at].ends_with(is_word))
}

fn names_in_code(layer: &Layer, file: &str, code: &str) -> Vec<Fault> {
    let strangers = layer.confined.iter().filter(|(_, home)| *home != file);
    let confined = strangers.map(|(name, _)| *name);
    let forbidden: Vec<&str> = layer.never.iter().copied().chain(confined).collect();
    each_line(code, |line| {
        let named = forbidden.iter().find(|name| names(line, name));
        named.map(|name| format!("{} must not name `{name}` here", layer.folder))
    })
}

/// Whether `line` names a crate or a type, or with `::` at its end a module of `std`.
fn names(line: &str, name: &str) -> bool {
    let module = name.strip_suffix("::");
    words(line).any(|(before, word, behind)| match module {
        Some(module) => word == module && (behind.starts_with("::") || before.ends_with("std::")),
        None => word == name,
    })
}

fn names_in_manifest(layer: &Layer, manifest: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, name) in dependencies(manifest) {
        let crate_name = name.replace('-', "_");
        let stranger = layer.only.is_some_and(|only| !only.contains(&name));
        if stranger || layer.never.contains(&crate_name.as_str()) {
            faults.push((line, format!("{} must not depend on {name}", layer.folder)));
        }
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        faults.push((1, "the workspace's lints are not taken over".to_owned()));
    }
    faults
}

/// What a manifest depends on outside of tests, with the line where it does.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    in_sections(manifest, |section| {
        let own = section
            .rsplit("dependencies")
            .next()
            .is_some_and(str::is_empty);
        own && !section.ends_with("dev-dependencies") && !section.starts_with("workspace")
    })
}

/// The keys of all sections that `wanted` picks.
fn in_sections(manifest: &str, wanted: impl Fn(&str) -> bool) -> Vec<(usize, &str)> {
    let mut section = "";
    let mut keys = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once('=')
            && wanted(section)
            && !line.starts_with('#')
        {
            let name = key.split('.').next().unwrap_or(key);
            keys.push((index + 1, name.trim()));
        }
    }
    keys
}

/// A dependency is an architectural change: it has a line in ARCHITECTURE.md, or it is a fault.
fn unexplained_dependencies() -> Vec<String> {
    // A file that is not there explains nothing.
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap_or_default();
    let (manifest, text) = (read("Cargo.toml"), read("ARCHITECTURE.md"));
    let all = in_sections(&manifest, |section| section == "workspace.dependencies");
    let unexplained = all.into_iter().filter(|(_, name)| !has_name(&text, name));
    unexplained
        .map(|(line, name)| format!("Cargo.toml:{line}: {name} has no line in ARCHITECTURE.md"))
        .collect()
}

/// `bench/` is a workspace of its own and cannot inherit the lints, so it repeats them.
fn other_lints() -> Option<String> {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap_or_default();
    let differ = lints(&read("Cargo.toml")) != lints(&read("bench/Cargo.toml"));
    differ.then(|| "bench/Cargo.toml: its lints are not those of Cargo.toml".to_owned())
}

/// The lints of a workspace's manifest, with the name of their section.
fn lints(manifest: &str) -> Vec<(&str, &str)> {
    let mut section = "";
    let mut lints = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.starts_with("[workspace.lints.") && line.contains('=') {
            lints.push((section, line));
        }
    }
    lints
}

/// Whether `text` has `name`, and not as a part of a longer one: `http` is not in `http-body`.
fn has_name(text: &str, name: &str) -> bool {
    let goes_on = |c| is_word(c) || c == '-';
    text.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(goes_on) && !behind.starts_with(goes_on)
    })
}

fn each_line(text: &str, rule: impl Fn(&str) -> Option<String>) -> Vec<Fault> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| rule(line).map(|fault| (index + 1, fault)))
        .collect()
}

/// `place` without `folder` and `below`, if it lies there.
fn in_folder<'a>(place: &'a str, folder: &str, below: &str) -> Option<&'a str> {
    let inside = place.strip_prefix(folder)?.strip_prefix('/')?;
    inside.strip_prefix(below)
}

/// The path from the workspace's folder, with slashes everywhere.
fn place(path: &Path) -> String {
    let root = root();
    let relative = path.strip_prefix(&root).unwrap_or(path);
    relative.to_string_lossy().replace('\\', "/")
}

/// Every text of ours below `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let foreign = SKIPPED.contains(&&*name) || path == crate::target();
            if !foreign {
                found.extend(files(&path)?);
            }
        } else if path
            .extension()
            .is_some_and(|kind| TEXTS.iter().any(|text| kind == *text))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

const SKIPPED: &[&str] = &["target", ".git", "corpus"];

const TEXTS: &[&str] = &["rs", "toml", "md", "yml", "html", "css", "js", "mjs", "py"];

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a file that is in order but for `body`.
    fn faults(place: &str, body: &str) -> Vec<String> {
        let text = format!("//! Header.\n{body}\n");
        let faults = faults_in(place, &text).into_iter();
        faults
            .map(|(line, fault)| format!("{line}: {fault}"))
            .collect()
    }

    fn manifest(dependency: &str) -> String {
        format!("[dependencies]\n{dependency} = \"1\"\n\n[lints]\nworkspace = true\n")
    }

    #[test]
    fn every_forbidden_thing_is_found_where_it_stands() {
        let core = "crates/ws-core/src/parser.rs";
        let driver = "crates/ws-factory/src/driver.rs";
        let cases = [
            (core, "use tokio::net::TcpStream;"),
            (core, "use std::time::Instant;"),
            (core, "use std::{fmt, time::Duration};"),
            (core, "use std::net;"),
            (core, "fn f(now: Instant) {}"),
            (core, "async fn f() {}"),
            (core, "let x = rand::random();"),
            (driver, "use hyper::upgrade::Upgraded;"),
            (driver, "use ws_handler::Server;"),
            ("crates/ws-core/src/a/mod.rs", ""),
            ("crates/ws-core/tests/a.rs", "#[ignore = \"slow\"]"),
            ("crates/ws-core/tests/a.rs", "#![allow(dead_code)]"),
            ("crates/ws-core/tests/a.rs", "let x = dbg!(y);"),
            ("crates/ws-core/tests/a.rs", concat!("// TO", "DO: later")),
            ("README.md", concat!("FIX", "ME")),
        ];

        for (place, body) in cases {
            assert_eq!(faults(place, body).len(), 1, "{place}: {body}");
        }
    }

    #[test]
    fn what_only_looks_forbidden_passes() {
        let core = "crates/ws-core/src/parser.rs";
        let cases = [
            (
                core,
                "/// Whoever drives this may use tokio or `std::time`.",
            ),
            (core, "let url = \"http://tokio.rs\"; // hyper"),
            (core, "let time = self.time; // a word of its own"),
            (core, "let https = 1;"),
            ("crates/ws-core/tests/a.rs", "use std::time::Instant;"),
            ("crates/ws-factory/src/upgrade.rs", "use hyper::upgrade;"),
            ("crates/ws-core/tests/peer/mod.rs", ""),
        ];

        for (place, body) in cases {
            assert_eq!(faults(place, body), [""; 0], "{place}: {body}");
        }
    }

    #[test]
    fn file_without_a_header_is_a_fault() {
        assert_eq!(faults_in("crates/x/src/a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(faults_in("crates/x/src/a.rs", "").len(), 1);
    }

    #[test]
    fn file_past_the_limit_is_a_fault() {
        let lines = "\n".repeat(MAX_FILE_LINES - 2);

        assert_eq!(faults("crates/x/src/a.rs", &lines), [""; 0]);
        assert_eq!(faults("crates/x/src/a.rs", &format!("{lines}\n")).len(), 1);
    }

    #[test]
    fn dependency_against_the_arrows_is_a_fault() {
        let cases = [
            ("crates/ws-core/Cargo.toml", "bytes", 0),
            ("crates/ws-core/Cargo.toml", "tokio", 1),
            ("crates/ws-factory/Cargo.toml", "ws-handler", 1),
            ("crates/ws-handler/Cargo.toml", "ws-client", 1),
            ("crates/ws-handler/Cargo.toml", "matchit", 0),
            ("xtask/Cargo.toml", "anyhow", 1),
        ];

        for (place, dependency, want) in cases {
            let found = faults_in(place, &manifest(dependency));
            assert_eq!(found.len(), want, "{place}: {dependency}: {found:?}");
        }
    }

    #[test]
    fn lints_are_compared_by_section_and_level_without_comments() {
        let ours = "[workspace.lints.rust]\na = \"warn\"\n\n[profile.release]\nlto = \"thin\"\n";
        let same = "[workspace]\n\n[workspace.lints.rust]\n# Why.\na = \"warn\"\n";

        assert_eq!(lints(ours), lints(same));
        assert_ne!(lints(ours), lints(&same.replace("warn", "deny")));
        assert_ne!(lints(ours), lints(&same.replace("rust]", "clippy]")));
    }

    #[test]
    fn name_within_a_longer_name_does_not_explain() {
        assert!(has_name("- `http`: the types", "http"));
        assert!(!has_name("- `http-body`, `hyper_http`: more", "http"));
    }

    #[test]
    fn dependency_is_found_in_every_form_and_not_among_those_of_tests() {
        let manifest = "\
[dependencies]
# a comment = nothing
one = { workspace = true }
two.workspace = true
[target.'cfg(unix)'.dependencies]
three = \"1\"
[dev-dependencies]
four = \"1\"
";

        let names: Vec<&str> = dependencies(manifest).iter().map(|it| it.1).collect();

        assert_eq!(names, ["one", "two", "three"]);
    }
}
