//! Many sessions under one name.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use ws_factory::{
    Endpoint, EventResult, Group, Membership, Message, Policy, Prepared, Role, Session, SlowMember,
};

use crate::{
    peer::{CLOSE, Peer, TEXT, close, run, serve},
    recorder::{Log, Recorder},
};

fn text(text: &'static str) -> Prepared {
    Prepared::from(&Message::text(text))
}

/// A member whose pipe holds 8 bytes and whose outbox holds one message.
fn slow_member() -> (Peer, Session, JoinHandle<()>) {
    let policy = Policy::default().with_max_outbox_messages(1);
    run(Role::Server, 8, policy, Recorder::new(&Log::default()))
}

#[tokio::test(start_paused = true)]
async fn broadcasts_reach_every_member_in_order_and_none_from_before_it_joined() {
    let group = Group::new(SlowMember::DropNewest);
    let mut members = Vec::new();

    for message in ["one", "two", "three"] {
        let (peer, session, task) = serve(Policy::default(), Recorder::new(&Log::default()));
        members.push((peer, group.join(&session), task));
        let report = group.broadcast(&text(message));
        assert_eq!(
            (report.queued(), report.dropped(), report.closed()),
            (members.len(), 0, 0)
        );
    }

    let expected = [
        &["text one", "text two", "text three"][..],
        &["text two", "text three"],
        &["text three"],
    ];
    for ((peer, ..), expected) in members.iter_mut().zip(expected) {
        for message in expected {
            assert_eq!(peer.recv().await, *message);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn member_leaves_when_its_membership_is_dropped() {
    let group = Group::new(SlowMember::DropNewest);
    let (_peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));

    let membership = group.join(&session);
    assert_eq!((group.len(), group.is_empty()), (1, false));
    drop(membership);

    assert_eq!((group.len(), group.broadcast(&text("hi")).queued()), (0, 0));
}

struct Chat {
    room: Group,
    membership: Option<Membership>,
}

impl Endpoint for Chat {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.membership = Some(self.room.join(session));
        Ok(())
    }

    async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
        self.room.broadcast(&Prepared::from(&message));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_holds_its_membership_leaves_when_it_is_dropped() {
    let room = Group::new(SlowMember::DropNewest);
    let chat = || Chat {
        room: room.clone(),
        membership: None,
    };
    let (mut alice, _, task) = serve(Policy::default(), chat());
    let (mut bob, ..) = serve(Policy::default(), chat());

    yield_now().await;
    alice.send(TEXT, "hi").await;
    assert_eq!(
        (alice.recv().await, bob.recv().await),
        ("text hi".into(), "text hi".into())
    );
    alice.send(CLOSE, close(1000, "")).await;
    let _end = alice.rest().await;
    drop(alice);
    task.await.unwrap();

    assert_eq!(room.len(), 1);
}

/// Hostile input R4.
#[tokio::test(start_paused = true)]
async fn slow_member_misses_what_it_has_no_room_for_and_delays_nobody() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut slow, slow_session, _slow_task) = slow_member();
    let (mut quick, quick_session, _quick_task) =
        serve(Policy::default(), Recorder::new(&Log::default()));
    let _memberships = [group.join(&slow_session), group.join(&quick_session)];

    let mut dropped = 0;
    for _ in 0..100 {
        dropped += group.broadcast(&text("a message of some length")).dropped();
        assert_eq!(quick.recv().await, "text a message of some length");
    }

    assert_eq!(dropped, 99);
    assert!(slow_session.is_open());
    assert_eq!(slow.recv().await, "text a message of some length");
}

/// Hostile input R4: the session does not wait for its slow peer for ever, either.
#[tokio::test(start_paused = true)]
async fn slow_member_of_a_group_without_gaps_is_closed_with_1013() {
    let group = Group::new(SlowMember::Close);
    let (mut slow, session, _task) = slow_member();
    let _membership = group.join(&session);

    let first = group.broadcast(&text("a message of some length"));
    let second = group.broadcast(&text("one too many"));
    let third = group.broadcast(&text("it is on its way out"));

    assert_eq!((first.queued(), second.closed()), (1, 1));
    assert_eq!((third.queued(), third.dropped(), third.closed()), (0, 0, 0));
    let frames = [slow.recv().await, slow.recv().await];
    assert_eq!(
        frames,
        ["text a message of some length", "close 1013 too slow"]
    );
}

#[tokio::test(start_paused = true)]
async fn slow_member_that_never_reads_is_gone_after_the_close_timeout() {
    let group = Group::new(SlowMember::Close);
    let (_slow, session, _task) = slow_member();
    let _membership = group.join(&session);

    group.broadcast(&text("a message of some length"));
    yield_now().await;
    group.broadcast(&text("one too many"));
    let gone = tokio::time::timeout(Duration::from_secs(11), session.closed()).await;

    assert_eq!(gone.expect("bounded").status(), 1006);
}
