//! One message to many: through the extensions once for all who have agreed on the same.

use tokio::task::yield_now;
use ws_factory::{
    Endpoint, EventResult, ExtensionStack, Group, Membership, Message, Policy, Prepared, Role,
    Session, SlowMember, WebSocketFactory, extension::DeflateConfig,
};

use crate::{
    codec::{Codec, Context, noise},
    extensions::Counting,
    peer::{
        BINARY, CONTINUATION, Echo, MORE, Peer, RSV1, RSV2, TEXT, client_stack, connect, payload,
        run, server_stack, wire,
    },
};

struct Member {
    room: Group,
    membership: Option<Membership>,
}

impl Endpoint for Member {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.membership = Some(self.room.join(session));
        Ok(())
    }
}

/// A room, and a factory whose sessions are in it.
fn room(configure: impl FnOnce(Policy) -> Policy) -> (Group, WebSocketFactory, Counting) {
    let room = Group::new(SlowMember::DropNewest);
    let own = room.clone();
    let counting = Counting::default();
    let factory = WebSocketFactory::builder()
        .fallback(move |_| Member {
            room: own.clone(),
            membership: None,
        })
        .with_extension(counting.clone())
        .with_policy(configure(Policy::default()))
        .build()
        .unwrap();
    (room, factory, counting)
}

fn anew() -> DeflateConfig {
    DeflateConfig::default().with_server_no_context_takeover()
}

#[tokio::test(start_paused = true)]
async fn message_meets_an_extension_once_for_all_its_members() {
    let (room, factory, counting) = room(|policy| policy);
    let mut peers = Vec::new();
    for _ in 0..5 {
        let (peer, agreed) = connect(&factory, "counting").await;
        assert_eq!(agreed, "counting");
        peers.push(peer);
    }
    let (mut plain, _) = connect(&factory, "").await;
    while room.len() < 6 {
        yield_now().await;
    }

    let large = Message::binary(vec![1; 20_000]);
    room.broadcast(Prepared::from(&Message::text("HAL")));
    room.broadcast(Prepared::cut(&Message::text("HAL"), [2]));
    room.broadcast(Prepared::from(&large));

    for peer in &mut peers {
        assert_eq!(peer.recv().await, wire(TEXT | RSV2, "IBM"));
        assert_eq!(peer.recv().await, wire((TEXT & MORE) | RSV2, "IB"));
        assert_eq!(peer.recv().await, wire(CONTINUATION | RSV2, "M"));
        assert_eq!(peer.recv().await, wire(BINARY | RSV2, [2; 20_000]));
    }
    assert_eq!(plain.recv().await, wire(TEXT, "HAL"));
    assert_eq!(counting.count(), 4, "frames, and not frames times members");
}

#[tokio::test(start_paused = true)]
async fn message_to_one_session_alone_meets_its_extension_each_time() {
    let (_room, factory, counting) = room(|policy| policy);
    let (mut peer, _) = connect(&factory, "counting").await;
    let [session] = &factory.sessions()[..] else {
        panic!("{:?}", factory.sessions());
    };

    for _ in 0..3 {
        session.send_text("HAL").await.unwrap();
        assert_eq!(peer.recv().await, wire(TEXT | RSV2, "IBM"));
    }

    assert_eq!(counting.count(), 3);
}

