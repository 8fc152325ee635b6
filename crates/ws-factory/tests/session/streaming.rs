//! A message that is read while it arrives: by whom, and how far ahead.

use std::{
    future::poll_fn,
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
    sync::Semaphore,
    time::{sleep, timeout},
};
use ws_factory::{EventResult, MessageReader, Policy, Role, Session, StatelessEndpoint};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, PING, TEXT, close, frame, run, serve},
    recorder::Log,
    streamer::{large, read_parts, streamer},
};

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
