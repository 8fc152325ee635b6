//! The chat of `examples/chat.rs`, served as its `main` does, on a free port; its members are
//! clients of `ws-client`.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/bounded.rs"]
mod bounded;
#[path = "../examples/chat.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod example;

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use bounded::bounded;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, mpsc, oneshot},
};
use ws_client::{ConnectRequest, connect};
use ws_handler::{Endpoint, EventResult, Server, Session, Text};

/// Serves for as long as the test runs.
async fn chat() -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    drop(tokio::spawn(example::serve(server, pending())));
    address
}

/// A member of a room, and what it has been sent and not looked at yet.
struct Member {
    session: Session,
    lines: mpsc::UnboundedReceiver<Text>,
    /// The name that it was given.
    name: String,
}

/// Takes a line for each permit there is.
struct Reader {
    lines: mpsc::UnboundedSender<Text>,
    permits: Arc<Semaphore>,
}

impl Endpoint for Reader {
    async fn on_text(&mut self, _session: &Session, text: Text) -> EventResult {
        self.lines.send(text)?;
        self.permits.acquire().await?.forget();
        Ok(())
    }
}

/// One that reads everything.
async fn join(address: SocketAddr, room: &str) -> Member {
    join_reading(address, room, Semaphore::MAX_PERMITS).await.0
}

/// One that reads so many lines, and the next once there are more permits.
async fn join_reading(address: SocketAddr, room: &str, permits: usize) -> (Member, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(permits));
    let (lines, mut read) = mpsc::unbounded_channel();
    let reader = Reader {
        lines,
        permits: Arc::clone(&permits),
    };
    let request = ConnectRequest::to(&format!("ws://{address}/chat/{room}")).unwrap();
    let session = connect(request, reader).await.unwrap();
    let greeting = read.recv().await.unwrap();
    let name = greeting.strip_prefix("* you are ").unwrap().to_owned();
    let member = Member {
        session,
        lines: read,
        name,
    };
    (member, permits)
}

impl Member {
    async fn say(&self, line: &str) {
        self.session.send_text(line.to_owned()).await.unwrap();
    }

    async fn hear(&mut self) -> String {
        self.lines.recv().await.unwrap().to_string()
    }
}

#[tokio::test]
async fn everybody_in_the_room_hears_a_line_and_nobody_in_another() {
    bounded(async {
        let address = chat().await;
        let mut ada = join(address, "caf%C3%A9").await;
        let mut bob = join(address, "caf%C3%A9").await;
        let mut eve = join(address, "cafe").await;
        assert_eq!(ada.hear().await, format!("* {} has come", bob.name));

        ada.say("hello").await;
        eve.say("is anybody here?").await;

        let line = format!("{}: hello", ada.name);
        assert_eq!(ada.hear().await, line);
        assert_eq!(bob.hear().await, line);
        assert_eq!(eve.hear().await, format!("{}: is anybody here?", eve.name));
        eve.session.close_without_status();
        eve.session.closed().await;
        assert!(eve.lines.recv().await.is_none(), "a line of another room");
    })
    .await;
}

#[tokio::test]
async fn comings_and_goings_and_typing_are_told_to_the_others_only() {
    bounded(async {
        let address = chat().await;
        let mut ada = join(address, "a").await;
        let bob = join(address, "a").await;

        bob.say("/typing").await;
        bob.session.close_without_status();

        for what in ["has come", "is typing", "has left"] {
            assert_eq!(ada.hear().await, format!("* {} {what}", bob.name));
        }
        let mut rest = bob.lines;
        assert!(rest.recv().await.is_none(), "told to the one who did it");
    })
    .await;
}

#[tokio::test]
async fn name_is_kept_with_the_session_and_one_that_could_deceive_is_refused() {
    bounded(async {
        let address = chat().await;
        let mut ada = join(address, "a").await;
        let mut bob = join(address, "a").await;
        assert_eq!(ada.hear().await, format!("* {} has come", bob.name));

        for name in ["", "* bob", "guest-1", "bob: no", "b\nc", &"x".repeat(25)] {
            ada.say(&format!("/name {name}")).await;
            let answer = ada.hear().await;
            assert_eq!(answer, "* a name has 1 to 24 letters and digits", "{name}");
        }
        ada.say("/name Zoë").await;
        ada.say("hi").await;

        assert_eq!(ada.hear().await, "* you are Zoë");
        assert_eq!(bob.hear().await, format!("* {} is now Zoë", ada.name));
        assert_eq!(bob.hear().await, "Zoë: hi");
    })
    .await;
}

