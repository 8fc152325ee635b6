//! A program of `bench/`: started on its cores, talked to in lines, ended by the end of its stdin.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use crate::child::Guarded;

/// The running program, ended when this is dropped.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    child: Guarded,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    /// Starts `command`; what it says on stderr is shown.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self, String> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Guarded::spawn_with_stdin(command)?;
        let stdin = child.inner.stdin.take();
        let stdout = child.inner.stdout.take();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // When nobody listens any more, the pipe is emptied all the same.
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            stdin,
            lines,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.inner.id()
    }

    /// The next line on its stdout.
    pub(super) fn line(&self, at_most: Duration) -> Result<String, String> {
        self.lines.recv_timeout(at_most).map_err(|error| {
            let seconds = at_most.as_secs();
            format!("{}: no line within {seconds} s ({error})", self.name)
        })
    }

    /// The address in a server's first line.
    pub(super) fn address(&self, at_most: Duration) -> Result<String, String> {
        let line = self.line(at_most)?;
        let url = line.strip_prefix("listening on ws://");
        let address = url.map(|url| url.trim_end_matches('/').to_owned());
        address.ok_or_else(|| format!("{} began with {line:?}, not its address", self.name))
    }

    /// Lets a load begin its next stage.
    pub(super) fn go_on(&mut self) -> Result<(), String> {
        let stdin = self.stdin.as_mut();
        let told = stdin.map_or(Ok(()), |stdin| stdin.write_all(b"\n"));
        told.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Ends it in good order; gives the last line that nobody has read.
    pub(super) fn finish(mut self, at_most: Duration) -> Result<Option<String>, String> {
        drop(self.stdin.take());
        match self.child.wait_at_most(at_most) {
            Ok(Some(status)) if status.success() => {
                let mut last = None;
                while let Ok(line) = self.lines.recv_timeout(at_most) {
                    last = Some(line);
                }
                Ok(last)
            }
            Ok(Some(status)) => Err(format!("{} ended with {status}", self.name)),
            Ok(None) => Err(format!("{} does not end", self.name)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }
}

/// `program` on these cores, as `taskset` names them, with as many descriptors as it may have.
///
/// A shell and `taskset` become the program, one after the other, so that its id stays that of the
/// child. Where there is no second core or no `taskset`, it runs where the system puts it.
pub(super) fn on_cores(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$(ulimit -H -n)\"; exec \"$@\"", "sh"]);
    if can_pin() {
        command.args(["taskset", "-c", cores]);
    }
    command.arg(program);
    command
}

/// How many cores there are for server and load.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Whether server and load can each have a core.
pub(super) fn can_pin() -> bool {
    let mut taskset = Command::new("taskset");
    taskset.arg("--version").stdout(Stdio::null());
    cores() >= 2 && taskset.status().is_ok_and(|status| status.success())
}

/// How many descriptors a program may have at most; `None` where that is not told.
pub(super) fn descriptors() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
