//! Child processes that end: by themselves, at a deadline, or with us.
//!
//! Nothing here is ever ended by name: only by the handle that starting it returned.

use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How a child ended and what it said.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Captured {
    /// Both streams, for an explanation.
    pub(crate) fn output(&self) -> String {
        let streams = [self.stdout.trim_end(), self.stderr.trim_end()];
        let said: Vec<&str> = streams.into_iter().filter(|s| !s.is_empty()).collect();
        said.join("\n")
    }

    /// An error, with everything the child said, unless it succeeded.
    pub(crate) fn success(self, what: &str) -> Result<Self, String> {
        if self.status.success() {
            return Ok(self);
        }
        Err(format!(
            "{what} failed ({})\n{}",
            self.status,
            self.output()
        ))
    }
}

/// Runs `command` to its end and keeps what it says; past `at_most` it is ended, an error.
pub(crate) fn capture(command: &mut Command, at_most: Duration) -> Result<Captured, String> {
    let name = name(command);
    let mut child = Guarded::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stdout = read_aside(child.inner.stdout.take());
    let stderr = read_aside(child.inner.stderr.take());

    let ended = child.wait_at_most(at_most);
    if matches!(ended, Ok(None)) {
        child.end();
    }
    // What it said is complete when its last copy of the pipe is closed; a grandchild that
    // outlives it and keeps one open must not keep us.
    let said = |stream: mpsc::Receiver<String>| stream.recv_timeout(READ_REST).unwrap_or_default();
    let (stdout, stderr) = (said(stdout), said(stderr));
    match ended {
        Ok(Some(status)) => Ok(Captured {
            status,
            stdout,
            stderr,
        }),
        Ok(None) => Err(format!(
            "{name} did not end within {} s\n{stdout}{stderr}",
            at_most.as_secs()
        )),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// A child that is ended when this is dropped, and that also ends when we are killed.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) inner: Child,
    watcher: Option<Watcher>,
}

impl Guarded {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self, String> {
        Self::spawn_with_stdin(command.stdin(Stdio::null()))
    }

    /// With the stdin that `command` was given.
    pub(crate) fn spawn_with_stdin(command: &mut Command) -> Result<Self, String> {
        let inner = command
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", name(command)))?;
        let watcher = Watcher::over(&inner).ok();
        Ok(Self { inner, watcher })
    }

    /// How it ended, or `None` when it still runs after `at_most`.
    pub(crate) fn wait_at_most(&mut self, at_most: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.inner.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    /// Ends it now and reaps it. Nothing happens when it has ended already.
    pub(crate) fn end(&mut self) {
        // An error says that it is gone, which is what we want.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
        if let Some(watcher) = self.watcher.take() {
            watcher.dismiss();
        }
    }
}

/// A shell that waits at a pipe of which we hold the other end. If we are gone, whatever the
/// reason, the pipe ends without a word, and the shell ends the child on our behalf.
///
/// This is what a parent-death signal or a handler for SIGTERM would do, without `unsafe` and
/// without a dependency. Where there is no `sh`, children are ended when we end in good order.
#[derive(Debug)]
struct Watcher {
    shell: Child,
    pipe: ChildStdin,
}

impl Watcher {
    fn over(child: &Child) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", "read -r _ || kill \"$1\"", "sh"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { shell, pipe })
    }

    /// The child is reaped, and its id may soon be somebody else's: nothing is left to watch.
    fn dismiss(mut self) {
        if self.pipe.write_all(b"done\n").is_err() {
            let _ = self.shell.kill();
        }
        let _ = self.shell.wait();
    }
}

/// Reads a stream to its end beside us, so that a full pipe never blocks the child.
fn read_aside<R: Read + Send + 'static>(stream: Option<R>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What arrived before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        // Nobody listens any more when the deadline has passed.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// What a command is called in an explanation.
pub(crate) fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    name.to_string_lossy().into_owned()
}

/// How often a running child is looked at: short beside what any of them takes.
const POLL: Duration = Duration::from_millis(10);

/// How long after a child's end its last words may still be in the pipe.
const READ_REST: Duration = Duration::from_secs(5);

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn child_that_succeeds_gives_both_streams() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo out; echo err >&2"]);

        let captured = capture(&mut shell, Duration::from_secs(10)).unwrap();

        assert_eq!(captured.success("it").unwrap().output(), "out\nerr");
    }

    #[test]
    fn child_that_fails_is_quoted_in_the_error() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo why; exit 3"]);

        let captured = capture(&mut shell, Duration::from_secs(10)).unwrap();

        let fault = captured.success("the shell").unwrap_err();
        assert!(fault.starts_with("the shell failed"), "{fault}");
        assert!(fault.ends_with("\nwhy"), "{fault}");
    }

    #[test]
    fn child_past_its_deadline_is_ended_and_quoted() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo first; exec sleep 600"]);

        let fault = capture(&mut shell, Duration::from_millis(300)).unwrap_err();

        assert!(fault.contains("did not end"), "{fault}");
        assert!(fault.contains("first"), "{fault}");
    }

    #[test]
    fn watcher_whose_pipe_ends_without_a_word_ends_the_child() {
        let mut sleeper = Guarded::spawn(Command::new("sleep").arg("600")).unwrap();
        let Watcher { mut shell, pipe } = sleeper.watcher.take().unwrap();

        drop(pipe);

        let ended = sleeper.wait_at_most(Duration::from_secs(10)).unwrap();
        assert!(ended.is_some_and(|status| !status.success()));
        assert!(shell.wait().unwrap().success());
    }
}
