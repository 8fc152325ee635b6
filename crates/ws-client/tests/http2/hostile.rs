//! Hostile inputs, section 9 mirrored: what a server of HTTP/2 can do to a client, by h2's own.

use std::time::Duration;

use h2::Reason;
use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use ws_client::{Bytes, ConnectError, Initiator, Policy, Refusal, Session, connect};

use crate::{
    recorder::{Seen, bounded, recorder},
    serving::{by_hand, request, url_of},
};

#[tokio::test]
async fn server_without_extended_connects_is_told_nothing() {
    bounded(async {
        let server = by_hand(false, |_, _, _| panic!("it must not be asked")).await;

        let error = refused(&server.url).await;

        assert!(matches!(error, ConnectError::NotOverHttp2), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn refusal_has_status_headers_and_as_much_of_the_body_as_is_of_use() {
    bounded(async {
        let server = by_hand(true, |_, mut respond, _| {
            let head = Response::builder().status(403).header("x-why", "7");
            let mut body = respond
                .send_response(head.body(()).unwrap(), false)
                .unwrap();
            body.reserve_capacity(1 << 20);
            body.send_data(Bytes::from(vec![b'x'; 1 << 20]), false)
                .unwrap();
            // Neither ended nor dropped.
            std::mem::forget(body);
        })
        .await;

        let refusal = refusal(&server.url).await;

        assert_eq!(
            (
                refusal.status().as_u16(),
                refusal.headers()["x-why"].as_bytes()
            ),
            (403, &b"7"[..])
        );
        assert_eq!(refusal.body().len(), 64 * 1024);
    })
    .await;
}

#[tokio::test]
async fn refusal_without_a_body_and_a_redirect_are_refusals() {
    for status in [302, 404, 501] {
        bounded(async move {
            let server = by_hand(true, move |_, mut respond, _| {
                let head = Response::builder().status(status);
                respond.send_response(head.body(()).unwrap(), true).unwrap();
            })
            .await;

            let refusal = refusal(&server.url).await;

            assert_eq!(refusal.body(), "", "{status}");
        })
        .await;
    }
}

#[tokio::test]
async fn answer_that_breaks_a_rule_is_an_error_that_names_the_header() {
    let protocol = "sec-websocket-protocol";
    let extensions = "sec-websocket-extensions";
    for (name, value, want) in [
        (
            protocol,
            "b",
            "`Sec-WebSocket-Protocol` names what was not offered",
        ),
        (
            protocol,
            "a, a",
            "`Sec-WebSocket-Protocol` names what was not offered",
        ),
        (
            extensions,
            "permessage-deflate",
            "`Sec-WebSocket-Extensions`: an extension that was not offered",
        ),
        (
            extensions,
            "=;",
            "`Sec-WebSocket-Extensions`: not a list of extensions",
        ),
    ] {
        bounded(async move {
            let (gone, mut reset) = mpsc::unbounded_channel();
            let server = by_hand(true, move |_, mut respond, mut body| {
                let head = Response::builder().header(name, value);
                let tunnel = respond
                    .send_response(head.body(()).unwrap(), false)
                    .unwrap();
                let gone = gone.clone();
                tokio::spawn(async move {
                    let _tunnel = tunnel;
                    gone.send(body.data().await.map(|data| data.unwrap_err().reason()))
                });
            })
            .await;
            let request = request(&server.url).with_subprotocol("a").unwrap();

            let error = connect(request, recorder().0).await.unwrap_err();

            let ConnectError::Handshake(rule) = error else {
                panic!("{error:?}");
            };
            assert_eq!(rule.to_string(), want);
            assert_eq!(reset.recv().await.unwrap(), Some(Some(Reason::CANCEL)));
        })
        .await;
    }
}

#[tokio::test]
async fn stream_that_is_reset_and_connection_that_ends_are_no_answer() {
    bounded(async {
        let server = by_hand(true, |_, mut respond, _| {
            respond.send_reset(Reason::REFUSED_STREAM)
        })
        .await;
        let error = refused(&server.url).await;
        assert!(matches!(error, ConnectError::Http2(_)), "{error:?}");
    })
    .await;

    for said in [
        &b""[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01 what?",
        &[0; 100],
    ] {
        bounded(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = url_of(&listener);
            let task = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                stream.write_all(said).await.unwrap();
            });
            let error = refused(&url).await;
            assert!(
                matches!(error, ConnectError::Http2(_)),
                "{said:?}: {error:?}"
            );
            task.await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn server_that_says_nothing_is_left_at_the_connect_timeout() {
    bounded(async {
        // Before its settings, and before its answer.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = url_of(&listener);
        let mute = by_hand(true, |_, respond, body| std::mem::forget((respond, body))).await;
        for url in [&silent, &mute.url] {
            let request = request(url).with_connect_timeout(Duration::from_millis(100));
            let error = connect(request, recorder().0).await.unwrap_err();
            assert!(matches!(error, ConnectError::Timeout), "{error:?}");
        }
    })
    .await;
}

/// Hostile input P8, mirrored.
#[tokio::test]
async fn stream_that_ends_or_is_reset_within_a_message_is_1006() {
    for reason in [
        None,
        Some(Reason::CANCEL),
        Some(Reason::INTERNAL_ERROR),
        Some(Reason::NO_ERROR),
    ] {
        bounded(async move {
            let server = by_hand(true, move |_, mut respond, mut body| {
                let mut tunnel = respond.send_response(Response::new(()), false).unwrap();
                tokio::spawn(async move {
                    body.data().await.unwrap().unwrap();
                    let half = Bytes::from_static(b"\x81\x05he");
                    tunnel.send_data(half, reason.is_none()).unwrap();
                    if let Some(reason) = reason {
                        body.data().await.unwrap().unwrap();
                        tunnel.send_reset(reason);
                    }
                });
            })
            .await;
            let (endpoint, mut seen) = recorder();

            let session = connect(request(&server.url), endpoint).await.unwrap();
            session.send_text("half of one, please").await.unwrap();
            session.flush().await.unwrap();
            // The session may be over already.
            let _over = session.send_text("and no more").await;

            let error = Seen::Error("connection lost".to_owned());
            assert_eq!(seen.recv().await.unwrap(), error, "{reason:?}");
            let closed = Seen::Close(1006, String::new(), Initiator::Remote);
            assert_eq!(seen.recv().await.unwrap(), closed, "{reason:?}");
            assert_eq!(session.closed().await.status().get(), 1006);
            assert_eq!(seen.recv().await, None, "nothing after it");
        })
        .await;
    }
}

#[tokio::test]
async fn abort_resets_the_stream_and_the_connection_ends() {
    bounded(async {
        let (told, mut reset) = mpsc::unbounded_channel();
        let server = by_hand(true, move |_, mut respond, mut body| {
            let tunnel = respond.send_response(Response::new(()), false).unwrap();
            let told = told.clone();
            tokio::spawn(async move {
                let _tunnel = tunnel;
                told.send(body.data().await.map(|data| data.unwrap_err().reason()))
            });
        })
        .await;
        let session = connect(request(&server.url), recorder().0).await.unwrap();

        session.abort();

        // RFC 8441 §5: what TCP does by RST.
        assert_eq!(reset.recv().await.unwrap(), Some(Some(Reason::CANCEL)));
        server.task.await.unwrap();
    })
    .await;
}

/// The server reads nothing: what is sent waits in the outbox, and the write deadline ends it.
#[tokio::test]
async fn server_that_opens_no_window_is_left_at_the_write_deadline() {
    bounded(async {
        let server = by_hand(true, |_, mut respond, body| {
            let tunnel = respond.send_response(Response::new(()), false).unwrap();
            std::mem::forget((tunnel, body));
        })
        .await;
        let (endpoint, mut seen) = recorder();
        let policy = Policy::default()
            .with_write_deadline(Some(Duration::from_millis(100)))
            .with_close_timeout(Duration::from_millis(100));
        let session: Session = connect(request(&server.url).with_policy(policy), endpoint)
            .await
            .unwrap();

        let sending = tokio::spawn(async move {
            let chunk = Bytes::from(vec![7; 64 * 1024]);
            while session.send_binary(chunk.clone()).await.is_ok() {}
        });

        let error = Seen::Error("no write progress in time".to_owned());
        assert_eq!(seen.recv().await.unwrap(), error);
        let closed = Seen::Close(1006, String::new(), Initiator::Local);
        assert_eq!(seen.recv().await.unwrap(), closed);
        sending.await.unwrap();
    })
    .await;
}

async fn refused(url: &str) -> ConnectError {
    connect(request(url), recorder().0).await.unwrap_err()
}

async fn refusal(url: &str) -> Refusal {
    match refused(url).await {
        ConnectError::Refused(refusal) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}
