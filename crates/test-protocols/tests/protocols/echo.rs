//! `echo`: every data frame back as it came.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::peer::{Peer, header, start, tungstenite, wire, within};

#[tokio::test]
async fn frames_come_back_as_they_came() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo").await;
        let sent = [
            wire(0x81, "whole"),
            wire(0x82, [0x00, 0xff]),
            wire(0x81, ""),
            wire(0x01, "fra"),
            wire(0x00, ""),
            // A character that is cut between two frames.
            wire(0x00, b"gm\xc3"),
            wire(0x80, b"\xa9nts"),
            wire(0x02, ""),
            wire(0x80, ""),
            wire(0x82, vec![7; 65_536]),
        ];

        let received = peer.exchange(&sent).await;

        assert_eq!(received, sent);
    })
    .await;
}

#[tokio::test]
async fn fragment_comes_back_before_the_next_is_sent() {
    within(async {
        let mut peer = Peer::connect(start().await, "lws-mirror-protocol").await;

        for frame in [wire(0x01, "a"), wire(0x00, "b"), wire(0x80, "c")] {
            peer.send(frame.first, &frame.payload).await;
            assert_eq!(peer.recv().await, frame);
        }
    })
    .await;
}

#[tokio::test]
async fn message_of_many_frames_comes_back_frame_by_frame() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo").await;
        let mut sent = vec![wire(0x02, [0])];
        sent.extend((1..20_000u32).map(|n| wire(0x00, n.to_be_bytes())));
        sent.push(wire(0x80, ""));

        let received = peer.exchange(&sent).await;

        assert!(received == sent);
    })
    .await;
}

/// Nothing of a message is kept, so only its frames are limited.
#[tokio::test]
async fn message_longer_than_any_limit_comes_back_in_its_frames() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo").await;
        let large = vec![0x5a; 24 << 20];
        let sent = [
            wire(0x02, large.clone()),
            wire(0x00, large.clone()),
            wire(0x80, large),
        ];

        let received = peer.exchange(&sent).await;

        assert!(received == sent);
    })
    .await;
}

#[tokio::test]
async fn frame_of_more_than_64_mib_is_refused_at_its_header() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo").await;
        let header = header(0x82, (64 << 20) + 1);

        peer.writer.send_bytes(&header).await;
        peer.writer.send_bytes(&[0; 4]).await;

        assert_eq!(peer.closed().await.0, 1009);
        peer.reader.end().await;
    })
    .await;
}

#[tokio::test]
async fn control_frames_are_not_echoed() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo").await;

        peer.send(0x01, b"he").await;
        peer.send(0x8a, b"nobody asked").await;
        peer.send(0x89, b"ping").await;
        peer.send(0x80, b"llo").await;
        let mut received = Vec::new();
        for _ in 0..3 {
            received.push(peer.recv().await);
        }

        // A Pong may overtake data.
        let pong = received.iter().position(|frame| frame.first == 0x8a);
        assert_eq!(received.remove(pong.unwrap()), wire(0x8a, "ping"));
        assert_eq!(received, [wire(0x01, "he"), wire(0x80, "llo")]);
        peer.send(0x88, &1000u16.to_be_bytes()).await;
        assert_eq!(peer.closed().await, (1000, String::new()));
    })
    .await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_not_echoed_but_1007() {
    within(async {
        let server = start().await;
        for bad in [&b"\xff"[..], b"ok\xc3\x28", b"\xed\xa0\x80", b"\xc3"] {
            let mut peer = Peer::connect(server, "echo").await;

            peer.send(0x81, bad).await;

            assert_eq!(peer.closed().await.0, 1007, "{bad:x?}");
            peer.reader.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn message_that_turns_bad_ends_with_1007_behind_its_good_fragments() {
    within(async {
        let mut peer = Peer::connect(start().await, "echo").await;

        peer.send(0x01, b"good\xc3").await;
        peer.send(0x80, b"bad").await;

        assert_eq!(peer.recv().await, wire(0x01, b"good\xc3"));
        assert_eq!(peer.closed().await.0, 1007);
        peer.reader.end().await;
    })
    .await;
}

/// tungstenite assembles what it is sent, and is strict about what may follow what.
#[tokio::test]
async fn tungstenite_takes_the_fragments_for_its_message() {
    within(async {
        let mut client = tungstenite(start().await, "/", Some("echo")).await;
        for (payload, opcode, fin) in [("he", Data::Text, false), ("llo", Data::Continue, true)] {
            let frame = Frame::message(payload, OpCode::Data(opcode), fin);
            client.send(Message::Frame(frame)).await.unwrap();
        }

        let received = client.next().await.unwrap().unwrap();

        assert_eq!(received, Message::text("hello"));
        client.close(None).await.unwrap();
        assert!(client.next().await.unwrap().unwrap().is_close());
        assert!(client.next().await.is_none());
    })
    .await;
}
