//! What a client makes of a server's answer to its offer of compression, and what it then sends: the
//! server is written by hand, and inflates with the window that it asked for and no more.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "peer/inflate.rs"]
mod inflate;
#[path = "peer/recorder.rs"]
mod recorder;

use flate2::{Compress, Compression, FlushCompress};
use inflate::Window;
use recorder::{Recorder, Seen, bounded, recorder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::UnboundedReceiver,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use ws_client::{
    ConnectError, ConnectRequest, HandshakeError, Initiator, Message, Policy, Session, connect,
    extension::DeflateConfig,
};

/// A session, its server's end, and what its endpoint is told.
struct Connected {
    session: Session,
    server: TcpStream,
    seen: UnboundedReceiver<Seen>,
    /// What was offered.
    offer: Option<String>,
}

/// Connects with this configuration to a server that answers its offer with `answer`.
async fn connected(config: Option<DeflateConfig>, answer: &str) -> Result<Connected, ConnectError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = ConnectRequest::to(&format!("ws://{}/", listener.local_addr().unwrap()))
        .unwrap()
        .with_policy(Policy::default().with_compression(config));
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
        };
        let accept = derive_accept_key(header("sec-websocket-key: ").unwrap().as_bytes());
        let mut switching = format!(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n"
        );
        if !answer.is_empty() {
            switching += &format!("Sec-WebSocket-Extensions: {answer}\r\n");
        }
        switching += "\r\n";
        stream.write_all(switching.as_bytes()).await.unwrap();
        (stream, header("sec-websocket-extensions: "))
    };
    let (endpoint, seen): (Recorder, _) = recorder();
    let (session, (server, offer)) =
        bounded(async { tokio::join!(connect(request, endpoint), serving) }).await;
    Ok(Connected {
        session: session?,
        server,
        seen,
        offer,
    })
}

/// The next frame of a client: its first byte, and its payload unmasked.
async fn recv(server: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = server.read_u8().await.unwrap();
    let second = server.read_u8().await.unwrap();
    assert_ne!(second & 0x80, 0, "RFC 6455 §5.1: a client masks");
    let len = match second & 0x7F {
        126 => u64::from(server.read_u16().await.unwrap()),
        127 => server.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut key = [0; 4];
    server.read_exact(&mut key).await.unwrap();
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    server.read_exact(&mut payload).await.unwrap();
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    (first, payload)
}

/// A frame of a server, of less than 64 KiB.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let [high, low] = len.to_be_bytes();
    let header = match len {
        0..126 => vec![first, low],
        _ => vec![first, 126, high, low],
    };
    [&header[..], payload].concat()
}

/// One message in a context of its own.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 64);
    Compress::new(Compression::new(6), false)
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// Six bits a byte without a pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8 & 63
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[tokio::test]
async fn offer_is_what_the_policy_says() {
    let small = DeflateConfig::default()
        .with_server_no_context_takeover()
        .with_server_max_window_bits(10)
        .with_client_max_window_bits(9);
    for (config, want) in [
        (None, None),
        (
            Some(DeflateConfig::default()),
            Some("permessage-deflate; client_max_window_bits"),
        ),
        (
            Some(small),
            Some(
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
                 client_max_window_bits=9",
            ),
        ),
    ] {
        let connected = connected(config, "").await.unwrap();

        assert_eq!(connected.offer.as_deref(), want);
        assert_eq!(connected.session.request().extensions(), "");
    }
}

/// Hostile inputs C2 and C5, from a server: an error, and never a session that guesses.
#[tokio::test]
async fn answer_that_does_not_fit_the_offer_is_an_error() {
    let plain = DeflateConfig::default();
    let strict = plain
        .with_server_no_context_takeover()
        .with_server_max_window_bits(10);
    let pmd = |params: &str| format!("permessage-deflate; {params}");
    let rows = [
        (Some(plain), pmd("server_max_window_bits=16"), "8 to 15"),
        (Some(plain), pmd("server_max_window_bits=7"), "8 to 15"),
        (Some(plain), pmd("client_max_window_bits=010"), "8 to 15"),
        (
            Some(plain),
            pmd("client_max_window_bits=99999999999"),
            "8 to 15",
        ),
        (
            Some(plain),
            pmd("client_max_window_bits"),
            "without a value",
        ),
        (
            Some(plain),
            pmd("server_max_window_bits"),
            "without a value",
        ),
        (
            Some(plain),
            pmd("client_max_window_bits=8"),
            "does not have",
        ),
        (Some(plain), pmd("server_no_context_takeover=1"), "has none"),
        (Some(plain), pmd("mux"), "does not define"),
        (
            Some(plain),
            pmd("client_no_context_takeover; client_no_context_takeover"),
            "twice",
        ),
        (
            Some(strict),
            pmd("server_no_context_takeover; server_max_window_bits=11"),
            "above what was asked for",
        ),
        (Some(strict), pmd("server_no_context_takeover"), "above"),
        (
            Some(strict),
            pmd("server_max_window_bits=10"),
            "was asked for",
        ),
        (Some(plain), "identity".into(), "not offered"),
        (
            Some(plain),
            "permessage-deflate, permessage-deflate".into(),
            "not offered",
        ),
        (Some(plain), "; =; ;;".into(), "not a list"),
        (Some(plain), "permessage-deflate; a=\"".into(), "not a list"),
        (None, "permessage-deflate".into(), "not offered"),
    ];
    for (config, answer, want) in rows {
        let error = connected(config, &answer).await.err().expect(&answer);

        let ConnectError::Handshake(HandshakeError::Extension { rule }) = error else {
            panic!("{answer}: {error:?}");
        };
        assert!(rule.contains(want), "{answer}: {rule}");
    }
}

