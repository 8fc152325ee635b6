//! Broadcasts that wait: for the slow ones only, all together, and not for ever.

use std::time::Duration;

use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};
use ws_factory::{CloseCode, Group, Policy, Role, SlowMember};

use crate::{
    peer::serve,
    recorder::{Log, Recorder},
    slow_members::slow_member,
};

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn broadcast_without_slow_members_does_not_wait() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));
    let _membership = group.join(&session);
    let began = Instant::now();

    let report = group.broadcast_within("hi", LIMIT).await;

    assert_eq!((report.queued(), report.timed_out()), (1, 0));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(peer.recv().await, "text hi");
}

/// Hostile input R4.
#[tokio::test(start_paused = true)]
async fn slow_members_are_waited_for_together_and_the_rest_have_it_at_once() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut quick, quick_session, _task) =
        serve(Policy::default(), Recorder::new(&Log::default()));
    let (mut slows, sessions): (Vec<_>, Vec<_>) =
        (0..10).map(|_| slow_member(Role::Server, 1)).unzip();
    let mut memberships = vec![group.join(&quick_session)];
    memberships.extend(sessions.iter().map(|session| group.join(session)));
    assert_eq!(group.broadcast("longer than the pipe").queued(), 11);
    assert_eq!(quick.recv().await, "text longer than the pipe");
    let began = Instant::now();

    let waiting = tokio::spawn({
        let group = group.clone();
        async move { group.broadcast_within("another", LIMIT).await }
    });
    assert_eq!(quick.recv().await, "text another");
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Half of them catch up, one every 100 ms; it takes the whole limit all the same.
    for slow in &mut slows[..5] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(slow.recv().await, "text longer than the pipe");
    }
    let report = waiting.await.unwrap();

    assert_eq!(began.elapsed(), LIMIT);
    assert_eq!(
        (report.queued(), report.dropped(), report.timed_out()),
        (6, 5, 5)
    );
    assert_eq!((group.stats().queued(), group.stats().timed_out()), (17, 5));
    for slow in &mut slows[..5] {
        assert_eq!(slow.recv().await, "text another");
    }
}

#[tokio::test(start_paused = true)]
async fn wait_ends_with_the_last_slow_member() {
    let group = Group::new(SlowMember::Close);
    let (mut reads, reads_session) = slow_member(Role::Server, 1);
    let (_closed, closed_session) = slow_member(Role::Server, 1);
    let _memberships = [group.join(&reads_session), group.join(&closed_session)];
    group.broadcast("longer than the pipe");
    yield_now().await;

    let waiting = tokio::spawn({
        let group = group.clone();
        async move { group.broadcast_within("another", LIMIT).await }
    });
    yield_now().await;
    let began = Instant::now();
    reads.recv().await;
    closed_session.close(CloseCode::NORMAL, "");
    let report = waiting.await.unwrap();

    assert!(began.elapsed() < LIMIT);
    assert_eq!(
        (report.queued(), report.timed_out(), report.closed()),
        (1, 0, 0)
    );
    assert_eq!(reads.recv().await, "text another");
}

#[tokio::test(start_paused = true)]
async fn member_that_found_no_room_in_time_is_treated_as_the_group_says() {
    for (slow, [queued, displaced, dropped, closed]) in [
        (SlowMember::DropNewest, [0, 0, 1, 0]),
        (SlowMember::DropOldest, [1, 1, 0, 0]),
        (SlowMember::Close, [0, 0, 0, 1]),
    ] {
        let group = Group::new(slow);
        let (_peer, session) = slow_member(Role::Server, 2);
        let _membership = group.join(&session);
        group.broadcast("longer than the pipe");
        yield_now().await;
        assert_eq!(
            group
                .broadcast_within("waits in the outbox", LIMIT)
                .await
                .timed_out(),
            0
        );

        let report = group.broadcast_within("one too many", LIMIT).await;

        assert_eq!(report.timed_out(), 1, "{slow:?}");
        let came_of_it = [
            report.queued(),
            report.displaced(),
            report.dropped(),
            report.closed(),
        ];
        assert_eq!(came_of_it, [queued, displaced, dropped, closed], "{slow:?}");
        assert_eq!(session.is_open(), slow != SlowMember::Close);
    }
}

/// Hostile input A11.
#[tokio::test(start_paused = true)]
async fn broadcast_that_is_dropped_is_missed_by_those_who_were_waited_for() {
    let group = Group::new(SlowMember::Close);
    let (mut slow, slow_session) = slow_member(Role::Server, 1);
    let (mut quick, quick_session, _task) =
        serve(Policy::default(), Recorder::new(&Log::default()));
    let _memberships = [group.join(&slow_session), group.join(&quick_session)];
    group.broadcast("longer than the pipe");

    let cancelled = timeout(LIMIT / 2, group.broadcast_within("cancelled", LIMIT)).await;
    assert!(cancelled.is_err());
    assert_eq!(slow.recv().await, "text longer than the pipe");
    let after = group.broadcast_within("after", LIMIT).await;

    assert_eq!(after.queued(), 2);
    let stats = group.stats();
    assert_eq!(
        (stats.broadcasts(), stats.queued(), stats.dropped()),
        (3, 5, 1)
    );
    assert_eq!(slow.recv().await, "text after");
    for expected in ["text longer than the pipe", "text cancelled", "text after"] {
        assert_eq!(quick.recv().await, expected);
    }
}

/// Hostile input A10: the member that is waited for is the very session whose event waits.
#[tokio::test(start_paused = true)]
async fn event_that_broadcasts_to_its_own_full_session_does_not_stop_it() {
    let group = Group::new(SlowMember::DropNewest);
    let endpoint = {
        let group = group.clone();
        Recorder::acting(&Log::default(), move |_, told| {
            let group = group.clone();
            async move {
                if let crate::recorder::Told::Message(message) = told {
                    for _ in 0..10 {
                        let report = group.broadcast_within(&message, LIMIT).await;
                        assert_eq!(report.queued(), 1);
                    }
                }
                Ok(())
            }
        })
    };
    let policy = Policy::default().with_max_outbox_messages(1);
    let (mut peer, session, _task) = crate::peer::run(Role::Server, 16, policy, endpoint);
    let _membership = group.join(&session);

    peer.send(crate::peer::TEXT, "longer than the pipe").await;

    for _ in 0..10 {
        assert_eq!(peer.recv().await, "text longer than the pipe");
    }
}
