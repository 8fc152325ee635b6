//! The peer breaks the protocol, or the stream.

use std::{future::pending, time::Duration};

use tokio::time::sleep;
use ws_factory::{CloseCode, Policy};

use crate::{
    peer::{BINARY, CLOSE, CONTINUATION, MORE, TEXT, close, serve},
    recorder::{Log, Recorder, Told},
};

/// Hostile inputs K3, K4 and K6 among others: the code, and the rule as the reason.
#[tokio::test(start_paused = true)]
async fn broken_rule_is_the_close_that_is_sent_and_told() {
    let rows: [(&str, Vec<u8>, &str); 8] = [
        (
            "RSV1",
            b"\xC1\x80\0\0\0\0".to_vec(),
            "1002 reserved bits 0b100 set without an extension that defines them",
        ),
        (
            "no mask",
            b"\x81\x02hi".to_vec(),
            "1002 frame from a client is not masked",
        ),
        (
            "K3",
            masked(CLOSE, b"\x03"),
            "1002 Close with half a status code",
        ),
        (
            "K4",
            masked(CLOSE, &close(1005, "")),
            "1002 status code 1005 may not be sent",
        ),
        (
            "K6",
            b"\x88\xFE\0\x7E".to_vec(),
            "1002 control frame of more than 125 bytes",
        ),
        (
            "order",
            masked(CONTINUATION, b"x"),
            "1002 continuation without a message to continue",
        ),
        (
            "UTF-8",
            masked(TEXT, b"ab\xFF"),
            "1007 text is not UTF-8 at byte 2",
        ),
        (
            "size",
            b"\x82\xFF\0\0\0\0\0\x01\0\x01".to_vec(),
            "1009 frame of 65537 bytes passes the limit of 65536",
        ),
    ];

    for (row, bytes, expected) in rows {
        let log = Log::default();
        let (mut peer, _session, task) = serve(Policy::default(), Recorder::new(&log));
        peer.send_bytes(&bytes).await;
        let frames = peer.rest().await;
        drop(peer);
        task.await.unwrap();

        let (code, rule) = expected.split_once(' ').unwrap();
        assert_eq!(frames, [&format!("close {expected}"), "end"], "{row}");
        let whose = match code {
            "1009" => "past a limit of our policy",
            _ => "peer broke the protocol",
        };
        let told = format!("{whose}: {rule}");
        assert_eq!(
            log.lines(),
            [
                "connect".to_owned(),
                format!("error: {told}"),
                format!("close {code} '{rule}' by Local: {told}"),
            ],
            "{row}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_grows_past_its_limit_fails_with_1009() {
    let policy = Policy::default().with_max_binary_bytes(10);
    let (mut peer, session, _task) = serve(policy, Recorder::new(&Log::default()));

    peer.send(BINARY & MORE, [0; 6]).await;
    peer.send(CONTINUATION, [0; 6]).await;

    let expected = "close 1009 message passes the limit of 10 bytes";
    assert_eq!(peer.rest().await, [expected, "end"]);
    let event = session.closed().await;
    assert_eq!(event.status(), 1009);
    assert_eq!(
        event.cause().unwrap().to_string(),
        "past a limit of our policy: message passes the limit of 10 bytes"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_leaves_before_the_close_that_fails_the_peer() {
    let echo = Recorder::acting(&Log::default(), |session, told| async move {
        if let Told::Message(message) = told {
            session.send(message).await?;
        }
        Ok(())
    });
    let (mut peer, _session, _task) = serve(Policy::default(), echo);

    peer.send(TEXT, "good").await;
    peer.send_bytes(b"\x83").await;

    assert_eq!(
        peer.rest().await,
        ["text good", "close 1002 reserved opcode 0x3", "end"]
    );
}

/// Found while the handler runs: it may finish, but not send.
#[tokio::test(start_paused = true)]
async fn broken_rule_behind_a_running_handler_is_the_end_that_is_told() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        if let Told::Message(_) = told {
            sleep(Duration::from_secs(1)).await;
            session.send_text("too late").await?;
        }
        Ok(())
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    peer.send_bytes(b"\x8B").await;
    let frames = peer.rest().await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(frames, ["close 1002 reserved opcode 0xb", "end"]);
    assert_eq!(
        log.lines()[2..],
        [
            "error: peer broke the protocol: reserved opcode 0xb",
            "close 1002 'reserved opcode 0xb' by Local: \
             peer broke the protocol: reserved opcode 0xb",
        ]
    );
}

/// Hostile input K12.
#[tokio::test(start_paused = true)]
async fn end_of_the_stream_without_close_is_connection_lost() {
    for bytes in [b"".as_slice(), b"\x81", b"\x81\x85\0\0\0\0He"] {
        let log = Log::default();
        let (mut peer, _session, task) = serve(Policy::default(), Recorder::new(&log));

        peer.send_bytes(bytes).await;
        drop(peer);
        task.await.unwrap();

        assert_eq!(
            log.lines(),
            [
                "connect",
                "error: connection lost",
                "close 1006 by Remote: connection lost",
            ]
        );
    }
}

/// Hostile input K12, by a write that fails: the reading end is behind a message.
#[tokio::test(start_paused = true)]
async fn reset_while_a_handler_runs_ends_it_as_connection_lost() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |session, told| async move {
        if let Told::Message(_) = told {
            loop {
                session.send_text("anybody?").await?;
                sleep(Duration::from_secs(1)).await;
            }
        }
        Ok(())
    });
    let (mut peer, _session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    peer.send(TEXT, "this waits, so the end of the stream behind it does")
        .await;
    assert_eq!(peer.recv().await, "text anybody?");
    drop(peer);
    task.await.unwrap();

    assert_eq!(
        log.lines(),
        [
            "connect",
            "text work",
            "error: connection lost",
            "close 1006 by Remote: connection lost",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn handler_that_ignores_a_lost_connection_is_dropped_after_the_close_timeout() {
    let log = Log::default();
    let endpoint = Recorder::acting(&log, |_, told| async move {
        if let Told::Message(_) = told {
            pending::<()>().await;
        }
        Ok(())
    });
    let (mut peer, session, task) = serve(Policy::default(), endpoint);

    peer.send(TEXT, "work").await;
    drop(peer);
    task.await.unwrap();

    assert_eq!(log.lines()[2], "error: connection lost");
    assert!(session.send_text("late").await.is_err());
}

/// Both are true; the peer can be told one, which is our Close.
#[tokio::test(start_paused = true)]
async fn rule_broken_after_our_close_changes_nothing_on_the_wire() {
    let log = Log::default();
    let (mut peer, session, _task) = serve(Policy::default(), Recorder::new(&log));

    session.close(CloseCode::NORMAL, "");
    assert_eq!(peer.recv().await, "close 1000");
    peer.send_bytes(b"\x83").await;

    assert_eq!(peer.rest().await, ["end"]);
    assert_eq!(
        log.lines()[1],
        "error: peer broke the protocol: reserved opcode 0x3"
    );
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    crate::peer::frame(ws_factory::Role::Server, first, payload)
}
