//! test-server, test-client and autobahn-client: built, found, and the server started.
//!
//! They are run as the programs a user gets, never linked.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{child::Captured, listening::Listening, root};

/// How the programs are built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// As `cargo test` builds them, so that most of it is there already.
    Dev,
    /// For what would take ten times as long otherwise.
    Release,
}

/// Where the programs lie.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) server: PathBuf,
    pub(crate) client: PathBuf,
    pub(crate) autobahn_client: PathBuf,
}

impl Binaries {
    /// Builds all of them; cargo's progress and errors go to stderr.
    pub(crate) fn build(profile: Profile) -> Result<Self, String> {
        let mut build = cargo(&["build", "--quiet", "--package", "test-protocols", "--bins"]);
        if profile == Profile::Release {
            build.arg("--release");
        }
        let output = build
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
            return Err("the programs of test-protocols do not build".to_owned());
        }
        let find = |name: &str| {
            executable(&captured.stdout, name)
                .ok_or_else(|| format!("test-protocols has no program named {name}"))
        };
        Ok(Self {
            server: find("test-server")?,
            client: find("test-client")?,
            autobahn_client: find("autobahn-client")?,
        })
    }

    /// Starts test-server on `port` (0: any) of the loopback interface.
    pub(crate) fn serve(&self, port: u16, options: &[&str]) -> Result<Listening, String> {
        let mut server = Command::new(&self.server);
        server.args(["--host", LOOPBACK, "--port", &port.to_string()]);
        Listening::start(server.args(options))
    }
}

/// A cargo of the same toolchain, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Where the programs and their peers meet; the server's default too.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// Compression that leaves no message out, for both programs: short messages are to be compressed
/// as well, since that is where compression goes wrong.
pub(crate) const DEFLATE: &[&str] = &["--deflate", "--deflate-threshold", "0"];

/// The same without context takeover.
pub(crate) const DEFLATE_NO_CONTEXT: &[&str] =
    &["--deflate-no-context", "--deflate-threshold", "0"];

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
}
