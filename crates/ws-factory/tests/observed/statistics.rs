//! The numbers of a session and of its factory are exact.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use ws_factory::{
    Endpoint, EventResult, Frame, FrameAction, Group, Message, MessageKind, Partial, Policy,
    Prepared, Session, SlowMember, Traffic, WebSocketFactory,
};

use crate::pipe::{CLOSE, Echo, Served, TEXT, close, frame};

const BINARY: u8 = 0x82;
const CONTINUATION: u8 = 0x80;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// Clears FIN in the first byte of a frame.
const MORE: u8 = 0x7F;

async fn read(peer: &mut DuplexStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    peer.read_exact(&mut read).await.unwrap();
    read
}

fn session_of(served: &Served) -> Session {
    served.factory.sessions().pop().unwrap()
}

/// Waits until every task sleeps.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn messages(traffic: &Traffic) -> [u64; 4] {
    [
        traffic.messages_in(),
        traffic.bytes_in(),
        traffic.messages_out(),
        traffic.bytes_out(),
    ]
}

fn controls(traffic: &Traffic) -> [u64; 4] {
    [
        traffic.pings_in(),
        traffic.pongs_in(),
        traffic.pings_out(),
        traffic.pongs_out(),
    ]
}

#[tokio::test(start_paused = true)]
async fn scripted_session_is_counted_exactly() {
    let served = Served::echo();
    let mut peer = served.connect().await;
    let session = session_of(&served);

    for (first, payload) in [
        (TEXT, &b"hello"[..]),
        (BINARY & MORE, b"ab"),
        (PING, b"between"),
        (CONTINUATION, b"cde"),
        (PONG, b"unasked"),
    ] {
        peer.write_all(&frame(first, payload)).await.unwrap();
    }
    let _echoes = read(&mut peer, 7 + 9 + 7).await;
    session.ping("there?").await.unwrap();
    session.pong("alive").await.unwrap();
    session
        .send_frame(Frame::text("fg").not_final())
        .await
        .unwrap();
    session.send_frame(Frame::continuation("h")).await.unwrap();
    let _sent = read(&mut peer, 8 + 7 + 4 + 3).await;
    settled().await;

    let traffic = session.stats();
    assert_eq!(messages(&traffic), [2, 10, 3, 13]);
    assert_eq!(controls(&traffic), [1, 1, 1, 2]);
    assert_eq!(traffic.dropped(), 0);
    assert_eq!(served.factory.stats().traffic(), &traffic);

    peer.write_all(&frame(CLOSE, &close(1000))).await.unwrap();
    served.end_of(&mut peer).await;
    assert_eq!(session.stats(), traffic, "a Close is none of them");
    assert_eq!(served.factory.stats().traffic(), &traffic, "nor forgotten");
}

#[tokio::test(start_paused = true)]
async fn message_that_is_told_in_frames_or_in_pieces_counts_once() {
    struct Frames;
    impl Endpoint for Frames {
        const FRAMES: bool = true;
        async fn on_frame(
            &mut self,
            _: &Session,
            frame: &Frame,
        ) -> Result<FrameAction, ws_factory::BoxError> {
            match frame.payload().as_ref() {
                b"taken" => Ok(FrameAction::Consume),
                _ => Ok(FrameAction::Continue),
            }
        }
    }
    struct Pieces;
    impl Endpoint for Pieces {
        const PARTIAL: bool = true;
        async fn on_partial(&mut self, _: &Session, _: Partial) -> EventResult {
            Ok(())
        }
    }
    let builders = [
        WebSocketFactory::builder().fallback(|_| Frames),
        WebSocketFactory::builder().fallback(|_| Pieces),
    ];
    for builder in builders {
        let served = Served::of(builder);
        let mut peer = served.connect().await;

        peer.write_all(&frame(TEXT, b"taken")).await.unwrap();
        peer.write_all(&frame(TEXT & MORE, b"two")).await.unwrap();
        peer.write_all(&frame(PING, b"")).await.unwrap();
        peer.write_all(&frame(CONTINUATION, b"pieces"))
            .await
            .unwrap();
        settled().await;

        let traffic = session_of(&served).stats();
        assert_eq!(messages(&traffic), [2, 14, 0, 0]);
        assert_eq!(controls(&traffic), [1, 0, 0, 1]);
    }
}

