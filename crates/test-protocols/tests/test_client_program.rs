//! The program test-client: what it prints, and what it exits with.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(
    clippy::result_large_err,
    reason = "the shape of tungstenite's callback"
)]
#![expect(dead_code, reason = "this program is not run against a broadcast")]

#[path = "peer/tungstenite_server.rs"]
mod server;

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use server::{echo, serve};
use tokio::{net::TcpListener, process::Command, time::timeout};

#[tokio::test]
async fn answered_run_ends_with_a_summary_and_0() {
    let (port, _server) = serve(1, echo).await;

    let output = run(&["-p", &port.to_string(), "-P", "echo", "-c", "3", "-d", "0"]).await;

    let out = text(&output.stdout);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines.len(), 7);
    assert_eq!(
        lines[4],
        "--- 127.0.0.1 websocket ping statistics using 1 connection ---"
    );
    let counts = "3/3 frames sent/recv, 3/3 mesg sent/recv, time ";
    assert!(lines[5].starts_with(counts), "{out}");
    assert!(lines[6].starts_with("rtt min/ave/max = "), "{out}");
    assert_eq!(text(&output.stderr), "");
}

#[tokio::test]
async fn missing_replies_are_told_and_1() {
    let (port, _server) = serve(1, |mut socket| async move {
        socket.close(None).await.unwrap();
        echo(socket).await
    })
    .await;

    let output = run(&["-p", &port.to_string(), "-P", "echo", "-c", "3", "-d", "1"]).await;

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = text(&output.stderr);
    assert!(
        errors.ends_with("test-client: 3 replies are missing\n"),
        "{errors}"
    );
}

#[tokio::test]
async fn nobody_listening_is_one_line_and_1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);

    let output = run(&["-p", &port.to_string()]).await;

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = text(&output.stderr);
    let start = format!("test-client: cannot connect to 127.0.0.1:{port}: no connection: ");
    assert!(errors.starts_with(&start), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert_eq!(text(&output.stdout), "");
}

#[tokio::test]
async fn help_is_0_and_a_bad_value_one_line_and_1() {
    let help = run(&["--help"]).await;
    let bad = run(&["--count", "ten"]).await;

    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("--protocol"));
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(text(&bad.stderr).lines().count(), 1);
    assert_eq!(text(&bad.stdout), "");
}

#[tokio::test]
async fn reader_that_closes_the_output_changes_nothing() {
    let (port, _server) = serve(1, echo).await;
    let port = port.to_string();
    let mut program = command(&["-p", &port, "-P", "echo", "-c", "3", "-d", "0"]);

    let mut running = program.stdout(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    let status = timeout(Duration::from_secs(30), running.wait()).await;

    assert_eq!(status.unwrap().unwrap().code(), Some(0));
}

async fn run(arguments: &[&str]) -> Output {
    let output = timeout(Duration::from_secs(30), command(arguments).output()).await;
    output.expect("the program ends in time").unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-client"));
    let host = match arguments {
        ["-p", ..] => &["-h", "127.0.0.1"][..],
        _ => &[],
    };
    command.args(arguments).args(host).kill_on_drop(true);
    command
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}
