//! A message that is read while it arrives: by whom, how far ahead, and how it breaks off.

use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_core::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use ws_factory::{
    Bytes, Close, CloseCode, CloseEvent, Endpoint, EventResult, MessageReader, Policy, Role,
    Session, SessionError, StatelessEndpoint,
};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, PING, Peer, TEXT, close, frame, run, serve},
    recorder::{Log, ending},
};

/// Does with a message what a test wants, and writes down the rest.
struct Streamer<F> {
    log: Log,
    read: F,
}

impl<F, Fut> Endpoint for Streamer<F>
where
    F: FnMut(Session, MessageReader, Log) -> Fut + Send + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    const STREAM: bool = true;

    async fn on_stream(&mut self, session: &Session, message: MessageReader) -> EventResult {
        self.log.push(format!("{:?}", message.kind()));
        (self.read)(session.clone(), message, self.log.clone()).await
    }

    async fn on_ping(&mut self, _: &Session, payload: Bytes) -> EventResult {
        self.log.push(format!("ping {}", payload.escape_ascii()));
        Ok(())
    }

    async fn on_error(&mut self, _: &Session, error: &SessionError) {
        self.log.push(format!("error: {error}"));
    }

    async fn on_close(&mut self, _: &Session, event: &CloseEvent) {
        self.log.push(ending(event));
    }
}

fn streamer<F, Fut>(log: &Log, read: F) -> Streamer<F>
where
    F: FnMut(Session, MessageReader, Log) -> Fut + Send + 'static,
    Fut: Future<Output = EventResult> + Send,
{
    Streamer {
        log: log.clone(),
        read,
    }
}

/// Writes down each part, and how the message ends.
async fn read_parts(_: Session, mut message: MessageReader, log: Log) -> EventResult {
    while let Some(part) = message.next().await {
        match part {
            Ok(part) => log.push(format!("part {}", String::from_utf8_lossy(&part))),
            Err(error) => {
                log.push(format!("{:?}: {error}", error.kind()));
                let again = message.next().await.is_none();
                let never_whole = message.read_u8().await.unwrap_err().kind() == error.kind();
                assert!(again && never_whole);
                return Err(error.into());
            }
        }
    }
    log.push("end");
    Ok(())
}

/// How large a message may be here.
fn large() -> Policy {
    Policy::default().with_max_message_bytes(1 << 20)
}

#[tokio::test(start_paused = true)]
async fn parts_are_read_as_they_arrive() {
    let log = Log::default();
    let (mut peer, _session, task) = serve(Policy::default(), streamer(&log, read_parts));

    peer.send(TEXT & MORE, b"caf\xC3").await;
    sleep(Duration::from_secs(1)).await;
    peer.send(PING, "1").await;
    peer.send(CONTINUATION & MORE, b"\xA9").await;
    sleep(Duration::from_secs(1)).await;
    let early = log.lines();
    peer.send(CONTINUATION, "").await;
    peer.send(BINARY, "next").await;
    peer.send(CLOSE, close(1000, "")).await;
    let answers = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(
        early,
        ["Text", "part caf", "part é"],
        "characters are whole"
    );
    assert_eq!(
        log.lines()[3..],
        [
            "end",
            "ping 1",
            "Binary",
            "part next",
            "end",
            "close 1000 by Remote, clean"
        ]
    );
    assert_eq!(answers, ["pong 1", "close 1000", "end"]);
}

#[tokio::test(start_paused = true)]
async fn empty_message_is_a_stream_of_no_part() {
    let log = Log::default();
    let (mut peer, ..) = serve(Policy::default(), streamer(&log, read_parts));

    peer.send(BINARY & MORE, "").await;
    peer.send(CONTINUATION, "").await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(log.lines(), ["Binary", "end"]);
}