#[tokio::test]
async fn messages_go_compressed_in_both_directions_once_agreed() {
    let answer = "permessage-deflate; server_no_context_takeover";
    let Connected {
        session,
        mut server,
        mut seen,
        ..
    } = connected(Some(DeflateConfig::default()), answer)
        .await
        .unwrap();
    let text = "again and again, ".repeat(200);

    let mut window = Window::of(15);
    let mut lengths = Vec::new();
    for _ in 0..2 {
        session.send_text(text.clone()).await.unwrap();
        let (first, payload) = bounded(recv(&mut server)).await;
        assert_eq!(first, 0xc1);
        assert_eq!(window.inflate(&payload).unwrap(), text.as_bytes());
        lengths.push(payload.len());
        let bytes = frame(0xc1, &compressed(text.as_bytes()));
        server.write_all(&bytes).await.unwrap();
        assert_eq!(bounded(seen.recv()).await, Some(Seen::Text(text.clone())));
    }
    let message = Message::text(text.clone());
    session.send_uncompressed(message).await.unwrap();

    assert!(lengths[1] < lengths[0], "{lengths:?}");
    assert_eq!(session.request().extensions(), answer);
    let (first, payload) = bounded(recv(&mut server)).await;
    assert_eq!((first, payload), (0x81, text.into_bytes()));
}

#[tokio::test]
async fn message_goes_plain_where_the_server_agrees_to_nothing() {
    let mut connected = connected(Some(DeflateConfig::default()), "").await.unwrap();
    let text = "a".repeat(2_000);

    connected.session.send_text(text.clone()).await.unwrap();
    let (first, payload) = bounded(recv(&mut connected.server)).await;

    assert_eq!((first, payload), (0x81, text.into_bytes()));
}

/// RFC 7692 §7.1.2.2: a server that inflates within the window that it asked for understands all;
/// one with the next smaller window does not, so the window is used, too.
#[tokio::test]
async fn window_that_the_server_asks_for_is_kept() {
    for bits in 9..=15_u8 {
        let answer = format!("permessage-deflate; client_max_window_bits={bits}");
        let Connected {
            session,
            mut server,
            ..
        } = connected(
            Some(DeflateConfig::default().with_threshold_bytes(1)),
            &answer,
        )
        .await
        .unwrap();
        // The block returns within the window, at a distance that the next smaller one has not:
        // zlib stops short of a window by the longest match, and a little.
        let noise = noise((1 << bits) - 300);
        let message = [&noise, &noise[..200]].concat();

        let (mut exact, mut smaller) = (Window::of(bits), Window::of(bits.max(10) - 1));
        let mut understood = true;
        for _ in 0..3 {
            session.send_binary(message.clone()).await.unwrap();
            let (first, payload) = bounded(recv(&mut server)).await;
            assert_eq!(first, 0xc2);
            assert!(exact.inflate(&payload).unwrap() == message, "{bits} bits");
            understood &= smaller.inflate(&payload).is_some_and(|got| got == message);
        }
        assert_eq!(understood, bits == 9, "{bits} bits");
    }
}

#[tokio::test]
async fn client_that_starts_anew_is_understood_by_a_server_that_forgets() {
    let answer = "permessage-deflate; client_no_context_takeover";
    let mut connected = connected(Some(DeflateConfig::default()), answer)
        .await
        .unwrap();
    let text = "again and again, ".repeat(200);

    for _ in 0..3 {
        connected.session.send_text(text.clone()).await.unwrap();
        let (_, payload) = bounded(recv(&mut connected.server)).await;
        assert_eq!(Window::of(15).inflate(&payload).unwrap(), text.as_bytes());
    }
}

/// Hostile inputs C6, C7 and C10, from a server.
#[tokio::test]
async fn server_that_breaks_the_compression_is_closed_with_its_code() {
    let bomb = compressed(&vec![0; 8 << 20]);
    let rows: [(&str, Vec<u8>, u16); 4] = [
        ("bomb", frame(0xc2, &bomb), 1009),
        ("garbage", frame(0xc1, &[0xff; 20]), 1007),
        ("marked Ping", frame(0xc9, b""), 1002),
        (
            "marked continuation",
            [frame(0x41, &compressed(b"Hello")), frame(0xc0, b"")].concat(),
            1002,
        ),
    ];
    for (name, bytes, want) in rows {
        let Connected {
            session,
            mut server,
            mut seen,
            ..
        } = connected(Some(DeflateConfig::default()), "permessage-deflate")
            .await
            .unwrap();

        server.write_all(&bytes).await.unwrap();
        let (first, payload) = bounded(recv(&mut server)).await;
        drop(server);

        assert_eq!(first, 0x88, "{name}");
        assert_eq!(payload[..2], want.to_be_bytes(), "{name}");
        let told = bounded(seen.recv()).await.unwrap();
        assert!(matches!(told, Seen::Error(_)), "{name}: {told:?}");
        let told = bounded(seen.recv()).await.unwrap();
        assert!(
            matches!(told, Seen::Close(code, _, Initiator::Local) if code == want),
            "{name}: {told:?}"
        );
        assert_eq!(bounded(session.closed()).await.status().get(), want);
    }
}
