//! The extension of `examples/extension.rs`: agreed to by a server on a real socket, and at both ends
//! of a pipe.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/bounded.rs"]
mod bounded;
#[path = "../examples/extension.rs"]
#[expect(dead_code, reason = "its `main` serves for ever")]
mod example;

use bounded::bounded;
use example::{Echo, OfferedXor, Xor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
    sync::mpsc,
};
use ws_handler::{
    Established, ExtensionStack, MaskKeys, Message, NotFound, Role, Server, Session, Transport,
    WebSocketFactory, WebSocketHandler, from_fn,
};

/// Asks a server of the example for a session with this offer; returns what it agreed to.
async fn connect(offer: &str) -> (TcpStream, Option<String>) {
    let factory = WebSocketFactory::builder()
        .with_extension(OfferedXor)
        .fallback(|_| Echo)
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let handler = WebSocketHandler::new(factory, NotFound);
    drop(tokio::spawn(server.serve(handler, std::future::pending())));

    let mut peer = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let agreed = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
    (peer, agreed.map(str::to_owned))
}

#[tokio::test]
async fn server_agrees_to_it_and_frames_go_through_it() {
    bounded(async {
        let (mut peer, agreed) = connect("x-xor; key=256, x-xor; key=\"32\", x-xor; key=1").await;

        // "hi", once through the extension and once as it is, both masked with zeros.
        peer.write_all(b"\xa1\x82\0\0\0\0HI\x81\x82\0\0\0\0hi")
            .await
            .unwrap();
        let mut answers = [0; 8];
        peer.read_exact(&mut answers).await.unwrap();

        assert_eq!(agreed.as_deref(), Some("x-xor; key=32"));
        assert_eq!(&answers, b"\xa1\x02HI\xa1\x02HI");
    })
    .await;
}

#[tokio::test]
async fn offer_without_a_key_that_can_be_is_declined() {
    bounded(async {
        for offer in [
            "x-xor",
            "x-xor; key=1; key=1",
            "x-xor; key=-1",
            "X-XOR; key=1",
        ] {
            let (mut peer, agreed) = connect(offer).await;
            peer.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
            let mut answer = [0; 4];
            peer.read_exact(&mut answer).await.unwrap();

            assert_eq!(agreed, None, "{offer}");
            assert_eq!(&answer, b"\x81\x02hi");
        }
    })
    .await;
}

#[derive(Debug)]
struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        [1, 2, 3, 4]
    }
}

#[tokio::test]
async fn both_ends_with_the_same_key_understand_each_other() {
    bounded(async {
        let (near, far) = duplex(4096);
        let end = |pipe, role| {
            let mut stack = ExtensionStack::default();
            assert!(stack.push(Box::new(Xor::new(7))).is_ok());
            Established::new(Transport::boxed(pipe), role)
                .with_extensions(stack)
                .with_mask_keys(Keys)
        };
        let (told, mut messages) = mpsc::unbounded_channel();
        let mut client = end(near, Role::Client);
        let session = client.session().clone();
        tokio::spawn(end(far, Role::Server).run(Echo));
        tokio::spawn(client.run(from_fn(move |_: Session, message: Message| {
            let told = told.clone();
            async move { Ok(told.send(message)?) }
        })));

        let large = Message::binary(vec![9; 60_000]);
        session.send_text("héllo").await.unwrap();
        session.send(large.clone()).await.unwrap();

        assert_eq!(messages.recv().await, Some(Message::text("héllo")));
        assert_eq!(messages.recv().await, Some(large));
    })
    .await;
}
