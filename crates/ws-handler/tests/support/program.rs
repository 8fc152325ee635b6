//! A server in a process of its own: what it takes of the machine is nobody else's, and it can be
//! sent a signal.
//!
//! The process is this very test binary, asked for one test with [`INSIDE`] in its environment.

use std::{fs, io::Write as _, net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    runtime,
    task::yield_now,
};
use ws_handler::{
    NotFound, Server, Session, WebSocketFactory, WebSocketHandler, from_fn, shutdown_signal,
};

use crate::bounded::bounded;

/// The environment variable by which the process knows itself; its value is the server's request
/// deadline in milliseconds.
const INSIDE: &str = "WS_HANDLER_TEST_SERVER";

const LISTENING: &str = "listening on ";

/// How long a shutdown waits for who does not answer.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(3);

/// Serves, if this is the other process: an echo, until SIGTERM. Returns whether it was.
pub(crate) fn is_the_server() -> bool {
    let Ok(millis) = std::env::var(INSIDE) else {
        return false;
    };
    let deadline = Duration::from_millis(millis.parse().expect("a number"));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(serve(deadline));
    true
}

async fn serve(request_deadline: Duration) {
    let echo = |_: &_| {
        from_fn(|session: Session, message| async move {
            session.send(message).await?;
            Ok(())
        })
    };
    let factory = WebSocketFactory::builder().fallback(echo).build();
    let factory = factory.expect("an endpoint");
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let server = server
        .with_request_deadline(request_deadline)
        .with_shutdown_deadline(SHUTDOWN_DEADLINE);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{LISTENING}{}", server.local_addr()).expect("somebody reads");

    let handler = WebSocketHandler::new(factory.clone(), NotFound);
    let report = server.serve(handler, shutdown_signal()).await;

    assert_eq!(factory.stats().open(), 0);
    let metrics = runtime::Handle::current().metrics();
    bounded(async {
        while metrics.num_alive_tasks() > 0 {
            yield_now().await;
        }
    })
    .await;
    let (clean, cut) = (report.clean(), report.cut());
    writeln!(stdout, "\n{clean} clean, {cut} cut").expect("somebody reads");
}

/// The other process; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
}

impl Program {
    /// Starts it; `test` is one that begins by asking [`is_the_server`].
    pub(crate) async fn start(test: &str, request_deadline: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, request_deadline.as_millis().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs once more");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let addr = loop {
            let mut line = String::new();
            let read = bounded(stdout.read_line(&mut line)).await.expect("a pipe");
            assert_ne!(read, 0, "it ended before it listened");
            if let Some(addr) = line.trim_end().strip_prefix(LISTENING) {
                break addr.parse().expect("an address");
            }
        };
        Self {
            child,
            stdout,
            addr,
        }
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_bytes(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.expect("Linux says so")
            .parse::<usize>()
            .expect("a number")
            * 1024
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("it lives").count()
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let id = self.child.id().expect("it lives").to_string();
        let kill = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(bounded(kill).await.expect("there is a kill").success());
    }

    /// Waits for its end: the exit code, and what else it said.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let read = bounded(self.stdout.read_to_string(&mut rest)).await;
        read.expect("a pipe");
        (
            bounded(self.child.wait()).await.expect("it ran").code(),
            rest,
        )
    }

    fn proc(&self, what: &str) -> String {
        format!("/proc/{}/{what}", self.child.id().expect("it lives"))
    }
}
