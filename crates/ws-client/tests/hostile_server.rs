//! Hostile inputs, section 11: what a server can do to a client, byte by byte.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "peer/recorder.rs"]
mod recorder;

use std::time::Duration;

use futures_util::FutureExt;
use recorder::{Seen, bounded, recorder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    select,
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use ws_client::{
    ConnectError, ConnectRequest, HandshakeError, Initiator, Refusal, Session, connect,
};

#[tokio::test]
async fn answer_that_breaks_a_rule_is_an_error_that_names_the_header() {
    use HandshakeError::{Accept, Connection, Extension, Subprotocol, Upgrade, Version};
    let rows: [(&str, &str, HandshakeError); 7] = [
        ("HTTP/1.1", "HTTP/1.0", Version),
        ("Upgrade: websocket\r\n", "", Upgrade),
        ("Connection: Upgrade\r\n", "", Connection),
        ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: AA", Accept),
        ("Sec-WebSocket-Accept", "X", Accept),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: foo\r\n\r\n",
            Subprotocol,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16\r\n\r\n",
            Extension {
                rule: "an extension that was not offered",
            },
        ),
    ];

    for (good, bad, want) in rows {
        let error = refused_by(PATIENCE, move |key| switching(key).replacen(good, bad, 1)).await;

        assert!(
            matches!(&error, ConnectError::Handshake(got) if *got == want),
            "{bad}: {error:?}"
        );
    }
}

/// §4.1: "ignoring any leading and trailing whitespace".
#[tokio::test]
async fn answer_may_have_white_space_around_its_headers_values() {
    let (request, _server) = serve(|mut stream, key| async move {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade:websocket \r\nConnection: \t Upgrade\r\n\
             Sec-WebSocket-Accept:\t{}\t\r\nSec-WebSocket-Protocol:  chat  \r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    })
    .await;

    let request = request.with_subprotocol("chat").unwrap();
    let session = bounded(connect(request, recorder().0)).await.unwrap();

    assert_eq!(session.subprotocol(), Some("chat"));
}

#[tokio::test]
async fn refusal_has_status_headers_and_a_readable_body() {
    for status in ["200 OK", "404 Not Found", "503 Service Unavailable"] {
        let refusal = refusal_by(PATIENCE, move |_| {
            format!("HTTP/1.1 {status}\r\nX-Why: 7\r\nContent-Length: 5\r\n\r\nsorry")
        })
        .await;

        assert_eq!(refusal.status().to_string(), status);
        assert_eq!(refusal.headers()["x-why"], "7");
        assert_eq!(refusal.body(), "sorry");
        let error = ConnectError::Refused(refusal);
        assert_eq!(
            error.to_string(),
            format!("refused with {status}: \"sorry\"")
        );
    }
}

#[tokio::test]
async fn endless_body_of_a_refusal_is_cut() {
    let refusal = refusal_by(PATIENCE, |_| {
        let body = "x".repeat(1 << 20);
        format!("HTTP/1.1 403 Forbidden\r\nContent-Length: 99999999999\r\n\r\n{body}")
    })
    .await;

    assert_eq!(refusal.body().len(), 64 * 1024);
}

#[tokio::test]
async fn body_of_a_refusal_that_stalls_is_read_as_far_as_it_came() {
    let refusal = refusal_by(Duration::from_secs(1), |_| {
        "HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nsorry".into()
    })
    .await;

    assert_eq!(refusal.body(), "sorry");
}

#[tokio::test]
async fn redirect_is_a_refusal_and_not_followed() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let request = ConnectRequest::to(&format!("ws://{address}/"))
            .and_then(|request| request.with_header("authorization", "secret"))
            .unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            let answer = format!(
                "HTTP/1.1 302 x\r\nLocation: ws://{address}/b\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            listener
        });

        let error = connect(request, recorder().0).await.unwrap_err();

        let ConnectError::Refused(refusal) = error else {
            panic!("{error:?}");
        };
        assert_eq!(refusal.status(), 302);
        let listener = server.await.unwrap();
        assert!(listener.accept().now_or_never().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    let answers = [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/2 101\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade : websocket\r\n\r\n",
    ];

    for answer in answers {
        let error = refused_by(PATIENCE, move |_| answer.to_owned()).await;
        assert!(
            matches!(error, ConnectError::Http(_)),
            "{answer}: {error:?}"
        );
    }
}

