//! Members that do not keep up: what each policy does with them.

use std::time::Duration;

use tokio::task::yield_now;
use ws_factory::{
    BroadcastReport, CloseCode, Frame, Group, Message, Policy, Prepared, Role, Session, SlowMember,
};

use crate::{
    peer::{Peer, run, serve},
    recorder::{Log, Recorder},
};

/// A member whose pipe holds 8 bytes, and whose outbox `messages`.
pub(crate) fn slow_member(role: Role, messages: usize) -> (Peer, Session) {
    let policy = Policy::default().with_max_outbox_messages(messages);
    let (peer, session, _task) = run(role, 8, policy, Recorder::new(&Log::default()));
    (peer, session)
}

fn counts(report: BroadcastReport) -> [usize; 4] {
    [
        report.queued(),
        report.displaced(),
        report.dropped(),
        report.closed(),
    ]
}

/// Hostile input R4.
#[tokio::test(start_paused = true)]
async fn slow_member_misses_what_it_has_no_room_for_and_delays_nobody() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut slow, slow_session) = slow_member(Role::Server, 1);
    let (mut quick, quick_session, _quick_task) =
        serve(Policy::default(), Recorder::new(&Log::default()));
    let _memberships = [group.join(&slow_session), group.join(&quick_session)];

    let mut dropped = 0;
    for _ in 0..100 {
        dropped += group.broadcast("a message of some length").dropped();
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
    let (mut slow, session) = slow_member(Role::Server, 1);
    let _membership = group.join(&session);

    let first = group.broadcast("a message of some length");
    let second = group.broadcast("one too many");
    let third = group.broadcast("it is on its way out");

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
    let (_slow, session) = slow_member(Role::Server, 1);
    let _membership = group.join(&session);

    group.broadcast("a message of some length");
    yield_now().await;
    group.broadcast("one too many");
    let gone = tokio::time::timeout(Duration::from_secs(11), session.closed()).await;

    assert_eq!(gone.expect("bounded").status(), 1006);
}

/// Hostile input R4. The first is with the driver, which has taken it; of the others the last stay.
#[tokio::test(start_paused = true)]
async fn slow_member_of_a_group_that_drops_the_oldest_gets_the_first_and_the_last() {
    for role in [Role::Server, Role::Client] {
        let group = Group::new(SlowMember::DropOldest);
        let (mut slow, session) = slow_member(role, 3);
        let _membership = group.join(&session);

        assert_eq!(
            counts(group.broadcast("longer than the pipe")),
            [1, 0, 0, 0]
        );
        yield_now().await;
        let reports: Vec<_> = (0..1_000)
            .map(|number| {
                assert!(session.queued().0 <= 3);
                counts(group.broadcast(format!("{number}")))
            })
            .collect();

        assert_eq!(reports[..2], [[1, 0, 0, 0]; 2]);
        assert_eq!(reports[2..], [[1, 1, 0, 0]; 998]);
        let stats = group.stats();
        assert_eq!((stats.queued(), stats.displaced()), (1_001, 998));
        for expected in ["text longer than the pipe", "text 998", "text 999"] {
            assert_eq!(slow.recv().await, expected);
        }
        while session.queued().0 > 0 {
            yield_now().await;
        }
        assert_eq!(session.queued(), (0, 0));
    }
}

