//! `test-server`: Jetty's WebSocket test protocols on a port, and the demo page beside them.
//!
//! `/stats` is what it has counted, as JSON (`StatsRoute`), whatever the docroot has under that name.
//!
//! Standard output says where it listens and nothing else; standard error has warnings, and with
//! `--verbose` every event. It ends with 0 on Ctrl-C or SIGTERM, when every session has been
//! closed with 1001.

#![forbid(unsafe_code)]

use std::{
    convert::Infallible,
    env,
    fmt::Display,
    future::pending,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use test_protocols::{EventLog, ServerOptions, StaticFiles, StatsRoute};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    prelude::*,
};
use ws_handler::{Routes, Server, WebSocketHandler, service_fn, shutdown_signal};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match ServerOptions::parse(env::args_os()) {
        Ok(options) => options,
        Err(exit) => return exit.report(),
    };
    // h2 warns of each hostile connection, without an end to it.
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("h2", LevelFilter::ERROR);
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .finish()
        .with(filter)
        .init();
    match run(options).await {
        Ok(code) => code,
        Err(fault) => {
            // Whoever closed the stream does not want to know.
            let _lost = writeln!(io::stderr(), "test-server: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal; an error is one line that says why it could not begin.
async fn run(options: ServerOptions) -> Result<ExitCode, String> {
    let ServerOptions {
        host,
        port,
        verbose,
        docroot,
        deflate,
        ..
    } = options;
    let files = StaticFiles::new(docroot).map_err(to_line)?;
    let events = verbose.then(|| EventLog::new(io::stderr()));
    let factory = test_protocols::factory(events, deflate.config()).map_err(to_line)?;
    let server = Server::bind((host.as_str(), port))
        .await
        .map_err(|error| format!("cannot listen at {host}, port {port}: {error}"))?;

    let address = server.local_addr();
    let routes = Routes::from(factory);
    let stats = StatsRoute::new(routes.clone());
    let pages = service_fn(move |request| {
        let numbers = stats.serve(&request);
        let file = files.serve(&request);
        async move {
            Ok::<_, Infallible>(match numbers {
                Some(response) => response,
                None => file.await,
            })
        }
    });
    let serving = server
        .with_shutdown_deadline(SHUTDOWN_DEADLINE)
        .serve(WebSocketHandler::new(routes, pages), shutdown_signal());
    tokio::select! {
        // In this order: by the time it is announced it accepts, and a signal finds its handler.
        biased;
        _report = serving => Ok(ExitCode::SUCCESS),
        () = second_signal() => Ok(ExitCode::from(INTERRUPTED)),
        () = announce(address) => Ok(ExitCode::SUCCESS),
    }
}

fn to_line(error: impl Display) -> String {
    error.to_string()
}

/// Says where it listens; never resolves.
async fn announce(address: SocketAddr) {
    let mut stdout = io::stdout().lock();
    // Whoever closed the stream knows the port already.
    let _lost = writeln!(stdout, "test-server listening on http://{address}/")
        .and_then(|()| stdout.flush());
    drop(stdout);
    pending().await
}

/// Resolves when the process is asked to end while it is ending.
async fn second_signal() {
    shutdown_signal().await;
    shutdown_signal().await;
}

/// How long clients may take to answer the Close. Somebody waits at a terminal.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;
