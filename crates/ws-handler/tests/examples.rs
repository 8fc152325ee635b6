//! The small examples, each as its `main` serves it but on a free port, and held to what its text
//! says. The client is tokio-tungstenite.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/client.rs"]
mod client;
#[path = "support/refusal.rs"]
mod refusal;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/talk.rs"]
mod talk;

#[path = "../examples/axum.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod axum_example;
#[path = "../examples/echo.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod echo_example;
#[path = "../examples/http2.rs"]
#[expect(dead_code, reason = "its `main` prints")]
mod http2_example;
#[path = "../examples/hyper.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod hyper_example;
#[cfg(target_os = "linux")]
#[path = "../examples/per_core.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod per_core_example;
#[path = "../examples/streaming.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod streaming_example;
#[path = "../examples/subprotocols.rs"]
#[expect(dead_code, reason = "its `main` serves until a signal")]
mod subprotocols_example;

use std::{convert::Infallible, net::SocketAddr};

use bounded::bounded;
use client::{Client, open};
use futures_util::StreamExt;
use refusal::refused;
use serving::serve;
use talk::{hear, say};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};
use tokio_tungstenite::tungstenite::Message;
use ws_client::{ConnectRequest, HttpVersion, connect};
use ws_handler::{
    Message as OurMessage, NotFound, Session, WebSocketFactory, WebSocketHandler, from_fn,
};

const PROTOCOL: &str = "sec-websocket-protocol";

async fn serve_factory(factory: WebSocketFactory) -> SocketAddr {
    serve(WebSocketHandler::new(factory, NotFound)).await
}

/// Opens a WebSocket that has to be accepted.
async fn join<const N: usize>(
    address: SocketAddr,
    path: &str,
    headers: [(&'static str, &'static str); N],
) -> Client {
    open(address, path, headers).await.unwrap().0
}

/// Opens one and returns the subprotocol that was agreed on, too.
async fn offer(address: SocketAddr, protocols: &'static str) -> (Client, String) {
    let (client, answer) = open(address, "/", [(PROTOCOL, protocols)]).await.unwrap();
    let agreed = answer.headers()[PROTOCOL].to_str().unwrap().to_owned();
    (client, agreed)
}

async fn ask(client: &mut Client, text: &str) -> String {
    say(client, Message::text(text)).await;
    hear(client).await.into_text().unwrap().to_string()
}

/// The status and the reason of the server's Close; no message may come before it.
async fn closed(mut client: Client) -> (u16, String) {
    let message = hear(&mut client).await;
    let Message::Close(Some(close)) = message else {
        panic!("no Close with a status: {message:?}");
    };
    // What is read answers it, and waits for the end of the connection.
    assert!(bounded(client.next()).await.is_none());
    (close.code.into(), close.reason.to_string())
}

/// The whole response to a `GET`.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    bounded(stream.read_to_string(&mut response)).await.unwrap();
    response
}

#[tokio::test]
async fn echo_answers_each_message_with_itself_by_either_endpoint() {
    let address = serve_factory(echo_example::echoes().unwrap()).await;
    let own = join(address, "/", []).await;
    let (shared, agreed) = offer(address, "shared").await;
    assert_eq!(agreed, "shared");

    for mut client in [own, shared] {
        for message in [Message::text("héllo"), Message::binary(vec![0, 255])] {
            say(&mut client, message.clone()).await;
            assert_eq!(hear(&mut client).await, message);
        }
    }
}

#[tokio::test]
async fn subprotocols_are_chosen_in_the_clients_order_each_with_its_endpoint() {
    let address = serve_factory(subprotocols_example::factory().unwrap()).await;

    let (mut upper, first) = offer(address, "unknown, upper, length").await;
    let (mut length, second) = offer(address, "length, upper").await;

    assert_eq!((&*first, &*second), ("upper", "length"));
    assert_eq!(ask(&mut upper, "straße").await, "STRASSE");
    assert_eq!(ask(&mut length, "straße").await, "7");
}

