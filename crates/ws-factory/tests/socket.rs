//! A session over a TCP socket of the machine's own: what a pipe has not, such as readiness that is
//! told once, buffers that fill up between two bytes of a frame, ends and resets. However bytes are
//! cut, whoever is slow, on a runtime of one thread and of several: what was sent is what comes.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "wire/frame.rs"]
mod frame;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{JoinHandle, yield_now},
    time::timeout,
};
use ws_factory::{
    CloseEvent, Endpoint, Established, EventResult, Message, Policy, Prepared, Role, Session,
    Transport, from_fn,
};

use crate::frame::frame;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// Far more than any of these takes: it is met only by what would never come.
const FOR_EVER: Duration = Duration::from_secs(60);

/// xorshift64*: what it says follows from its seed, which a failure names.
#[derive(Clone, Copy, Debug)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    /// How long a message is: mostly short, and at the bounds of what reads and buffers hold.
    fn len(&mut self) -> usize {
        match self.below(12) {
            0 => 0,
            1 => self.below(200 * 1024),
            2 => 16 * 1024 + self.below(40) - 20,
            3 => 64 * 1024 + self.below(40) - 20,
            4 => 4 * 1024 + self.below(40) - 20,
            5 => self.below(20_000),
            _ => self.below(300),
        }
    }

    async fn pause(&mut self) {
        if self.below(4) == 0 {
            for _ in 0..self.below(20) {
                yield_now().await;
            }
        }
    }
}

fn policy() -> Policy {
    Policy::default().with_max_message_bytes(1 << 20)
}

fn echo() -> impl Endpoint {
    from_fn(|session: Session, message| async move {
        session.send(message).await?;
        Ok(())
    })
}

/// How much the buffers of a narrow connection hold. With less a window is smaller than a segment,
/// and TCP waits for its own clock.
const NARROW_BYTES: u32 = 16 * 1024;

/// Two ends of a connection.
async fn connect(narrow: bool) -> (TcpStream, TcpStream) {
    let of_size = || {
        let socket = TcpSocket::new_v4().unwrap();
        if narrow {
            socket.set_send_buffer_size(NARROW_BYTES).unwrap();
            socket.set_recv_buffer_size(NARROW_BYTES).unwrap();
        }
        socket
    };
    let listener = of_size();
    listener
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .unwrap();
    let listener = listener.listen(1).unwrap();
    let far = of_size().connect(listener.local_addr().unwrap());
    let (far, near) = tokio::join!(far, listener.accept());
    (near.unwrap().0, far.unwrap())
}

/// Runs `endpoint` as a server.
async fn serve(
    narrow: bool,
    policy: Policy,
    endpoint: impl Endpoint,
) -> (TcpStream, Session, JoinHandle<()>) {
    let (near, far) = connect(narrow).await;
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let mut established = Established::new(Transport::tcp(near), Role::Server).with_policy(policy);
    let session = established.session().clone();
    (far, session, tokio::spawn(established.run(endpoint)))
}

/// The next frame of a server: its first byte and its payload.
async fn recv(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head).await?;
    let len = match head[1] {
        126 => u64::from(from.read_u16().await?),
        127 => from.read_u64().await?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    from.read_exact(&mut payload).await?;
    Ok((head[0], payload))
}

/// The payload of the message with this number.
fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 7 + at / 251 + number) as u8)
        .collect()
}

/// Writes messages, numbered Pings between them, in pieces of any size.
async fn talk(mut chance: Chance, lens: Vec<usize>, mut to: OwnedWriteHalf) -> OwnedWriteHalf {
    let mut waiting = Vec::new();
    for (number, len) in lens.into_iter().enumerate() {
        waiting.extend(frame(Role::Server, BINARY, &payload(number, len)));
        if chance.below(4) == 0 {
            waiting.extend(frame(Role::Server, PING, number.to_string().as_bytes()));
        }
        while waiting.len() > 100_000 || (!waiting.is_empty() && chance.below(3) > 0) {
            let most = [1, 16, 1000, 16 * 1024, 300_000][chance.below(5)];
            let cut = waiting.len().min(1 + chance.below(most));
            to.write_all(&waiting[..cut]).await.unwrap();
            waiting.drain(..cut);
            chance.pause().await;
        }
    }
    to.write_all(&waiting).await.unwrap();
    to.write_all(&frame(Role::Server, PING, b"last"))
        .await
        .unwrap();
    to
}

