//! The server of `examples/monitoring.rs`, on a free port: what it logs, counts, pushes and refuses.
//! The clients are `ws-client`'s.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/bounded.rs"]
mod bounded;
#[path = "../examples/monitoring.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod example;

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{Mutex, Once},
    time::Duration,
};

use bounded::bounded;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use ws_client::{ConnectError, ConnectRequest, Refusal, connect};
use ws_handler::{Bytes, CloseCode, Endpoint, EventResult, Policy, Server, Session, Text};

/// Never within a test.
const NEVER: Duration = Duration::from_secs(3600);

/// Serves for as long as the test runs.
async fn serve(policy: Policy, push_every: Duration) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let serving = example::serve(server, policy, push_every, pending());
    drop(tokio::spawn(serving));
    address
}

/// What a client is told.
#[derive(Debug, PartialEq)]
enum Told {
    Text(String),
    Ping,
}

struct Teller(mpsc::UnboundedSender<Told>);

impl Endpoint for Teller {
    async fn on_text(&mut self, _session: &Session, text: Text) -> EventResult {
        Ok(self.0.send(Told::Text(text.to_string()))?)
    }

    async fn on_ping(&mut self, _session: &Session, _payload: Bytes) -> EventResult {
        Ok(self.0.send(Told::Ping)?)
    }
}

async fn open(
    address: SocketAddr,
) -> Result<(Session, mpsc::UnboundedReceiver<Told>), ConnectError> {
    let (tell, told) = mpsc::unbounded_channel();
    let request = ConnectRequest::to(&format!("ws://{address}/")).unwrap();
    Ok((connect(request, Teller(tell)).await?, told))
}

async fn refusal(address: SocketAddr) -> Box<Refusal> {
    match open(address).await {
        Err(ConnectError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The head and the body of the response to a `GET`.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn stats_count_what_happened_and_anything_else_is_not_found() {
    bounded(async {
        let address = serve(example::policy(), NEVER).await;
        let (session, mut told) = open(address).await.unwrap();
        // The first push comes at once; whether before or after it has opened is not ours to say.
        session.send_text("hello").await.unwrap();
        while told.recv().await.unwrap() != Told::Text("hello".to_owned()) {}
        session.close(CloseCode::NORMAL, "");
        session.closed().await;

        let mut body = String::new();
        // Our side has ended; the server's may be about to.
        while !body.contains("\"closed\":1") {
            let head;
            (head, body) = get(address, "/stats").await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains("content-type: application/json"), "{head}");
        }
        let (head, _) = get(address, "/").await;

        let begin = "{\"open\":0,\"opened\":1,\"closed\":1,\"lost\":0,\"refused\":0,\
                     \"refused_over_limit_of_peer\":0,\"messages_in\":1,";
        assert!(body.starts_with(begin), "{body}");
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    })
    .await;
}

#[tokio::test]
async fn everybody_is_told_the_numbers_again_and_again() {
    bounded(async {
        let address = serve(example::policy(), Duration::from_millis(5)).await;
        let (_one, mut one) = open(address).await.unwrap();
        let (_two, mut two) = open(address).await.unwrap();

        for told in [&mut one, &mut two] {
            let mut numbers = 0;
            while numbers < 3 {
                let Some(Told::Text(text)) = told.recv().await else {
                    panic!("no text");
                };
                numbers += usize::from(text.starts_with("{\"open\":2,\"opened\":2,"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn peer_that_has_enough_is_refused_with_503_and_told_when_to_come_back() {
    bounded(async {
        let address = serve(example::policy(), NEVER).await;
        let mut sessions = Vec::new();
        for _ in 0..20 {
            sessions.push(open(address).await.unwrap());
        }

        let refusal = refusal(address).await;

        assert_eq!(refusal.status(), 503);
        assert!(refusal.headers().contains_key("retry-after"));
        let (_, stats) = get(address, "/stats").await;
        let numbers = "\"open\":20,\"opened\":20,\"closed\":0,\"lost\":0,\"refused\":1,\
                       \"refused_over_limit_of_peer\":1,";
        assert!(stats.contains(numbers), "{stats}");
    })
    .await;
}

#[tokio::test]
async fn silent_peer_is_pinged_again_and_again() {
    bounded(async {
        let interval = Some(Duration::from_millis(5));
        let address = serve(example::policy().with_ping_interval(interval), NEVER).await;
        let (session, mut told) = open(address).await.unwrap();

        let mut pings = 0;
        while pings < 3 {
            pings += usize::from(told.recv().await.unwrap() == Told::Ping);
        }

        assert!(session.is_open());
    })
    .await;
}

/// What the whole process logs.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *LOG.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn session_that_is_over_has_one_line_in_the_log_with_who_and_how_and_how_much() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| example::log_to(|| Log));
    bounded(async {
        let address = serve(example::policy(), NEVER).await;
        let (session, mut told) = open(address).await.unwrap();
        let peer = session.request().local().unwrap();
        session.send_text("s3cret").await.unwrap();
        while told.recv().await.unwrap() != Told::Text("s3cret".to_owned()) {}
        session.close(CloseCode::try_from(4001).unwrap(), "");
        session.closed().await;

        // Our side has ended; the server's may be about to.
        let lines = loop {
            let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
            // Other tests may have had the same port, but not this code.
            let ours = [format!("peer={peer}"), " code=4001 ".to_owned()];
            let lines = log.lines().map(str::to_owned);
            let lines = lines.filter(|line| ours.iter().all(|part| line.contains(part)));
            let lines = lines.collect::<Vec<_>>();
            if !lines.is_empty() {
                break lines;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [
            " INFO session{",
            " clean=true ",
            "access: session over messages_in=1 bytes_in=6 ",
        ] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
        assert!(!lines[0].contains("s3cret"), "{}", lines[0]);
    })
    .await;
}