/// Writing in pieces that are large enough to leave on their own.
#[tokio::test(start_paused = true)]
async fn message_that_is_written_in_parts_counts_once() {
    let served = Served::echo();
    let mut peer = served.connect().await;
    let session = session_of(&served);
    let reading = tokio::spawn(async move { read(&mut peer, 3 * 32 * 1024).await });

    let mut writer = session.message_writer(MessageKind::Binary).await.unwrap();
    for _ in 0..3 {
        writer.write(vec![0; 32 * 1024]).await.unwrap();
    }
    writer.finish().await.unwrap();
    reading.await.unwrap();
    settled().await;

    assert_eq!(messages(&session.stats()), [0, 0, 1, 3 * 32 * 1024]);
}

#[tokio::test(start_paused = true)]
async fn pings_that_are_sent_by_the_clock_are_counted() {
    let policy = Policy::default().with_ping_interval(Some(Duration::from_secs(20)));
    let builder = WebSocketFactory::builder().fallback(|_| Echo);
    let served = Served::of(builder.with_policy(policy));
    let _peer = served.connect().await;

    tokio::time::sleep(Duration::from_secs(61)).await;

    assert_eq!(controls(&session_of(&served).stats()), [0, 0, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_what_a_group_drops_is_counted() {
    let policy = Policy::default().with_max_outbox_messages(4);
    let builder = WebSocketFactory::builder().fallback(|_| Echo);
    let served = Served::of(builder.with_policy(policy));
    let _peer = served.connect().await;
    let group = Group::new(SlowMember::DropNewest);
    let session = session_of(&served);
    let _membership = group.join(&session);
    let large = Prepared::from(&Message::binary(vec![0; 128 * 1024]));
    let small = Prepared::from(&Message::text("small"));

    group.broadcast(&large);
    settled().await;
    for _ in 0..5 {
        group.broadcast(&small);
    }

    let dropped = session.stats().dropped();
    assert_eq!(dropped, 2, "three wait behind the large one");
    assert_eq!(served.factory.stats().traffic().dropped(), 2);
    settled().await;
    let traffic = session.stats();
    let bytes = (large.plain().len() + 3 * small.plain().len()) as u64;
    assert_eq!(traffic.most_waiting_messages(), 4);
    assert_eq!(traffic.most_waiting_bytes(), bytes);
}

#[tokio::test(start_paused = true)]
async fn peak_of_the_factory_is_that_of_one_session() {
    struct Burst;
    impl Endpoint for Burst {
        async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
            for _ in 0..message.len() {
                session.send_text("x").await?;
            }
            Ok(())
        }
    }
    let served = Served::of(WebSocketFactory::builder().fallback(|_| Burst));
    let mut first = served.connect().await;
    let mut second = served.connect().await;

    first.write_all(&frame(TEXT, b"12345")).await.unwrap();
    second.write_all(&frame(TEXT, b"123")).await.unwrap();
    let _bursts = (read(&mut first, 15).await, read(&mut second, 9).await);
    settled().await;

    let stats = served.factory.stats();
    assert_eq!(stats.traffic().most_waiting_messages(), 5);
    assert_eq!(stats.traffic().most_waiting_bytes(), 5);
    assert_eq!(messages(stats.traffic()), [2, 8, 8, 8]);
}

/// Whatever codes peers choose, what is kept of them is as much.
#[tokio::test(start_paused = true)]
async fn endings_are_counted_by_code_and_in_few_groups() {
    let served = Served::echo();
    let codes = [1000, 1000, 1001, 1011, 3000, 3999, 4000, 4001, 4999, 4999];
    for code in codes {
        let mut peer = served.connect().await;
        peer.write_all(&frame(CLOSE, &close(code))).await.unwrap();
        served.end_of(&mut peer).await;
    }
    let mut peer = served.connect().await;
    peer.write_all(&frame(CLOSE, b"")).await.unwrap();
    served.end_of(&mut peer).await;
    drop(served.connect().await);
    served.emptied().await;

    let stats = served.factory.stats();
    let counted: Vec<_> = stats.closed_by_code().collect();
    assert_eq!(
        counted,
        [
            (1000..=1000, 2),
            (1001..=1001, 1),
            (1005..=1005, 1),
            (1006..=1006, 1),
            (1011..=1011, 1),
            (3000..=3999, 2),
            (4000..=4999, 4),
        ]
    );
    assert_eq!((stats.opened(), stats.closed()), (12, 12));
    assert_eq!((stats.closed_with(1005), stats.closed_with(4321)), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn handshake_without_a_connection_is_a_failed_upgrade_and_no_session() {
    let served = Served::echo();

    let answer = served.answer_to(&[]).await;
    served.emptied().await;

    assert_eq!(answer.status(), 101);
    let stats = served.factory.stats();
    assert_eq!((stats.failed_upgrades(), stats.opened()), (1, 0));
}
