//! Hostile inputs of section 6, through a session: what the peer is told, what the endpoint sees.

use tokio::{
    io::AsyncWriteExt,
    time::{Duration, timeout},
};
use ws_factory::{
    BoxError, CloseEvent, Endpoint, ExtensionStack, Frame, FrameAction, Policy, Role, Session,
    SessionError, extension::DeflateConfig,
};

use crate::{
    codec::{Codec, Context, noise},
    peer::{
        BINARY, CLOSE, CONTINUATION, Echo, Log, MORE, PING, RSV1, TEXT, client_stack, run,
        server_stack,
    },
};

/// Sends frames; returns the code of the Close that answers them, and what the endpoint was told.
async fn verdict(
    role: Role,
    config: Option<DeflateConfig>,
    frames: &[(u8, &[u8])],
) -> (u16, Vec<String>) {
    let extensions = match (role, config) {
        (_, None) => ExtensionStack::default(),
        (Role::Server, Some(config)) => server_stack(config),
        (_, Some(config)) => client_stack(config),
    };
    let log = Log::default();
    let (mut peer, _, task) = run(role, extensions, Policy::default(), Echo(log.clone()));
    for (first, payload) in frames {
        peer.send(*first, payload).await;
    }
    let code = timeout(Duration::from_secs(5), peer.closed())
        .await
        .unwrap();
    drop(peer);
    task.await.unwrap();
    (code, log.lines())
}

const CONFIG: fn() -> DeflateConfig = DeflateConfig::default;

/// Hostile inputs C6, C7 and C9: either role, with and without a context.
#[tokio::test(start_paused = true)]
async fn data_that_breaks_a_rule_fails_the_session_with_its_code() {
    let hello = Codec::new(Context::Anew).compress(b"Hello, hello, hello");
    let cut_short = &hello[..hello.len() - 2];
    let two = [&[0x01, 0x00, 0x00, 0xff, 0xff], &hello[..]].concat();
    type Frames<'a> = Vec<(u8, &'a [u8])>;
    let rows: [(&str, Frames<'_>, u16); 8] = [
        ("no DEFLATE data", vec![(TEXT | RSV1, &[0xff; 20])], 1007),
        ("cut short", vec![(TEXT | RSV1, cut_short)], 1007),
        (
            "too far back",
            vec![(TEXT | RSV1, &[0xf2, 0x00, 0x11, 0x00, 0x00])],
            1007,
        ),
        ("two in one", vec![(TEXT | RSV1, &two)], 1007),
        ("marked Ping", vec![(PING | RSV1, b"hi")], 1002),
        ("marked Close", vec![(CLOSE | RSV1, b"\x03\xe8")], 1002),
        (
            "marked continuation",
            vec![((TEXT | RSV1) & MORE, &hello), (CONTINUATION | RSV1, b"")],
            1002,
        ),
        ("another bit", vec![(TEXT | 0x20, b"hi")], 1002),
    ];
    for config in [CONFIG(), CONFIG().with_client_no_context_takeover()] {
        for (name, frames, want) in &rows {
            for role in [Role::Server, Role::Client] {
                let (code, told) = verdict(role, Some(config), frames).await;

                assert_eq!(code, *want, "{name}: {told:?}");
                assert!(told[0].starts_with("protocol: "), "{name}: {told:?}");
                assert_eq!(told[1..], [format!("close {want}")], "{name}");
            }
        }
    }
}

/// Hostile input C6.
#[tokio::test(start_paused = true)]
async fn compressed_message_where_nothing_was_agreed_fails_with_1002() {
    let hello = Codec::new(Context::Anew).compress(b"Hello");

    let (code, _) = verdict(Role::Server, None, &[(TEXT | RSV1, &hello)]).await;

    assert_eq!(code, 1002);
}

/// Only looks at frames, or takes them.
struct Frames {
    log: Log,
    action: FrameAction,
}

impl Endpoint for Frames {
    const FRAMES: bool = true;

    async fn on_frame(&mut self, _: &Session, frame: &Frame) -> Result<FrameAction, BoxError> {
        assert!(
            frame.payload().len() <= 64 << 10,
            "{}",
            frame.payload().len()
        );
        Ok(self.action)
    }

    async fn on_error(&mut self, session: &Session, error: &SessionError) {
        Echo(self.log.clone()).on_error(session, error).await;
    }

    async fn on_close(&mut self, session: &Session, event: &CloseEvent) {
        Echo(self.log.clone()).on_close(session, event).await;
    }
}

/// Hostile inputs C10 and C11: 16 MiB from a frame of 16 KiB, to a limit of 64 KiB. Whoever looks at
/// frames, or takes them from the messages that are counted, is told of none that is larger.
#[tokio::test(start_paused = true)]
async fn bomb_is_1009_for_every_kind_of_endpoint() {
    let bomb = Codec::new(Context::Anew).compress(&vec![0; 16 << 20]);
    let half = bomb.len() / 2;
    for takes in [
        None,
        Some(FrameAction::Continue),
        Some(FrameAction::Consume),
    ] {
        for cut in [false, true] {
            let log = Log::default();
            let policy = Policy::default();
            let extensions = server_stack(CONFIG());
            let (mut peer, _, task) = match takes {
                None => run(Role::Server, extensions, policy, Echo(log.clone())),
                Some(action) => {
                    let log = log.clone();
                    run(Role::Server, extensions, policy, Frames { log, action })
                }
            };

            if cut {
                peer.send((BINARY | RSV1) & MORE, &bomb[..half]).await;
                peer.send(CONTINUATION, &bomb[half..]).await;
            } else {
                peer.send(BINARY | RSV1, &bomb).await;
            }
            let code = peer.closed().await;
            drop(peer);
            task.await.unwrap();

            let told = log.lines();
            assert_eq!(code, 1009, "{told:?}");
            assert!(told[0].starts_with("protocol: "), "{told:?}");
            assert_eq!(told[1..], ["close 1009"]);
        }
    }
}

/// Hostile input C16: sessions of one thread share what they inflate with, not what it has seen.
#[tokio::test(start_paused = true)]
async fn session_after_one_that_vanished_within_a_message_is_unaffected() {
    let text = noise(3_000);
    for config in [CONFIG(), CONFIG().with_client_no_context_takeover()] {
        for _ in 0..6 {
            let log = Log::default();
            let echo = Echo(log.clone());
            let (mut peer, _, task) =
                run(Role::Server, server_stack(config), Policy::default(), echo);
            let bytes = Codec::new(Context::Anew).compress(&text);
            peer.send((BINARY | RSV1) & MORE, &bytes[..bytes.len() / 2])
                .await;
            // The beginning of a header.
            peer.io.write_all(&[CONTINUATION]).await.unwrap();
            tokio::task::yield_now().await;
            drop(peer);
            task.await.unwrap();
            assert_eq!(log.lines().last().unwrap(), "close 1006");
        }

        let (mut peer, ..) = run(
            Role::Server,
            server_stack(config),
            Policy::default(),
            Echo::default(),
        );
        let mut codec = Codec::new(Context::Kept);
        let bytes = Codec::new(Context::Anew).compress(&text);
        peer.send(BINARY | RSV1, bytes).await;
        assert_eq!(codec.inflate(&peer.recv().await.payload), text);
    }
}
