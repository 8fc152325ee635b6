//! Everything that can be sent, at once and at random, over a transport that takes, flushes and
//! reads what a seed says: what was queued arrives whole, once and in each sender's order, what was
//! received and kept keeps its bytes, and everything is counted.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex, split},
    task::yield_now,
    time::timeout,
};
use ws_factory::{
    Established, Frame, Group, Message, MessageKind, Policy, Prepared, Role, SendError, Session,
    SlowMember, Transport, from_fn,
};

use crate::{
    chance::Chance,
    peer::{BINARY, CONTINUATION, Counter, MORE, PING, TEXT, frame, read_frame},
};

const STORMS: u64 = 24;

/// Takes and gives at most `step` bytes in each call, or is pending for no reason.
struct Erratic {
    io: DuplexStream,
    step: u64,
    chance: Chance,
    vectored: bool,
}

impl Erratic {
    fn poll_most(&mut self, cx: &Context<'_>) -> Poll<usize> {
        if self.chance.below(4) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(1 + self.chance.below(self.step) as usize)
    }
}

impl AsyncRead for Erratic {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = ready!(self.poll_most(cx));
        let mut some = vec![0; most.min(buf.remaining())];
        let mut some = ReadBuf::new(&mut some);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut some))?;
        buf.put_slice(some.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Erratic {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = ready!(self.poll_most(cx)).min(buf.len());
        Pin::new(&mut self.io).poll_write(cx, &buf[..most])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let most = ready!(self.poll_most(cx));
        let bufs = bufs.iter().filter(|buf| !buf.is_empty());
        let bufs = bufs.take(if self.vectored { usize::MAX } else { 1 });
        let some: Vec<u8> = bufs
            .flat_map(|buf| buf.iter().copied())
            .take(most)
            .collect();
        Pin::new(&mut self.io).poll_write(cx, &some)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_most(cx).map(|_| Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Who sent it, as the how manieth, and how long it is; the rest follows from that.
fn payload(sender: u64, number: u64, len: usize) -> Vec<u8> {
    let head = format!("{sender} {number} {len} ");
    let start = (sender + number) as usize;
    let rest = (start..).map(|at| b'a' + (at % 23) as u8);
    head.bytes().chain(rest).take(len.max(head.len())).collect()
}

/// Who sent it, as the how manieth; it is what was sent.
fn read_payload(bytes: &[u8]) -> (u64, u64) {
    let mut words = bytes.splitn(4, |byte| *byte == b' ').map(|word| {
        std::str::from_utf8(word)
            .ok()
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap()
    });
    let [sender, number, len] = [(); 3].map(|()| words.next().unwrap());
    assert!(bytes == payload(sender, number, len as usize));
    (sender, number)
}

fn len(chance: &mut Chance, step: u64) -> usize {
    let most = if step < 10 { 300 } else { 40_000 };
    let len = match chance.below(12) {
        0 => 125 + chance.below(3),
        1 => 16_383 + chance.below(3),
        2 => 65_535 + chance.below(2),
        3 => chance.below(most),
        _ => chance.below(60),
    };
    if step < 10 {
        len.min(17_000) as usize
    } else {
        len as usize
    }
}

/// Sends once, in whatever way; whether that was queued.
async fn send_one(session: &Session, chance: &mut Chance, payload: Vec<u8>) -> bool {
    let text = String::from_utf8(payload.clone()).unwrap();
    let message = match chance.below(2) {
        0 => Message::text(text),
        _ => Message::binary(payload.clone()),
    };
    match chance.below(10) {
        0 => session.try_send(message).is_ok(),
        1 => session
            .send_prepared(&Prepared::from(message))
            .await
            .is_ok(),
        2 => session.try_send_prepared(&Prepared::from(message)).is_ok(),
        3 => {
            // Given up after it was asked a few times.
            let mut send = pin!(session.send(message));
            for _ in 0..chance.below(5) {
                let asked = poll_fn(|cx| Poll::Ready(send.as_mut().poll(cx))).await;
                if let Poll::Ready(sent) = asked {
                    return sent.is_ok();
                }
                yield_now().await;
            }
            false
        }
        4 => {
            let Ok(mut writer) = session.message_writer(MessageKind::Text).await else {
                return false;
            };
            let most = 1 + chance.below(payload.len() as u64 + 10) as usize;
            for part in payload.chunks(most.max(payload.len() / 5)) {
                match chance.below(2) {
                    0 => writer.write(part.to_vec()).await.unwrap(),
                    _ => writer.write_all(part).await.unwrap(),
                }
            }
            writer.finish().await.is_ok()
        }
        5 => {
            let (head, tail) = payload.split_at(chance.below(payload.len() as u64 + 1) as usize);
            let mut head = Frame::binary(head.to_vec()).not_final();
            loop {
                match session.send_frame(head).await {
                    Ok(()) => break,
                    Err(SendError::OutOfSequence(back)) => head = back,
                    Err(_) => return false,
                }
                yield_now().await;
            }
            session
                .send_frame(Frame::continuation(tail.to_vec()))
                .await
                .is_ok()
        }
        _ => session.send(message).await.is_ok(),
    }
}

/// Sends for a while; returns the numbers of what was queued.
async fn sender(session: Session, id: u64, mut chance: Chance, step: u64) -> Vec<u64> {
    let mut queued = Vec::new();
    for number in 0..chance.below(30) {
        let payload = payload(id, number, len(&mut chance, step));
        if send_one(&session, &mut chance, payload).await {
            queued.push(number);
        }
        match chance.below(8) {
            0 => session.flush().await.unwrap(),
            1 => session.ping("own").await.unwrap(),
            2 => yield_now().await,
            _ => {}
        }
    }
    queued
}

/// What a storm has of a sender's, by what it numbered.
type Numbers = Vec<Vec<u64>>;

const SENDERS: u64 = 3;
const ECHOED: u64 = SENDERS;
const BROADCAST: u64 = SENDERS + 1;
const LAST: u64 = SENDERS + 2;

/// Reads everything up to the last message: the numbers of each sender's, and what was counted.
async fn read_all(mut peer: impl AsyncRead + Unpin, role: Role) -> (Numbers, u64) {
    let mut numbers = vec![Vec::new(); LAST as usize + 1];
    let mut messages = 0;
    let mut open: Option<Vec<u8>> = None;
    loop {
        let (first, bytes) = read_frame(&mut peer, role).await.unwrap();
        match first & 0x0F {
            0 => open.as_mut().unwrap().extend(bytes),
            1 | 2 => assert!(open.replace(bytes).is_none()),
            9 => assert_eq!(bytes, b"own"),
            10 => assert_eq!(bytes, b"asked"),
            other => panic!("opcode {other}"),
        }
        if first & 0x08 != 0 || first & 0x80 == 0 {
            continue;
        }
        messages += 1;
        let (sender, number) = read_payload(&open.take().unwrap());
        numbers[sender as usize].push(number);
        if sender == LAST {
            return (numbers, messages);
        }
    }
}

/// What the peer sends, each echoed.
async fn write_all(
    mut io: impl AsyncWrite + Unpin,
    role: Role,
    mut chance: Chance,
    step: u64,
) -> u64 {
    let count = chance.below(30);
    for number in 0..count {
        let payload = payload(ECHOED, number, len(&mut chance, step));
        let bytes = match chance.below(6) {
            0 => {
                let (head, tail) = payload.split_at(payload.len() / 2);
                [
                    frame(role, TEXT & MORE, head),
                    frame(role, PING, b"asked"),
                    frame(role, CONTINUATION, tail),
                ]
                .concat()
            }
            1 => [frame(role, PING, b"asked"), frame(role, BINARY, &payload)].concat(),
            _ => frame(role, TEXT, &payload),
        };
        io.write_all(&bytes).await.unwrap();
        if chance.below(3) == 0 {
            yield_now().await;
        }
    }
    count
}

async fn storm(seed: u64) {
    let mut chance = Chance::new(seed);
    let step = [1, 3, 50, 3_000, 100_000][chance.below(5) as usize];
    let role = [Role::Server, Role::Client][chance.below(2) as usize];
    let (near, far) = duplex(1 + chance.below(20 * step) as usize);
    let near = Erratic {
        io: near,
        step,
        chance,
        vectored: chance.below(3) > 0,
    };
    let kept: Arc<Mutex<Vec<Message>>> = Arc::default();
    let keeps = Arc::clone(&kept);
    let echo = from_fn(move |session: Session, message: Message| {
        keeps.lock().unwrap().push(message.clone());
        async move {
            session.send(message).await?;
            Ok(())
        }
    });
    let policy = Policy::default()
        .with_max_outbox_messages(1 + chance.below(40) as usize)
        .with_max_outbox_bytes(1 + chance.below(100_000) as usize)
        .with_max_read_bytes(1 + chance.below(70_000) as usize);
    let mut established = Established::new(Transport::boxed(near), role)
        .with_policy(policy)
        .with_mask_keys(Counter(0));
    let session = established.session().clone();
    let task = tokio::spawn(established.run(echo));
    let (reader, writer) = split(far);
    let reading = tokio::spawn(read_all(reader, role));
    let writing = tokio::spawn(write_all(writer, role, chance, step));
    let sending: Vec<_> = (0..SENDERS)
        .map(|id| {
            chance.below(2);
            tokio::spawn(sender(session.clone(), id, chance, step))
        })
        .collect();

    let group = Group::new(SlowMember::DropOldest);
    let _membership = group.join(&session);
    let (mut broadcasts, mut lost) = (0, 0);
    while sending.iter().any(|task| !task.is_finished()) && broadcasts < 200 {
        let report = group.broadcast(payload(BROADCAST, broadcasts, len(&mut chance, step)));
        broadcasts += 1;
        lost += report.displaced() + report.dropped();
        for _ in 0..chance.below(6) {
            yield_now().await;
        }
    }
    let mut queued = Vec::new();
    for task in sending {
        queued.push(task.await.unwrap());
    }
    let echoed = writing.await.unwrap();
    while session.stats().messages_in() < echoed {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Behind the last echo.
    tokio::time::sleep(Duration::from_secs(1)).await;
    session.send_binary(payload(LAST, 0, 0)).await.unwrap();
    let (numbers, messages) = reading.await.unwrap();

    for (numbers, queued) in numbers.iter().zip(&queued) {
        assert_eq!(numbers, queued);
    }
    assert_eq!(numbers[ECHOED as usize], (0..echoed).collect::<Vec<_>>());
    assert!(numbers[BROADCAST as usize].is_sorted_by(|a, b| a < b));
    assert_eq!(
        numbers[BROADCAST as usize].len() + lost,
        broadcasts as usize
    );
    for (number, message) in kept.lock().unwrap().iter().enumerate() {
        assert_eq!(read_payload(message.as_bytes()), (ECHOED, number as u64));
    }
    session.flush().await.unwrap();
    let traffic = session.stats();
    assert_eq!(traffic.messages_out(), messages);
    assert_eq!(traffic.messages_in(), echoed);
    assert_eq!(traffic.dropped(), lost as u64);
    session.abort();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_arrives_whole_once_and_in_order() {
    for seed in 0..STORMS {
        let over = tokio::spawn(timeout(Duration::from_secs(100), storm(seed)));
        let over = over
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(over.is_ok(), "seed {seed} never ends");
    }
}
