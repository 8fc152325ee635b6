//! What `test-server` is told on its command line: Jetty's `TestServer` options and `--host`.

use std::{ffi::OsString, path::PathBuf};

use clap::Parser;

use crate::{
    DeflateOptions,
    command_line::{self, Exit},
};

/// The options of `test-server`.
///
/// ```
/// use test_protocols::ServerOptions;
///
/// let options = ServerOptions::parse(["test-server", "-p", "0", "--verbose"])?;
///
/// assert_eq!((options.port, options.verbose), (0, true));
/// assert_eq!(options.host, "127.0.0.1");
/// # Ok::<(), test_protocols::Exit>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The address or name to listen at, an IPv6 address without brackets.
    pub host: String,
    /// The port to listen at; 0 for any that is free.
    pub port: u16,
    /// Whether to log every event.
    pub verbose: bool,
    /// The directory to serve, not yet looked at; `None` for the built-in page.
    pub docroot: Option<PathBuf>,
    /// Whether to compress, and how.
    pub deflate: DeflateOptions,
}

impl ServerOptions {
    /// Reads `arguments`, of which the first is the program's name.
    ///
    /// # Errors
    ///
    /// [`Exit`] if there is help to print or a mistake to report instead.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, Exit> {
        let arguments: Arguments = command_line::parse(arguments)?;
        Ok(Self {
            host: arguments.host,
            port: arguments.port,
            verbose: arguments.verbose,
            docroot: arguments.docroot,
            deflate: arguments.deflate,
        })
    }
}

/// Serves the WebSocket test protocols, and static files beside them
#[derive(Debug, Parser)]
#[command(name = "test-server")]
struct Arguments {
    /// Port to listen at; 0 picks a free one
    #[arg(short, long, default_value_t = 8080)]
    port: u16,

    /// Address to listen at
    #[arg(long, default_value = "127.0.0.1", value_parser = host)]
    host: String,

    /// Log every event on standard error
    #[arg(short, long)]
    verbose: bool,

    /// Directory to serve instead of the built-in page
    #[arg(short, long, value_name = "DIR")]
    docroot: Option<PathBuf>,

    #[command(flatten)]
    deflate: DeflateOptions,
}

fn host(text: &str) -> Result<String, String> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host = bracketed.unwrap_or(text);
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_legal) {
        return Err("not an address or a host name".to_owned());
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ServerOptions, Exit> {
        ServerOptions::parse(
            ["test-server"]
                .into_iter()
                .chain(line.split_ascii_whitespace()),
        )
    }

    #[test]
    fn without_arguments_the_defaults_are_those_of_jetty_on_the_loopback() {
        let options = parse("").unwrap();

        assert_eq!(options.host, "127.0.0.1");
        assert_eq!(options.port, 8080);
        assert!(!options.verbose);
        assert_eq!(options.docroot, None);
    }

    #[test]
    fn short_and_long_options_say_the_same() {
        let short = parse("-p 9 -v -d /srv --host [::1]").unwrap();
        let long = parse("--port=9 --verbose --docroot /srv --host ::1").unwrap();

        assert_eq!(short, long);
        assert_eq!((short.port, short.verbose), (9, true));
        assert_eq!(short.docroot, Some(PathBuf::from("/srv")));
        assert_eq!(short.host, "::1");
    }

    #[test]
    fn help_lists_every_option() {
        let Err(Exit::Help(text)) = parse("--help") else {
            panic!("no help");
        };

        for option in [
            "-p, --port",
            "--host",
            "-v, --verbose",
            "-d, --docroot",
            "--help",
        ] {
            assert!(text.contains(option), "{option} in {text}");
        }
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        let cases = [
            ("-x", "-x"),
            ("-h", "-h"),
            ("--prot 1", "--prot"),
            ("stray", "stray"),
            ("-p", "--port"),
            ("-p 65536", "65536 is not in 0..=65535"),
            ("-p http", "'http' for '--port"),
            ("-p -1", "-1"),
            ("-p 1 -p 2", "--port"),
            ("--host a/b", "'a/b' for '--host"),
            ("--host=", "--host"),
            ("-d", "--docroot"),
        ];

        for (line, want) in cases {
            let Err(Exit::BadUsage(message)) = parse(line) else {
                panic!("{line} is accepted");
            };

            assert!(message.starts_with("test-server: "), "{message}");
            assert!(message.contains(want), "{message}");
            assert!(!message.contains(['\n', '\r']), "{message}");
        }
    }

    #[test]
    fn a_value_with_line_breaks_is_still_one_line() {
        let arguments = ["test-server", "--port", "a\n\nb\r\u{1b}[31m"];

        let Err(Exit::BadUsage(message)) = ServerOptions::parse(arguments) else {
            panic!("accepted");
        };

        assert!(!message.contains(char::is_control), "{message:?}");
    }
}
