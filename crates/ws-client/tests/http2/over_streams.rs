//! Sessions over a stream of the caller's, as TLS would give one: a pipe.

use tokio::io::duplex;
use tokio_tungstenite::accept_async;
use ws_client::{
    Bytes, CloseCode, ConnectError, ConnectRequest, HttpVersion, Initiator, connect, connect_over,
};

use crate::{
    recorder::{Seen, bounded, recorder},
    serving::{echo, serve_connection},
};

#[tokio::test]
async fn session_runs_over_any_stream_by_the_http_that_was_agreed_on() {
    for alpn in [&b"h2"[..], b"http/1.1"] {
        bounded(async {
            let version = HttpVersion::of_alpn(alpn).unwrap();
            let (near, far) = duplex(4096);
            match version {
                HttpVersion::Http2 => drop(tokio::spawn(serve_connection(far, echo, |_| {}))),
                _ => drop(tokio::spawn(async {
                    echo(accept_async(far).await.unwrap()).await
                })),
            }
            let request = ConnectRequest::to("wss://example.com/chat")
                .unwrap()
                .with_http_version(version);
            let (endpoint, mut seen) = recorder();

            let session = connect_over(near, request, endpoint).await.unwrap();
            let data = Bytes::from(vec![7; 60_000]);
            session.send_binary(data.clone()).await.unwrap();

            assert_eq!(seen.recv().await.unwrap(), Seen::Binary(data));
            assert!(session.request().secure());
            assert_eq!(session.request().peer(), None);
            session.close(CloseCode::NORMAL, "");
            let closed = Seen::Close(1000, String::new(), Initiator::Local);
            assert_eq!(seen.recv().await.unwrap(), closed);
        })
        .await;
    }
}

#[tokio::test]
async fn secure_url_needs_a_stream_of_the_callers() {
    let request = ConnectRequest::to("wss://127.0.0.1:9/").unwrap();

    let error = connect(request, recorder().0).await.unwrap_err();

    assert!(matches!(error, ConnectError::TlsNotBuiltIn), "{error:?}");
}
