//! Peers that flood and read nothing, whatever the endpoint does with it: what the session takes in
//! has an end, and so has what it holds.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    time::{Instant, timeout},
};
use ws_factory::{
    BoxError, Bytes, Endpoint, EventResult, Frame, FrameAction, Message, MessageReader, Partial,
    Policy, Prepared, Role, Session, StatelessEndpoint,
};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, PING, Peer, close, frame, run},
    recorder::{Log, Recorder, ending},
};

const PIPE_BYTES: usize = 512;
const MAX_READ_BYTES: usize = 1024;
const MAX_OUTBOX_MESSAGES: usize = 8;
const MAX_OUTBOX_BYTES: usize = 1024;

/// What may be on its way to an endpoint that has stopped: in the pipe, in one read, and half a
/// frame from the read before; then what it has answered.
const MAX_TAKEN_BYTES: usize = 2 * PIPE_BYTES + 2 * MAX_READ_BYTES + 2 * MAX_OUTBOX_BYTES;

/// How much the peer tries to send.
const FLOOD_BYTES: usize = 1 << 18;

struct Messages;

impl Endpoint for Messages {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

struct Encoded;

impl Endpoint for Encoded {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send_prepared(&Prepared::from(&message)).await?;
        Ok(())
    }
}

struct Frames;

impl Endpoint for Frames {
    const FRAMES: bool = true;

    async fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        session.send_frame(frame.clone()).await?;
        Ok(FrameAction::Consume)
    }
}

struct Pieces;

impl Endpoint for Pieces {
    const PARTIAL: bool = true;

    async fn on_partial(&mut self, session: &Session, part: Partial) -> EventResult {
        session.send(part.into_piece()).await?;
        Ok(())
    }
}

struct Streams;

impl StatelessEndpoint for Streams {
    const STREAM: bool = true;

    async fn on_stream(&self, session: &Session, mut message: MessageReader) -> EventResult {
        let mut writer = session.message_writer(message.kind()).await?;
        copy(&mut message, &mut writer).await?;
        writer.shutdown().await?;
        Ok(())
    }
}

/// Answers Pings itself.
struct Pongs;

impl Endpoint for Pongs {
    async fn on_ping(&mut self, session: &Session, payload: Bytes) -> EventResult {
        session.pong(payload).await?;
        Ok(())
    }
}

/// Never waits: what finds no room is gone.
struct Careless;

impl Endpoint for Careless {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        let _full = session.try_send(message);
        Ok(())
    }
}

fn policy() -> Policy {
    Policy::default()
        // The rows come one after the other.
        .with_idle_timeout(None)
        .with_max_read_bytes(MAX_READ_BYTES)
        .with_max_outbox_messages(MAX_OUTBOX_MESSAGES)
        .with_max_outbox_bytes(MAX_OUTBOX_BYTES)
}

fn narrow<E: Endpoint>(endpoint: E, policy: Policy) -> (Peer, Session) {
    let (peer, session, _task) = run(Role::Server, PIPE_BYTES, policy, endpoint);
    (peer, session)
}

/// Sends `unit` until nothing is taken any more; returns how much was, and never reads.
async fn flood(peer: &mut Peer, session: &Session, unit: &[u8]) -> usize {
    let mut taken = 0;
    while taken < FLOOD_BYTES
        && let Ok(Ok(())) = timeout(Duration::from_secs(1), peer.io.write_all(unit)).await
    {
        taken += unit.len();
        let (messages, bytes) = session.queued();
        assert!(messages <= MAX_OUTBOX_MESSAGES, "{messages} messages wait");
        assert!(bytes <= MAX_OUTBOX_BYTES, "{bytes} bytes wait");
    }
    taken
}

/// Whom the peer floods, with what once, and then with what again and again.
type Row<'a> = (&'static str, (Peer, Session), &'a [u8], &'a [u8]);

