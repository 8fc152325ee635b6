//! A message that is read while it arrives, and does not come to its end: whose fault it is, and
//! what the reader, the endpoint and the peer are told.

use std::{future::pending, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    sync::mpsc,
    time::{sleep, timeout},
};
use ws_factory::{Close, CloseCode, MessageReader, Policy, Role};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, Peer, TEXT, close, frame, serve},
    recorder::Log,
    streamer::{large, read_parts, streamer},
};

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
    let answers = timeout(Duration::from_secs(60), peer.rest()).await.unwrap();
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