#[tokio::test]
async fn headers_without_end_are_an_error() {
    bounded(async {
        let (request, _server) = serve(|mut stream, _key| async move {
            stream.write_all(b"HTTP/1.1 101 x\r\n").await.unwrap();
            let line = format!("x: {}\r\n", "y".repeat(1000));
            while stream.write_all(line.as_bytes()).await.is_ok() {}
        })
        .await;

        let error = connect(request, recorder().0).await.unwrap_err();

        assert!(matches!(error, ConnectError::Http(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn informational_answers_without_end_run_into_the_timeout() {
    bounded(async {
        let (request, _server) = serve(|mut stream, _key| async move {
            while stream.write_all(b"HTTP/1.1 103 x\r\n\r\n").await.is_ok() {}
        })
        .await;

        let error = connect(request.with_connect_timeout(IMPATIENCE), recorder().0)
            .await
            .unwrap_err();

        assert!(matches!(error, ConnectError::Timeout), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn server_that_hangs_up_instead_of_answering_is_an_error() {
    bounded(async {
        let (request, _server) = serve(|stream, _key| async move { drop(stream) }).await;

        let error = connect(request, recorder().0).await.unwrap_err();

        assert!(matches!(error, ConnectError::Http(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn nobody_listening_is_an_error_of_the_network() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        drop(listener);

        let request = ConnectRequest::to(&url).unwrap();
        let error = connect(request, recorder().0).await.unwrap_err();

        assert!(matches!(error, ConnectError::Tcp(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn server_that_never_answers_or_stops_halfway_runs_into_the_timeout() {
    for answer in ["", "H", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"] {
        let error = refused_by(IMPATIENCE, move |_| answer.to_owned()).await;
        assert!(
            matches!(error, ConnectError::Timeout),
            "{answer}: {error:?}"
        );
    }
}

#[tokio::test]
async fn dropped_connect_hangs_up() {
    bounded(async {
        let (asked, was_asked) = oneshot::channel();
        let (request, server) = serve(|mut stream, _key| async move {
            asked.send(()).unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap()
        })
        .await;

        select! {
            _ = connect(request, recorder().0) => panic!("there is no answer"),
            _ = was_asked => {}
        }

        assert_eq!(server.await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn head_in_single_bytes_is_read_as_if_whole() {
    bounded(async {
        let (request, _server) = serve(|mut stream, key| async move {
            for byte in switching(&key).bytes() {
                stream.write_u8(byte).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.write_all(b"\x81\x02Hi").await.unwrap();
            stream
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let _session = connect(request, endpoint).await.unwrap();

        assert_eq!(seen.recv().await.unwrap(), Seen::Text("Hi".into()));
    })
    .await;
}

#[tokio::test]
async fn not_one_byte_behind_the_head_is_lost() {
    // 20,000 bytes are more than hyper has room for when it reads the head.
    let large = "x".repeat(20_000);
    let mut frames = b"\x81\x02Hi\x81\x7e\x4e\x20".to_vec();
    frames.extend(large.as_bytes());
    frames.extend(b"\x88\x02\x03\xe8");

    for cut in [0, 1, 4, 5, 8, 5_000, frames.len()] {
        let frames = frames.clone();
        let (request, server) = serve(move |mut stream, key| async move {
            let (together, later) = frames.split_at(cut);
            let first = [switching(&key).as_bytes(), together].concat();
            stream.write_all(&first).await.unwrap();
            stream.write_all(later).await.unwrap();
            stream
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let session = bounded(connect(request, endpoint)).await.unwrap();
        let _stream = server.await.unwrap();
        bounded(session.closed()).await;

        assert_eq!(seen.recv().await.unwrap(), Seen::Text("Hi".into()), "{cut}");
        let told = seen.recv().await.unwrap();
        assert_eq!(told, Seen::Text(large.clone()), "cut at {cut}");
        let told = bounded(seen.recv()).await.unwrap();
        assert_eq!(told, Seen::Close(1000, String::new(), Initiator::Remote));
    }
}

/// Hostile inputs F2 and F22, as far as a handshake's answer can be followed by them.
#[tokio::test]
async fn server_that_breaks_the_framing_is_closed_with_1002() {
    let rows: [(&str, &[u8]); 4] = [
        ("F2: a masked frame", b"\x81\x82\0\0\0\0Hi"),
        (
            "F22: the 101 again",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ),
        ("F3: a reserved bit that no extension has", b"\xc1\x00"),
        (
            "F7: a length with the top bit",
            b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ];

    for (row, bytes) in rows {
        let (request, server) = serve(move |mut stream, key| async move {
            let answer = [switching(&key).as_bytes(), bytes].concat();
            stream.write_all(&answer).await.unwrap();
            read_close_code(&mut stream).await
        })
        .await;
        let (endpoint, mut seen) = recorder();

        let session = bounded(connect(request, endpoint)).await.unwrap();

        assert_eq!(bounded(server).await.unwrap(), 1002, "{row}");
        assert_eq!(
            bounded(session.closed()).await.status().get(),
            1002,
            "{row}"
        );
        let told = seen.recv().await.unwrap();
        assert!(matches!(told, Seen::Error(_)), "{row}: {told:?}");
    }
}

#[tokio::test]
async fn frame_of_an_exabyte_is_refused_at_its_header() {
    bounded(async {
        let (request, server) = serve(|mut stream, key| async move {
            let frame = b"\x82\x7f\x0f\xff\xff\xff\xff\xff\xff\xff";
            let answer = [switching(&key).as_bytes(), frame].concat();
            stream.write_all(&answer).await.unwrap();
            read_close_code(&mut stream).await
        })
        .await;

        let _session = connect(request, recorder().0).await.unwrap();

        assert_eq!(server.await.unwrap(), 1009);
    })
    .await;
}

#[tokio::test]
async fn key_is_new_for_each_connection_and_mask_for_each_frame() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (request, server) = serve(|mut stream, key| async move {
            let answer = switching(&key);
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut frames = [[0; 8]; 2];
            for frame in &mut frames {
                stream.read_exact(frame).await.unwrap();
            }
            (key, frames)
        })
        .await;

        let session = bounded(connect(request, recorder().0)).await.unwrap();
        send_twice(&session).await;
        let (key, [first, second]) = bounded(server).await.unwrap();

        assert_eq!(first[..2], [0x81, 0x82]);
        assert_eq!(second[..2], [0x81, 0x82]);
        assert_ne!(first[2..6], second[2..6]);
        keys.push(key);
    }

    assert_ne!(keys[0], keys[1]);
}

async fn send_twice(session: &Session) {
    session.send_text("Hi").await.unwrap();
    session.send_text("Hi").await.unwrap();
}

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// For an answer that never comes.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// A server for one connection: reads the head, then does as it is told with socket and key.
async fn serve<F, Fut>(speak: F) -> (ConnectRequest, JoinHandle<Fut::Output>)
where
    F: FnOnce(TcpStream, String) -> Fut + Send + 'static,
    Fut: Future<Output: Send + 'static> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let key = read_head(&mut stream).await;
        speak(stream, key).await
    });
    (ConnectRequest::to(&url).unwrap(), server)
}

/// The error that this answer makes. The server then listens, and says no more.
async fn refused_by(
    timeout: Duration,
    answer: impl FnOnce(&str) -> String + Send + 'static,
) -> ConnectError {
    let (request, _server) = serve(|mut stream, key| async move {
        // The client may hang up before it has taken all of it.
        stream.write_all(answer(&key).as_bytes()).await.ok();
        stream.read_to_end(&mut Vec::new()).await
    })
    .await;
    let outcome = bounded(connect(request.with_connect_timeout(timeout), recorder().0)).await;
    outcome.expect_err("the answer is refused")
}

async fn refusal_by(
    timeout: Duration,
    answer: impl FnOnce(&str) -> String + Send + 'static,
) -> Box<Refusal> {
    match refused_by(timeout, answer).await {
        ConnectError::Refused(refusal) => refusal,
        error => panic!("{error:?}"),
    }
}

/// Reads a request's head, and returns its key.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    key.expect("a key").to_owned()
}

/// The answer that is right.
fn switching(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

/// The code of the masked Close that comes next.
async fn read_close_code(stream: &mut TcpStream) -> u16 {
    let mut start = [0; 8];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(start[0], 0x88);
    u16::from_be_bytes([start[6] ^ start[2], start[7] ^ start[3]])
}
