//! How much memory does a session have, in KiB, for each setting of compression?
//!
//! Opens sessions over TCP on the loopback and reads the process's resident set: once they are idle,
//! after a message of 4 KiB to each and back, and after one of 64 KiB, which has filled every window.
//! The peers are sockets in the same process: each costs less than 1 KiB of what is shown. Each setting is
//! measured in a process of its own. Linux only.
//!
//! Run it with `cargo run --release -p ws-handler --example compression_memory`, or with a number of
//! sessions behind `--` (400 unless told otherwise; each takes two descriptors).
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{env, error::Error, fs, process::Command};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use ws_handler::{
    Endpoint, EventResult, Extension, Frame, FramePart, Message, NotFound, Policy, Server, Session,
    WebSocketFactory, WebSocketHandler, extension::DeflateConfig,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const DEFAULT_SESSIONS: usize = 400;

/// What is measured, under the names that the README has.
fn settings() -> Vec<(&'static str, Option<DeflateConfig>)> {
    let kept = DeflateConfig::default;
    let windows = |bits| {
        kept()
            .with_server_max_window_bits(bits)
            .with_client_max_window_bits(bits)
    };
    vec![
        ("off", None),
        (
            "no context takeover",
            Some(
                kept()
                    .with_server_no_context_takeover()
                    .with_client_no_context_takeover(),
            ),
        ),
        (
            "the server's context not kept",
            Some(kept().with_server_no_context_takeover()),
        ),
        (
            "the client's context not kept",
            Some(kept().with_client_no_context_takeover()),
        ),
        ("contexts kept, 15 bits", Some(kept())),
        ("contexts kept, 12 bits", Some(windows(12))),
        ("contexts kept, 11 bits", Some(windows(11))),
        ("contexts kept, 10 bits", Some(windows(10))),
        ("contexts kept, 9 bits", Some(windows(9))),
    ]
}

fn main() -> Outcome {
    let mut arguments = env::args().skip(1);
    let sessions = match arguments.next() {
        Some(number) => number.parse()?,
        None => DEFAULT_SESSIONS,
    };
    if let Some(name) = arguments.next() {
        return measure(&name, sessions);
    }
    println!("{sessions} sessions; KiB for each");
    println!("{:<32}{:>8}{:>10}{:>10}", "", "idle", "4 KiB", "64 KiB");
    for (name, _) in settings() {
        let program = env::current_exe()?;
        let status = Command::new(program)
            .args([&sessions.to_string(), name])
            .status()?;
        if !status.success() {
            return Err(format!("{name}: {status}").into());
        }
    }
    Ok(())
}

struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

/// Measures one setting, and prints its row.
#[tokio::main(flavor = "current_thread")]
async fn measure(name: &str, sessions: usize) -> Outcome {
    let (_, config) = settings()
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or("no such setting")?;
    let factory = WebSocketFactory::builder()
        .fallback(|_request| Echo)
        .with_policy(Policy::default().with_compression(config))
        .build()?;
    let server = Server::bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    let handler = WebSocketHandler::new(factory, NotFound);
    drop(tokio::spawn(server.serve(handler, std::future::pending())));
    let (small, large) = (message(config, 4 << 10)?, message(config, 64 << 10)?);

    // What is a thread's and not a session's is there before anything is counted.
    let mut first = open(&address).await?;
    exchange(&mut first, &small).await?;
    exchange(&mut first, &large).await?;
    let mut peers = Vec::with_capacity(sessions);
    let before = resident_kib()?;
    for _ in 0..sessions {
        peers.push(open(&address).await?);
    }
    let mut row = vec![resident_kib()?];
    for bytes in [&small, &large] {
        for peer in &mut peers {
            exchange(peer, bytes).await?;
        }
        row.push(resident_kib()?);
    }

    let each: Vec<String> = row
        .iter()
        .map(|kib| format!("{:.1}", kib.saturating_sub(before) as f64 / sessions as f64))
        .collect();
    println!("{name:<32}{:>8}{:>10}{:>10}", each[0], each[1], each[2]);
    Ok(())
}

async fn open(address: &str) -> Outcome<TcpStream> {
    let mut peer = TcpStream::connect(address).await?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    );
    peer.write_all(request.as_bytes()).await?;
    let mut end = [0; 4];
    while end != *b"\r\n\r\n" {
        end.rotate_left(1);
        end[3] = peer.read_u8().await?;
    }
    Ok(peer)
}

/// Sends a frame, and reads the one that answers it.
async fn exchange(peer: &mut TcpStream, frame: &[u8]) -> Outcome {
    peer.write_all(frame).await?;
    peer.read_u8().await?;
    let mut left = match peer.read_u8().await? {
        126 => u64::from(peer.read_u16().await?),
        127 => peer.read_u64().await?,
        short => u64::from(short),
    };
    let mut bytes = [0; 1024];
    while left > 0 {
        let room = bytes.len().min(usize::try_from(left)?);
        left -= peer.read(&mut bytes[..room]).await? as u64;
    }
    Ok(())
}

/// A client's frame, masked with zeros: some JSON of this length, compressed if anything is.
fn message(config: Option<DeflateConfig>, bytes: usize) -> Outcome<Vec<u8>> {
    let mut json = String::new();
    for at in 0_u32.. {
        let value = at.wrapping_mul(2_654_435_761);
        json += &format!(
            r#"{{"id":{at},"name":"user {value:x}","balance":{}}},"#,
            value >> 8
        );
        if json.len() >= bytes {
            break;
        }
    }
    json.truncate(bytes);
    let mut part = FramePart::whole(Frame::text(json));
    if config.is_some() {
        // The smallest window: every setting can inflate it.
        let compressor = DeflateConfig::default().with_server_max_window_bits(9);
        let (mut deflate, _) = compressor.accept(&[]).ok_or("an offer of nothing")?;
        deflate.push_outbound(part.clone());
        part = deflate.poll_outbound().unwrap_or(part);
    }

    let payload = part.payload();
    let mut frame = vec![0x80 | part.header().reserved().bits() << 4 | 0x01];
    match u16::try_from(payload.len()) {
        Ok(len @ 126..) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Ok(len) => frame.push(0x80 | len as u8),
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// What the process holds, as the kernel counts.
fn resident_kib() -> Outcome<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no resident set in /proc")?.parse()?)
}
