//! Jetty's `TestClient`: sends messages, or pings, to a test server and times the replies.

#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use test_protocols::{ClientOptions, Summary, run_client};

// One thread: what is measured is the way to the server and back, not the way between two threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match ClientOptions::parse(env::args_os()) {
        Ok(options) => options,
        Err(exit) => return exit.report(),
    };
    match run_client(&options, io::stdout(), io::stderr()).await {
        Ok(summary) => report(&summary),
        Err(error) => {
            complain(&explanation(&error));
            ExitCode::FAILURE
        }
    }
}

fn report(summary: &Summary) -> ExitCode {
    // Whoever closed the stream does not want to know.
    writeln!(io::stdout(), "{summary}").ok();
    match summary.missing {
        0 => ExitCode::SUCCESS,
        1 => {
            complain("1 reply is missing");
            ExitCode::FAILURE
        }
        missing => {
            complain(&format!("{missing} replies are missing"));
            ExitCode::FAILURE
        }
    }
}

/// An error and all that is behind it, in one line.
fn explanation(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}

fn complain(line: &str) {
    writeln!(io::stderr(), "test-client: {line}").ok();
}
