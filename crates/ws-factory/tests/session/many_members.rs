//! Ten thousand members: some never read, some come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::task::yield_now;
use ws_factory::{Endpoint, Group, Membership, Policy, Prepared, Role, Session, SlowMember};

use crate::{
    peer::{Peer, run, serve},
    recorder::{Log, Recorder},
};

/// One in so many never reads.
const STALLED_EVERY: usize = 100;
const ROUNDS: usize = 8;
const MESSAGE_BYTES: usize = 100;
/// Holds one message, and the beginning of the next.
const PIPE_BYTES: usize = 128;
const MAX_OUTBOX_MESSAGES: usize = 4;
const MAX_OUTBOX_BYTES: usize = 1_024;

struct Idle;

impl Endpoint for Idle {}

struct Crowd {
    members: Vec<(Peer, Session, Membership)>,
    group: Group,
}

impl Crowd {
    fn new(slow: SlowMember, members: usize) -> Self {
        let group = Group::new(slow);
        let policy = Policy::default()
            .with_max_outbox_messages(MAX_OUTBOX_MESSAGES)
            .with_max_outbox_bytes(MAX_OUTBOX_BYTES);
        let members = (0..members)
            .map(|_| {
                let (peer, session, _task) = run(Role::Server, PIPE_BYTES, policy.clone(), Idle);
                let membership = group.join(&session);
                (peer, session, membership)
            })
            .collect();
        Self { members, group }
    }

    /// Broadcasts, and has all but every hundredth read; returns the most that one of the others has waiting.
    async fn round(&mut self, number: usize) -> (usize, usize) {
        let text = format!("{number:0MESSAGE_BYTES$}");
        self.group.broadcast(text.as_str());
        let mut stalled = (0, 0);
        for (at, (peer, session, _)) in self.members.iter_mut().enumerate() {
            if at % STALLED_EVERY == 0 {
                let (messages, bytes) = session.queued();
                stalled = (stalled.0.max(messages), stalled.1.max(bytes));
            } else {
                assert_eq!(peer.recv().await, format!("text {text}"));
            }
        }
        stalled
    }
}

/// Hostile input R4: the rest get every message, and who does not read costs its outbox.
#[tokio::test(start_paused = true)]
async fn one_member_in_a_hundred_that_never_reads_costs_its_outbox_and_nobody_else() {
    for (slow, members) in [
        (SlowMember::DropNewest, 10_000),
        (SlowMember::DropOldest, 1_000),
        (SlowMember::Close, 1_000),
    ] {
        let mut crowd = Crowd::new(slow, members);
        for number in 0..ROUNDS {
            let (messages, bytes) = crowd.round(number).await;
            assert!(messages <= MAX_OUTBOX_MESSAGES && bytes <= MAX_OUTBOX_BYTES);
        }

        let stats = crowd.group.stats();
        let stalled = (members / STALLED_EVERY) as u64;
        let missed = stalled * (ROUNDS - MAX_OUTBOX_MESSAGES - 1) as u64;
        let came_of_it = [stats.dropped(), stats.displaced(), stats.closed()];
        match slow {
            SlowMember::DropOldest => assert_eq!(came_of_it, [0, missed, 0]),
            SlowMember::Close => assert_eq!(came_of_it, [0, 0, stalled]),
            _ => assert_eq!(came_of_it, [missed, 0, 0]),
        }
    }
}

/// Hostile input A19: joined before a broadcast begins, a member gets it, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_join_and_leave_during_broadcasts_get_each_message_once() {
    const BROADCASTS: usize = 2_000;
    let group = Group::new(SlowMember::DropNewest);
    let policy = Policy::default().with_max_outbox_messages(BROADCASTS);
    let (mut stays, stays_session, _task) = serve(policy, Recorder::new(&Log::default()));
    let _stays = group.join(&stays_session);
    let sessions: Vec<_> = (0..50)
        .map(|_| run(Role::Server, 64, Policy::default(), Idle))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let come_and_go = thread::spawn({
        let sessions: Vec<_> = sessions
            .iter()
            .map(|(_, session, _)| session.clone())
            .collect();
        let (group, stop) = (group.clone(), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                let memberships: Vec<_> = sessions.iter().map(|it| group.join(it)).collect();
                drop(memberships);
            }
        }
    });

    for number in 0..BROADCASTS {
        let message = Prepared::from(format!("{number}"));
        assert!(group.broadcast(&message).queued() >= 1);
    }
    stop.store(true, Ordering::Relaxed);
    come_and_go.join().unwrap();

    for number in 0..BROADCASTS {
        assert_eq!(stays.recv().await, format!("text {number}"));
    }
    assert_eq!(group.len(), 1);
    while stays_session.queued().0 > 0 {
        yield_now().await;
    }
}
