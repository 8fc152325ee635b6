//! `echo-broadcast`: every message to everybody, in the frames that it came in.

use std::net::SocketAddr;

use crate::peer::{Peer, masked, start, wire, within};

/// Clients that are all in the group: each has been answered.
async fn members<const N: usize>(server: SocketAddr, subprotocols: [&str; N]) -> [Peer; N] {
    let mut members = Vec::new();
    for subprotocol in subprotocols {
        let mut peer = Peer::connect(server, subprotocol).await;
        peer.settle().await;
        members.push(peer);
    }
    members.try_into().map_err(drop).unwrap()
}

#[tokio::test]
async fn everybody_gets_every_message_in_its_frames() {
    within(async {
        let subprotocols = ["echo-broadcast", "org.ietf.websocket.test-echo-broadcast"];
        let mut members = members(start().await, subprotocols).await;
        let message = [
            wire(0x01, "he"),
            wire(0x00, ""),
            wire(0x00, b"ll\xc3"),
            wire(0x80, b"\xb6"),
            wire(0x82, [0xff]),
            wire(0x02, ""),
            wire(0x80, ""),
            wire(0x81, ""),
        ];

        for frame in &message {
            members[1].send(frame.first, &frame.payload).await;
        }

        for member in &mut members {
            for frame in &message {
                assert_eq!(member.recv().await, *frame);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn frames_of_two_messages_never_interleave_at_a_receiver() {
    within(async {
        let subprotocols = ["echo-broadcast"; 3];
        let [mut first, mut second, mut third] = members(start().await, subprotocols).await;

        first.send(0x01, b"1a").await;
        first.settle().await;
        second.send(0x02, b"2a").await;
        second.send(0x80, b"2b").await;
        for member in [&mut second, &mut third] {
            assert_eq!(member.recv().await, wire(0x02, "2a"));
            assert_eq!(member.recv().await, wire(0x80, "2b"));
        }
        first.send(0x80, b"1b").await;

        for member in [&mut second, &mut third] {
            assert_eq!(member.recv().await, wire(0x01, "1a"));
            assert_eq!(member.recv().await, wire(0x80, "1b"));
        }
    })
    .await;
}

#[tokio::test]
async fn no_message_of_two_busy_senders_is_lost_or_torn() {
    const MESSAGES: u32 = 500;
    within(async {
        let subprotocols = ["echo-broadcast"; 3];
        let [mut one, mut two, mut third] = members(start().await, subprotocols).await;
        let send = async |peer: &mut Peer, name: u8| {
            let Peer { reader, writer } = peer;
            let write = async {
                for n in 0..MESSAGES {
                    let mut frames = masked(0x02, &[name]);
                    frames.extend(masked(0x00, &n.to_be_bytes()));
                    frames.extend(masked(0x80, &vec![name; (n % 7 * 1000) as usize]));
                    writer.send_bytes(&frames).await;
                }
            };
            let read = async {
                for _ in 0..6 * MESSAGES {
                    reader.recv().await;
                }
            };
            tokio::join!(write, read);
        };
        let watch = async {
            let mut seen = [0u32; 2];
            for _ in 0..2 * MESSAGES {
                let name = third.recv().await;
                assert_eq!(name.first, 0x02);
                let name = name.payload[0];
                let n = seen[usize::from(name)];
                seen[usize::from(name)] += 1;
                assert_eq!(third.recv().await, wire(0x00, n.to_be_bytes()));
                let tail = vec![name; (n % 7 * 1000) as usize];
                assert_eq!(third.recv().await, wire(0x80, tail));
            }
            assert_eq!(seen, [MESSAGES; 2]);
        };

        tokio::join!(send(&mut one, 0), send(&mut two, 1), watch);
    })
    .await;
}

#[tokio::test]
async fn only_those_of_the_same_protocol_hear_it() {
    within(async {
        let subprotocols = ["echo-broadcast", "echo-broadcast-ping", "echo"];
        let [mut broadcast, mut with_ping, mut echo] = members(start().await, subprotocols).await;

        broadcast.send(0x81, b"for one").await;
        assert_eq!(broadcast.recv().await, wire(0x81, "for one"));
        with_ping.send(0x81, b"for the other").await;
        assert_eq!(with_ping.recv().await, wire(0x81, "for the other"));

        for peer in [&mut broadcast, &mut with_ping, &mut echo] {
            peer.settle().await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_has_left_is_missed_by_nobody() {
    within(async {
        let [mut one, mut two] = members(start().await, ["echo-broadcast-ping"; 2]).await;

        one.send(0x88, &1000u16.to_be_bytes()).await;
        assert_eq!(one.closed().await.0, 1000);
        drop(one);
        two.send(0x81, b"anybody?").await;

        assert_eq!(two.recv().await, wire(0x81, "anybody?"));
        two.settle().await;
    })
    .await;
}

#[tokio::test]
async fn message_of_65_536_boundaries_passes_and_one_more_is_1008() {
    within(async {
        let [mut peer] = members(start().await, ["echo-broadcast"]).await;
        let message = |boundaries: usize| {
            let mut frames = masked(0x02, b"");
            for _ in 1..boundaries {
                frames.extend(masked(0x00, b""));
            }
            frames.extend(masked(0x80, b""));
            frames
        };

        peer.writer.send_bytes(&message(65_536)).await;
        assert_eq!(peer.recv().await, wire(0x02, ""));
        for _ in 1..65_536 {
            assert_eq!(peer.recv().await, wire(0x00, ""));
        }
        assert_eq!(peer.recv().await, wire(0x80, ""));

        peer.writer.send_bytes(&message(65_537)).await;
        assert_eq!(peer.closed().await, (1008, "too many frames".to_owned()));
    })
    .await;
}
