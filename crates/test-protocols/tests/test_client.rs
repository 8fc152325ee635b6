//! The run of test-client against tokio-tungstenite as the server.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(
    clippy::result_large_err,
    reason = "the shape of tungstenite's callback"
)]

#[path = "peer/tungstenite_server.rs"]
mod server;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use server::{broadcast, echo, serve};
use test_protocols::{ClientError, ClientOptions, Summary, run_client};
use tokio::{net::TcpListener, sync::broadcast as channel, time::timeout};

#[tokio::test]
async fn echo_is_counted_timed_and_shown() {
    let (port, server) = serve(1, echo).await;

    let (summary, out, log) = run(port, "-P echo -c 3 -s 10 -f 4 -d 1").await;

    let lines: Vec<_> = out.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "Jetty WebSocket PING 127.0.0.1:{port} (127.0.0.1/127.0.0.1:{port}) 1 clients echo"
        )
    );
    assert_eq!(lines.len(), 4);
    for (line, number) in lines[1..].iter().zip(1..) {
        let start = format!("10 bytes from 127.0.0.1: frames=1 req={number} time=");
        assert!(line.starts_with(&start), "{line}");
        assert!(line.ends_with("ms opcode=0x01"), "{line}");
    }
    assert_eq!(log, "");
    assert_eq!(summary.missing, 0);
    // Three frames of 4, 4 and 2 bytes; tungstenite puts them together.
    let totals = summary.totals;
    assert_eq!((totals.frames_sent, totals.frames_received), (9, 3));
    assert_eq!((totals.messages_sent, totals.messages_received), (3, 3));
    assert_eq!(totals.bytes_received, 30);
    assert!(summary.times.min() > Duration::ZERO);
    assert!(summary.times.min() <= summary.times.average());
    assert!(summary.times.average() <= summary.times.max());
    let closes = server.await.unwrap();
    assert_eq!(u16::from(closes[0].as_ref().unwrap().code), 1000);
}

#[tokio::test]
async fn without_a_protocol_pings_are_sent_and_pongs_counted() {
    let (port, server) = serve(2, echo).await;

    let (summary, out, _) = run(port, "-c 40 -s 125 -C 2 -d 0").await;

    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].ends_with(" 2 clients ping"), "{}", lines[0]);
    assert!(lines[1].starts_with("125 bytes from 127.0.0.1: frames=1 req=1 time="));
    assert!(lines[1].ends_with("ms opcode=0x0a"), "{}", lines[1]);
    assert_eq!(lines.len(), 81);
    assert_eq!(summary.missing, 0);
    assert_eq!(summary.totals.frames_received, 80);
    server.await.unwrap();
}

#[tokio::test]
async fn messages_of_every_size_come_back() {
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        for kind in ["", " -b"] {
            let (port, server) = serve(1, echo).await;

            let options = format!("-P echo -c 2 -d 0 -q -s {size}{kind}");
            let (summary, out, _) = run(port, &options).await;

            assert_eq!(summary.missing, 0, "{options}");
            assert_eq!(summary.totals.bytes_received, 2 * size, "{options}");
            assert_eq!(out.lines().count(), 1, "{options}");
            server.await.unwrap();
        }
    }
}

#[tokio::test]
async fn with_a_broadcast_every_client_receives_every_message() {
    let (group, _first) = channel::channel(1000);
    let (port, server) = serve(3, move |socket| broadcast(socket, group.clone())).await;

    let (summary, out, _) = run(port, "-P echo-broadcast -C 3 -c 4 -s 32 -d 1").await;

    assert_eq!(summary.missing, 0);
    assert_eq!(summary.totals.messages_sent, 12);
    assert_eq!(summary.totals.messages_received, 36);
    // The header, and a line for each message at its sender.
    assert_eq!(out.lines().count(), 13);
    assert!(summary.to_string().contains("using 3 connections"));
    server.await.unwrap();
}

#[tokio::test]
async fn many_messages_without_a_delay_are_all_answered() {
    let (port, server) = serve(3, echo).await;

    let (summary, _, _) = run(port, "-P echo -C 3 -c 2000 -d 0 -q").await;

    assert_eq!(summary.missing, 0);
    assert_eq!(summary.totals.messages_received, 6000);
    server.await.unwrap();
}

#[tokio::test]
async fn replies_that_differ_or_do_not_come_are_missing() {
    let (port, server) = serve(1, |mut socket| async move {
        let message = socket.next().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send("something else".into()).await.unwrap();
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    })
    .await;

    let (summary, _, log) = run(port, "-P echo -c 5 -d 1").await;

    assert_eq!(summary.missing, 4);
    assert_eq!(summary.totals.messages_received, 1);
    assert!(log.contains("a connection ended early: 1005"), "{log}");
    server.await.unwrap();
}

#[tokio::test]
async fn verbose_run_is_logged_in_the_shapes_of_jetty() {
    let (port, server) = serve(1, echo).await;

    let (_, _, log) = run(port, "-P echo -c 1 -s 3 -f 2 -v").await;

    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].starts_with("TestClient#onHandshake "), "{log}");
    assert!(lines[1].starts_with("TestClient#onOpen "), "{log}");
    assert!(lines[2].starts_with("TestClient#sendFrame 00|01 "), "{log}");
    assert!(lines[3].starts_with("TestClient#sendFrame 08|00 "), "{log}");
    assert!(lines[4].starts_with("TestClient#onFrame 08|01 "), "{log}");
    assert_eq!(lines.last(), Some(&"TestClient#onDisonnect 1000 null"));
    server.await.unwrap();
}

#[tokio::test]
async fn server_that_is_not_there_is_an_error_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);

    let options = options(port, "");
    let error = run_client(&options, io::sink(), io::sink())
        .await
        .unwrap_err();

    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    let want = format!("cannot connect to 127.0.0.1:{port}");
    assert_eq!(error.to_string(), want);
}

/// A run in the time that a test has: its summary, output and log.
async fn run(port: u16, line: &str) -> (Summary, String, String) {
    let (out, log) = (Kept::default(), Kept::default());
    let options = options(port, line);
    let run = run_client(&options, out.clone(), log.clone());
    let outcome = timeout(Duration::from_secs(30), run).await;
    let summary = outcome.expect("the run ends in time").unwrap();
    (summary, out.text(), log.text())
}

fn options(port: u16, line: &str) -> ClientOptions {
    let port = port.to_string();
    let arguments = ["test-client", "-h", "127.0.0.1", "-p", &port];
    ClientOptions::parse(arguments.into_iter().chain(line.split_ascii_whitespace())).unwrap()
}

/// A writer that can be read.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
