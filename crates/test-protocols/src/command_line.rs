//! A program's arguments in, its options out; or what to say instead of running.
//!
//! What clap leaves to choose is chosen here, once for both programs: there is no `-h` for help,
//! because Jetty's client means the host by it; a mistake is one line and exit code 1, as with
//! everything else that stops these programs, and not clap's paragraph and 2.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Arg, ArgAction, Parser, error::ErrorKind};

/// Why a program does not run.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Exit {
    /// It was asked for help: what to print.
    #[error("{0}")]
    Help(String),

    /// Its arguments cannot be obeyed: one line that says which and why.
    #[error("{0}")]
    BadUsage(String),
}

impl Exit {
    /// Prints help to standard output or a mistake to standard error, and returns 0 or 1.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        // Whoever closed the stream does not want to know.
        let (_, code) = match self {
            Self::Help(text) => (write!(io::stdout(), "{text}"), ExitCode::SUCCESS),
            Self::BadUsage(line) => (writeln!(io::stderr(), "{line}"), ExitCode::FAILURE),
        };
        code
    }
}

/// Reads `arguments`, of which the first is the program's name, with the options of `A`.
pub(crate) fn parse<A: Parser>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<A, Exit> {
    let help = Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help("Print this and exit");
    let command = A::command().disable_help_flag(true).arg(help);
    let name = command.get_name().to_owned();
    command
        .try_get_matches_from(arguments)
        .and_then(|matches| A::from_arg_matches(&matches))
        .map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp => Exit::Help(error.to_string()),
            _ => bad_usage(&name, &error.to_string()),
        })
}

/// One line out of what clap says in several, and whatever the user may have typed.
pub(crate) fn bad_usage(program: &str, text: &str) -> Exit {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    // Behind the first empty line are hints and the usage.
    let text = text.split("\n\n").next().unwrap_or(text).trim_end();
    let mut line = format!("{program}: ");
    for word in text.split_ascii_whitespace() {
        line.extend(word.chars().filter(|c| !c.is_control()));
        line.push(' ');
    }
    line.push_str("(see --help)");
    Exit::BadUsage(line)
}
