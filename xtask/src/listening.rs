//! A program that serves: started, waited for until it says where it listens, and ended with us.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::child::{self, Guarded};

/// The running program, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    name: String,
    child: Guarded,
    address: String,
}

impl Listening {
    /// Starts `command`, whose first line on stdout says `listening on scheme://host:port`.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let name = child::name(command);
        let mut child = Guarded::spawn(command.stdout(Stdio::piped()))?;
        let stdout = child.inner.stdout.take();
        let first = first_line_of(stdout.ok_or_else(|| format!("{name} has no stdout"))?);
        let line = first
            .recv_timeout(START)
            .map_err(|_| format!("{name} said nothing for {} s", START.as_secs()))?;
        let address = address_in(&line)
            .ok_or_else(|| format!("{name} began with {line:?}, not with its address"))?
            .to_owned();
        Ok(Self {
            name,
            child,
            address,
        })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    /// An error when it has ended by itself.
    pub(crate) fn still_runs(&mut self) -> Result<(), String> {
        match self.child.inner.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended on its own ({status})", self.name)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Waits until it has ended by itself, in whatever way; past `at_most` that is an error.
    pub(crate) fn ends_within(&mut self, at_most: Duration) -> Result<(), String> {
        match self.child.wait_at_most(at_most) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("{} does not end", self.name)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Waits until something else ends it.
    #[cfg(not(unix))]
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        let status = self.child.inner.wait();
        status
            .map(drop)
            .map_err(|error| format!("{}: {error}", self.name))
    }
}

/// How long a server may take to say where it listens: it does nothing before, so this is
/// the patience with a busy machine.
const START: Duration = Duration::from_secs(20);

/// The address in `test-server listening on http://127.0.0.1:8080/`.
fn address_in(line: &str) -> Option<&str> {
    let (_, url) = line.trim_end().split_once("listening on ")?;
    let (_, address) = url.split_once("://")?;
    let address = address.strip_suffix('/').unwrap_or(address);
    let (_, port) = address.rsplit_once(':')?;
    port.parse::<u16>().is_ok().then_some(address)
}

/// Gives the first line, then reads on and forgets, so that a full pipe never blocks the child.
fn first_line_of<R: Read + Send + 'static>(stream: R) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        // An error is an empty line, which is no address.
        let _ = reader.read_line(&mut line);
        let _ = sender.send(line);
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_from_the_first_line() {
        let ours = "test-server listening on http://127.0.0.1:41233/\n";
        let autobahns = "fuzzingserver listening on ws://127.0.0.1:9001\n";

        assert_eq!(address_in(ours), Some("127.0.0.1:41233"));
        assert_eq!(address_in(autobahns), Some("127.0.0.1:9001"));
        assert_eq!(address_in("address in use"), None);
        assert_eq!(address_in("listening on http://127.0.0.1/"), None);
    }

    #[cfg(unix)]
    #[test]
    fn program_is_waited_for_until_it_has_said_its_address() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo listening on ws://localhost:7; echo more"]);

        let mut listening = Listening::start(&mut shell).unwrap();

        assert_eq!(listening.port(), "7");
        listening.ends_within(Duration::from_secs(10)).unwrap();
        let fault = listening.still_runs().unwrap_err();
        assert!(fault.starts_with("sh ended on its own"), "{fault}");
    }

    #[cfg(unix)]
    #[test]
    fn program_that_says_something_else_is_quoted() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo no port; exec sleep 600"]);

        let fault = Listening::start(&mut shell).unwrap_err();

        assert!(fault.contains("\"no port\\n\""), "{fault}");
    }
}