#[tokio::test]
async fn subprotocols_greet_who_is_named_by_a_cookie_and_reject_who_is_not() {
    let address = serve_factory(subprotocols_example::factory().unwrap()).await;
    let greet = (PROTOCOL, "greet");

    let answer = open(address, "/", [greet, ("cookie", "a=b; user=ada")]).await;
    let (mut client, answer) = answer.unwrap();
    let (status, text) = refused(address, "/", [greet]).await;

    assert_eq!(answer.headers()["x-greeted"], "ada");
    assert_eq!(hear(&mut client).await, Message::text("hello, ada"));
    assert_eq!(status, 403);
    assert!(text.contains("send a cookie named user"), "{text}");
}

#[tokio::test]
async fn subprotocols_close_who_names_none_and_who_sends_too_much() {
    let address = serve_factory(subprotocols_example::factory().unwrap()).await;

    let nameless = join(address, "/", []).await;
    let (mut long, _) = offer(address, "upper").await;
    say(&mut long, Message::text("x".repeat(4097))).await;

    assert_eq!(
        closed(nameless).await,
        (1008, "name a subprotocol".to_owned())
    );
    assert_eq!(closed(long).await.0, 1009);
}

#[tokio::test]
async fn subprotocols_are_for_pages_of_the_same_origin() {
    let address = serve_factory(subprotocols_example::factory().unwrap()).await;
    let elsewhere = [(PROTOCOL, "upper"), ("origin", "http://evil.example")];

    let (status, _) = refused(address, "/", elsewhere).await;

    assert_eq!(status, 403);
}

#[tokio::test]
async fn streaming_sums_up_an_upload_larger_than_a_message_may_be_otherwise() {
    let address = serve_factory(streaming_example::factory().unwrap()).await;
    let mut client = join(address, "/", []).await;

    // The sum that Wikipedia computes by hand.
    say(&mut client, Message::binary("Wikipedia")).await;
    let small = hear(&mut client).await;
    // Of n ones: 1 + n, and n + n(n + 1)/2 (RFC 1950 §8.2).
    let bytes = 3_u64 << 20;
    say(&mut client, Message::binary(vec![1; 3 << 20])).await;
    let large = hear(&mut client).await;

    assert_eq!(small, Message::text("9 bytes, Adler-32 11e60398"));
    let low = (1 + bytes) % 65_521;
    let high = (bytes + bytes * (bytes + 1) / 2) % 65_521;
    let answer = format!("{bytes} bytes, Adler-32 {high:04x}{low:04x}");
    assert_eq!(large, Message::text(answer));
}

#[tokio::test]
async fn streaming_answers_a_number_with_a_download_of_so_many_bytes() {
    let address = serve_factory(streaming_example::factory().unwrap()).await;
    let mut client = join(address, "/", []).await;

    for bytes in [0, 1, 3 << 20] {
        say(&mut client, Message::text(bytes.to_string())).await;
        let download = hear(&mut client).await;
        assert!(download.is_binary());
        assert!(download.into_data() == vec![b'.'; bytes], "not {bytes}");
    }
}

#[tokio::test]
async fn streaming_closes_who_sends_no_number_or_too_long_a_text() {
    let address = serve_factory(streaming_example::factory().unwrap()).await;
    let mut word = join(address, "/", []).await;
    let mut long = join(address, "/", []).await;

    say(&mut word, Message::text("many")).await;
    say(&mut long, Message::text("1".repeat(65))).await;

    let reason = "a number of bytes was expected".to_owned();
    assert_eq!(closed(word).await, (1007, reason));
    assert_eq!(closed(long).await.0, 1009);
}

/// Where an example that listens by itself is told to, and until when.
async fn listen() -> (
    TcpListener,
    SocketAddr,
    oneshot::Sender<Infallible>,
    impl Future<Output = ()> + Send + 'static,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    (listener, address, stop, async move { drop(stopped.await) })
}

