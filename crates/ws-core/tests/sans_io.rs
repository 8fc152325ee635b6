//! The crate asks nobody for anything: its own sources are read, and name no socket, clock, task,
//! randomness, file or environment.

use std::{collections::BTreeSet, fs, path::Path};

/// All of `std` that is neither input nor output.
const PURE_STD: &[&str] = &[
    // What the processor can do, for masking.
    "arch",
    "cell",
    "collections",
    "error",
    "fmt",
    "iter",
    "mem",
    "ops",
    "str",
    // Sharing, as of a message for many; nothing waits there for what somebody else does.
    "sync",
];

/// What the crate's users get with it.
const MAY_DEPEND_ON: &[&str] = &["bytes", "simdutf8", "thiserror", "zlib-rs"];

/// Words that no line of code has a use for, however it comes by them.
const NEVER_NAMED: &[&str] = &[
    "tokio",
    "hyper",
    "http",
    "SystemTime",
    "Instant",
    "rand",
    "getrandom",
    "thread_local",
    "println",
    "eprintln",
];

/// The one place that the thread is asked: for memory that another message has left, and no fact.
const POOL: &str = "deflate/pool.rs";

/// The code of every source file, without its comments.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else {
            let text = fs::read_to_string(&path).expect("a text file");
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default());
            let code = code.collect::<Vec<_>>().join("\n");
            sources.push((path.display().to_string(), code));
        }
    }
    sources
}

fn own_sources() -> Vec<(String, String)> {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() >= 20, "the sources were found");
    sources
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The modules of the standard library that `code` names, also inside braces.
fn std_modules(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for library in ["std::", "core::", "alloc::"] {
        for (at, _) in code.match_indices(library) {
            if code[..at].ends_with(is_word) {
                continue;
            }
            let path = &code[at + library.len()..];
            let Some(group) = path.strip_prefix('{') else {
                modules.insert(path.chars().take_while(|c| is_word(*c)).collect());
                continue;
            };
            let group = group.split_once(';').map_or(group, |(group, _)| group);
            let mut depth = 1;
            for item in group.split_inclusive([',', '{', '}']) {
                if depth == 1 {
                    modules.insert(
                        item.trim_start()
                            .chars()
                            .take_while(|c| is_word(*c))
                            .collect(),
                    );
                }
                depth += item.matches('{').count();
                depth -= item.matches('}').count().min(depth);
            }
        }
    }
    modules.remove("");
    modules
}

#[test]
fn sources_name_only_the_pure_part_of_std() {
    for (path, code) in own_sources() {
        for module in std_modules(&code) {
            assert!(
                PURE_STD.contains(&module.as_str()),
                "{path} names std::{module}"
            );
        }
    }
}

#[test]
fn sources_name_no_runtime_clock_or_randomness() {
    for (path, code) in own_sources() {
        for word in code.split(|character| !is_word(character)) {
            let pools = word == "thread_local" && path.ends_with(POOL);
            assert!(pools || !NEVER_NAMED.contains(&word), "{path} names {word}");
        }
    }
}

#[test]
fn dependencies_are_the_ones_that_may_be_named() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let mut table = "";
    let mut dependencies = 0;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            table = line;
            let known = ["[dependencies]", "[dev-dependencies]"].contains(&table);
            assert!(known || !table.contains("dependencies"), "{table}");
        } else if table == "[dependencies]" && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            assert!(MAY_DEPEND_ON.contains(&name), "{name}");
            dependencies += 1;
        }
    }
    assert!(dependencies > 0, "the table was found");
}

#[test]
fn names_inside_braces_are_found() {
    let code =
        "use std::{\n fmt::{self, Write},\n time::Instant, net, };\nlet x = core::mem::take(y);";

    let modules = std_modules(code);

    assert_eq!(
        modules,
        ["fmt", "mem", "net", "time"].map(str::to_owned).into()
    );
}
