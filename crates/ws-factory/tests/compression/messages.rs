//! Messages through a session that compresses: what is on the wire, inflated by somebody else.

use bytes::Bytes;
use tokio::time::{Duration, timeout};
use ws_factory::{
    Frame, Message, OfferedIdentity, Policy, Prepared, Role, WebSocketFactory,
    extension::{DeflateConfig, Identity},
};

use crate::{
    codec::{Codec, Context, noise},
    peer::{
        BINARY, CONTINUATION, Echo, MORE, PING, PONG, RSV1, TEXT, client_stack, connect, payload,
        run, server_stack, stack, wire,
    },
};

const TEXT_BODY: &str = "So they went on, and on, and on, and came to an end. ";

fn anew() -> DeflateConfig {
    DeflateConfig::default()
        .with_server_no_context_takeover()
        .with_client_no_context_takeover()
}

fn large() -> Policy {
    Policy::default()
        .with_max_message_bytes(4 << 20)
        .with_max_outbox_bytes(8 << 20)
}

/// Hostile input C13, through a session of either role.
#[tokio::test(start_paused = true)]
async fn messages_are_compressed_in_both_directions() {
    let text = TEXT_BODY.repeat(40);
    for (config, context) in [
        (DeflateConfig::default(), Context::Kept),
        (anew(), Context::Anew),
    ] {
        for (role, extensions) in [
            (Role::Server, server_stack(config)),
            (Role::Client, client_stack(config)),
        ] {
            let (mut peer, ..) = run(role, extensions, Policy::default(), Echo::default());
            let mut codec = Codec::new(context);

            let mut lengths = Vec::new();
            for _ in 0..5 {
                peer.send(TEXT | RSV1, codec.compress(text.as_bytes()))
                    .await;
                let answer = peer.recv().await;
                assert_eq!(answer.first, TEXT | RSV1);
                assert_eq!(codec.inflate(&answer.payload), text.as_bytes());
                lengths.push(answer.payload.len());
            }

            assert!(lengths[0] < 100, "{lengths:?}");
            let second = match context {
                Context::Kept => lengths[1] * 2 < lengths[0],
                Context::Anew => lengths[1] == lengths[0],
            };
            assert!(second, "{role:?} {context:?}: {lengths:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn message_shorter_than_the_threshold_goes_plain() {
    let config = anew().with_threshold_bytes(100);
    let (mut peer, session, _task) = run(
        Role::Server,
        server_stack(config),
        Policy::default(),
        Echo::default(),
    );

    for (len, first) in [(0, TEXT), (99, TEXT), (100, TEXT | RSV1)] {
        session.send_text("a".repeat(len)).await.unwrap();
        assert_eq!(peer.recv().await.first, first, "{len}");
    }
}

/// Hostile input C17: and the context of those around it knows nothing of it.
#[tokio::test(start_paused = true)]
async fn uncompressed_message_has_no_mark_and_leaves_no_trace() {
    let secret = TEXT_BODY.repeat(40);
    let extensions = server_stack(DeflateConfig::default());
    let (mut peer, session, _task) =
        run(Role::Server, extensions, Policy::default(), Echo::default());
    let mut codec = Codec::new(Context::Kept);
    let message = Message::text(secret.clone());
    let prepared = Prepared::from(&message);

    session.send_uncompressed(message.clone()).await.unwrap();
    session
        .send_prepared(&prepared.uncompressed())
        .await
        .unwrap();
    session
        .send(Message::text("a".repeat(2_000)))
        .await
        .unwrap();
    session.send_prepared(&prepared).await.unwrap();
    session.send_uncompressed(message).await.unwrap();
    session.send_prepared(&prepared).await.unwrap();

    let plain = wire(TEXT, secret.clone());
    assert_eq!(peer.recv().await, plain);
    assert_eq!(peer.recv().await, plain);
    assert_eq!(codec.inflate(&peer.recv().await.payload), [b'a'; 2_000]);
    let first = peer.recv().await;
    assert_eq!(codec.inflate(&first.payload), secret.as_bytes());
    assert!(first.payload.len() > 40, "nothing to refer back to");
    assert_eq!(peer.recv().await, plain);
    let second = peer.recv().await;
    assert_eq!(codec.inflate(&second.payload), secret.as_bytes());
    assert_eq!((first.first, second.first), (TEXT | RSV1, TEXT | RSV1));
}

/// Hostile input C15.
#[tokio::test(start_paused = true)]
async fn plain_message_to_a_compressed_session_is_delivered() {
    let extensions = server_stack(DeflateConfig::default());
    let (mut peer, ..) = run(Role::Server, extensions, Policy::default(), Echo::default());

    peer.send(TEXT & MORE, "he").await;
    peer.send(PING, "1").await;
    peer.send(CONTINUATION, "llo").await;

    assert_eq!(peer.recv().await, wire(PONG, "1"));
    assert_eq!(peer.recv().await, wire(TEXT, "hello"));
}

/// Around the size from which a payload waits beside its header, and around the buffers of the
/// compressor.
#[tokio::test(start_paused = true)]
async fn message_of_any_size_arrives_whole() {
    let config = DeflateConfig::default().with_threshold_bytes(0);
    for (role, extensions) in [
        (Role::Server, server_stack(config)),
        (Role::Client, client_stack(config)),
        (Role::Server, stack(Identity::default())),
    ] {
        let compresses = !matches!(extensions.claimed().bits(), 0);
        let (mut peer, session, _task) = run(role, extensions, large(), Echo::default());
        let mut codec = Codec::new(Context::Kept);
        let sizes = [1, 125, 126, 16_383, 16_384, 16_385, 21_800, 65_536, 1 << 20];
        for len in sizes {
            let message = noise(len);
            session.try_send_binary("small").unwrap();
            session.try_send_binary(message.clone()).unwrap();
            session
                .try_send_prepared(&Prepared::from(&Message::binary(message.clone())))
                .unwrap();
            session.try_send_binary("small").unwrap();

            for want in [b"small", &message[..], &message[..], b"small"] {
                let frame = peer.recv().await;
                let got = match compresses {
                    true => codec.inflate(&frame.payload),
                    false => frame.payload,
                };
                assert!(got == want, "{role:?} {len}");
            }
        }
    }
}

/// §6.1: only the first frame of a message is marked, and control frames pass between them.
#[tokio::test(start_paused = true)]
async fn frames_of_a_message_keep_their_boundaries() {
    for (role, extensions) in [
        (Role::Server, server_stack(anew())),
        (Role::Client, client_stack(anew())),
    ] {
        let (mut peer, session, _task) = run(role, extensions, large(), Echo::default());
        let pieces = [noise(1_024), noise(40_000), Vec::new(), noise(10)];
        let piece = |at: usize| Bytes::from(pieces[at].clone());

        session
            .send_frame(Frame::binary(piece(0)).not_final())
            .await
            .unwrap();
        session
            .send_frame(Frame::continuation(piece(1)).not_final())
            .await
            .unwrap();
        session.flush().await.unwrap();
        session.ping("between").await.unwrap();
        session
            .send_frame(Frame::continuation(piece(2)).not_final())
            .await
            .unwrap();
        session
            .send_frame(Frame::continuation(piece(3)))
            .await
            .unwrap();
        session.send_binary("next").await.unwrap();

        let mut frames = Vec::new();
        for _ in 0..6 {
            frames.push(peer.recv().await);
        }
        let ping = frames.iter().position(|it| it.first == PING).unwrap();
        assert_eq!(frames.remove(ping), wire(PING, "between"));
        let firsts: Vec<u8> = frames.iter().map(|it| it.first).collect();
        let more = CONTINUATION & MORE;
        let marked = (BINARY & MORE) | RSV1;
        assert_eq!(firsts, [marked, more, more, CONTINUATION, BINARY]);
        let message = Codec::new(Context::Anew).inflate(&payload(&frames[..4]));
        assert_eq!(message, pieces.concat());
        assert_eq!(frames[4].payload, b"next", "below the threshold");
    }
}

/// A message that was begun as frames keeps the others waiting, compressed or not.
#[tokio::test(start_paused = true)]
async fn prepared_message_waits_for_the_end_of_one_that_is_sent_as_frames() {
    let (mut peer, session, _task) =
        run(Role::Server, server_stack(anew()), large(), Echo::default());
    let prepared = Prepared::from(&Message::text("b".repeat(2_000)));

    session
        .send_frame(Frame::text("a".repeat(2_000)).not_final())
        .await
        .unwrap();
    let early = session.try_send_prepared(&prepared);
    session.send_frame(Frame::continuation("a")).await.unwrap();
    session.try_send_prepared(&prepared).unwrap();

    assert!(early.is_err());
    let mut codec = Codec::new(Context::Anew);
    let first = peer.recv_message().await;
    assert_eq!(codec.inflate(&payload(&first)), [b'a'; 2_001]);
    let second = peer.recv_message().await;
    assert_eq!(codec.inflate(&payload(&second)), [b'b'; 2_000]);
}

#[tokio::test(start_paused = true)]
async fn factory_and_peer_talk_compressed_once_agreed() {
    let policy = Policy::default().with_compression(Some(anew()));
    let factory = WebSocketFactory::builder()
        .fallback(|_| Echo::default())
        .with_extension(OfferedIdentity)
        .with_policy(policy)
        .build()
        .unwrap();
    let text = TEXT_BODY.repeat(40);
    for offer in ["permessage-deflate", "identity, permessage-deflate"] {
        let (mut peer, agreed) = connect(&factory, offer).await;
        let mut codec = Codec::new(Context::Anew);

        peer.send(TEXT | RSV1, codec.compress(text.as_bytes()))
            .await;
        let answer = timeout(Duration::from_secs(1), peer.recv()).await.unwrap();

        assert!(agreed.contains("server_no_context_takeover"), "{agreed}");
        assert_eq!(answer.first, TEXT | RSV1);
        assert_eq!(codec.inflate(&answer.payload), text.as_bytes());
    }
}