#[tokio::test]
async fn hyper_serves_json_and_an_echo_on_one_port_until_it_is_stopped() {
    let (listener, address, stop, stopped) = listen().await;
    let done = tokio::spawn(hyper_example::serve(listener, stopped));
    let mut client = join(address, "/anywhere", []).await;

    let json = get(address, "/time").await;
    let elsewhere = get(address, "/").await;
    assert_eq!(ask(&mut client, "hello").await, "hello");
    drop(stop);
    assert_eq!(closed(client).await.0, 1001);
    let report = bounded(done).await.unwrap().unwrap();

    assert!(json.starts_with("HTTP/1.1 200 OK\r\n"), "{json}");
    assert!(
        json.contains("content-type: application/json\r\n"),
        "{json}"
    );
    assert!(json.contains("\r\n\r\n{\"unix\":"), "{json}");
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    assert_eq!((report.clean(), report.cut()), (1, 0));
}

#[tokio::test]
async fn axum_has_a_route_of_its_own_and_rooms_whose_members_get_every_message() {
    let (listener, address, _stop, stopped) = listen().await;
    tokio::spawn(axum_example::serve(listener, stopped));
    let mut ada = join(address, "/chat/tea", []).await;
    let mut bob = join(address, "/chat/tea", []).await;
    let mut eve = join(address, "/chat/coffee", []).await;
    for (client, room) in [(&mut ada, "tea"), (&mut bob, "tea"), (&mut eve, "coffee")] {
        let welcome = format!("welcome to {room}");
        assert_eq!(hear(client).await, Message::text(welcome));
    }

    assert_eq!(ask(&mut ada, "milk?").await, "milk?");
    // Had she been told, that would come before her own.
    assert_eq!(ask(&mut eve, "sugar?").await, "sugar?");
    assert_eq!(hear(&mut bob).await, Message::text("milk?"));

    let page = get(address, "/").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("open a WebSocket at /chat/"), "{page}");
    let nowhere = get(address, "/nowhere").await;
    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
}

#[tokio::test]
async fn axum_that_is_stopped_closes_its_sessions_with_1001_before_it_ends() {
    let (listener, address, stop, stopped) = listen().await;
    let done = tokio::spawn(axum_example::serve(listener, stopped));
    let mut client = join(address, "/chat/tea", []).await;
    hear(&mut client).await;

    drop(stop);

    assert_eq!(closed(client).await.0, 1001);
    bounded(done).await.unwrap().unwrap();
}

/// Two threads, each chosen with a chance of one in two: that so many connections miss one has a
/// chance of less than 10^-29. On Linux only, whose kernel spreads them.
#[cfg(target_os = "linux")]
const MOST_CONNECTIONS: usize = 100;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn per_core_echoes_on_every_thread_and_says_on_which() {
    use std::{collections::HashSet, future::pending, num::NonZeroUsize};
    use ws_handler::PerCore;

    let threads = NonZeroUsize::new(2).unwrap();
    let server = PerCore::bind("127.0.0.1:0", threads).await.unwrap();
    let address = server.local_addr();
    let handler = WebSocketHandler::new(per_core_example::echo().unwrap(), NotFound);
    tokio::spawn(server.serve(handler, pending()));

    let mut seen = HashSet::new();
    for _ in 0..MOST_CONNECTIONS {
        let mut client = join(address, "/", []).await;
        seen.insert(hear(&mut client).await.into_text().unwrap().to_string());
        assert_eq!(ask(&mut client, "hello").await, "hello");
        if seen.len() == threads.get() {
            break;
        }
    }

    let both = ["you are on ws-per-core-0", "you are on ws-per-core-1"];
    assert_eq!(seen, both.map(str::to_owned).into());
}

#[tokio::test]
async fn http2_example_serves_either_http_on_one_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http2_example::serve(listener));

    let mut foreign = join(address, "/", []).await;
    assert_eq!(ask(&mut foreign, "hello").await, "hello over HTTP/1.1");

    let (heard, mut hears) = mpsc::unbounded_channel();
    let endpoint = from_fn(move |_session: Session, message: OurMessage| {
        let told = heard.send(message);
        async move { Ok(told?) }
    });
    let request = ConnectRequest::to(&format!("ws://{address}/")).unwrap();
    let request = request.with_http_version(HttpVersion::Http2);
    let session = bounded(connect(request, endpoint)).await.unwrap();
    session.send_text("hello").await.unwrap();
    let answer = bounded(hears.recv()).await.unwrap();
    assert_eq!(answer, OurMessage::text("hello over HTTP/2.0"));
}
