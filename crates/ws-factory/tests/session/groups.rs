//! Many sessions under one name.

use std::sync::{Arc, Mutex};

use tokio::{
    task::{JoinHandle, yield_now},
    time::Duration,
};
use ws_factory::{
    Bytes, Endpoint, EventResult, Group, Membership, Message, Policy, Prepared, Session,
    SlowMember, Text,
};

use crate::{
    peer::{CLOSE, Peer, TEXT, close, serve},
    recorder::{Log, Recorder},
};

#[tokio::test(start_paused = true)]
async fn broadcasts_reach_every_member_in_order_and_none_from_before_it_joined() {
    let group = Group::new(SlowMember::DropNewest);
    let mut members = Vec::new();

    for message in ["one", "two", "three"] {
        let (peer, session, task) = serve(Policy::default(), Recorder::new(&Log::default()));
        members.push((peer, group.join(&session), task));
        let report = group.broadcast(message);
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

    assert_eq!((group.len(), group.broadcast("hi").queued()), (0, 0));
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
        self.room.broadcast(message);
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

#[tokio::test(start_paused = true)]
async fn broadcast_takes_whatever_a_message_can_be_made_of() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut peer, session, _task) = listener();
    let _membership = group.join(&session);

    group.broadcast("str");
    group.broadcast("String".to_owned());
    group.broadcast(Text::from("Text"));
    group.broadcast(Bytes::from_static(b"Bytes"));
    group.broadcast(b"Vec".to_vec());
    group.broadcast(Message::text("Message"));
    let (message, prepared) = (
        Message::binary("&Message"),
        Prepared::cut(&Message::text("Prepared"), [3]),
    );
    group.broadcast(&message);
    group.broadcast(&prepared);
    group.broadcast(&prepared);

    for frame in [
        "text str",
        "text String",
        "text Text",
        "binary Bytes",
        "binary Vec",
        "text Message",
        "binary &Message",
        "text- Pre",
        "continuation pared",
        "text- Pre",
        "continuation pared",
    ] {
        assert_eq!(peer.recv().await, frame);
    }
}

#[tokio::test(start_paused = true)]
async fn sender_can_be_left_out() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut alice, alice_session, _alice_task) = listener();
    let (mut bob, bob_session, _bob_task) = listener();
    let (_, stranger, _task) = listener();
    let _memberships = [group.join(&alice_session), group.join(&bob_session)];

    let limit = Duration::from_secs(1);
    let reports = [
        group.broadcast_except("one", &alice_session),
        group
            .broadcast_except_within("two", &alice_session, limit)
            .await,
        group.broadcast_except("three", &stranger),
    ];

    assert_eq!(reports.map(|report| report.queued()), [1, 1, 2]);
    for expected in ["text one", "text two", "text three"] {
        assert_eq!(bob.recv().await, expected);
    }
    assert_eq!(alice.recv().await, "text three");
}

#[tokio::test(start_paused = true)]
async fn session_that_joined_twice_is_one_member_until_it_has_left_twice() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut peer, session, _task) = listener();
    let first = group.join(&session);
    let second = group.join(&session);

    assert_eq!((group.len(), group.broadcast("one").queued()), (1, 1));
    drop(first);
    assert_eq!((group.len(), group.broadcast("two").queued()), (1, 1));
    drop(second);
    assert_eq!((group.len(), group.broadcast("three").queued()), (0, 0));
    let third = group.join(&session);
    assert_eq!((group.len(), group.broadcast("four").queued()), (1, 1));

    for expected in ["text one", "text two", "text four"] {
        assert_eq!(peer.recv().await, expected);
    }
    drop(third);
}

/// Hostile input A8: the membership is kept for longer than the session.
#[tokio::test(start_paused = true)]
async fn session_that_is_over_is_in_no_group_whoever_holds_its_membership() {
    let groups = [SlowMember::DropNewest, SlowMember::Close].map(Group::new);
    let (mut peer, session, task) = listener();
    let memberships: Vec<_> = groups.iter().map(|group| group.join(&session)).collect();

    peer.send(CLOSE, close(1000, "")).await;
    let _end = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(groups.each_ref().map(Group::len), [0, 0]);
    drop(memberships);
    let late = groups[0].join(&session);
    assert_eq!(groups[0].len(), 0, "it joins nothing any more");
    drop(late);
}

/// The natural place for a shared endpoint's membership, and a circle: the group holds the session,
/// the session its extensions, and those the membership.
#[tokio::test(start_paused = true)]
async fn membership_in_the_extensions_of_its_own_session_keeps_nothing_alive() {
    struct Token(#[expect(dead_code, reason = "it is counted")] Arc<()>);
    let group = Group::new(SlowMember::DropNewest);
    let token = Arc::new(());
    let (peer, session, task) = listener();
    session.extensions().insert(group.join(&session));
    session.extensions().insert(Token(Arc::clone(&token)));
    group.broadcast("makes a snapshot");
    drop(session);

    drop(peer);
    task.await.unwrap();

    assert_eq!(group.len(), 0);
    assert_eq!(Arc::strong_count(&token), 1, "the session is gone");
}

/// Hostile inputs A1 and A15.
#[tokio::test(start_paused = true)]
async fn member_that_panics_or_whose_task_is_dropped_leaves() {
    struct Panics(Group, Arc<Mutex<Vec<Membership>>>);
    impl Endpoint for Panics {
        async fn on_connect(&mut self, session: &Session) -> EventResult {
            self.1.lock().unwrap().push(self.0.join(session));
            Ok(())
        }

        async fn on_message(&mut self, _: &Session, _: Message) -> EventResult {
            panic!("as it is wanted to");
        }
    }
    let group = Group::new(SlowMember::DropNewest);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let member = || serve(Policy::default(), Panics(group.clone(), Arc::clone(&kept)));
    let (mut panics, _session, panicking) = member();
    let (_dropped, _session, dropping) = member();
    let (mut stays, _session, _task) = member();
    yield_now().await;
    assert_eq!(group.len(), 3);

    panics.send(TEXT, "panic").await;
    let _end = panics.rest().await;
    drop(panics);
    panicking.await.unwrap();
    dropping.abort();
    let _aborted = dropping.await;

    assert_eq!((group.len(), group.broadcast("hi").queued()), (1, 1));
    assert_eq!(stays.recv().await, "text hi");
}

/// Its session's close timeout bounds how long.
#[tokio::test(start_paused = true)]
async fn member_that_is_closing_is_counted_nowhere_and_leaves_at_its_end() {
    let group = Group::new(SlowMember::DropNewest);
    let (_peer, session, _task) = listener();
    let _membership = group.join(&session);

    session.close_without_status();
    let report = group.broadcast("too late");
    session.closed().await;

    assert_eq!(
        (report.queued(), report.dropped(), report.closed()),
        (0, 0, 0)
    );
    assert_eq!(group.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn group_counts_what_it_does() {
    let group = Group::new(SlowMember::DropNewest);
    let (_peer, session, _task) = listener();
    let _membership = group.join(&session);

    group.broadcast("one");
    group.broadcast("two");

    let stats = group.stats();
    assert_eq!(
        (stats.members(), stats.broadcasts(), stats.queued()),
        (1, 2, 2)
    );
    assert_eq!(
        (
            stats.dropped(),
            stats.displaced(),
            stats.closed(),
            stats.timed_out()
        ),
        (0, 0, 0, 0)
    );
}

fn listener() -> (Peer, Session, JoinHandle<()>) {
    serve(Policy::default(), Recorder::new(&Log::default()))
}
