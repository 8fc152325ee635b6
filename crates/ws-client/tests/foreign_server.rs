//! The client against tokio-tungstenite as the server, on real sockets.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(
    clippy::result_large_err,
    reason = "the shape of tungstenite's callback"
)]

#[path = "peer/recorder.rs"]
mod recorder;

use futures_util::{SinkExt, StreamExt};
use recorder::{Seen, bounded, recorder};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode as TheirCode},
    },
};
use ws_client::{Bytes, CloseCode, ConnectRequest, Initiator, Policy, connect};

type Server = WebSocketStream<TcpStream>;

#[tokio::test]
async fn text_binary_and_ping_come_back_from_an_echo_server() {
    bounded(async {
        let (url, _server) = serve(echo).await;
        let (endpoint, mut seen) = recorder();

        let session = connect(request(&url), endpoint).await.unwrap();
        session.send_text("grüße").await.unwrap();
        session.send_binary(vec![0, 255]).await.unwrap();
        session.ping("are you there?").await.unwrap();

        let mut told = [
            seen.recv().await.unwrap(),
            seen.recv().await.unwrap(),
            seen.recv().await.unwrap(),
        ];
        // A Ping may overtake messages.
        told.sort_by_key(|seen| matches!(seen, Seen::Pong(_)));
        let want = [
            Seen::Text("grüße".to_owned()),
            Seen::Binary(Bytes::from_static(&[0, 255])),
            Seen::Pong(Bytes::from_static(b"are you there?")),
        ];
        assert_eq!(told, want);
    })
    .await;
}

#[tokio::test]
async fn message_of_a_mebibyte_comes_back_whole() {
    bounded(async {
        let (url, _server) = serve(echo).await;
        let (endpoint, mut seen) = recorder();
        let policy = Policy::default().with_max_message_bytes(1 << 20);
        let data: Bytes = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();

        let request = request(&url).with_policy(policy);
        let session = connect(request, endpoint).await.unwrap();
        session.send_binary(data.clone()).await.unwrap();

        assert_eq!(seen.recv().await.unwrap(), Seen::Binary(data));
    })
    .await;
}

#[tokio::test]
async fn ping_of_the_server_is_answered_and_shown() {
    bounded(async {
        let (url, server) = serve(|mut socket| async move {
            socket.send(Message::Ping("7".into())).await.unwrap();
            socket.next().await.unwrap().unwrap()
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let _session = connect(request(&url), endpoint).await.unwrap();

        assert_eq!(seen.recv().await.unwrap(), Seen::Ping("7".into()));
        assert_eq!(server.await.unwrap(), Message::Pong("7".into()));
    })
    .await;
}

#[tokio::test]
async fn close_of_the_client_is_answered_and_clean() {
    bounded(async {
        let (url, server) = serve(|mut socket| async move {
            let first = socket.next().await.unwrap().unwrap();
            // The answer to the Close is sent by this.
            let after = socket.next().await;
            (first, after.is_none())
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let session = connect(request(&url), endpoint).await.unwrap();
        session.close(CloseCode::from_wire(4001).unwrap(), "done");
        let event = session.closed().await;

        assert!(event.is_clean());
        let told = seen.recv().await.unwrap();
        assert_eq!(told, Seen::Close(4001, "done".into(), Initiator::Local));
        let (first, ended) = server.await.unwrap();
        assert_eq!(first, Message::Close(Some(close_frame(4001, "done"))));
        assert!(ended);
    })
    .await;
}

#[tokio::test]
async fn close_of_the_server_is_answered_with_its_code_and_reason() {
    bounded(async {
        let (url, server) = serve(|mut socket| async move {
            let frame = close_frame(1001, "restart");
            socket.close(Some(frame)).await.unwrap();
            socket.next().await.unwrap().unwrap()
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let session = connect(request(&url), endpoint).await.unwrap();
        let event = session.closed().await;

        assert!(event.is_clean());
        let told = seen.recv().await.unwrap();
        assert_eq!(told, Seen::Close(1001, "restart".into(), Initiator::Remote));
        let answer = server.await.unwrap();
        assert_eq!(answer, Message::Close(Some(close_frame(1001, "restart"))));
    })
    .await;
}

#[tokio::test]
async fn server_that_goes_away_without_a_close_is_a_lost_connection() {
    bounded(async {
        let (url, _server) = serve(|socket| async move { drop(socket) }).await;
        let (endpoint, mut seen) = recorder();

        let _session = connect(request(&url), endpoint).await.unwrap();

        let told = seen.recv().await.unwrap();
        assert_eq!(told, Seen::Error("connection lost".into()));
        let told = seen.recv().await.unwrap();
        assert_eq!(told, Seen::Close(1006, String::new(), Initiator::Remote));
    })
    .await;
}

#[tokio::test]
async fn request_reaches_the_server_and_its_choice_of_subprotocol_the_session() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut asked = None;
            let choose = |request: &Request, mut response: Response| {
                asked = Some(request.clone());
                let chosen = "chat".parse().unwrap();
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", chosen);
                Ok(response)
            };
            let socket = accept_hdr_async(stream, choose).await.unwrap();
            (asked.unwrap(), socket)
        });
        let request = ConnectRequest::to(&format!("ws://{address}/room?id=7"))
            .and_then(|request| request.with_subprotocol("chat.v2"))
            .and_then(|request| request.with_subprotocol("chat"))
            .and_then(|request| request.with_header("cookie", "sid=31d4"))
            .unwrap();

        let session = connect(request, recorder().0).await.unwrap();

        let (asked, _socket) = server.await.unwrap();
        assert_eq!(asked.uri(), "/room?id=7");
        assert_eq!(asked.headers()["host"], address.to_string());
        assert_eq!(asked.headers()["cookie"], "sid=31d4");
        assert_eq!(asked.headers()["sec-websocket-protocol"], "chat.v2, chat");
        assert_eq!(session.subprotocol(), Some("chat"));
        assert_eq!(session.request().path(), "/room");
        assert_eq!(session.request().peer(), Some(address));
        assert!(session.request().local().is_some());
    })
    .await;
}

/// A server for one connection, and its address.
async fn serve<F, Fut>(speak: F) -> (String, JoinHandle<Fut::Output>)
where
    F: FnOnce(Server) -> Fut + Send + 'static,
    Fut: Future<Output: Send + 'static> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        speak(accept_async(stream).await.unwrap()).await
    });
    (url, server)
}

async fn echo(mut socket: Server) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

fn request(url: &str) -> ConnectRequest {
    ConnectRequest::to(url).unwrap()
}

fn close_frame(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code: TheirCode::from(code),
        reason: reason.into(),
    }
}