/// What gives way may lie anywhere between what does not.
#[tokio::test(start_paused = true)]
async fn what_the_application_sent_itself_does_not_give_way_and_keeps_its_place() {
    for role in [Role::Server, Role::Client] {
        let group = Group::new(SlowMember::DropOldest);
        let other = Group::new(SlowMember::DropNewest);
        let (mut slow, session) = slow_member(role, 8);
        let _memberships = [group.join(&session), other.join(&session)];
        let large = "x".repeat(20_000);

        session.try_send_text("longer than the pipe").unwrap();
        yield_now().await;
        session.try_send_text("mine 1").unwrap();
        group.broadcast("old 1");
        session.try_send_text(large.clone()).unwrap();
        group.broadcast("old 2");
        session.try_send_text("mine 2").unwrap();
        other.broadcast("of a group that does not drop it");
        group.broadcast("new 1");
        let reports = [
            group.broadcast("new 2"),
            group.broadcast("new 3"),
            group.broadcast("new 4"),
        ];

        assert_eq!(reports.map(counts), [[1, 1, 0, 0]; 3]);
        session.close(CloseCode::NORMAL, "");
        for expected in [
            "text longer than the pipe",
            "text mine 1",
            "text of 20000 bytes",
            "text mine 2",
            "text of a group that does not drop it",
            "text new 2",
            "text new 3",
            "text new 4",
            "close 1000",
        ] {
            assert_eq!(slow.recv().await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn new_one_is_dropped_where_dropping_the_old_would_not_make_room_for_it() {
    let group = Group::new(SlowMember::DropOldest);
    let policy = Policy::default().with_max_outbox_bytes(100);
    let (mut slow, session, _task) = run(Role::Server, 8, policy, Recorder::new(&Log::default()));
    let _membership = group.join(&session);

    session.try_send_text("m".repeat(60)).unwrap();
    yield_now().await;
    let fits = group.broadcast("o".repeat(20));
    let too_large = group.broadcast("n".repeat(60));
    let in_its_place = group.broadcast("p".repeat(30));

    assert_eq!(
        [fits, too_large, in_its_place].map(counts),
        [[1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]]
    );
    for expected in ["m".repeat(60), "p".repeat(30)] {
        assert_eq!(slow.recv().await, format!("text {expected}"));
    }
}

/// One that is larger than all the outbox passes when nothing else waits, as any message does.
#[tokio::test(start_paused = true)]
async fn large_broadcast_takes_the_place_of_all_that_give_way() {
    let group = Group::new(SlowMember::DropOldest);
    let policy = Policy::default().with_max_outbox_bytes(100);
    let (mut peer, session, _task) = run(Role::Server, 64, policy, Recorder::new(&Log::default()));
    let _membership = group.join(&session);

    // The driver does not run before the first `recv`.
    let reports = [
        group.broadcast("a".repeat(40)),
        group.broadcast("b".repeat(40)),
        group.broadcast("c".repeat(400)),
        group.broadcast("d".repeat(40)),
        group.broadcast("e".repeat(40)),
    ];

    let expected = [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 2, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
    ];
    assert_eq!(reports.map(counts), expected);
    for expected in ["d".repeat(40), "e".repeat(40)] {
        assert_eq!(peer.recv().await, format!("text {expected}"));
    }
}

/// Prepared messages that are large are shared, small ones are not; either gives way.
#[tokio::test(start_paused = true)]
async fn flush_does_not_wait_for_what_gave_way() {
    let group = Group::new(SlowMember::DropOldest);
    let (mut peer, session) = slow_member(Role::Server, 2);
    let _membership = group.join(&session);
    let large = Prepared::from(&Message::text("x".repeat(20_000)));

    for _ in 0..10 {
        group.broadcast("small");
        group.broadcast(&large);
    }
    let flushed = tokio::spawn(async move { session.flush().await });

    assert_eq!(peer.recv().await, "text small");
    assert_eq!(peer.recv().await, "text of 20000 bytes");
    assert_eq!(flushed.await.unwrap(), Ok(()));
}

/// §5.4: there is nowhere to put another message.
#[tokio::test(start_paused = true)]
async fn member_to_which_a_message_is_sent_frame_by_frame_has_no_room_until_its_end() {
    let group = Group::new(SlowMember::DropNewest);
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&Log::default()));
    let _membership = group.join(&session);

    session
        .send_frame(Frame::text("be").not_final())
        .await
        .unwrap();
    let missed = group.broadcast("in between");
    let waiting = tokio::spawn({
        let group = group.clone();
        async move {
            group
                .broadcast_within("waits", Duration::from_secs(1))
                .await
        }
    });
    yield_now().await;
    session
        .send_frame(Frame::continuation("gun"))
        .await
        .unwrap();

    assert_eq!(counts(missed), [0, 0, 1, 0]);
    assert_eq!(waiting.await.unwrap().queued(), 1);
    for expected in ["text- be", "continuation gun", "text waits"] {
        assert_eq!(peer.recv().await, expected);
    }
}