/// Reads until the last Pong, now and then looking away; returns the messages.
async fn listen(mut chance: Chance, from: &mut OwnedReadHalf) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut answered = None;
    loop {
        chance.pause().await;
        match recv(from).await.unwrap() {
            (BINARY, payload) => messages.push(payload),
            (PONG, payload) if payload == b"last" => return messages,
            (PONG, payload) => {
                let number: usize = String::from_utf8(payload).unwrap().parse().unwrap();
                assert!(answered < Some(number), "{answered:?}, {number}");
                answered = Some(number);
            }
            (first, _) => panic!("first byte {first:x}"),
        }
    }
}

async fn echoes_are_the_same(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut chance = Chance::new(seed);
        let narrow = chance.below(2) == 0;
        let max_read_bytes = [1 << 16, 1 << 16, 16 * 1024, 5000, 100][chance.below(5)];
        let policy = policy().with_max_read_bytes(max_read_bytes);
        let (far, session, task) = serve(narrow, policy, echo()).await;
        let lens: Vec<usize> = (0..60).map(|_| chance.len()).collect();
        let (mut from, to) = far.into_split();

        let talking = tokio::spawn(talk(Chance::new(seed + 1), lens.clone(), to));
        let mut messages = timeout(FOR_EVER, listen(chance, &mut from)).await.unwrap();
        let to = talking.await.unwrap();
        // A Pong overtakes the messages that wait.
        while messages.len() < lens.len() {
            let (first, payload) = timeout(FOR_EVER, recv(&mut from)).await.unwrap().unwrap();
            assert_eq!(first, BINARY, "seed {seed}");
            messages.push(payload);
        }

        for (number, (message, len)) in messages.iter().zip(&lens).enumerate() {
            assert!(*message == payload(number, *len), "seed {seed}, {number}");
        }
        assert_eq!(messages.len(), lens.len(), "seed {seed}");
        drop((from, to));
        let event = timeout(FOR_EVER, session.closed()).await.unwrap();
        assert_eq!(event.status(), 1006);
        timeout(FOR_EVER, task).await.unwrap().unwrap();
        let stats = session.stats();
        let bytes = lens.iter().sum::<usize>() as u64;
        assert_eq!((stats.messages_in(), stats.bytes_in()), (60, bytes));
        assert_eq!((stats.messages_out(), stats.bytes_out()), (60, bytes));
    }
}

