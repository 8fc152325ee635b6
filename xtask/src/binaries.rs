//! test-server and test-client: built, found, and the server started.
//!
//! Both are run as the programs a user gets, never linked. They are built in the dev profile:
//! nothing here measures speed, and `cargo test` has built most of them already.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    child::{Captured, Guarded},
    root,
};

/// Where the two programs lie.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) server: PathBuf,
    pub(crate) client: PathBuf,
}

impl Binaries {
    /// Builds both; cargo's progress and errors go to stderr.
    pub(crate) fn build() -> Result<Self, String> {
        let output = cargo(&["build", "--quiet", "--package", "test-protocols", "--bins"])
            .arg("--message-format=json-render-diagnostics")
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo does not start: {error}"))?;
        let captured = Captured {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::new(),
        };
        if !captured.status.success() {
            return Err("test-server and test-client do not build".to_owned());
        }
        let find = |name: &str| {
            executable(&captured.stdout, name)
                .ok_or_else(|| format!("test-protocols has no program named {name}"))
        };
        Ok(Self {
            server: find("test-server")?,
            client: find("test-client")?,
        })
    }
}

/// A running test-server, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Guarded,
    address: String,
}

impl Server {
    /// Starts it on `port` (0: any) of the loopback interface and waits until it listens.
    pub(crate) fn start(binaries: &Binaries, port: u16) -> Result<Self, String> {
        let mut child = Guarded::spawn(
            Command::new(&binaries.server)
                .args(["--host", LOOPBACK, "--port", &port.to_string()])
                .stdout(Stdio::piped()),
        )?;
        let stdout = child.inner.stdout.take();
        let first = first_line_of(stdout.ok_or("test-server has no stdout")?);
        let line = first
            .recv_timeout(START)
            .map_err(|_| format!("test-server said nothing for {} s", START.as_secs()))?;
        let address = address_in(&line)
            .ok_or_else(|| format!("test-server began with {line:?}, not with its address"))?
            .to_owned();
        Ok(Self { child, address })
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
            Ok(Some(status)) => Err(format!("test-server ended on its own ({status})")),
            Err(error) => Err(format!("test-server: {error}")),
        }
    }

    /// Waits until something else ends it.
    #[cfg(not(unix))]
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        let status = self.child.inner.wait();
        status
            .map(drop)
            .map_err(|error| format!("test-server: {error}"))
    }
}

/// A cargo of the same toolchain, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Where demo and Autobahn meet the server; its default too.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// How long the server may take to say where it listens: it does nothing before, so this is
/// the patience with a busy machine.
const START: Duration = Duration::from_secs(20);

/// The path in cargo's line `{"reason":"compiler-artifact",…,"executable":"/…/name",…}`.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        let (path, _) = rest.split_once('"')?;
        // Of all that JSON escapes, a path that cargo prints holds at most backslashes.
        let path = PathBuf::from(path.replace("\\\\", "\\"));
        (path.file_stem()? == name).then_some(path)
    })
}

/// The address in `test-server listening on http://127.0.0.1:8080/`.
fn address_in(line: &str) -> Option<&str> {
    let (_, url) = line.trim_end().split_once("listening on http://")?;
    let address = url.strip_suffix('/').unwrap_or(url);
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
    fn executable_is_found_among_cargos_messages() {
        let messages = "\
{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"x\"},\"executable\":null}
{\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/test-client\",\"fresh\":true}
{\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/test-server\",\"fresh\":true}
{\"reason\":\"build-finished\",\"success\":true}
";

        let found = executable(messages, "test-server");

        assert_eq!(found, Some(PathBuf::from("/t/debug/test-server")));
        assert_eq!(executable(messages, "test"), None);
    }

    #[test]
    fn address_is_read_from_the_servers_first_line() {
        let line = "test-server listening on http://127.0.0.1:41233/\n";

        assert_eq!(address_in(line), Some("127.0.0.1:41233"));
        assert_eq!(address_in("address in use"), None);
        assert_eq!(address_in("listening on http://127.0.0.1/"), None);
    }
}