#[tokio::test(start_paused = true)]
async fn message_is_an_async_read_and_a_stream() {
    let log = Log::default();
    let endpoint = streamer(&log, |_, mut message: MessageReader, log: Log| async move {
        let mut start = [0; 3];
        message.read_exact(&mut start).await?;
        let rest = poll_fn(|cx| Pin::new(&mut message).poll_next(cx)).await;
        let rest = rest.ok_or("there is more")??;
        let mut end = String::new();
        message.read_to_string(&mut end).await?;
        log.push(format!(
            "{} {} {end}",
            start.escape_ascii(),
            rest.escape_ascii()
        ));
        Ok(())
    });
    let (mut peer, ..) = serve(Policy::default(), endpoint);

    peer.send(TEXT & MORE, "onetwo").await;
    peer.send(CONTINUATION & MORE, "thr").await;
    peer.send(CONTINUATION, "ee").await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(log.lines(), ["Text", "one two three"]);
}

#[tokio::test(start_paused = true)]
async fn shared_endpoint_streams_as_well() {
    struct Shared(AtomicUsize);

    impl StatelessEndpoint for Shared {
        const STREAM: bool = true;

        async fn on_stream(&self, _: &Session, mut message: MessageReader) -> EventResult {
            while let Some(part) = message.next().await {
                self.0.fetch_add(part?.len(), Ordering::Relaxed);
            }
            Ok(())
        }
    }
    let shared = Arc::new(Shared(AtomicUsize::new(0)));
    let (mut peer, ..) = serve(Policy::default(), Arc::clone(&shared));

    peer.send(BINARY, [7; 300]).await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(shared.0.load(Ordering::Relaxed), 300);
}

#[tokio::test(start_paused = true)]
async fn echo_is_a_copy_from_reader_to_writer() {
    for role in [Role::Server, Role::Client] {
        let log = Log::default();
        let endpoint = streamer(&log, |session: Session, mut message, _| async move {
            let mut echo = session
                .message_writer(MessageReader::kind(&message))
                .await?;
            copy(&mut message, &mut echo).await?;
            echo.shutdown().await?;
            Ok(())
        });
        let (mut peer, ..) = run(role, 1000, large(), endpoint);

        for text in ["hello", "again"] {
            peer.send(TEXT, text).await;
            // A `copy` flushes before it tells that there is no more.
            assert_eq!(peer.recv().await, format!("text- {text}"));
            assert_eq!(peer.recv().await, "continuation");
        }
        let (mut reading, mut writing) = tokio::io::split(peer.io);
        let message = frame(role, BINARY, &[7; 100_000]);
        let sending = tokio::spawn(async move { writing.write_all(&message).await });
        let mut received = 0;
        while received < 100_000 {
            received += reading.read(&mut [0; 4096]).await.unwrap();
        }
        sending.await.unwrap().unwrap();
    }
}

/// What the reader does not take stays with the peer; meanwhile Pings are answered and what
/// others send leaves.
#[tokio::test(start_paused = true)]
async fn slow_reader_pushes_back_and_the_session_lives() {
    let log = Log::default();
    let gate = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&gate);
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let endpoint = streamer(&log, move |_, mut message: MessageReader, _| {
        let (permits, count) = (Arc::clone(&permits), Arc::clone(&count));
        async move {
            loop {
                permits.acquire().await?.forget();
                let Some(part) = message.next().await else {
                    return Ok(());
                };
                count.fetch_add(part?.len(), Ordering::Relaxed);
            }
        }
    });
    let policy = large().with_max_read_bytes(1000);
    let (mut peer, session, _task) = run(Role::Server, 1000, policy, endpoint);
    let fragment = frame(Role::Server, CONTINUATION & MORE, &[7; 500]);

    peer.send(BINARY & MORE, "").await;
    peer.send(PING, "1").await;
    assert_eq!(peer.recv().await, "pong 1");
    let (mut sent, mut at) = (0, 0);
    for round in 0..20 {
        // Takes whatever part of a frame finds room.
        while let Ok(written) =
            timeout(Duration::from_secs(1), peer.io.write(&fragment[at..])).await
        {
            let written = written.unwrap();
            sent += written;
            at = (at + written) % fragment.len();
        }
        let ahead = sent - read.load(Ordering::Relaxed);
        assert!(ahead <= 3_200, "round {round}: {ahead} bytes ahead");
        session.send_text("still here").await.unwrap();
        assert_eq!(peer.recv().await, "text still here");
        gate.add_permits(1);
        sleep(Duration::from_secs(1)).await;
    }

    assert!(read.load(Ordering::Relaxed) > 5_000);
}