#[tokio::test]
async fn echo_is_the_same_however_it_is_cut_and_read_on_one_thread() {
    echoes_are_the_same(0..8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn echo_is_the_same_however_it_is_cut_and_read_on_three_threads() {
    echoes_are_the_same(8..16).await;
}

/// A reader that was told of an arrival once must not wait to be told again: reads that are filled
/// to the last byte, or to one less, each answered before the next message comes.
async fn messages_that_fill_a_read_are_answered_one_by_one() {
    let (mut far, session, _task) = serve(false, policy(), echo()).await;
    let mut number = 0;
    // Headers and key: 8 bytes up to 64 KiB, 14 from there on.
    for read in [4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024] {
        for around in 0..5 {
            for header in [8, 14] {
                let len = read + around - 2 - header;
                let sent = payload(number, len);
                number += 1;

                far.write_all(&frame(Role::Server, BINARY, &sent))
                    .await
                    .unwrap();
                let answer = timeout(FOR_EVER, recv(&mut far)).await.unwrap().unwrap();
                far.write_all(&frame(Role::Server, TEXT, b"small"))
                    .await
                    .unwrap();
                let small = timeout(FOR_EVER, recv(&mut far)).await.unwrap().unwrap();

                assert!(answer == (BINARY, sent), "{len}");
                assert_eq!(small, (TEXT, b"small".to_vec()));
            }
        }
    }
    assert_eq!(session.stats().messages_in(), 2 * number as u64);
}

#[tokio::test]
async fn message_that_fills_a_read_is_answered_on_one_thread() {
    messages_that_fill_a_read_are_answered_one_by_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_that_fills_a_read_is_answered_on_two_threads() {
    messages_that_fill_a_read_are_answered_one_by_one().await;
}

/// The arrival of the next message may be told while the readiness of the last one is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_message_is_missed_that_arrives_while_another_is_read() {
    let talks = (0..3).map(|pair| async move {
        let (mut far, session, _task) = serve(false, policy(), echo()).await;
        for number in 0..1_000 {
            let sent = payload(number, pair + number % 200);
            let wire = frame(Role::Server, BINARY, &sent);
            let (head, tail) = wire.split_at(number % wire.len());
            far.write_all(head).await.unwrap();
            far.write_all(tail).await.unwrap();
            // Queued by another thread while the first is answered.
            session.ping(number.to_string()).await.unwrap();
            let mut come = Vec::new();
            for _ in 0..2 {
                come.push(timeout(FOR_EVER, recv(&mut far)).await.unwrap().unwrap());
            }
            come.sort();
            assert_eq!(
                come,
                [(BINARY, sent), (PING, number.to_string().into_bytes())]
            );
        }
    });
    let talks: Vec<_> = talks.map(tokio::spawn).collect();
    for talk in talks {
        talk.await.unwrap();
    }
}

/// Counts the messages, and their bytes.
fn counting(count: &Arc<AtomicU64>) -> impl Endpoint + use<> {
    let count = Arc::clone(count);
    from_fn(move |_, _message: Message| {
        count.fetch_add(1, Ordering::Relaxed);
        async { EventResult::Ok(()) }
    })
}

async fn closed(session: &Session) -> CloseEvent {
    timeout(FOR_EVER, session.closed()).await.unwrap()
}

#[tokio::test]
async fn all_that_came_before_the_end_of_the_stream_is_told() {
    for len in [5, 1000, 16 * 1024 - 8, 16 * 1024, 100_000] {
        for messages in [1, 2, 30] {
            let count = Arc::default();
            let (mut far, session, _task) = serve(false, policy(), counting(&count)).await;

            let wire = frame(Role::Server, BINARY, &payload(0, len)).repeat(messages);
            far.write_all(&wire).await.unwrap();
            far.shutdown().await.unwrap();

            assert_eq!(closed(&session).await.status(), 1006);
            let told = count.load(Ordering::Relaxed);
            assert_eq!(told, messages as u64, "{len} bytes");
        }
    }
}

/// The reset comes behind a read that found less than it asked for.
#[tokio::test]
async fn reset_is_met_behind_the_last_message() {
    let (mut far, session, _task) = serve(false, policy(), echo()).await;
    far.write_all(&frame(Role::Server, TEXT, b"hi"))
        .await
        .unwrap();
    assert_eq!(recv(&mut far).await.unwrap(), (TEXT, b"hi".to_vec()));

    far.set_zero_linger().unwrap();
    drop(far);

    let event = closed(&session).await;
    assert_eq!(event.status(), 1006);
    assert!(!event.is_clean());
}

/// §5.5: a control frame may be between two frames and never inside one, wherever the socket stopped
/// taking bytes of a large message.
#[tokio::test]
async fn ping_waits_for_the_end_of_a_large_message_that_the_socket_took_a_part_of() {
    for len in [200_000, 1 << 20] {
        for prepared in [false, true] {
            let count = Arc::default();
            let (mut far, session, _task) = serve(true, policy(), counting(&count)).await;
            let data = payload(0, len);

            match prepared {
                true => session
                    .send_prepared(&Prepared::from(data.clone()))
                    .await
                    .unwrap(),
                false => session.send_binary(data.clone()).await.unwrap(),
            }
            // The driver has written what it could once the peer has some of it.
            let mut begun = [0; 1];
            far.peek(&mut begun).await.unwrap();
            session.ping("between").await.unwrap();
            far.write_all(&frame(Role::Server, PING, b"asked"))
                .await
                .unwrap();
            let behind = tokio::spawn({
                let session = session.clone();
                async move { session.send_text("behind").await }
            });
            let mut come = Vec::new();
            for _ in 0..4 {
                come.push(timeout(FOR_EVER, recv(&mut far)).await.unwrap().unwrap());
            }

            behind.await.unwrap().unwrap();
            assert!(come.remove(0) == (BINARY, data), "{len} {prepared}");
            assert_eq!(come.pop(), Some((TEXT, b"behind".to_vec())));
            come.sort();
            let controls = [(PING, b"between".to_vec()), (PONG, b"asked".to_vec())];
            assert_eq!(come, controls);
        }
    }
}

/// One read takes as long as another, however little it is for.
#[tokio::test]
async fn session_that_reads_byte_by_byte_lets_the_others_run() {
    const LEN: usize = 100_000;
    const MESSAGES: usize = 10;
    let policy = policy().with_max_read_bytes(1);
    let count = Arc::default();
    let (mut far, session, _task) = serve(false, policy, counting(&count)).await;
    let over = Arc::new(AtomicBool::new(false));
    let neighbour = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut turns = 0_u64;
            // Not `yield_now`, which leaves many turns to those that wake themselves.
            poll_fn(|cx| {
                turns += 1;
                if over.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            turns
        }
    });

    let sent = frame(Role::Server, BINARY, &payload(0, LEN / MESSAGES));
    far.write_all(&sent.repeat(MESSAGES)).await.unwrap();
    far.shutdown().await.unwrap();
    closed(&session).await;
    over.store(true, Ordering::Relaxed);

    assert_eq!(count.load(Ordering::Relaxed), MESSAGES as u64);
    let turns = neighbour.await.unwrap();
    assert!(turns > LEN as u64 / 500, "{turns} turns");
}