/// Hostile inputs R3 and L4: the flood of anything that is answered stops.
#[tokio::test(start_paused = true)]
async fn flood_that_is_answered_stops_whatever_kind_of_endpoint_answers() {
    let message = frame(Role::Server, BINARY, &[7; 100]);
    let empty = frame(Role::Server, BINARY, b"");
    let fragment = frame(Role::Server, BINARY & MORE, b"x");
    let next = frame(Role::Server, CONTINUATION & MORE, b"x");
    let of_parts = policy().with_max_message_bytes(1 << 30);
    let rows: [Row<'_>; 8] = [
        ("messages", narrow(Messages, policy()), b"", &message),
        ("empty messages", narrow(Messages, policy()), b"", &empty),
        ("prepared", narrow(Encoded, policy()), b"", &message),
        ("frames", narrow(Frames, policy()), b"", &message),
        ("fragments", narrow(Frames, policy()), &fragment, &next),
        ("pieces", narrow(Pieces, of_parts.clone()), &fragment, &next),
        ("streams", narrow(streams(), policy()), b"", &message),
        (
            "endless stream",
            narrow(streams(), of_parts.clone()),
            &frame(Role::Server, BINARY & MORE, &[7; 100]),
            &frame(Role::Server, CONTINUATION & MORE, &[7; 100]),
        ),
    ];

    for (name, (mut peer, session), first, unit) in rows {
        peer.send_bytes(first).await;
        let taken = flood(&mut peer, &session, unit).await;
        let event = session.closed().await;

        // A writer collects 16 KiB to a frame, and reads as much ahead.
        let collected = if name == "endless stream" {
            32 * 1024
        } else {
            0
        };
        // An empty message weighs as much as its header.
        assert!(taken <= MAX_TAKEN_BYTES + collected, "{name}: {taken}");
        assert_eq!(
            ending(&event),
            "close 1006 by Local: no write progress in time",
            "{name}"
        );
    }
}

fn streams() -> std::sync::Arc<Streams> {
    std::sync::Arc::new(Streams)
}

/// Hostile input R1, where the endpoint answers, and waits for room to do so: of the Pings that come
/// meanwhile it is shown the last.
#[tokio::test(start_paused = true)]
async fn ping_flood_to_an_endpoint_that_answers_itself_holds_its_outbox() {
    let (mut peer, session) = narrow(Pongs, policy().without_auto_pong());
    let ping = frame(Role::Server, PING, &[b'p'; 125]);

    let taken = flood(&mut peer, &session, &ping).await;
    let event = session.closed().await;
    let mut pongs = Vec::new();
    peer.io.read_to_end(&mut pongs).await.unwrap();

    assert!(taken >= FLOOD_BYTES);
    assert!(pongs.len() <= PIPE_BYTES, "{} bytes", pongs.len());
    assert_eq!(
        ending(&event),
        "close 1006 by Local: no write progress in time"
    );
}

/// Hostile inputs R3 and A14: who never waits loses messages, not memory.
#[tokio::test(start_paused = true)]
async fn endpoint_that_never_waits_is_flooded_and_holds_its_outbox() {
    let (mut peer, session) = narrow(Careless, policy().with_write_deadline(None));
    let message = frame(Role::Server, BINARY, &[7; 100]);

    let taken = flood(&mut peer, &session, &message).await;

    assert!(taken >= FLOOD_BYTES);
    assert!(session.is_open());
}

/// Hostile inputs R3 and K7: one answer to any number of Closes, and an end to the reading.
#[tokio::test(start_paused = true)]
async fn flood_of_closes_is_one_close_and_the_end() {
    let log = Log::default();
    let (mut peer, session) = narrow(Recorder::new(&log), policy());
    let begin = Instant::now();

    let unit = frame(Role::Server, CLOSE, &close(1000, "bye"));
    while peer.io.write_all(&unit).await.is_ok() {
        // So that time passes for a peer that is always ready.
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let frames = peer.rest().await;

    assert_eq!(frames, ["close 1000 bye", "end"]);
    assert!(begin.elapsed() <= Duration::from_secs(3), "{begin:?}");
    assert_eq!(
        log.lines(),
        ["connect", "close 1000 'bye' by Remote, clean"]
    );
    assert_eq!(session.queued(), (0, 0));
}

/// Hostile input R14: whatever is sent, a session is one task.
#[tokio::test(start_paused = true)]
async fn flood_starts_no_task() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut sessions: Vec<_> = (0..10).map(|_| narrow(Messages, policy())).collect();
    let unit = frame(Role::Server, BINARY, &[7; 100]);

    for _ in 0..100 {
        for (peer, _) in &mut sessions {
            peer.send_bytes(&unit).await;
            peer.send(PING, "").await;
            assert_eq!(metrics.num_alive_tasks(), 10);
            peer.recv().await;
            peer.recv().await;
        }
    }
}
