//! Frames for those who ask for them: shown first, taken or passed on.

use std::time::Duration;

use tokio::time::sleep;
use ws_factory::{
    BoxError, Close, CloseCode, CloseEvent, Endpoint, EventResult, Frame, FrameAction, OpCode,
    Policy, Session, Text,
};

use crate::{
    peer::{CLOSE, CONTINUATION, MORE, PING, TEXT, close, serve},
    recorder::{Log, ending},
};

/// Takes the frames whose payload begins with `take`, refuses with `refuse`, works on `work`.
struct Watcher(Log);

impl Endpoint for Watcher {
    const FRAMES: bool = true;

    async fn on_frame(&mut self, _: &Session, frame: &Frame) -> Result<FrameAction, BoxError> {
        let payload = frame.payload().escape_ascii();
        self.0.push(match frame.opcode() {
            OpCode::Close => "frame Close".to_owned(),
            opcode => format!("frame {opcode:?} {payload}"),
        });
        match frame.payload().as_ref() {
            [b't', b'a', b'k', b'e', ..] => Ok(FrameAction::Consume),
            b"refuse" => Err(Close::new(CloseCode::POLICY_VIOLATION, "").into()),
            _ => Ok(FrameAction::Continue),
        }
    }

    async fn on_text(&mut self, _: &Session, text: Text) -> EventResult {
        self.0.push(format!("text {text}"));
        if text == "work" {
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn on_ping(&mut self, _: &Session, payload: ws_factory::Bytes) -> EventResult {
        self.0.push(format!("ping {}", payload.escape_ascii()));
        Ok(())
    }

    async fn on_close(&mut self, _: &Session, event: &CloseEvent) {
        self.0.push(ending(event));
    }
}

/// Sends the frames, and the peer's Close; returns what the endpoint saw and what came back.
async fn watch(frames: &[(u8, &str)]) -> (Vec<String>, Vec<String>) {
    let log = Log::default();
    let (mut peer, _session, task) = serve(Policy::default(), Watcher(log.clone()));
    for (first, payload) in frames {
        peer.send(*first, payload).await;
    }
    peer.send(CLOSE, close(1000, "")).await;
    let answers = peer.rest().await;
    drop(peer);
    task.await.unwrap();
    (log.lines(), answers)
}

#[tokio::test(start_paused = true)]
async fn every_frame_is_shown_before_what_it_completes() {
    let frames = [(TEXT & MORE, "he"), (PING, "p"), (CONTINUATION, "llo")];

    let (seen, answers) = watch(&frames).await;

    assert_eq!(
        seen,
        [
            "frame Text he",
            "frame Ping p",
            "ping p",
            "frame Continuation llo",
            "text hello",
            "frame Close",
            "close 1000 by Remote, clean",
        ]
    );
    assert_eq!(answers, ["pong p", "close 1000", "end"]);
}

#[tokio::test(start_paused = true)]
async fn first_frame_that_is_taken_takes_the_message() {
    let frames = [
        (TEXT & MORE, "take this"),
        (CONTINUATION, "and this"),
        (PING, "take"),
        (TEXT, "next"),
    ];

    let (seen, answers) = watch(&frames).await;

    assert_eq!(
        seen[..5],
        [
            "frame Text take this",
            "frame Continuation and this",
            "frame Ping take",
            "frame Text next",
            "text next",
        ]
    );
    assert_eq!(answers[0], "pong take", "answered, and not told");
}

#[tokio::test(start_paused = true)]
async fn close_as_the_answer_to_a_frame_shows_no_more_data_frames() {
    let frames = [(TEXT, "refuse"), (TEXT, "not shown"), (PING, "p")];

    let (seen, answers) = watch(&frames).await;

    assert_eq!(
        seen,
        [
            "frame Text refuse",
            "frame Ping p",
            "ping p",
            "frame Close",
            "close 1000 by Local, clean",
        ]
    );
    assert_eq!(answers[answers.len() - 2..], ["close 1008", "end"]);
}

#[tokio::test(start_paused = true)]
async fn control_frames_that_came_while_a_handler_ran_are_shown_after_it() {
    let frames = [(TEXT, "work"), (PING, "p")];

    let (seen, _) = watch(&frames).await;

    assert_eq!(
        seen,
        [
            "frame Text work",
            "text work",
            "frame Ping p",
            "ping p",
            "frame Close",
            "close 1000 by Remote, clean",
        ]
    );
}
