//! One message in parts: frames that only make sense together, and nothing of others in between.

use std::{future::Future, time::Duration};

use tokio::{
    io::{AsyncWriteExt, copy},
    task::yield_now,
    time::timeout,
};
use ws_factory::{
    BroadcastReport, CloseCode, Frame, Group, Message, MessageKind, Policy, Prepared, Role,
    SendError, Session, SlowMember,
};

use crate::{
    peer::{CLOSE, Peer, close, run, serve},
    recorder::{Log, Recorder, Told},
};

const TEXT: MessageKind = MessageKind::Text;
const BINARY: MessageKind = MessageKind::Binary;

fn open() -> (Peer, Session) {
    let (peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));
    (peer, session)
}

async fn waits<T>(future: impl Future<Output = T>) -> bool {
    timeout(Duration::from_millis(1), future).await.is_err()
}

/// Every frame up to the first that is final.
async fn frames(peer: &mut Peer) -> Vec<String> {
    let mut frames = Vec::new();
    loop {
        frames.push(peer.recv().await);
        let name = frames.last().and_then(|frame| frame.split(' ').next());
        if !name.is_some_and(|name| name.ends_with('-')) {
            return frames;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_part_is_a_frame_of_one_message() {
    for role in [Role::Server, Role::Client] {
        let log = Log::default();
        let (mut peer, session, _task) = run(role, 100, Policy::default(), Recorder::new(&log));

        let mut message = session.message_writer(TEXT).await.unwrap();
        message.write("one").await.unwrap();
        message.write("").await.unwrap();
        message.write("two".to_owned()).await.unwrap();
        message.finish().await.unwrap();
        session.send_text("next").await.unwrap();

        let expected = ["text- one", "continuation- two", "continuation"];
        assert_eq!(frames(&mut peer).await, expected);
        assert_eq!(peer.recv().await, "text next");
    }
}

#[tokio::test(start_paused = true)]
async fn message_of_no_part_is_empty() {
    let (mut peer, session) = open();

    let message = session.message_writer(BINARY).await.unwrap();
    message.finish().await.unwrap();

    assert_eq!(peer.recv().await, "binary");
}

#[tokio::test(start_paused = true)]
async fn long_part_leaves_in_frames_of_64_kib() {
    let (mut peer, session) = open();

    let mut message = session.message_writer(BINARY).await.unwrap();
    message.write(vec![7; 150_000]).await.unwrap();
    message.finish().await.unwrap();

    assert_eq!(
        frames(&mut peer).await,
        [
            "binary- of 65536 bytes",
            "continuation- of 65536 bytes",
            "continuation- of 18928 bytes",
            "continuation",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_others_send_waits_for_the_end_of_the_message() {
    let (mut peer, session) = open();
    let group = Group::new(SlowMember::DropNewest);
    let _membership = group.join(&session);
    let mut message = session.message_writer(TEXT).await.unwrap();

    let early = session.try_send_text("early");
    let report = group.broadcast(Prepared::from(&Message::text("to all")));
    let waiting: Vec<_> = (0..3)
        .map(|kind| {
            let session = session.clone();
            tokio::spawn(async move {
                match kind {
                    0 => session.send_text("message").await.unwrap(),
                    1 => session.send_frame(Frame::text("frame")).await.unwrap(),
                    _ => {
                        let mut message = session.message_writer(TEXT).await.unwrap();
                        message.write_all(b"writer").await.unwrap();
                        message.shutdown().await.unwrap();
                    }
                }
            })
        })
        .collect();
    message.write("part").await.unwrap();
    session.flush().await.unwrap();
    yield_now().await;
    let waited = waiting.iter().all(|task| !task.is_finished());
    message.finish().await.unwrap();
    for task in waiting {
        task.await.unwrap();
    }

    assert_eq!(early, Err(SendError::Full(Message::text("early"))));
    assert_eq!((report.queued(), report.dropped()), (0, 1));
    assert_ne!(report, BroadcastReport::default());
    assert!(waited);
    assert_eq!(frames(&mut peer).await, ["text- part", "continuation"]);
    let mut others = [peer.recv().await, peer.recv().await, peer.recv().await];
    others.sort();
    assert_eq!(others, ["text frame", "text message", "text writer"]);
}

#[tokio::test(start_paused = true)]
async fn continuation_of_somebody_else_is_out_of_sequence() {
    let (_peer, session) = open();
    let mut message = session.message_writer(TEXT).await.unwrap();
    message.write("part").await.unwrap();

    let foreign = session.send_frame(Frame::continuation("foreign")).await;

    assert!(matches!(foreign, Err(SendError::OutOfSequence(_))));
}

#[tokio::test(start_paused = true)]
async fn writer_waits_for_the_end_of_a_message_that_is_sent_as_frames() {
    let (mut peer, session) = open();

    session
        .send_frame(Frame::text("frame").not_final())
        .await
        .unwrap();
    let waited = waits(session.message_writer(TEXT)).await;
    session.send_frame(Frame::continuation("")).await.unwrap();
    let message = session.message_writer(TEXT).await.unwrap();
    message.finish().await.unwrap();

    assert!(waited);
    assert_eq!(frames(&mut peer).await, ["text- frame", "continuation"]);
    assert_eq!(peer.recv().await, "text");
}

#[tokio::test(start_paused = true)]
async fn control_frames_pass_between_the_parts() {
    let (mut peer, session) = open();

    let mut message = session.message_writer(TEXT).await.unwrap();
    message.write("one").await.unwrap();
    session.flush().await.unwrap();
    session.ping("between").await.unwrap();
    session.flush().await.unwrap();
    message.finish().await.unwrap();

    let expected = ["text- one", "ping between"];
    assert_eq!(frames(&mut peer).await, expected);
    assert_eq!(peer.recv().await, "continuation");
}

#[tokio::test(start_paused = true)]
async fn message_left_unfinished_closes_with_1011_and_never_looks_whole() {
    let log = Log::default();
    let (mut peer, session, task) = serve(Policy::default(), Recorder::new(&log));

    let mut message = session.message_writer(TEXT).await.unwrap();
    message.write("part").await.unwrap();
    drop(message);
    let late = session.send_text("late").await;
    let begun = peer.recv().await;
    let closed = peer.recv().await;
    peer.send(CLOSE, close(1011, "")).await;
    drop(peer);
    task.await.unwrap();

    assert!(late.unwrap_err().is_closed());
    assert_eq!(begun, "text- part");
    assert_eq!(closed, "close 1011 message left unfinished");
    assert_eq!(log.lines(), ["connect", "close 1011 by Local, clean"]);
}

/// Also where no frame of it has left: somebody meant to send a message, and did not.
#[tokio::test(start_paused = true)]
async fn collected_bytes_that_were_never_flushed_are_a_message_left_unfinished() {
    let (mut peer, session) = open();

    let mut message = session.message_writer(TEXT).await.unwrap();
    message.write_all(b"collected").await.unwrap();
    drop(message);

    assert_eq!(peer.recv().await, "close 1011 message left unfinished");
}

#[tokio::test(start_paused = true)]
async fn writer_that_wrote_nothing_gives_up_its_turn() {
    let (mut peer, session) = open();

    let message = session.message_writer(TEXT).await.unwrap();
    let sender = session.clone();
    let waiting = tokio::spawn(async move { sender.send_text("waiting").await });
    yield_now().await;
    drop(message);

    waiting.await.unwrap().unwrap();
    assert_eq!(peer.recv().await, "text waiting");
}

/// §5.5.1: nothing follows our Close, so the rest of the message cannot.
#[tokio::test(start_paused = true)]
async fn close_ends_the_message_that_is_under_way() {
    for by_peer in [false, true] {
        let (mut peer, session) = open();
        let mut message = session.message_writer(TEXT).await.unwrap();
        message.write("part").await.unwrap();
        message.write_all(b"collected").await.unwrap();

        if by_peer {
            peer.send(CLOSE, close(1001, "")).await;
        } else {
            session.close(CloseCode::GOING_AWAY, "");
        }
        let frames = [peer.recv().await, peer.recv().await];
        if !by_peer {
            peer.send(CLOSE, close(1001, "")).await;
        }
        let event = session.closed().await;
        let late = message.write("late").await;
        let end = message.finish().await;

        assert_eq!(frames, ["text- part", "close 1001"]);
        assert_eq!(event.status().get(), 1001);
        assert!(late.unwrap_err().is_closed());
        assert!(end.unwrap_err().is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn writer_that_waits_learns_of_the_end() {
    for begins in [true, false] {
        let policy = Policy::default().with_max_outbox_messages(1);
        let (_peer, session, _task) = run(Role::Server, 1, policy, Recorder::new(&Log::default()));
        let mut message = session.message_writer(TEXT).await.unwrap();
        message.write("fills the outbox").await.unwrap();

        let other = session.clone();
        let waiting = tokio::spawn(async move {
            match begins {
                true => other.message_writer(TEXT).await.map(drop),
                false => message
                    .write("waits")
                    .await
                    .map_err(|_| SendError::Closed(())),
            }
        });
        yield_now().await;
        let waited = !waiting.is_finished();
        session.abort();

        assert!(waited);
        assert_eq!(waiting.await.unwrap(), Err(SendError::Closed(())));
    }
}

#[tokio::test(start_paused = true)]
async fn text_is_judged_over_the_whole_message() {
    let (mut peer, session) = open();
    let mut message = session.message_writer(TEXT).await.unwrap();

    message.write(&b"caf\xC3"[..]).await.unwrap();
    let bad = message.write(&b"\x28"[..]).await;
    message.write(&b"\xA9"[..]).await.unwrap();
    let worse = message.write(&b"not \xFF"[..]).await;
    message.finish().await.unwrap();

    assert_eq!(bad, Err(SendError::InvalidUtf8(b"\x28"[..].into())));
    assert!(matches!(worse, Err(SendError::InvalidUtf8(_))));
    let frames = frames(&mut peer).await;
    assert_eq!(frames.len(), 3, "nothing of the bad parts: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn text_that_ends_within_a_character_is_not_finished() {
    let (mut peer, session) = open();
    let mut message = session.message_writer(TEXT).await.unwrap();
    message.write(&b"caf\xC3"[..]).await.unwrap();

    let end = message.finish().await;

    assert_eq!(end, Err(SendError::InvalidUtf8(())));
    assert!(peer.recv().await.starts_with("text- "));
    assert_eq!(peer.recv().await, "close 1011 message left unfinished");
}

#[tokio::test(start_paused = true)]
async fn async_write_collects_16_kib_and_flush_sends_early() {
    let (mut peer, session) = open();

    let mut message = session.message_writer(BINARY).await.unwrap();
    message.write_all(b"small").await.unwrap();
    message.write_all(b" and smaller").await.unwrap();
    AsyncWriteExt::flush(&mut message).await.unwrap();
    message.write_all(&[7; 40_000]).await.unwrap();
    message.write("at once").await.unwrap();
    message.shutdown().await.unwrap();
    message.shutdown().await.unwrap();
    let late = message.write_all(b"late").await;

    assert!(late.is_err());
    assert_eq!(
        frames(&mut peer).await,
        [
            "binary- small and smaller",
            "continuation- of 16384 bytes",
            "continuation- of 16384 bytes",
            "continuation- of 7232 bytes",
            "continuation- at once",
            "continuation",
        ]
    );
}

/// No more is taken than the outbox holds, one frame that is collected, and what the pipe holds.
#[tokio::test(start_paused = true)]
async fn copy_waits_while_the_peer_does_not_read() {
    const LEN: usize = 1 << 20;
    let policy = Policy::default().with_max_outbox_bytes(40_000);
    let (mut peer, session, _task) =
        run(Role::Server, 1000, policy, Recorder::new(&Log::default()));
    let mut message = session.message_writer(BINARY).await.unwrap();
    let (mut source, mut sink) = tokio::io::duplex(1000);

    let copying = tokio::spawn(async move {
        copy(&mut sink, &mut message).await.unwrap();
        message.shutdown().await
    });
    let mut taken = 0;
    while timeout(Duration::from_secs(1), source.write_all(&[7; 1000]))
        .await
        .is_ok()
    {
        taken += 1000;
    }
    let (_, queued) = session.queued();
    let rest = tokio::spawn(async move {
        source.write_all(&vec![7; LEN - taken]).await.unwrap();
    });
    let lengths = frames(&mut peer).await.into_iter().map(|frame| {
        let words: Vec<_> = frame.split(' ').collect();
        // A frame of at most 125 bytes shows them.
        words.get(2).map_or(0, |len| len.parse::<usize>().unwrap())
    });
    let received: usize = lengths.sum();
    rest.await.unwrap();
    copying.await.unwrap().unwrap();

    assert!(queued <= 40_000, "{queued} bytes are queued");
    assert!(taken <= 70_000, "{taken} bytes were taken");
    assert!(received.abs_diff(LEN) <= 1000, "{received}");
}

/// An event may fill its own outbox: its session writes on while it waits.
#[tokio::test(start_paused = true)]
async fn event_streams_more_than_its_outbox_holds() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session: Session, told| async move {
        if let Told::Connect = told {
            let mut message = session.message_writer(BINARY).await?;
            for _ in 0..100 {
                message.write(vec![7; 1000]).await?;
            }
            message.finish().await?;
        }
        Ok(())
    });
    let policy = Policy::default().with_max_outbox_messages(2);
    let (mut peer, ..) = run(Role::Server, 100, policy, endpoint);

    let frames = frames(&mut peer).await;

    assert_eq!(frames.len(), 101);
}

/// What a `copy` fails with when the session closes is no failure of the event that copied.
#[tokio::test(start_paused = true)]
async fn event_that_writes_into_a_closed_session_has_not_failed() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session: Session, told| async move {
        if let Told::Connect = told {
            let mut message = session.message_writer(BINARY).await?;
            copy(&mut tokio::io::repeat(7), &mut message).await?;
        }
        Ok(())
    });
    let (mut peer, session, task) = run(Role::Server, 100_000, Policy::default(), endpoint);

    peer.recv().await;
    session.close(CloseCode::NORMAL, "");
    while !peer.recv().await.starts_with("close") {}
    peer.send(CLOSE, close(1000, "")).await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(log.lines(), ["connect", "close 1000 by Local, clean"]);
}

/// Every way to cut a text twice, through either door, is the same text.
#[tokio::test(start_paused = true)]
async fn text_is_the_same_wherever_it_is_cut() {
    const WHOLE: &str = "aé€𝄞 b";
    let (mut peer, session) = open();

    for first in 0..=WHOLE.len() {
        for second in first..=WHOLE.len() {
            for doors in 0..8 {
                let bytes = WHOLE.as_bytes();
                let mut message = session.message_writer(TEXT).await.unwrap();
                let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                for (at, part) in parts.into_iter().enumerate() {
                    match doors >> at & 1 {
                        0 => message.write(part).await.unwrap(),
                        _ => message.write_all(part).await.unwrap(),
                    }
                }
                message.finish().await.unwrap();

                let received = peer.recv_data().await;
                assert_eq!(received, bytes, "cut at {first} and {second}");
            }
        }
    }
}
