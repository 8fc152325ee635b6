//! What a peer can make the ready-made server take: memory while it floods and reads nothing, files
//! while it says nothing or vanishes; and that the server stops all the same when it is told to.
//!
//! The server is a process of its own, and Linux says what it takes.
#![cfg(target_os = "linux")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::Semaphore,
    task::{JoinSet, yield_now},
    time::timeout,
};
use ws_handler::BytesMut;

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/program.rs"]
mod program;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/session.rs"]
mod session;

use bounded::bounded;
use frames::{close, frame, masked};
use program::{Program, is_the_server};
use raw::{HANDSHAKE, Raw};
use session::session;

/// The test that is the server, when it is run in the other process.
const SERVER: &str = "flooded_server_stops_on_sigterm_and_exits_with_0";

/// Longer than any handshake here takes.
const LONG: Duration = Duration::from_secs(60);

/// Not reached by anybody who is bounded, and a fraction of what is sent, of which the kernel may hold
/// 4 MiB a client.
const MAX_GROWTH_BYTES: usize = 12 * MIB;

const MIB: usize = 1 << 20;

const CLIENTS: usize = 4;

/// What the kernel keeps for a client, in each direction.
const BUFFER_BYTES: u32 = 64 * 1024;

/// What each of several clients sends without reading anything.
struct Flood {
    name: &'static str,
    /// Whether it is a session that floods.
    upgraded: bool,
    /// Sent once, before the rest.
    first: Vec<u8>,
    /// Sent again and again.
    unit: Vec<u8>,
    /// How much of it each client sends, in bytes, if it can.
    most: usize,
    /// Whether the server takes all of that; `None` where it depends on who is faster, since what
    /// comes behind our last word is read for two more seconds.
    taken: Option<bool>,
}

fn floods() -> [Flood; 6] {
    let flood = |name, unit: Vec<u8>, most| Flood {
        name,
        upgraded: true,
        first: Vec::new(),
        unit,
        most,
        taken: Some(false),
    };
    let no_version = HANDSHAKE.replace("Version: 13", "Version: 8");
    [
        Flood {
            taken: Some(true),
            ..flood("R1: pings", masked(0x89, &[b'p'; 125]), 10 * MIB)
        },
        flood(
            "R3: messages to echo",
            masked(0x82, &[7; 60_000]),
            128 * MIB,
        ),
        Flood {
            first: masked(0x01, b""),
            taken: Some(true),
            ..flood("L4: empty fragments", masked(0x00, b""), MIB / 2)
        },
        Flood {
            first: masked(0x01, b""),
            taken: None,
            ..flood("L3: fragments of a byte", masked(0x00, b"x"), 4 * MIB)
        },
        Flood {
            taken: None,
            ..flood("K7: Closes", close(1000, "bye"), 16 * MIB)
        },
        Flood {
            upgraded: false,
            ..flood("H25: refused upgrades", no_version.into(), 64 * MIB)
        },
    ]
}

/// Hostile inputs R1, R3, L3, L4, K7, and H25 in a flood.
#[tokio::test]
async fn whatever_a_peer_floods_without_reading_memory_stays_flat() {
    for flood in floods() {
        let server = Program::start(SERVER, LONG).await;
        let mut bystander = session(server.addr).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut raw = match flood.upgraded {
                true => narrow_session(server.addr).await,
                false => narrow(server.addr).await,
            };
            raw.send(&flood.first).await;
            clients.push(raw);
        }
        echoes(&mut bystander).await;
        let before = server.peak_bytes();

        let mut flooding = JoinSet::new();
        let stall = match flood.taken {
            Some(true) => LONG,
            _ => Duration::from_secs(1),
        };
        for raw in clients {
            flooding.spawn(pour(raw, flood.unit.clone(), flood.most, stall));
        }
        let mut kept_open = Vec::new();
        while let Some(poured) = flooding.join_next().await {
            let (raw, bytes) = poured.expect("it does not panic");
            let all = bytes >= flood.most;
            assert_eq!(all, flood.taken.unwrap_or(all), "{}: {bytes}", flood.name);
            kept_open.push(raw);
        }
        echoes(&mut bystander).await;

        let growth = server.peak_bytes() - before;
        assert!(growth < MAX_GROWTH_BYTES, "{}: {growth} bytes", flood.name);
    }
}

/// Hostile input R5: a handshake, half a frame, a reset.
#[tokio::test]
async fn clients_that_vanish_within_a_frame_leave_no_file_open() {
    let server = Program::start(SERVER, LONG).await;
    let mut bystander = session(server.addr).await;
    echoes(&mut bystander).await;
    let before = server.open_files();

    for _ in 0..500 {
        let mut raw = session(server.addr).await;
        raw.send([0x82, 0xfe, 0x7f]).await;
        raw.stream.set_zero_linger().expect("it is connected");
    }

    until_open_files_are(&server, before).await;
    echoes(&mut bystander).await;
}

