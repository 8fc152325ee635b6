//! The ready-made server on several threads: each of them serves, one shutdown ends them all.
//!
//! On Linux only, whose kernel spreads connections over the listeners of a port.
#![cfg(target_os = "linux")]

use std::{
    cell::RefCell,
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    thread::{self, ThreadId},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::{Message as Foreign, protocol::frame::coding::CloseCode};
use ws_handler::{
    Endpoint, EventResult, Message, NotFound, PerCore, Session, ShutdownReport, WebSocketFactory,
    WebSocketHandler, from_fn,
};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/client.rs"]
mod client;
#[path = "support/talk.rs"]
mod talk;

use bounded::bounded;
use client::{Client, open};
use talk::{hear, say};

const THREADS: NonZeroUsize = NonZeroUsize::new(3).expect("it is not 0");

/// Three threads, each chosen with a chance of one in three: that one of them is missed by so
/// many connections has a chance of 3 × (2/3)^200, less than 10^-34.
const MOST_CONNECTIONS: usize = 200;

const LONG: Duration = Duration::from_secs(10);

thread_local! {
    /// Dropped when the thread ends.
    static HELD_BY_THREAD: RefCell<Option<Arc<()>>> = const { RefCell::new(None) };
}

/// Answers with the thread that it was connected on, and the one that it is on.
struct WhichThread {
    connected_on: Option<ThreadId>,
    held: Arc<()>,
}

impl Endpoint for WhichThread {
    async fn on_connect(&mut self, _session: &Session) -> EventResult {
        self.connected_on = Some(thread::current().id());
        HELD_BY_THREAD.set(Some(Arc::clone(&self.held)));
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        let now = thread::current().id();
        if message == Message::text("panic") {
            panic!("the application's fault");
        }
        let told = format!("{:?} {now:?}", self.connected_on);
        session.send_text(told).await?;
        Ok(())
    }
}

/// A server that can be stopped.
struct Running {
    addr: SocketAddr,
    /// Gone when all threads have ended, and the factory that they shared is dropped.
    held_by_threads: Weak<()>,
    stop: oneshot::Sender<Infallible>,
    done: JoinHandle<io::Result<ShutdownReport>>,
}

impl Running {
    async fn start(deadline: Duration) -> Self {
        let held = Arc::new(());
        let held_by_threads = Arc::downgrade(&held);
        let factory = WebSocketFactory::builder()
            .fallback(move |_request| WhichThread {
                connected_on: None,
                held: Arc::clone(&held),
            })
            .build()
            .expect("an endpoint");
        let server = PerCore::bind("127.0.0.1:0", THREADS).await;
        let server = server
            .expect("a free port")
            .with_shutdown_deadline(deadline);
        let addr = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let handler = WebSocketHandler::new(factory, NotFound);
        let done = tokio::spawn(server.serve(handler, async move { drop(stopped.await) }));
        Self {
            addr,
            held_by_threads,
            stop,
            done,
        }
    }

    /// Clients, by what their sessions say of their thread, until each thread has one.
    async fn clients_of_every_thread(&self) -> HashMap<String, Vec<Client>> {
        let mut clients: HashMap<String, Vec<Client>> = HashMap::new();
        for _ in 0..MOST_CONNECTIONS {
            let (mut client, _) = open(self.addr, "/", []).await.expect("a session");
            say(&mut client, Foreign::text("where?")).await;
            let told = hear(&mut client).await.into_text().expect("text");
            clients.entry(told.to_string()).or_default().push(client);
            if clients.len() >= THREADS.get() {
                break;
            }
        }
        assert_eq!(clients.len(), THREADS.get(), "{:?}", clients.keys());
        clients
    }
}

#[tokio::test]
async fn every_thread_serves_what_it_accepted_to_its_end() {
    let server = Running::start(LONG).await;

    let clients = server.clients_of_every_thread().await;

    for (told, clients) in clients {
        let (connected_on, now) = told.split_once(") ").expect("two threads");
        assert_eq!(connected_on, format!("Some({now}"));
        assert_ne!(now, format!("{:?}", thread::current().id()));
        for mut client in clients {
            say(&mut client, Foreign::text("and now?")).await;
            assert_eq!(hear(&mut client).await, Foreign::text(told.as_str()));
        }
    }
}

#[tokio::test]
async fn shutdown_closes_the_sessions_of_all_threads_with_1001_and_ends_the_threads() {
    let server = Running::start(LONG).await;
    let clients = server.clients_of_every_thread().await;
    let clients: Vec<Client> = clients.into_values().flatten().collect();
    let count = clients.len();
    assert!(server.held_by_threads.upgrade().is_some());

    drop(server.stop);
    for client in clients {
        assert_eq!(close_code(client).await, Some(CloseCode::Away));
    }
    let report = bounded(server.done).await.unwrap().unwrap();

    assert_eq!((report.clean(), report.cut()), (count, 0));
    assert!(server.held_by_threads.upgrade().is_none(), "a thread lives");
    let refused = bounded(TcpStream::connect(server.addr)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn sessions_that_do_not_answer_are_cut_at_the_deadline_on_every_thread() {
    let server = Running::start(Duration::from_millis(100)).await;
    let silent = server.clients_of_every_thread().await;
    let count = silent.values().map(Vec::len).sum();

    drop(server.stop);
    let report = bounded(server.done).await.unwrap().unwrap();

    assert_eq!((report.clean(), report.cut()), (0, count));
    assert!(server.held_by_threads.upgrade().is_none(), "a thread lives");
}

#[tokio::test]
async fn panic_of_an_event_ends_its_session_and_no_thread() {
    let server = Running::start(LONG).await;
    for (_, clients) in server.clients_of_every_thread().await {
        for mut client in clients {
            say(&mut client, Foreign::text("panic")).await;
            assert_eq!(close_code(client).await, Some(CloseCode::Error));
        }
    }

    server.clients_of_every_thread().await;

    assert!(!server.done.is_finished());
}

#[tokio::test]
async fn server_that_is_dropped_ends_its_threads() {
    let server = Running::start(LONG).await;
    let clients = server.clients_of_every_thread().await;

    server.done.abort();

    for mut client in clients.into_values().flatten() {
        let end = bounded(client.next()).await;
        assert!(matches!(end, None | Some(Err(_))), "{end:?}");
    }
    bounded(async {
        while server.held_by_threads.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn port_of_somebody_who_does_not_share_it_is_an_error() {
    let alone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = alone.local_addr().unwrap();

    let refused = PerCore::bind(addr, THREADS).await.unwrap_err();

    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
}

/// Hostile input T14.
#[tokio::test]
async fn http2_connection_without_requests_is_closed() {
    let factory = WebSocketFactory::builder()
        .fallback(|_request| from_fn(|_session, _message| async { Ok(()) }))
        .build()
        .expect("an endpoint");
    let server = PerCore::bind("127.0.0.1:0", THREADS).await.unwrap();
    let addr = server.local_addr();
    let server = server.with_http2_idle_timeout(Duration::from_millis(50));
    let handler = WebSocketHandler::new(factory, NotFound);
    tokio::spawn(server.serve(handler, std::future::pending()));
    let mut client = bounded(TcpStream::connect(addr)).await.unwrap();
    // The preface, no settings, and GET http://a/.
    let said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
        \0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a";
    client.write_all(said).await.unwrap();

    let mut heard = Vec::new();
    let goaway = b"\x07\0\0\0\0\0";
    while !heard.windows(goaway.len()).any(|it| it == goaway) {
        let read = bounded(client.read_buf(&mut heard)).await.unwrap();
        assert_ne!(read, 0, "closed without a GOAWAY: {heard:?}");
    }
}

/// Reads, which answers the server's Close, to the end of the connection.
async fn close_code(mut client: Client) -> Option<CloseCode> {
    let mut code = None;
    while let Some(Ok(message)) = bounded(client.next()).await {
        if let Foreign::Close(Some(close)) = message {
            code = Some(close.code);
        }
    }
    code
}
