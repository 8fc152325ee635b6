//! How many there may be, and what the one too many is told.

use std::{future::pending, net::SocketAddr, time::Duration};

use http::{Response, header};
use tokio::{
    task::yield_now,
    time::{Instant, advance},
};
use ws_factory::{Accept, Policy, RefusalReason, Rejection, UpgradeRequest, WebSocketFactory};

use crate::pipe::{Echo, Served};

fn echo(policy: Policy) -> Served {
    let builder = WebSocketFactory::builder().fallback(|_| Echo);
    Served::of(builder.with_policy(policy))
}

/// Never makes an endpoint.
fn stuck(policy: Policy) -> Served {
    let make = |_: UpgradeRequest| pending::<Result<Accept<Echo>, Rejection>>();
    let builder = WebSocketFactory::builder().fallback_with(make);
    Served::of(builder.with_policy(policy))
}

fn from(served: &Served, peer: &str) -> Served {
    let mut served = served.clone();
    served.peer = Some(SocketAddr::new(peer.parse().unwrap(), 50_123));
    served
}

/// The status, the seconds of `Retry-After`, and the sentence.
fn told(response: &Response<String>) -> (u16, Option<&str>, &str) {
    let wait = response.headers().get(header::RETRY_AFTER);
    let wait = wait.map(|wait| wait.to_str().unwrap());
    (response.status().as_u16(), wait, response.body())
}

/// Hostile input L8.
#[tokio::test(start_paused = true)]
async fn session_too_many_is_told_so_and_when_to_come_back() {
    let served = echo(Policy::default().with_max_sessions(2));
    let _first = served.connect().await;
    let mut second = served.connect().await;

    let third = served.answer_to(&[]).await;

    assert_eq!(told(&third), (503, Some("10"), "too many sessions"));
    let stats = served.factory.stats();
    assert_eq!(stats.refused_for(RefusalReason::Sessions), 1);
    tokio::io::AsyncWriteExt::shutdown(&mut second)
        .await
        .unwrap();
    advance(Duration::from_secs(3)).await;
    yield_now().await;
    let _third = served.connect().await;
}

/// Hostile input L8.
#[tokio::test(start_paused = true)]
async fn of_two_handshakes_at_once_for_the_last_place_one_is_accepted() {
    let served = echo(Policy::default().with_max_sessions(1));

    let ((_one, first), (_other, second)) = tokio::join!(served.open(&[]), served.open(&[]));

    assert_eq!(first.max(second), 503);
    assert_eq!(first.min(second), 101);
}

/// Hostile input L8.
#[tokio::test(start_paused = true)]
async fn peer_with_too_many_sessions_is_refused_and_the_others_are_not() {
    let served = echo(Policy::default().with_max_sessions_per_peer(Some(1)));
    let mut first = from(&served, "2001:db8::1").connect().await;

    let neighbour = from(&served, "2001:db8::2").answer_to(&[]).await;
    let _other = from(&served, "2001:db8:0:1::1").connect().await;
    let _mapped = from(&served, "::ffff:192.0.2.7").connect().await;
    let same = from(&served, "192.0.2.7").answer_to(&[]).await;
    let _unknown = (served.connect().await, served.connect().await);

    let refusal = (503, Some("10"), "too many sessions from your address");
    assert_eq!(told(&neighbour), refusal, "of the same /64");
    assert_eq!(told(&same), refusal, "mapped to IPv6");
    let stats = served.factory.stats();
    assert_eq!(stats.refused_for(RefusalReason::SessionsOfPeer), 2);
    assert_eq!((stats.open(), stats.peers()), (5, 3));
    tokio::io::AsyncWriteExt::shutdown(&mut first)
        .await
        .unwrap();
    advance(Duration::from_secs(3)).await;
    yield_now().await;
    assert_eq!(served.factory.stats().peers(), 2);
    let _again = from(&served, "2001:db8::2").connect().await;
}

#[tokio::test(start_paused = true)]
async fn handshake_too_many_at_once_is_refused_until_one_is_over() {
    let served = stuck(Policy::default().with_max_handshakes(1));
    let first = tokio::spawn({
        let served = served.clone();
        async move { served.answer_to(&[]).await }
    });
    yield_now().await;
    assert_eq!(served.factory.stats().handshakes(), 1);

    let second = served.answer_to(&[]).await;

    assert_eq!(
        told(&second),
        (503, Some("1"), "too many handshakes at once")
    );
    let stats = served.factory.stats();
    assert_eq!(stats.refused_for(RefusalReason::Handshakes), 1);
    let first = first.await.unwrap();
    assert_eq!(told(&first), (503, Some("10"), "no endpoint in time"));
    assert_eq!(served.factory.stats().handshakes(), 0);
}

#[tokio::test(start_paused = true)]
async fn open_session_is_no_handshake_any_more() {
    let served = echo(Policy::default().with_max_handshakes(1));

    let _peers = (
        served.connect().await,
        served.connect().await,
        served.connect().await,
    );

    let stats = served.factory.stats();
    assert_eq!((stats.open(), stats.handshakes()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn handshake_that_is_given_up_gives_its_place_back() {
    let served = from(
        &stuck(
            Policy::default()
                .with_max_handshakes(1)
                .with_max_sessions_per_peer(Some(1)),
        ),
        "192.0.2.7",
    );
    let given_up = tokio::time::timeout(Duration::from_secs(1), served.answer_to(&[])).await;

    assert!(given_up.is_err());
    let stats = served.factory.stats();
    assert_eq!((stats.handshakes(), stats.peers()), (0, 0));
    assert_eq!(stats.refused(), 0, "nobody was told anything");
}

#[tokio::test(start_paused = true)]
async fn handshake_during_a_shutdown_is_told_what_is_left_of_its_deadline() {
    let served = echo(Policy::default().with_close_timeout(Duration::MAX));
    let _silent = served.connect().await;
    let stopping = tokio::spawn({
        let factory = served.factory.clone();
        async move { factory.shutdown(Duration::from_secs(30)).await }
    });
    yield_now().await;

    advance(Duration::from_millis(10_500)).await;
    let early = served.answer_to(&[]).await;
    assert_eq!(stopping.await.unwrap().cut(), 1);
    let late = served.answer_to(&[]).await;

    assert_eq!(told(&early), (503, Some("20"), "the server is going away"));
    assert_eq!(told(&late), (503, Some("1"), "the server is going away"));
    let stats = served.factory.stats();
    assert_eq!(stats.refused_for(RefusalReason::ShuttingDown), 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_an_end_names_a_minute() {
    let served = echo(Policy::default());
    let report = served.factory.shutdown(Duration::MAX).await;

    let refused = served.answer_to(&[]).await;

    assert_eq!((report.clean(), report.cut()), (0, 0));
    assert_eq!(told(&refused).1, Some("60"));
}

/// A shutdown does not wait for an endpoint that is being made, past its deadline.
#[tokio::test(start_paused = true)]
async fn handshake_whose_endpoint_is_being_made_is_cut_by_a_shutdown() {
    let served = stuck(Policy::default().with_accept_deadline(Duration::from_secs(60)));
    let handshake = tokio::spawn({
        let served = served.clone();
        async move { served.answer_to(&[]).await }
    });
    yield_now().await;
    let start = Instant::now();

    let report = served.factory.shutdown(Duration::from_secs(5)).await;

    assert_eq!((report.clean(), report.cut()), (0, 0));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    let answer = handshake.await.unwrap();
    assert_eq!(told(&answer).0, 503);
}