/// Hostile input R6: connections without a request are closed in time, and keep nobody out.
#[tokio::test]
async fn clients_that_say_nothing_are_closed_while_others_are_served() {
    let server = Program::start(SERVER, Duration::from_secs(1)).await;
    let mut before_them = session(server.addr).await;
    echoes(&mut before_them).await;
    let before = server.open_files();

    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(Raw::connect(server.addr).await);
    }
    let mut among_them = session(server.addr).await;
    echoes(&mut among_them).await;
    for raw in silent {
        assert_eq!(raw.rest().await, "");
    }

    until_open_files_are(&server, before + 1).await;
    echoes(&mut before_them).await;
}

/// The ready-made server, as a program: those that read end cleanly, those that do not are cut, and
/// no task is left.
#[test]
fn flooded_server_stops_on_sigterm_and_exits_with_0() {
    if is_the_server() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let server = Program::start(SERVER, LONG).await;
        let mut reading = JoinSet::new();
        let mut unread = JoinSet::new();
        for _ in 0..CLIENTS {
            let mut raw = session(server.addr).await;
            echoes(&mut raw).await;
            reading.spawn(flood_and_read(raw));
            let mut raw = narrow_session(server.addr).await;
            echoes(&mut raw).await;
            unread.spawn(pour(raw, masked(0x82, &[7; 60_000]), usize::MAX, LONG));
        }

        server.terminate().await;
        while let Some(code) = reading.join_next().await {
            assert_eq!(code.expect("it does not panic"), 1001);
        }
        let (code, said) = server.end().await;
        unread.shutdown().await;

        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains(&format!("{CLIENTS} clean, {CLIENTS} cut")),
            "{said}"
        );
    });
}

/// A session whose kernel holds little: what floods it soon is the server's to hold, or to refuse.
async fn narrow_session(addr: SocketAddr) -> Raw {
    let mut raw = narrow(addr).await;
    raw.send(HANDSHAKE).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    raw
}

async fn narrow(addr: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(BUFFER_BYTES).expect("a size");
    socket.set_recv_buffer_size(BUFFER_BYTES).expect("a size");
    Raw {
        stream: bounded(socket.connect(addr)).await.expect("it listens"),
        buffer: BytesMut::new(),
    }
}

/// Sends `unit` again and again, until there were `most` bytes, nothing of it was taken for so
/// long, or the connection is gone; returns how many were taken.
async fn pour(mut raw: Raw, unit: Vec<u8>, most: usize, stall: Duration) -> (Raw, usize) {
    let chunk = unit.repeat((BUFFER_BYTES as usize / unit.len()).max(1));
    let (mut at, mut sent) = (0, 0);
    while sent < most {
        let write = timeout(stall, raw.stream.write(&chunk[at..]));
        let Ok(Ok(written)) = write.await else { break };
        sent += written;
        at = (at + written) % chunk.len();
    }
    (raw, sent)
}

/// Sends messages without end, never far ahead of their echoes; answers the Close, as a client
/// does, and returns its code.
async fn flood_and_read(raw: Raw) -> u16 {
    let (mut reader, mut writer) = raw.stream.into_split();
    let ahead = Arc::new(Semaphore::new(64));
    let sending = Arc::clone(&ahead);
    let writing = tokio::spawn(async move {
        let message = masked(0x82, &[7; 1000]);
        while let Ok(permit) = sending.acquire().await {
            permit.forget();
            writer
                .write_all(&message)
                .await
                .expect("who floods is read");
        }
        writer
            .write_all(&close(1001, ""))
            .await
            .expect("it listens");
        writer
    });
    let code = loop {
        let first = reader.read_u8().await.expect("a Close comes first");
        let len = match reader.read_u8().await.expect("a whole frame") {
            126 => reader.read_u16().await.expect("a whole frame").into(),
            short => usize::from(short),
        };
        let mut payload = vec![0; len];
        reader
            .read_exact(&mut payload)
            .await
            .expect("a whole frame");
        if first == 0x88 {
            break u16::from_be_bytes([payload[0], payload[1]]);
        }
        assert_eq!((first, len), (0x82, 1000));
        ahead.add_permits(1);
    };
    ahead.close();
    let _writer = bounded(writing).await.expect("it does not panic");
    assert_eq!(reader.read(&mut [0]).await.expect("no reset"), 0);
    code
}

async fn echoes(raw: &mut Raw) {
    raw.send(masked(0x82, b"still here?")).await;
    assert_eq!(frame(raw).await, (0x82, "still here?".into()));
}

async fn until_open_files_are(server: &Program, wanted: usize) {
    bounded(async {
        while server.open_files() > wanted {
            yield_now().await;
        }
    })
    .await;
}
