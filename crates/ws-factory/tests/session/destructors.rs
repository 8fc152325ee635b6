//! What the application drops has the last word: it may send, wherever it is dropped.

use std::{cell::RefCell, sync::mpsc, thread, time::Duration};

use tokio::runtime;
use ws_factory::{Bytes, Policy, Prepared, Role, SendError, Session};

use crate::{
    peer::{run, serve},
    recorder::{Log, Recorder},
};

/// A payload that sends when the last of it is gone.
#[derive(Debug)]
struct Sends {
    payload: Vec<u8>,
    to: Session,
    told: mpsc::Sender<Result<(), SendError>>,
}

impl AsRef<[u8]> for Sends {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

impl Drop for Sends {
    fn drop(&mut self) {
        let _over = self.told.send(self.to.try_send_text("last"));
    }
}

/// Sends when its thread ends.
struct AtEnd(Session);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.try_send_text("copied").unwrap();
        self.0.try_send_prepared(&Prepared::from("shared")).unwrap();
        self.0.try_send_binary(vec![0; 16 * 1024]).unwrap();
    }
}

thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// The thread's room for what is sent is gone by then: what is registered last is dropped first.
#[tokio::test(start_paused = true)]
async fn destructor_of_a_thread_local_may_send() {
    let serve = || serve(Policy::default(), Recorder::new(&Log::default()));
    let (mut before, earlier, _task) = serve();
    let (mut peer, session, _task) = serve();

    let ended = thread::spawn(move || {
        AT_END.set(Some(AtEnd(session)));
        earlier.try_send_text("before").unwrap();
    });
    ended.join().unwrap();

    assert_eq!(before.recv().await, "text before");
    assert_eq!(peer.recv().await, "text copied");
    assert_eq!(peer.recv().await, "text shared");
    assert_eq!(peer.recv().await, "binary of 16384 bytes");
}

/// A session's end drops what it has not written, and what that drops asks the session. On a thread
/// of its own, which would wait for itself for ever.
#[test]
fn payload_that_was_not_written_may_send_when_the_session_drops_it() {
    for role in [Role::Server, Role::Client] {
        let (told, tells) = mpsc::channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let endpoint = Recorder::new(&Log::default());
                let (_peer, session, task) = run(role, 8, Policy::default(), endpoint);
                // The pipe takes the beginning of it, and nothing of what comes behind it.
                session.send_text("longer than the pipe").await.unwrap();
                tokio::task::yield_now().await;
                let payload = Bytes::from_owner(Sends {
                    payload: vec![0; 16 * 1024],
                    to: session.clone(),
                    told,
                });
                session.send_binary(payload).await.unwrap();
                session.abort();
                task.await.unwrap();
            });
        });

        let sent = tells.recv_timeout(Duration::from_secs(10)).unwrap();

        assert!(matches!(sent, Err(SendError::Closed(_))), "{role:?}");
    }
}
