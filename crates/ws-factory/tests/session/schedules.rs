//! Random lives: a peer, an endpoint and an application that do whatever a seed says, on a paused
//! clock. Whatever they do, the events keep their order, and nobody is left.

use std::{future::pending, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use ws_factory::{CloseCode, EventResult, Policy, Role, Session};

use crate::{
    chance::Chance,
    peer::{BINARY, CLOSE, CONTINUATION, MORE, PING, PONG, TEXT, close, frame, run},
    recorder::{Log, Recorder, Told},
};

const LIVES: u64 = 2_000;

/// What an event does with it.
async fn act(mut chance: Chance, session: Session, told: Told) -> EventResult {
    chance.pause().await;
    match chance.below(40) {
        0 => return Err("fails".into()),
        1 => panic!("panics"),
        2 => session.close(CloseCode::NORMAL, "enough"),
        3 => session.abort(),
        4 => pending().await,
        5 => session.close_without_status(),
        6..20 => {
            if let Told::Message(message) = told {
                session.send(message).await?;
            }
        }
        20..24 => session.flush().await?,
        24..26 => session.ping("still there?").await?,
        _ => {}
    }
    Ok(())
}

/// A few bytes of a peer's that is mostly well behaved; messages are numbered.
fn words(chance: &mut Chance, number: &mut u64) -> Vec<u8> {
    *number += 1;
    let text = number.to_string();
    let text = text.as_bytes();
    let of = |first, payload: &[u8]| frame(Role::Server, first, payload);
    match chance.below(60) {
        0 => of(CLOSE, &close(1000, "bye")),
        1 => of(CLOSE, b""),
        2 => of(0x83, b"reserved"),
        3 => of(TEXT, b"\xff"),
        4 => of(CONTINUATION, b"of nothing"),
        5..15 => of(PING, text),
        15..18 => of(PONG, text),
        18..30 => {
            let (head, tail) = text.split_at(text.len() / 2);
            [
                of(TEXT & MORE, head),
                of(PING, b"between"),
                of(CONTINUATION, tail),
            ]
            .concat()
        }
        30..32 => of(BINARY, &vec![7; chance.below(3_000) as usize]),
        _ => of(TEXT, text),
    }
}

/// Hostile input A16. A Close, an end or a reset may come anywhere, as may a deadline.
#[tokio::test(start_paused = true)]
async fn events_keep_their_order_whatever_happens() {
    for seed in 0..LIVES {
        let lines = life(seed).await;

        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        let errors = count("error: ");
        assert_eq!(lines[0], "connect", "seed {seed}: {lines:?}");
        assert_eq!(count("connect"), 1, "seed {seed}: {lines:?}");
        assert_eq!(count("close "), 1, "seed {seed}: {lines:?}");
        assert!(lines[lines.len() - 1].starts_with("close "), "seed {seed}");
        assert!(errors <= 1, "seed {seed}: {lines:?}");
        let last_but_one = &lines[lines.len() - 2];
        assert_eq!(errors == 1, last_but_one.starts_with("error: "), "{seed}");
        let numbers: Vec<u64> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("text ")?.parse().ok())
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "seed {seed}: {lines:?}");
    }
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 0);
}

/// One session from its beginning to its end; returns what its endpoint was told.
async fn life(seed: u64) -> Vec<String> {
    let mut chance = Chance::new(seed);
    let log = Log::default();
    let mut events = chance;
    let endpoint = Recorder::acting(&log, move |session, told| {
        events.below(2);
        act(events, session, told)
    });
    let policy = Policy::default()
        .with_idle_timeout(Some(Duration::from_secs(60)))
        .with_ping_interval(Some(Duration::from_secs(7)))
        .with_pong_deadline(Some(Duration::from_secs(30)))
        .with_max_outbox_messages(1 + chance.below(4) as usize)
        .with_max_read_bytes(1 + chance.below(500) as usize);
    let pipe = 16 + chance.below(500) as usize;
    let (peer, session, task) = run(Role::Server, pipe, policy, endpoint);
    let (mut reader, mut writer) = tokio::io::split(peer.io);
    let mut reads = chance;
    let reading = tokio::spawn(async move {
        let mut bytes = [0; 100];
        while reads.below(200) > 0 && reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {
            reads.pause().await;
        }
        // Half of those that stop reading stay.
        if reads.below(2) == 0 {
            sleep(Duration::from_secs(1_000)).await;
        }
    });
    let applies = tokio::spawn(async move {
        for _ in 0..chance.below(10) {
            chance.pause().await;
            let _over = session.try_send_text("from elsewhere");
        }
        if chance.below(4) == 0 {
            session.close(CloseCode::NORMAL, "from elsewhere");
        }
    });
    let writing = tokio::spawn(async move {
        let mut number = 0;
        for _ in 0..chance.below(60) {
            chance.pause().await;
            let words = words(&mut chance, &mut number);
            let end = match chance.below(50) {
                0 => chance.below(words.len() as u64) as usize,
                _ => words.len(),
            };
            if writer.write_all(&words[..end]).await.is_err() || end < words.len() {
                break;
            }
        }
    });

    let ended = timeout(Duration::from_secs(100_000), task).await;
    ended
        .unwrap_or_else(|_| panic!("seed {seed} never ends: {:?}", log.lines()))
        .unwrap();
    for task in [reading, applies, writing] {
        task.await.unwrap();
    }
    log.lines()
}