/// Of every kind that there is: each gets what it has agreed on.
#[tokio::test(start_paused = true)]
async fn members_of_all_kinds_get_the_same_messages_each_in_its_own_form() {
    let eager = |config: DeflateConfig| config.with_threshold_bytes(10);
    let kinds = [
        (Role::Server, Some(eager(anew())), Context::Anew),
        (Role::Server, Some(eager(anew())), Context::Anew),
        (
            Role::Server,
            Some(eager(anew()).with_server_max_window_bits(10)),
            Context::Anew,
        ),
        (
            Role::Server,
            Some(eager(anew()).with_level(1)),
            Context::Anew,
        ),
        (
            Role::Server,
            Some(anew().with_threshold_bytes(1 << 20)),
            Context::Anew,
        ),
        (
            Role::Server,
            Some(eager(DeflateConfig::default())),
            Context::Kept,
        ),
        (
            Role::Server,
            Some(eager(DeflateConfig::default())),
            Context::Kept,
        ),
        (Role::Server, None, Context::Anew),
        (
            Role::Client,
            Some(eager(DeflateConfig::default())),
            Context::Kept,
        ),
        (
            Role::Client,
            Some(eager(DeflateConfig::default()).with_client_no_context_takeover()),
            Context::Anew,
        ),
        (Role::Client, None, Context::Anew),
    ];
    let room = Group::new(SlowMember::DropNewest);
    let mut members: Vec<(Peer, Codec, Vec<Vec<u8>>, Membership)> = Vec::new();
    for (role, config, context) in kinds {
        let extensions = match (role, config) {
            (_, None) => ExtensionStack::default(),
            (Role::Server, Some(config)) => server_stack(config),
            (_, Some(config)) => client_stack(config),
        };
        let (peer, session, _task) = run(role, extensions, Policy::default(), Echo::default());
        let membership = room.join(&session);
        members.push((peer, Codec::new(context), Vec::new(), membership));
    }
    let bodies = [noise(5_000), noise(24_000), noise(5_000), b"short".to_vec()];
    for body in &bodies {
        let report = room.broadcast(Prepared::from(&Message::binary(body.clone())));
        assert_eq!(report.queued(), members.len());
    }

    for (peer, codec, sent, _) in &mut members {
        for body in &bodies {
            let frame = peer.recv().await;
            let message = match frame.first {
                BINARY => frame.payload.clone(),
                _ => codec.inflate(&frame.payload),
            };
            assert!(message == *body, "{:#x}", frame.first);
            sent.push(frame.payload);
        }
    }
    let sent = |at: usize| &members[at].2;
    assert!(sent(0) == sent(1), "one form for both");
    assert!(sent(5) == sent(6), "the same history");
    assert!(sent(0) != sent(2) && sent(0) != sent(3));
    assert!(sent(4)[..] == bodies && sent(7)[..] == bodies, "plain");
    assert!(sent(5)[2].len() < 100, "it refers back to the first");
    assert!(sent(0)[2].len() > 3_000, "nothing to refer back to");
}

/// More sets of parameters than a message keeps forms for.
#[tokio::test(start_paused = true)]
async fn member_beyond_the_kept_forms_gets_its_own_all_the_same() {
    let room = Group::new(SlowMember::DropNewest);
    let text = "again and again, ".repeat(200);
    let mut members = Vec::new();
    for level in 1..=9 {
        for bits in [9, 15] {
            let config = anew().with_level(level).with_server_max_window_bits(bits);
            let (peer, session, _task) = run(
                Role::Server,
                server_stack(config),
                Policy::default(),
                Echo::default(),
            );
            members.push((peer, room.join(&session)));
        }
    }
    let prepared = Prepared::from(&Message::text(text.clone()));

    for _ in 0..2 {
        room.broadcast(&prepared);
        for (peer, _) in &mut members {
            let frame = peer.recv().await;
            assert_eq!(frame.first, TEXT | RSV1);
            let got = Codec::new(Context::Anew).inflate(&frame.payload);
            assert_eq!(got, text.as_bytes());
        }
    }
}

/// Also once the member is gone for which it was made.
#[tokio::test(start_paused = true)]
async fn form_outlives_the_session_that_it_was_made_for() {
    let prepared = Prepared::cut(&Message::text("again, ".repeat(1_000)), [3_000, 3_000]);
    let mut forms = Vec::new();
    for _ in 0..3 {
        let (mut peer, session, task) = run(
            Role::Server,
            server_stack(anew()),
            Policy::default(),
            Echo::default(),
        );
        // What it compressed before has no part in it.
        session.send_text("other, ".repeat(1_000)).await.unwrap();
        session.send_prepared(&prepared).await.unwrap();
        peer.recv().await;
        let frames = peer.recv_message().await;
        drop(peer);
        task.await.unwrap();

        let got = Codec::new(Context::Anew).inflate(&payload(&frames));
        assert_eq!(got, "again, ".repeat(1_000).as_bytes());
        assert_eq!(frames.len(), 3);
        forms.push(frames);
    }
    assert!(forms[0] == forms[1] && forms[0] == forms[2]);
}
