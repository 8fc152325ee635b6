//! Sessions that work, over hyper's server under tungstenite's frames.

use futures_util::{SinkExt, StreamExt};
use http::Version;
use hyper::ext::Protocol;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode as TheirCode},
};
use ws_client::{
    Bytes, CloseCode, ConnectRequest, Endpoint, EventResult, HttpVersion, Initiator, Policy,
    Session, Text, connect,
};

use crate::{
    recorder::{Seen, bounded, recorder},
    serving::{echo, request, serve},
};

#[tokio::test]
async fn session_echoes_every_size_and_ends_cleanly() {
    bounded(async {
        let (url, _heads) = serve(echo).await;
        let (endpoint, mut seen) = recorder();
        let policy = Policy::default().with_max_message_bytes(1 << 20);

        let session = connect(request(&url).with_policy(policy), endpoint)
            .await
            .unwrap();
        for size in [0, 1, 125, 126, 16_383, 16_384, 65_535, 65_536, 1 << 20] {
            let data: Bytes = (0..size).map(|n: u32| (n % 251) as u8).collect();
            session.send_binary(data.clone()).await.unwrap();
            assert!(
                seen.recv().await.unwrap() == Seen::Binary(data),
                "{size} bytes"
            );
        }
        session.send_text("grüße").await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), Seen::Text("grüße".to_owned()));
        session.close(CloseCode::NORMAL, "bye");

        let closed = seen.recv().await.unwrap();
        assert_eq!(
            closed,
            Seen::Close(1000, "bye".to_owned(), Initiator::Local)
        );
    })
    .await;
}

#[tokio::test]
async fn request_is_an_extended_connect_and_the_session_knows_it() {
    bounded(async {
        let (url, mut heads) = serve(echo).await;
        let request = ConnectRequest::to(&format!("{url}chat?room=7"))
            .and_then(|request| request.with_subprotocol("a"))
            .and_then(|request| request.with_header("authorization", "Bearer 31d4"))
            .unwrap()
            .with_http_version(HttpVersion::Http2);
        let authority = url
            .trim_start_matches("ws://")
            .trim_end_matches('/')
            .to_owned();

        let session = connect(request, recorder().0).await.unwrap();

        let head = heads.recv().await.unwrap();
        assert_eq!(
            (head.method.as_str(), head.version),
            ("CONNECT", Version::HTTP_2)
        );
        assert_eq!(
            head.uri.to_string(),
            format!("http://{authority}/chat?room=7")
        );
        let protocol = head.extensions.get::<Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let want = [
            "authorization",
            "sec-websocket-protocol",
            "sec-websocket-version",
        ];
        assert_eq!(names, want);
        assert_eq!(head.headers["sec-websocket-version"], "13");

        let known = session.request();
        assert_eq!(
            (known.method(), known.version()),
            ("CONNECT", Version::HTTP_2)
        );
        assert_eq!((known.path(), known.query()), ("/chat", Some("room=7")));
        assert_eq!(session.subprotocol(), Some("a"));
        assert!(known.peer().is_some() && known.local().is_some() && !known.secure());
    })
    .await;
}

#[tokio::test]
async fn close_of_the_server_is_answered_with_its_code() {
    bounded(async {
        let (said, mut answers) = mpsc::unbounded_channel();
        let (url, _heads) = serve(move |mut socket| {
            let said = said.clone();
            async move {
                let code = TheirCode::from(4001);
                let close = CloseFrame {
                    code,
                    reason: "enough".into(),
                };
                socket.close(Some(close)).await.unwrap();
                said.send(socket.next().await).unwrap();
            }
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let session = connect(request(&url), endpoint).await.unwrap();

        let closed = Seen::Close(4001, "enough".to_owned(), Initiator::Remote);
        assert_eq!(seen.recv().await.unwrap(), closed);
        let Some(Ok(Message::Close(Some(answer)))) = answers.recv().await.unwrap() else {
            panic!("no Close");
        };
        assert_eq!(u16::from(answer.code), 4001);
        assert!(session.closed().await.is_clean());
    })
    .await;
}

/// The smallest frames there are, each of its own, while the endpoint is busy: they wait, and cost
/// the connection nothing.
#[tokio::test]
async fn server_that_floods_a_busy_endpoint_is_pushed_back_and_not_ended() {
    bounded(async {
        const FRAMES: usize = 20_000;
        let (sent, mut all_sent) = mpsc::unbounded_channel();
        let (url, _heads) = serve(move |mut socket| {
            let sent = sent.clone();
            async move {
                for _ in 0..FRAMES {
                    socket.send(Message::text("")).await.unwrap();
                }
                sent.send(()).unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            }
        })
        .await;
        let (release, gate) = oneshot::channel();
        let (told, mut counted) = mpsc::unbounded_channel();
        let busy = Busy {
            gate: Some(gate),
            told,
        };

        let session = connect(request(&url), busy).await.unwrap();
        all_sent.recv().await.unwrap();
        release.send(()).unwrap();

        for _ in 0..FRAMES {
            counted.recv().await.expect("the session lives");
        }
        session.close(CloseCode::NORMAL, "");
        assert!(session.closed().await.is_clean());
    })
    .await;
}

/// Waits at its first message until it is let go.
struct Busy {
    gate: Option<oneshot::Receiver<()>>,
    told: mpsc::UnboundedSender<()>,
}

impl Endpoint for Busy {
    async fn on_text(&mut self, _session: &Session, _text: Text) -> EventResult {
        if let Some(gate) = self.gate.take() {
            gate.await?;
        }
        self.told.send(())?;
        Ok(())
    }
}
