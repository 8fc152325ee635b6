//! The ready-made server that most tests talk to.

use std::{future::pending, net::SocketAddr, time::Duration};

use http_body_util::Full;
use tokio::{sync::oneshot, task::JoinHandle};
use ws_handler::{
    Bytes, Endpoint, EventResult, InnerService, Message, Policy, Server, Session, ShutdownReport,
    WebSocketFactory, WebSocketHandler, service_fn,
};

use crate::{
    bounded::bounded,
    recorder::{Log, recorder},
};

/// Serves sessions that are recorded, and pages beside them.
pub(crate) async fn recording() -> (SocketAddr, Log) {
    let (make, log) = recorder();
    let factory = WebSocketFactory::builder().fallback(make).build().unwrap();
    (serve(WebSocketHandler::new(factory, pages())).await, log)
}

/// Serves sessions of [`Fickle`], with this policy.
pub(crate) async fn fickle(policy: Policy) -> SocketAddr {
    let factory = WebSocketFactory::builder()
        .fallback(|_| Fickle)
        .with_policy(policy)
        .build()
        .unwrap();
    serve(WebSocketHandler::new(factory, pages())).await
}

pub(crate) async fn serve(handler: WebSocketHandler<impl InnerService>) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    tokio::spawn(server.serve(handler, pending()));
    addr
}

/// Answers everything with a page.
pub(crate) fn pages() -> impl InnerService {
    service_fn(|_request| async {
        let page = Full::new(Bytes::from("a page"));
        Ok::<_, std::convert::Infallible>(http::Response::new(page))
    })
}

/// Echoes; reads no further once it has been told to stop.
pub(crate) struct Fickle;

impl Endpoint for Fickle {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        if message.as_bytes() == b"stop" {
            pending::<()>().await;
        }
        session.send(message).await?;
        Ok(())
    }
}

/// A server that can be stopped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<ShutdownReport>,
}

impl Running {
    pub(crate) async fn start(
        handler: WebSocketHandler<impl InnerService>,
        deadline: Duration,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr();
        let server = server.with_shutdown_deadline(deadline);
        let done = tokio::spawn(server.serve(handler, async move { drop(stopped.await) }));
        Self { addr, stop, done }
    }

    /// Tells it to stop; what is returned ends when it has.
    pub(crate) fn stop(self) -> impl Future<Output = ShutdownReport> {
        self.stop.send(()).unwrap();
        async { bounded(self.done).await.unwrap() }
    }
}