#[tokio::test(start_paused = true)]
async fn ping_between_two_parts_is_answered_while_nobody_reads() {
    let log = Log::default();
    let endpoint = streamer(&log, |_, message: MessageReader, _| async move {
        sleep(Duration::from_secs(60)).await;
        drop(message);
        Ok(())
    });
    let (mut peer, ..) = serve(large(), endpoint);

    peer.send(BINARY & MORE, "one").await;
    peer.send(PING, "1").await;
    let pong = timeout(Duration::from_secs(1), peer.recv()).await;

    assert_eq!(pong.as_deref(), Ok("pong 1"));
}

#[tokio::test(start_paused = true)]
async fn rest_of_a_message_whose_event_returned_is_passed_over() {
    let log = Log::default();
    let endpoint = streamer(&log, |_, mut message: MessageReader, log: Log| async move {
        let first = message.next().await.ok_or("there is a part")??;
        log.push(format!("first {}", first.escape_ascii()));
        Ok(())
    });
    let (mut peer, ..) = serve(Policy::default(), endpoint);

    for _ in 0..2 {
        peer.send(TEXT & MORE, "one").await;
        peer.send(CONTINUATION & MORE, "two").await;
        peer.send(PING, "1").await;
        peer.send(CONTINUATION, "three").await;
    }
    assert_eq!(peer.recv().await, "pong 1");
    assert_eq!(peer.recv().await, "pong 1");
    sleep(Duration::from_secs(1)).await;

    let lines = log.lines();
    let firsts = lines.iter().filter(|line| *line == "first one").count();
    assert_eq!((firsts, lines.len()), (2, 6), "{lines:?}");
}

/// Also for what nobody reads.
#[tokio::test(start_paused = true)]
async fn limit_holds_for_the_whole_message() {
    for reads in [true, false] {
        let log = Log::default();
        let endpoint = streamer(&log, move |session, message, log| async move {
            match reads {
                true => read_parts(session, message, log).await,
                false => Ok(()),
            }
        });
        let policy = Policy::default().with_max_binary_bytes(1000);
        let (mut peer, _session, task) = serve(policy, endpoint);

        peer.send(BINARY & MORE, [b'a'; 600]).await;
        sleep(Duration::from_secs(1)).await;
        peer.send(CONTINUATION & MORE, [b'a'; 600]).await;
        let answers = peer.rest().await;
        drop(peer);
        task.await.unwrap();

        assert_eq!(answers.len(), 2);
        assert!(answers[0].starts_with("close 1009"), "{answers:?}");
        let lines = log.lines();
        let told = lines.iter().any(|line| line.starts_with("InvalidData"));
        assert_eq!(told, reads, "{lines:?}");
    }
}

