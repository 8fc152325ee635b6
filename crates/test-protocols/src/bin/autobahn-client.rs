//! Runs the client through the cases of a fuzzing server: the other half of the conformance run.
//!
//! `autobahn-client [--deflate…] ws://HOST:PORT` asks how many cases there are, echoes through each
//! of them, and says how many there were. The verdicts are the fuzzing server's.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use test_protocols::DeflateOptions;
use tokio::{sync::Mutex, time::timeout};
use ws_client::{ConnectRequest, Message, Policy, Session, connect, from_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { server, deflate } = Arguments::parse();
    let policy = Policy::default()
        .with_max_message_bytes(64 << 20)
        .with_compression(deflate.config());
    match run(server.trim_end_matches('/'), &policy).await {
        Ok(cases) => {
            let _lost = writeln!(io::stdout(), "{cases} cases run");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            let _lost = writeln!(io::stderr(), "autobahn-client: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Echoes through the cases of a fuzzing server
#[derive(Debug, Parser)]
#[command(name = "autobahn-client")]
struct Arguments {
    /// The fuzzing server, as ws://host:port
    server: String,

    #[command(flatten)]
    deflate: DeflateOptions,
}

async fn run(server: &str, policy: &Policy) -> Result<u32, Box<dyn std::error::Error>> {
    let cases = count(server).await?;
    for case in 1..=cases {
        let url = format!("{server}/runCase?case={case}&agent={AGENT}");
        let echo = from_fn(|session: Session, message: Message| async move {
            session.send(message).await?;
            Ok(())
        });
        let request = ConnectRequest::to(&url)?.with_policy(policy.clone());
        let session = connect(request, echo).await?;
        timeout(CASE_DEADLINE, session.closed())
            .await
            .map_err(|_elapsed| format!("case {case} did not end"))?;
    }
    // The server writes its reports, and may end without a goodbye.
    let silent = from_fn(|_session: Session, _message: Message| async { Ok(()) });
    let url = format!("{server}/updateReports?agent={AGENT}");
    let session = connect(ConnectRequest::to(&url)?, silent).await?;
    timeout(CASE_DEADLINE, session.closed()).await?;
    Ok(cases)
}

/// Asks how many cases there are.
async fn count(server: &str) -> Result<u32, Box<dyn std::error::Error>> {
    let answer = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&answer);
    let listener = from_fn(move |_session: Session, message: Message| {
        let keep = Arc::clone(&keep);
        async move {
            if let Message::Text(text) = message {
                keep.lock().await.push_str(&text);
            }
            Ok(())
        }
    });
    let request = ConnectRequest::to(&format!("{server}/getCaseCount"))?;
    let session = connect(request, listener).await?;
    timeout(CASE_DEADLINE, session.closed()).await?;
    let answer = answer.lock().await;
    Ok(answer.parse()?)
}

/// The name under which the verdicts are filed.
const AGENT: &str = "ws-client";

/// The suite's own longest case is given 480 s.
const CASE_DEADLINE: Duration = Duration::from_secs(500);