/// More than sockets on loopback and the outbox take: lines of a member that does not read.
const MANY_LINES: usize = 5000;

#[tokio::test]
async fn member_that_does_not_read_is_closed_with_1013_and_the_rest_miss_nothing() {
    bounded(async {
        let address = chat().await;
        let (mut deaf, permits) = join_reading(address, "a", 0).await;
        let mut ada = join(address, "a").await;
        let mut bob = join(address, "a").await;
        assert_eq!(ada.hear().await, format!("* {} has come", bob.name));

        let long = "x".repeat(4000);
        for number in 0..MANY_LINES {
            let line = format!("{number} {long}");
            ada.say(&line).await;
            let line = format!("{}: {line}", ada.name);
            assert_eq!(ada.hear().await, line);
            assert_eq!(bob.hear().await, line);
        }
        assert!(ada.session.is_open() && bob.session.is_open());

        permits.add_permits(Semaphore::MAX_PERMITS);
        let end = deaf.session.closed().await;
        assert_eq!(end.status().get(), 1013);
        let mut read = 0;
        while let Some(line) = deaf.lines.recv().await {
            // Without a gap up to where it was closed.
            if !line.starts_with("* ") {
                let begins = format!("{}: {read} x", ada.name);
                assert!(line.starts_with(&begins), "{}", &line[..40]);
                read += 1;
            }
        }
        assert!((1..MANY_LINES).contains(&read), "{read}");
    })
    .await;
}

#[tokio::test]
async fn member_that_sends_what_is_no_line_of_a_chat_is_closed() {
    bounded(async {
        let address = chat().await;
        let binary = join(address, "a").await;
        let long = join(address, "a").await;

        binary.session.send_binary(vec![0]).await.unwrap();
        long.say(&"x".repeat(4097)).await;

        assert_eq!(binary.session.closed().await.status().get(), 1009);
        assert_eq!(long.session.closed().await.status().get(), 1009);
    })
    .await;
}

#[tokio::test]
async fn room_with_a_name_too_long_is_refused_for_good() {
    bounded(async {
        let address = chat().await;
        let url = format!("ws://{address}/chat/{}", "x".repeat(257));
        let (lines, mut read) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(1));
        let request = ConnectRequest::to(&url).unwrap();

        let session = connect(request, Reader { lines, permits }).await.unwrap();

        assert_eq!(session.closed().await.status().get(), 1008);
        assert!(read.recv().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn stop_closes_everybody_with_1001() {
    bounded(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let serving = tokio::spawn(example::serve(server, stopped));
        let ada = join(address, "a").await;
        let bob = join(address, "b").await;

        drop(stop);
        let report = serving.await.unwrap().unwrap();

        assert_eq!((report.clean(), report.cut()), (2, 0));
        assert_eq!(ada.session.closed().await.status().get(), 1001);
        assert_eq!(bob.session.closed().await.status().get(), 1001);
    })
    .await;
}

#[tokio::test]
async fn stop_does_not_wait_past_its_deadline_for_a_member_that_does_not_answer() {
    bounded(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let server = server.with_shutdown_deadline(Duration::from_millis(50));
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let serving = tokio::spawn(example::serve(server, stopped));
        let (_deaf, _permits) = join_reading(address, "a", 0).await;

        drop(stop);
        let report = serving.await.unwrap().unwrap();

        assert_eq!((report.clean(), report.cut()), (0, 1));
    })
    .await;
}

/// The response to a request that is no handshake.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn page_is_served_beside_the_rooms_and_needs_no_other_file() {
    bounded(async {
        let address = chat().await;

        let page = get(address, "/").await;
        let no_handshake = get(address, "/chat/a").await;

        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("content-type: text/html; charset=utf-8\r\n"));
        assert!(page.contains("/chat/${encodeURIComponent(room)}"));
        assert!(!page.contains("src=") && !page.contains("href="));
        assert!(no_handshake.starts_with("HTTP/1.1 404 "), "{no_handshake}");
    })
    .await;
}
