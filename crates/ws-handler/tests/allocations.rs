//! An echo of at most 4 KiB allocates nothing, once its session has warmed up.
//!
//! By the public path: TCP on the loopback, hyper, `WebSocketHandler`, `Endpoint`. The server's
//! runtime is this thread, of which alone the allocations are counted; the client is a thread with a
//! plain socket and frames made beforehand.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    future,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use tokio::{runtime::Builder, sync::oneshot};
use ws_handler::{
    Endpoint, EventResult, Message, NotFound, Server, Session, WebSocketFactory, WebSocketHandler,
};

struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

const SIZES: [usize; 4] = [1, 64, 1_024, 4_096];

/// Bursts until every buffer has its size.
const WARM_UP: usize = 20;

const BURSTS: usize = 100;

/// How long an answer may take, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn echo_of_one_message_at_a_time_allocates_nothing() {
    for opcode in [TEXT, BINARY] {
        for bytes in SIZES {
            assert_eq!(
                allocations(opcode, bytes, 1),
                0,
                "{opcode:x}, {bytes} bytes"
            );
        }
    }
}

#[test]
fn echo_of_messages_in_bursts_allocates_nothing() {
    for opcode in [TEXT, BINARY] {
        for bytes in SIZES {
            assert_eq!(
                allocations(opcode, bytes, 8),
                0,
                "{opcode:x}, {bytes} bytes"
            );
        }
    }
}

/// A count that is always zero would pass, too.
#[test]
fn allocations_of_this_thread_are_counted_and_others_are_not() {
    let here = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    let allocating = thread::spawn(|| drop(std::hint::black_box(vec![0_u8; 100])));
    let there = allocation_counter::measure(|| allocating.join().unwrap());

    assert_eq!(here.count_total, 1);
    assert_eq!(there.count_total, 0);
}

/// How many allocations the server makes for [`BURSTS`] bursts of `in_flight` messages.
fn allocations(opcode: u8, bytes: usize, in_flight: usize) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (warm, is_warm) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let start = Arc::new(Barrier::new(2));

    let address = runtime.block_on(serve());
    let client = thread::spawn({
        let start = Arc::clone(&start);
        move || {
            let mut client = Client::connect(address, opcode, bytes, in_flight);
            client.exchange(WARM_UP);
            warm.send(()).unwrap();
            start.wait();
            client.exchange(BURSTS);
            done.send(()).unwrap();
        }
    });
    // Fails if the client is gone, whose panic says why.
    runtime.block_on(is_warm).unwrap();
    let counted = allocation_counter::measure(|| {
        start.wait();
        runtime.block_on(is_done).unwrap();
    });
    client.join().unwrap();
    counted.count_total
}

async fn serve() -> SocketAddr {
    let factory = WebSocketFactory::builder()
        .fallback(|_request| Echo)
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let handler = WebSocketHandler::new(factory, NotFound);
    drop(tokio::spawn(server.serve(handler, future::pending())));
    address
}

struct Client {
    stream: TcpStream,
    burst: Vec<u8>,
    replies: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, opcode: u8, bytes: usize, in_flight: usize) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }

        let len = u16::try_from(bytes).unwrap();
        let header = |masked: u8| match bytes {
            ..126 => vec![opcode, masked | len as u8],
            _ => [vec![opcode, masked | 126], len.to_be_bytes().to_vec()].concat(),
        };
        let payload = vec![b'x'; bytes];
        // A mask of zeros leaves the payload as it is.
        let frame = [header(0x80), vec![0; 4], payload.clone()].concat();
        let reply = [header(0), payload].concat();
        let replies = reply.repeat(in_flight);
        Self {
            stream,
            burst: frame.repeat(in_flight),
            buffer: vec![0; replies.len()],
            replies,
        }
    }

    fn exchange(&mut self, bursts: usize) {
        for _ in 0..bursts {
            self.stream.write_all(&self.burst).unwrap();
            self.stream.read_exact(&mut self.buffer).unwrap();
            assert_eq!(self.buffer, self.replies);
        }
    }
}
