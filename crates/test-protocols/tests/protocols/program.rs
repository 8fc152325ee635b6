//! `test-server` itself: its streams, its exit codes, its signals.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

use crate::peer::{Peer, wire, within};

/// A running test-server; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts it on a free port and reads where it listens.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).args(["-p", "0"]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).await.unwrap();
        let address = line
            .strip_prefix("test-server listening on http://")
            .and_then(|rest| rest.strip_suffix("/\n"))
            .unwrap_or_else(|| panic!("{line:?}"));
        Self {
            child,
            address: address.parse().unwrap(),
            stdout,
        }
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(status.unwrap().success());
    }

    /// Waits for its end; returns the exit code and what else it said on standard output.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).await.unwrap();
        (self.child.wait().await.unwrap().code(), rest)
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-server"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn get(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn page_and_protocols_are_served_at_one_port() {
    within(async {
        let program = Program::start(&[]).await;

        let page = get(program.address, "/").await;
        let missing = get(program.address, "/echo").await;
        let mut peer = Peer::connect(program.address, "echo").await;
        peer.send(0x81, b"hello").await;

        assert_eq!(program.address.ip().to_string(), "127.0.0.1");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("<html"), "{page}");
        assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
        assert_eq!(peer.recv().await, wire(0x81, "hello"));
    })
    .await;
}

#[tokio::test]
async fn docroot_is_served_instead_of_the_page() {
    within(async {
        let docroot = env!("CARGO_MANIFEST_DIR");
        let program = Program::start(&["-d", docroot]).await;

        let file = get(program.address, "/Cargo.toml").await;

        assert!(file.contains("name = \"test-protocols\""), "{file}");
    })
    .await;
}

#[tokio::test]
async fn stats_are_served_beside_the_page_that_shows_them_and_beside_a_docroot() {
    within(async {
        for arguments in [&[][..], &["-d", env!("CARGO_MANIFEST_DIR")]] {
            let program = Program::start(arguments).await;
            let mut peer = Peer::connect(program.address, "echo").await;
            peer.settle().await;

            let stats = get(program.address, "/stats").await;

            assert!(stats.starts_with("HTTP/1.1 200 OK\r\n"), "{stats}");
            assert!(stats.contains("{\"open\":1,"), "{stats}");
        }

        let program = Program::start(&[]).await;
        assert!(get(program.address, "/").await.contains("href=\"/stats\""));
        let script = get(program.address, "/page.js").await;
        assert!(script.contains("from './stats.js'"), "{script}");
        let script = get(program.address, "/stats.js").await;
        assert!(script.contains("fetch('/stats'"), "{script}");
    })
    .await;
}

#[tokio::test]
async fn either_signal_closes_every_session_with_1001_and_exits_0() {
    within(async {
        for signal in ["TERM", "INT"] {
            let program = Program::start(&[]).await;
            let mut peers = Vec::new();
            for subprotocol in ["echo", "echo-broadcast", "echo-broadcast-ping"] {
                let mut peer = Peer::connect(program.address, subprotocol).await;
                peer.settle().await;
                peers.push(peer);
            }

            program.signal(signal).await;
            for mut peer in peers {
                assert_eq!(peer.closed().await.0, 1001);
                peer.send(0x88, &1001u16.to_be_bytes()).await;
                peer.reader.end().await;
            }

            assert_eq!(program.end().await, (Some(0), String::new()), "{signal}");
        }
    })
    .await;
}

#[tokio::test]
async fn signal_right_behind_the_first_line_is_heard() {
    within(async {
        let program = Program::start(&[]).await;

        program.signal("TERM").await;

        assert_eq!(program.end().await, (Some(0), String::new()));
    })
    .await;
}

#[tokio::test]
async fn client_that_does_not_answer_the_close_is_waited_for_and_then_cut() {
    within(async {
        let program = Program::start(&[]).await;
        let mut peer = Peer::connect(program.address, "echo").await;
        peer.settle().await;

        program.signal("TERM").await;
        assert_eq!(peer.closed().await.0, 1001);
        let start = Instant::now();

        assert_eq!(program.end().await.0, Some(0));
        assert!(start.elapsed() > Duration::from_secs(2));
        assert!(start.elapsed() < Duration::from_secs(30));
    })
    .await;
}

