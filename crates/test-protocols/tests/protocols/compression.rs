//! test-server and test-client with compression, one program against the other, and what they offer
//! and agree to.

use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{peer::within, program::Program};

fn client(port: u16, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-client"));
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Reads a head, and returns its line of extensions.
async fn offered(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let name = "sec-websocket-extensions: ";
    head.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::to_owned)
}

/// What a client is answered with all that each protocol has to do: text and bytes, short and
/// long, in one frame and in several; of some, more than half would go plain by default.
async fn assert_replies(server: &str, client_options: &str) {
    let server_options: Vec<&str> = server.split_whitespace().collect();
    let program = Program::start(&server_options).await;
    let port = program.address.port();
    for protocol in ["echo", "echo-broadcast", "echo-assemble", "echo-fragment"] {
        for shape in ["-s 10 -f 3", "-s 5000 -f 1800 -C 3", "-b -s 70000 -f 0"] {
            let arguments = format!("-P {protocol} {shape} -c 3 -d 0 -q {client_options}");

            let output = client(port, &arguments).output().await.unwrap();

            assert!(output.status.success(), "{server}: {arguments}: {output:?}");
        }
    }
}

#[tokio::test]
async fn every_protocol_answers_compressed() {
    within(assert_replies("--deflate", "--deflate")).await;
}

#[tokio::test]
async fn every_protocol_answers_without_contexts_and_without_a_threshold() {
    within(assert_replies(
        "--deflate-no-context --deflate-threshold 0",
        "--deflate-threshold 0",
    ))
    .await;
}

#[tokio::test]
async fn every_protocol_answers_where_one_side_does_not_compress() {
    within(async {
        assert_replies("--deflate", "").await;
        assert_replies("", "--deflate-no-context").await;
    })
    .await;
}

#[tokio::test]
async fn client_offers_what_it_is_told_to() {
    within(async {
        for (option, want) in [
            ("-q", None),
            (
                "--deflate",
                Some("permessage-deflate; client_max_window_bits"),
            ),
            (
                "--deflate-no-context",
                Some(
                    "permessage-deflate; server_no_context_takeover; \
                     client_no_context_takeover; client_max_window_bits",
                ),
            ),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut command = client(port, option);
            let mut running = command.stderr(Stdio::null()).spawn().unwrap();

            let (mut stream, _) = listener.accept().await.unwrap();
            let offer = offered(&mut stream).await;
            drop(stream);

            assert_eq!(offer.as_deref(), want);
            assert_eq!(running.wait().await.unwrap().code(), Some(1));
        }
    })
    .await;
}

#[tokio::test]
async fn server_agrees_to_what_it_is_told_to() {
    within(async {
        for (option, want) in [
            ("-v", None),
            ("--deflate", Some("permessage-deflate")),
            (
                "--deflate-no-context",
                Some(
                    "permessage-deflate; server_no_context_takeover; \
                     client_no_context_takeover",
                ),
            ),
        ] {
            let program = Program::start(&[option]).await;
            let mut stream = TcpStream::connect(program.address).await.unwrap();
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
                program.address
            );
            stream.write_all(request.as_bytes()).await.unwrap();

            assert_eq!(offered(&mut stream).await.as_deref(), want);
        }
    })
    .await;
}

/// Hostile input C10, to an endpoint that looks at frames: 256 MiB in one of 256 KiB.
#[tokio::test]
async fn bomb_is_1009_for_an_endpoint_that_echoes_frames() {
    within(async {
        let program = Program::start(&["--deflate"]).await;
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        let request = format!(
            "GET /echo HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            program.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        offered(&mut stream).await.unwrap();
        // A block of fixed codes: the literal 0, then copies of 258 bytes from one byte before.
        let copies = "1100010100000".repeat((256 << 20) / 258);
        let block = format!(
            "110{literal}{copies}{end}",
            literal = "00110000",
            end = "0000000"
        );
        let mut payload: Vec<u8> = block
            .as_bytes()
            .chunks(8)
            .map(|bits| {
                let bit = |at: usize| u8::from(bits.get(at) == Some(&b'1')) << at;
                (0..8).map(bit).sum()
            })
            .collect();
        payload.push(0);

        let mut frame = vec![0xc2, 0xff];
        frame.extend((payload.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(payload);
        let (mut reader, mut writer) = stream.split();
        let sending = async {
            // It may be cut off before all of it is taken.
            let _cut = writer.write_all(&frame).await;
        };
        let mut close = [0; 4];
        let receiving = async { reader.read_exact(&mut close).await.unwrap() };
        tokio::join!(sending, receiving);

        assert_eq!((close[0], &close[2..]), (0x88, &1009_u16.to_be_bytes()[..]));
    })
    .await;
}
