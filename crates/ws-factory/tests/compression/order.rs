//! The way of what is sent through extensions: order, bounds, flush, and odd extensions.

use tokio::{
    task::yield_now,
    time::{Duration, timeout},
};
use ws_factory::{
    BoxError, CloseCode, Endpoint, Frame, FrameAction, Message, OpCode, Policy, Prepared, Role,
    Session, extension::DeflateConfig,
};

use crate::{
    codec::{Codec, Context, noise},
    extensions::{Counting, Swallow},
    peer::{
        BINARY, CLOSE, CONTINUATION, Echo, PING, RSV1, RSV2, TEXT, client_stack, run, run_over,
        server_stack, stack, wire,
    },
};

fn eager() -> DeflateConfig {
    DeflateConfig::default().with_threshold_bytes(1)
}

/// Whatever it is, and whichever way it takes: the peer gets it in the order of sending.
#[tokio::test(start_paused = true)]
async fn messages_frames_and_the_close_leave_in_the_order_of_sending() {
    for (role, extensions) in [
        (Role::Server, server_stack(eager())),
        (Role::Client, client_stack(eager())),
    ] {
        let policy = Policy::default().with_max_outbox_bytes(1 << 20);
        let (mut peer, session, _task) = run(role, extensions, policy, Echo::default());
        let big = noise(50_000);
        let prepared = Prepared::from(&Message::text("prepared, prepared, prepared"));
        let cut = Prepared::cut(&Message::binary(big.clone()), [20_000]);

        // Nothing is taken before this test waits.
        session.try_send_text("one, one, one, one").unwrap();
        session.try_send_prepared(&prepared).unwrap();
        session.try_send_prepared(&prepared.uncompressed()).unwrap();
        session.try_send_binary(big.clone()).unwrap();
        session.try_send_prepared(&cut).unwrap();
        session.try_send_prepared(&cut.uncompressed()).unwrap();
        session.try_send_text("two, two, two, two").unwrap();
        session.close(CloseCode::NORMAL, "that is all");

        let mut codec = Codec::new(Context::Kept);
        let mut got = Vec::new();
        let mut message = Vec::new();
        let mut marked = false;
        let close = loop {
            let frame = peer.recv().await;
            if frame.first == CLOSE {
                break frame;
            }
            if frame.first & 0x0F != 0 {
                marked = frame.first & RSV1 != 0;
            }
            message.extend(frame.payload);
            if frame.first & 0x80 != 0 {
                let whole = std::mem::take(&mut message);
                got.push(match marked {
                    true => (codec.inflate(&whole), "compressed"),
                    false => (whole, "plain"),
                });
            }
        };
        let text = |text: &str, how| (text.as_bytes().to_vec(), how);
        assert!(
            got == [
                text("one, one, one, one", "compressed"),
                text("prepared, prepared, prepared", "compressed"),
                text("prepared, prepared, prepared", "plain"),
                (big.clone(), "compressed"),
                (big.clone(), "compressed"),
                (big, "plain"),
                text("two, two, two, two", "compressed"),
            ]
        );
        assert_eq!(close, wire(CLOSE, b"\x03\xe8that is all"));
    }
}

/// Through a pipe of a few bytes: a Ping overtakes messages, never half of a frame.
#[tokio::test(start_paused = true)]
async fn ping_overtakes_between_frames_only() {
    let (mut peer, session, _task) = run_over(
        7,
        Role::Server,
        server_stack(eager()),
        Policy::default(),
        Echo::default(),
    );
    let message = noise(3_000);
    let prepared = Prepared::from(&Message::binary(message.clone()));
    session.try_send_prepared(&prepared).unwrap();
    session.try_send_prepared(&prepared.uncompressed()).unwrap();
    yield_now().await;
    session.ping("now").await.unwrap();
    session.ping("and now").await.unwrap();
    session.try_send_binary(message.clone()).unwrap();

    let mut codec = Codec::new(Context::Kept);
    assert_eq!(codec.inflate(&peer.recv().await.payload), message);
    assert_eq!(peer.recv().await, wire(PING, "now"));
    assert_eq!(peer.recv().await, wire(PING, "and now"));
    assert_eq!(peer.recv().await, wire(BINARY, message.clone()));
    assert_eq!(codec.inflate(&peer.recv().await.payload), message);
}

/// What counts is what was given to `send`, whatever becomes of it; once written it is gone.
#[tokio::test(start_paused = true)]
async fn outbox_counts_messages_as_they_were_sent_until_they_are_written() {
    let policy = Policy::default().with_max_outbox_bytes(10_000);
    let (mut peer, session, _task) = run_over(
        8,
        Role::Server,
        server_stack(eager()),
        policy,
        Echo::default(),
    );
    session.try_send_binary(vec![0; 6_000]).unwrap();
    yield_now().await;
    session.try_send_binary(vec![0; 4_000]).unwrap();

    assert_eq!(session.queued(), (2, 10_000));
    assert!(session.try_send_binary("x").is_err());
    let flushed = async {
        session.flush().await.unwrap();
        session.queued()
    };
    let read = async {
        let mut codec = Codec::new(Context::Kept);
        for len in [6_000, 4_000] {
            assert_eq!(codec.inflate(&peer.recv().await.payload), vec![0; len]);
        }
    };
    let (queued, ()) = tokio::join!(flushed, read);
    assert_eq!(queued, (0, 0));
}

/// An extension may make nothing of a message: that is as good as written.
#[tokio::test(start_paused = true)]
async fn flush_resolves_where_an_extension_makes_nothing_of_a_message() {
    for alike in [false, true] {
        let mut swallow = Swallow::default();
        swallow.alike = alike;
        let (mut peer, session, _task) = run(
            Role::Server,
            stack(swallow),
            Policy::default().with_max_outbox_messages(1),
            Echo::default(),
        );

        let sent = async {
            for _ in 0..3 {
                session.send_text("never seen").await.unwrap();
                let prepared = Prepared::from(&Message::text("neither"));
                session.send_prepared(&prepared).await.unwrap();
            }
            session.flush().await.unwrap();
        };
        timeout(Duration::from_secs(1), sent)
            .await
            .expect("flushed");

        assert_eq!(session.queued(), (0, 0));
        session.close(CloseCode::NORMAL, "");
        assert_eq!(peer.recv().await, wire(CLOSE, b"\x03\xe8"));
    }
}

/// Sends every frame back as it was told.
struct EchoFrames;

impl Endpoint for EchoFrames {
    const FRAMES: bool = true;

    async fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        if matches!(frame.opcode(), OpCode::Text | OpCode::Continuation) {
            session.send_frame(frame.clone()).await?;
        }
        Ok(FrameAction::Continue)
    }
}

/// An extension is to clear its bit inbound; one that does not costs no frame.
#[tokio::test(start_paused = true)]
async fn reserved_bit_of_a_received_frame_is_not_sent() {
    let counting = Counting::default();
    let (mut peer, ..) = run(Role::Server, stack(counting), Policy::default(), EchoFrames);

    peer.send(TEXT | RSV2, "abc").await;
    peer.send(TEXT & !0x80, "de").await;
    peer.send(CONTINUATION | RSV2, "f").await;

    assert_eq!(peer.recv().await, wire(TEXT | RSV2, "bcd"));
    assert_eq!(peer.recv().await, wire((TEXT & !0x80) | RSV2, "ef"));
    assert_eq!(peer.recv().await, wire(CONTINUATION | RSV2, "g"));
}