#[tokio::test]
async fn second_signal_ends_it_at_once() {
    within(async {
        let program = Program::start(&[]).await;
        let mut peer = Peer::connect(program.address, "echo").await;
        peer.settle().await;

        program.signal("INT").await;
        assert_eq!(peer.closed().await.0, 1001);
        let start = Instant::now();
        program.signal("INT").await;

        assert_eq!(program.end().await.0, Some(130));
        assert!(start.elapsed() < Duration::from_secs(4));
    })
    .await;
}

/// The exit code and what was said, of a run that ends by itself.
async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(arguments).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn what_stops_it_is_one_line_and_exit_1() {
    within(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        for (arguments, want) in [
            (&["-p", &*port][..], port.as_str()),
            (&["-p", "65536"], "65536"),
            (&["-x"], "-x"),
            (&["-p", "0", "--host", "192.0.2.1"], "192.0.2.1"),
            (
                &["-p", "0", "-d", "/no/such/directory"],
                "/no/such/directory",
            ),
        ] {
            let (code, stdout, stderr) = run(arguments).await;

            assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
            assert_eq!(stdout, "", "{arguments:?}");
            assert!(stderr.starts_with("test-server: "), "{stderr}");
            assert!(stderr.contains(want), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    })
    .await;
}

#[tokio::test]
async fn help_is_on_standard_output_and_exit_0() {
    within(async {
        let (code, stdout, stderr) = run(&["--help"]).await;

        assert_eq!(code, Some(0));
        assert!(stdout.contains("--docroot"), "{stdout}");
        assert_eq!(stderr, "");
    })
    .await;
}

#[tokio::test]
async fn verbose_logs_every_event_in_jettys_shapes() {
    within(async {
        let mut program = Program::start(&["-v"]).await;
        let address = program.address;
        let mut stderr = BufReader::new(program.child.stderr.take().unwrap()).lines();
        let mut peer = Peer::connect(address, "echo").await;
        peer.send(0x81, b"hello").await;
        assert_eq!(peer.recv().await, wire(0x81, "hello"));
        peer.send(0x88, &1000u16.to_be_bytes()).await;
        assert_eq!(peer.closed().await.0, 1000);

        let mut lines = Vec::new();
        for _ in 0..7 {
            lines.push(stderr.next_line().await.unwrap().unwrap());
        }

        let connection = format!(" l({address})<->r(127.0.0.1:");
        assert!(lines[0].starts_with("TestEchoWebSocket#onHandshake Session@"));
        assert!(lines[0].contains(&connection), "{}", lines[0]);
        assert!(lines[1].starts_with("TestEchoWebSocket#onOpen Session@"));
        assert!(lines[1].ends_with(" echo"), "{}", lines[1]);
        assert_eq!(
            lines[2..],
            [
                "TestEchoWebSocket#onFrame 08|01 68656C6C6F",
                "TestEchoWebSocket#onMessage     hello",
                "TestEchoWebSocket#onFrame 08|08 03E8",
                "TestEchoWebSocket#onControl  08 03E8",
                "TestEchoWebSocket#onDisonnect 1000 null",
            ]
        );
    })
    .await;
}

/// Hostile input R13: each of these connections is one that h2 itself warns of.
#[tokio::test]
async fn hostile_http2_connections_are_not_a_line_of_log_each() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    within(async {
        let mut program = Program::start(&[]).await;
        let mut requests = PREFACE.to_vec();
        for stream in (1..=99).step_by(2) {
            // GET http://a/, and a reset of it.
            requests.extend([0, 0, 6, 1, 5, 0, 0, 0, stream]);
            requests.extend(b"\x82\x84\x86\x41\x01a");
            requests.extend([0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8]);
        }

        for _ in 0..3 {
            let mut stream = TcpStream::connect(program.address).await.unwrap();
            stream.write_all(&requests).await.unwrap();
            let mut answer = Vec::new();
            let _reset = stream.read_to_end(&mut answer).await;
            let text = String::from_utf8_lossy(&answer);
            assert!(text.contains("too_many_resets"), "{text:?}");
        }
        let mut stderr = program.child.stderr.take().unwrap();
        program.signal("TERM").await;
        program.end().await;

        let mut log = String::new();
        stderr.read_to_string(&mut log).await.unwrap();
        assert_eq!(log, "");
    })
    .await;
}
