//! Where and of what the numbers are: the lines above a table.

use std::{fs, process::Command};

use super::program;
use crate::{child, root};

/// The machine, the compiler and the versions, as a Markdown list.
pub(super) fn description() -> String {
    let cores = program::cores();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, kernel) = (read("/proc/cpuinfo"), read("/proc/sys/kernel/osrelease"));
    let model = cpu.lines().find_map(|line| {
        let (name, model) = line.split_once(':')?;
        (name.trim() == "model name").then_some(model.trim())
    });
    let pinned = if program::can_pin() {
        "server on core 0, load on core 1, but for workers"
    } else {
        "NOT pinned (no `taskset`, or one core only): expect noise"
    };
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let lock = fs::read_to_string(root().join("bench/Cargo.lock")).unwrap_or_default();
    let versions: Vec<String> = NAMED.iter().map(|name| versions_of(&lock, name)).collect();
    format!(
        "- machine: {}, {cores} cores, Linux {}; {pinned}; load average before: {load}\n\
         - compiler: {}; release, thin LTO, one codegen unit, unwinding, the system's allocator\n\
         - this project at {}; {}\n",
        model.unwrap_or("unknown processor"),
        kernel.trim(),
        said_by("rustc", &["--version"]),
        said_by("git", &["describe", "--always", "--dirty"]),
        versions.join(", "),
    )
}

/// What is measured, and what it stands on.
const NAMED: &[&str] = &[
    "fastwebsockets",
    "tokio-websockets",
    "yawc",
    "tokio-tungstenite",
    "axum",
    "hyper",
    "tokio",
];

/// `name 1.2.3`, or every version of it that a lock file has.
fn versions_of(lock: &str, name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let versions: Vec<&str> = lock
        .split(&entry)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    format!("{name} {}", versions.join(" and "))
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    let said = child::capture(&mut command, super::ANSWER);
    said.map_or_else(|_| "unknown".to_owned(), |it| it.stdout.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_versions_in_a_lock_file_are_named() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0\"\n\n[[package]]\nname = \"ab\"\n\
                    version = \"2.0\"\n\n[[package]]\nname = \"a\"\nversion = \"1.1\"\n";

        assert_eq!(versions_of(lock, "a"), "a 1.0 and 1.1");
    }
}