/// What is wrong with the rest of a message, what the reader is told of it, and how it ends.
#[tokio::test(start_paused = true)]
async fn message_that_breaks_off_is_an_error_of_the_reader_and_of_nobody_else() {
    let frames: [(u8, &[u8]); 4] = [
        (TEXT, b"no continuation"),
        (CONTINUATION & MORE, b"\xFF"),
        (CLOSE, b"\x03\xE9bye"),
        (0xF0, b""),
    ];
    let told = [
        ["InvalidData: peer broke", "error: peer broke", "close 1002"],
        ["InvalidData: peer broke", "error: peer broke", "close 1007"],
        [
            "UnexpectedEof: peer closed",
            "",
            "close 1001 'bye' by Remote, clean",
        ],
        ["InvalidData: peer broke", "error: peer broke", "close 1002"],
    ];
    for ((first, payload), told) in frames.into_iter().zip(told) {
        let log = Log::default();
        let (mut peer, _session, task) = serve(Policy::default(), streamer(&log, read_parts));

        peer.send(TEXT & MORE, "one").await;
        peer.send(first, payload).await;
        peer.rest().await;
        drop(peer);
        task.await.unwrap();

        let lines = log.lines();
        assert_eq!(lines[..2], ["Text", "part one"]);
        let told: Vec<_> = told.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 2 + told.len(), "{lines:?}");
        for (line, told) in lines[2..].iter().zip(told) {
            assert!(line.starts_with(told), "{line} for {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_within_a_message_is_an_unexpected_end() {
    let log = Log::default();
    let (mut peer, _session, task) = serve(Policy::default(), streamer(&log, read_parts));

    peer.send(BINARY & MORE, "one").await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(
        log.lines()[2..],
        [
            "UnexpectedEof: connection lost",
            "error: connection lost",
            "close 1006 by Remote: connection lost",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn peer_that_stops_within_a_message_meets_the_idle_timeout() {
    let log = Log::default();
    let policy = Policy::default().with_idle_timeout(Some(Duration::from_secs(20)));
    let (mut peer, _session, task) = serve(policy, streamer(&log, read_parts));

    peer.send(BINARY & MORE, "one").await;
    let answers = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(answers, ["close 1001 idle timeout", "end"]);
    assert_eq!(
        log.lines()[2..],
        [
            "TimedOut: idle timeout",
            "error: idle timeout",
            "close 1001 'idle timeout' by Local: idle timeout",
        ]
    );
}

/// While it is the reader that the message waits for, the peer is not to blame.
#[tokio::test(start_paused = true)]
async fn idle_timeout_stands_still_while_a_part_waits() {
    let log = Log::default();
    let policy = Policy::default().with_idle_timeout(Some(Duration::from_secs(20)));
    let endpoint = streamer(&log, |session, message, log| async move {
        sleep(Duration::from_secs(100)).await;
        read_parts(session, message, log).await
    });
    let (mut peer, session, _task) = serve(policy, endpoint);

    peer.send(BINARY & MORE, "one").await;
    sleep(Duration::from_secs(110)).await;
    peer.send(CONTINUATION, "two").await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(log.lines(), ["Binary", "part one", "part two", "end"]);
    assert!(session.is_open());
}

#[tokio::test(start_paused = true)]
async fn message_is_read_to_its_end_behind_our_close() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), streamer(&log, read_parts));

    peer.send(BINARY & MORE, "one").await;
    sleep(Duration::from_secs(1)).await;
    session.close(CloseCode::NORMAL, "");
    assert_eq!(peer.recv().await, "close 1000");
    peer.send(CONTINUATION, "two").await;
    sleep(Duration::from_secs(1)).await;
    peer.send(CLOSE, close(1000, "")).await;
    drop(peer);
    task.await.unwrap();

    let expected = ["part two", "end", "close 1000 by Local, clean"];
    assert_eq!(log.lines()[2..], expected);
}

/// The peer goes on with its message as if nothing had been said.
#[tokio::test(start_paused = true)]
async fn close_that_is_not_answered_ends_the_reading_in_time() {
    let log = Log::default();
    let policy = large().with_close_timeout(Duration::from_secs(5));
    let (mut peer, session, task) = serve(policy, streamer(&log, read_parts));

    peer.send(BINARY & MORE, "one").await;
    session.close(CloseCode::NORMAL, "");
    let sending = tokio::spawn(async move {
        loop {
            let fragment = frame(Role::Server, CONTINUATION & MORE, b"more");
            if peer.io.write_all(&fragment).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    let event = timeout(Duration::from_secs(6), session.closed()).await;
    task.await.unwrap();
    sending.await.unwrap();

    assert_eq!(event.unwrap().status().get(), 1006);
    let lines = log.lines();
    assert!(lines.contains(&"part more".to_owned()), "{lines:?}");
    let last = lines.last().map(String::as_str);
    let expected = "close 1006 by Local: no answer to our Close in time";
    assert_eq!(last, Some(expected));
}

/// What the reader is told comes first; what it then still does has the close timeout.
#[tokio::test(start_paused = true)]
async fn event_that_outlives_its_broken_message_is_cut_off() {
    let log = Log::default();
    let endpoint = streamer(&log, |session, message, log: Log| async move {
        let _told = read_parts(session, message, log).await;
        pending().await
    });
    let policy = Policy::default().with_close_timeout(Duration::from_secs(5));
    let (mut peer, session, _task) = serve(policy, endpoint);

    peer.send(BINARY & MORE, "one").await;
    peer.send(BINARY, "no continuation").await;
    let event = timeout(Duration::from_secs(6), session.closed()).await;

    assert_eq!(event.unwrap().status().get(), 1002);
    assert!(log.lines()[2].starts_with("InvalidData"), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_message_is_passed_over_and_the_peer_told_why() {
    let log = Log::default();
    let endpoint = streamer(&log, |_, _, _| async {
        Err(Close::new(CloseCode::POLICY_VIOLATION, "no uploads").into())
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(BINARY & MORE, "one").await;
    assert_eq!(peer.recv().await, "close 1008 no uploads");
    peer.send(CONTINUATION, "two").await;
    peer.send(BINARY, "three").await;
    peer.send(CLOSE, close(1008, "")).await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(log.lines(), ["Binary", "close 1008 by Local, clean"]);
}

/// The event is the demand: when it is over, so is the reading, wherever that went on.
#[tokio::test(start_paused = true)]
async fn reader_that_is_kept_reads_what_has_come_and_then_breaks_off() {
    let log = Log::default();
    let (sender, mut readers) = mpsc::unbounded_channel();
    let endpoint = streamer(&log, move |_, message, _| {
        let sent = sender.send(message).map_err(|_| "nobody takes it".into());
        async move { sent }
    });
    let (mut peer, session, _task) = serve(Policy::default(), endpoint);

    peer.send(BINARY & MORE, "one").await;
    let mut broken: MessageReader = readers.recv().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    peer.send(CONTINUATION, "two").await;
    peer.send(BINARY, "whole").await;
    let mut whole = readers.recv().await.unwrap();

    assert_eq!(broken.next().await.unwrap().unwrap(), "one");
    let error = broken.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    assert!(broken.next().await.is_none());
    assert_eq!(whole.next().await.unwrap().unwrap(), "whole");
    assert!(whole.next().await.is_none());
    assert!(session.is_open());
}

#[tokio::test(start_paused = true)]
async fn another_task_reads_while_the_event_waits_for_it() {
    let log = Log::default();
    let endpoint = streamer(&log, |session, message, log| async move {
        tokio::spawn(read_parts(session, message, log)).await??;
        Ok(())
    });
    let (mut peer, ..) = run(Role::Server, 8, large(), endpoint);

    for part in ["one", "two", "three"] {
        let first = if part == "one" { TEXT } else { CONTINUATION };
        peer.send(first & MORE, part).await;
        sleep(Duration::from_secs(1)).await;
    }
    peer.send(CONTINUATION, "").await;
    sleep(Duration::from_secs(1)).await;

    let lines = log.lines();
    let parts: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("part "))
        .collect();
    assert_eq!(parts.concat(), "onetwothree");
    assert_eq!(lines.last().map(String::as_str), Some("end"));
}

#[tokio::test(start_paused = true)]
async fn abort_and_a_dropped_task_end_the_event_and_the_reader() {
    for aborts in [true, false] {
        let log = Log::default();
        let (sender, mut readers) = mpsc::unbounded_channel();
        let endpoint = streamer(&log, move |_, message, _| {
            let _sent = sender.send(message);
            pending()
        });
        let (mut peer, session, task): (Peer, _, _) = serve(Policy::default(), endpoint);
        peer.send(BINARY & MORE, "one").await;
        let mut reader = readers.recv().await.unwrap();

        match aborts {
            true => session.abort(),
            false => task.abort(),
        }

        assert_eq!(reader.next().await.unwrap().unwrap(), "one");
        let error = reader.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    }
}
