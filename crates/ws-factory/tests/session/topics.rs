//! Groups by name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::task::JoinHandle;
use ws_factory::{Membership, Policy, Session, SlowMember, TopicError, Topics};

use crate::{
    peer::{CLOSE, Peer, close, serve},
    recorder::{Log, Recorder},
};

fn listener() -> (Peer, Session, JoinHandle<()>) {
    serve(Policy::default(), Recorder::new(&Log::default()))
}

#[tokio::test(start_paused = true)]
async fn message_to_a_topic_reaches_its_members_and_no_others() {
    let topics = Topics::new(SlowMember::DropNewest);
    let (mut alice, alice_session, _alice_task) = listener();
    let (mut bob, bob_session, _bob_task) = listener();
    let _alice_in = [
        topics.join("cats", &alice_session).unwrap(),
        topics.join("dogs", &alice_session).unwrap(),
    ];
    let _bob_in = topics.join("dogs", &bob_session).unwrap();
    let limit = Duration::from_secs(1);

    let queued = [
        topics.broadcast("cats", "meow"),
        topics.broadcast_except("dogs", "woof", &bob_session),
        topics.broadcast_within("dogs", "wow", limit).await,
        topics
            .broadcast_except_within("dogs", "bow", &alice_session, limit)
            .await,
        topics.broadcast("fish", "?"),
    ]
    .map(|report| report.map(|report| report.queued()));

    assert_eq!(queued, [Some(1), Some(1), Some(2), Some(1), None]);
    for expected in ["text meow", "text woof", "text wow"] {
        assert_eq!(alice.recv().await, expected);
    }
    for expected in ["text wow", "text bow"] {
        assert_eq!(bob.recv().await, expected);
    }
    let mut sizes = topics.sizes();
    sizes.sort();
    assert_eq!(sizes, [("cats".into(), 1), ("dogs".into(), 2)]);
    let dogs = topics.get("dogs").unwrap();
    assert_eq!(
        (dogs.members(), dogs.broadcasts(), dogs.queued()),
        (2, 3, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn topic_is_gone_with_its_last_member_and_its_name_is_free() {
    let topics = Topics::new(SlowMember::DropNewest);
    let (_alice, alice_session, _alice_task) = listener();
    let (mut bob, bob_session, bob_task) = listener();
    let alice_in = topics.join("room", &alice_session).unwrap();
    let bob_in = topics.join("room", &bob_session).unwrap();

    drop(alice_in);
    assert_eq!(
        (topics.len(), topics.get("room").unwrap().members()),
        (1, 1)
    );
    bob.send(CLOSE, close(1000, "")).await;
    let _end = bob.rest().await;
    drop(bob);
    bob_task.await.unwrap();

    assert!(topics.is_empty() && topics.sizes().is_empty());
    assert_eq!(topics.get("room"), None);
    let _alice_in = topics.join("room", &alice_session).unwrap();
    drop(bob_in);
    assert_eq!(topics.broadcast("room", "anew").unwrap().queued(), 1);
    assert_eq!(topics.get("room").unwrap().broadcasts(), 1, "it began anew");
}

#[tokio::test(start_paused = true)]
async fn session_that_is_over_makes_no_topic() {
    let topics = Topics::new(SlowMember::DropNewest).with_max_topics(1);
    let (_over, over, task) = listener();
    let (_peer, session, _task) = listener();
    task.abort();
    let _aborted = task.await;

    let nothing = topics.join("room", &over).unwrap();

    assert!(topics.is_empty() && topics.sizes().is_empty());
    let _membership = topics.join("another", &session).unwrap();
    drop(nothing);
    assert_eq!(topics.len(), 1);
}

/// Names are often the peers' choice.
#[tokio::test(start_paused = true)]
async fn topics_are_bounded_in_number_and_in_the_length_of_their_names() {
    let topics = Topics::new(SlowMember::DropNewest)
        .with_max_topics(100)
        .with_max_name_bytes(8);
    let (_peer, session, _task) = listener();

    let memberships: Vec<Membership> = (0..1_000)
        .filter_map(|number| topics.join(&format!("{number}"), &session).ok())
        .collect();

    assert_eq!((memberships.len(), topics.len()), (100, 100));
    let too_many = topics.join("one more", &session).unwrap_err();
    assert_eq!(too_many, TopicError::TooMany { max_topics: 100 });
    assert_eq!(too_many.to_string(), "more than 100 topics");
    let too_long = topics.join("nine here", &session).unwrap_err();
    assert_eq!(too_long.to_string(), "topic name of 9 bytes, more than 8");
    let _known = topics.join("0", &session).expect("it is there already");
    drop(memberships);
    assert_eq!(topics.len(), 1);
    let _one_more = topics
        .join("one more", &session)
        .expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn membership_outlives_its_registry() {
    let topics = Topics::new(SlowMember::DropNewest);
    let (_peer, session, _task) = listener();
    let membership = topics.join("room", &session).unwrap();

    drop(topics);
    drop(membership);

    assert!(session.is_open());
}

/// Hostile input A19: who joins while the last member leaves is in the topic that can be found.
#[tokio::test]
async fn session_that_joins_while_the_last_member_leaves_is_found_by_name() {
    const ROUNDS: usize = 2_000;
    let topics = Topics::new(SlowMember::DropNewest);
    let policy = Policy::default().with_max_outbox_messages(ROUNDS);
    let (_peer, session, _task) = serve(policy, Recorder::new(&Log::default()));
    let (_other_peer, other, _other_task) = listener();
    let visits = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let comes_and_goes = thread::spawn({
        let (topics, visits, stop) = (topics.clone(), Arc::clone(&visits), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                drop(topics.join("room", &other).unwrap());
                visits.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    for _ in 0..ROUNDS {
        let before = visits.load(Ordering::Relaxed);
        let membership = topics.join("room", &session).unwrap();
        // Whatever the other was about to do when this one joined, it has done by then.
        while visits.load(Ordering::Relaxed) == before {
            thread::yield_now();
        }
        topics.broadcast("room", "").unwrap();
        drop(membership);
    }
    stop.store(true, Ordering::Relaxed);
    comes_and_goes.join().unwrap();

    assert_eq!(session.queued().0, ROUNDS, "every broadcast found it");
    assert_eq!((topics.len(), topics.sizes().len()), (0, 0));
}
