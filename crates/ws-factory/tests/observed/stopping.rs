//! A factory that stops while its clients flood: everybody is counted, and nothing is left.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::header;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime,
    sync::Semaphore,
    task::{JoinSet, yield_now},
    time::{Instant, advance},
};
use ws_factory::{
    Endpoint, EventResult, Group, Membership, Message, Policy, RefusalReason, Session, SlowMember,
    Topics, WebSocketFactory,
};

use crate::pipe::{CLOSE, Served, TEXT, close, frame};

/// How many there are of each kind of client.
const CLIENTS: usize = 20;

const DEADLINE: Duration = Duration::from_secs(5);

/// Echoes, and tells everybody of every hundredth message.
struct Member {
    group: Group,
    topics: Topics,
    seen: usize,
    memberships: Vec<Membership>,
}

impl Endpoint for Member {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.memberships.push(self.group.join(session));
        for name in ["all".to_owned(), session.id().to_string()] {
            self.memberships.push(self.topics.join(&name, session)?);
        }
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        self.seen += 1;
        if self.seen.is_multiple_of(100) {
            self.group.broadcast("to all");
            self.topics.broadcast("all", "to all");
        }
        session.send(message).await?;
        Ok(())
    }
}

/// Sends without end, and reads what comes back; answers the Close.
async fn floods_and_reads(peer: DuplexStream, begun: Arc<Semaphore>) {
    let (mut reader, mut writer) = tokio::io::split(peer);
    let ahead = Arc::new(Semaphore::new(50));
    let sending = Arc::clone(&ahead);
    let writing = tokio::spawn(async move {
        while let Ok(permit) = sending.acquire().await {
            permit.forget();
            writer.write_all(&frame(TEXT, &[b'x'; 99])).await.unwrap();
        }
        writer.write_all(&frame(CLOSE, &close(1001))).await.unwrap();
        writer
    });
    let mut echoes = 0;
    loop {
        let first = reader.read_u8().await.unwrap();
        let len = reader.read_u8().await.unwrap();
        let mut payload = vec![0; usize::from(len)];
        reader.read_exact(&mut payload).await.unwrap();
        match (first, len) {
            (CLOSE, _) => break assert_eq!(payload[..2], close(1001)),
            (TEXT, 99) => ahead.add_permits(1),
            other => assert_eq!(other, (TEXT, 6), "what was broadcast"),
        }
        echoes += 1;
        if echoes == 200 {
            begun.add_permits(1);
        }
    }
    ahead.close();
    let _writer = writing.await.unwrap();
    assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
}

/// Sends without end and never reads; gone when the connection is.
async fn floods(mut peer: DuplexStream, begun: Arc<Semaphore>) {
    begun.add_permits(1);
    while peer.write_all(&frame(TEXT, &[b'x'; 99])).await.is_ok() {
        // Where the pipe takes everything the others have their turn all the same.
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_under_floods_counts_everybody_and_leaves_nothing() {
    let group = Group::new(SlowMember::DropNewest);
    let topics = Topics::new(SlowMember::DropOldest);
    let builder = WebSocketFactory::builder().fallback({
        let (group, topics) = (group.clone(), topics.clone());
        move |_| Member {
            group: group.clone(),
            topics: topics.clone(),
            seen: 0,
            memberships: Vec::new(),
        }
    });
    let policy = Policy::default().with_close_timeout(Duration::MAX);
    let served = Served::of(builder.with_policy(policy));
    let begun = Arc::new(Semaphore::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(floods_and_reads(served.connect().await, Arc::clone(&begun)));
        clients.spawn(floods(served.connect().await, Arc::clone(&begun)));
    }
    let all = u32::try_from(2 * CLIENTS).unwrap();
    let _all = begun.acquire_many(all).await.unwrap();
    assert_eq!((group.len(), topics.len()), (2 * CLIENTS, 1 + 2 * CLIENTS));

    let start = Instant::now();
    let mut stopping = pin!(served.factory.shutdown(DEADLINE));
    let first = poll_fn(|cx| Poll::Ready(stopping.as_mut().poll(cx).is_ready()));
    assert!(!first.await, "it has begun");
    let late = served.answer_to(&[]).await;
    // Who floods is always ready, so that nothing else would let the time pass.
    let report = tokio::select! {
        report = stopping => report,
        () = time_passes() => unreachable!("it never ends"),
    };

    assert_eq!((report.clean(), report.cut()), (CLIENTS, CLIENTS));
    assert_eq!(start.elapsed().as_secs(), DEADLINE.as_secs());
    assert_eq!(late.status(), 503);
    assert_eq!(late.headers()[header::RETRY_AFTER], "5");
    let stats = served.factory.stats();
    assert_eq!((stats.open(), stats.handshakes()), (0, 0));
    assert_eq!(stats.refused_for(RefusalReason::ShuttingDown), 1);
    assert!(served.factory.sessions().is_empty());
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    served.emptied().await;
    assert!(group.is_empty() && topics.is_empty());
    let metrics = runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 0);
}

async fn time_passes() {
    loop {
        advance(Duration::from_millis(10)).await;
    }
}

/// Never comes back from a message, nor from its end.
struct Stuck;

impl Endpoint for Stuck {
    async fn on_message(&mut self, _: &Session, _: Message) -> EventResult {
        std::future::pending().await
    }

    async fn on_close(&mut self, _: &Session, _: &ws_factory::CloseEvent) {
        std::future::pending().await
    }
}

/// What an event that outlives its deadline leaves is a number.
#[tokio::test(start_paused = true)]
async fn event_that_is_dropped_at_its_deadline_is_counted() {
    let served = Served::of(WebSocketFactory::builder().fallback(|_| Stuck));
    let mut idle = served.connect().await;
    let mut busy = served.connect().await;

    busy.write_all(&frame(TEXT, b"hi")).await.unwrap();
    for peer in [&mut idle, &mut busy] {
        peer.write_all(&frame(CLOSE, &close(1000))).await.unwrap();
    }
    let deadline = served.factory.policy().close_timeout();
    tokio::time::sleep(3 * deadline).await;

    assert_eq!(
        served.factory.stats().cut_events(),
        3,
        "one and two of them"
    );
}
