//! The ready-made server on several threads, each with a listener and a runtime of its own.
//!
//! ```text
//!   one port ─▶ listener ─▶ thread: current-thread runtime, its requests, its sessions ┐
//!            ─▶ listener ─▶ thread: …                                                  ┼─ one handler
//!            ─▶ listener ─▶ thread: …                                                  ┘
//! ```
//!
//! The listeners share the port by `SO_REUSEPORT`, so the kernel hands each connection to one
//! thread, and there it stays to its end. What is shared is the handler with its factories; who
//! called starts the threads, waits for the shutdown, and ends the factories' sessions once, while
//! all threads still drive them.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host},
    runtime,
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{
    InnerService, Routes, Server, ShutdownReport, WebSocketHandler,
    connection_limit::ConnectionLimit, server_settings::Deadlines,
};

/// A [`Server`] on several threads, each of which accepts, and runs what it accepted, alone.
///
/// Its settings, their defaults and its limits are those of [`Server`].
///
/// No task ever moves to another thread, which saves what a multi-thread runtime pays for moving
/// them. In exchange nobody takes over the work of a thread that has too much of it: it suits many
/// connections of the same kind. [`Server`] on a multi-thread runtime suits the rest.
///
/// - The kernel chooses the thread by the connection's addresses, so few connections may be spread
///   unevenly. Linux spreads; other systems may prefer one listener.
/// - Events run on their session's thread, and so does what they spawn, until the server ends.
///   Sessions, groups and topics are used from any thread.
/// - A thread is not bound to a core; the operating system places it.
/// - Another process of the same user may listen on the same port in the same way, and then gets
///   a part of the connections: a second server is not noticed by a port that is taken.
///
/// ```no_run
/// # async fn example(factory: ws_handler::WebSocketFactory) -> std::io::Result<()> {
/// use ws_handler::{NotFound, PerCore, WebSocketHandler, shutdown_signal};
///
/// let threads = std::thread::available_parallelism()?;
/// let server = PerCore::bind("127.0.0.1:8080", threads).await?;
/// println!("listening on {}", server.local_addr());
/// let report = server
///     .serve(WebSocketHandler::new(factory, NotFound), shutdown_signal())
///     .await?;
/// println!("{} sessions ended cleanly", report.clean());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is accepted until it serves"]
pub struct PerCore {
    /// One for each thread.
    listeners: Vec<StdListener>,
    local: SocketAddr,
    deadlines: Deadlines,
    connections: ConnectionLimit,
}

impl PerCore {
    /// Listens on an address once for each thread; port 0 takes a free one, the same for all.
    ///
    /// # Errors
    ///
    /// As the operating system says, for instance that the port is taken by somebody who does not
    /// share it; [`io::ErrorKind::Unsupported`] where there is no `SO_REUSEPORT`, as on Windows.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nobody listens.
    pub async fn bind(address: impl ToSocketAddrs, threads: NonZeroUsize) -> io::Result<Self> {
        let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for address in lookup_host(address).await? {
            match listen(address, threads) {
                Ok((local, listeners)) => {
                    return Ok(Self {
                        listeners,
                        local,
                        deadlines: Deadlines::default(),
                        connections: ConnectionLimit::default(),
                    });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The address that all threads listen on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// As [`Server::with_request_deadline`]. Default: 10 s. At most a year.
    pub fn with_request_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines = self.deadlines.with_request(deadline);
        self
    }

    /// As [`Server::with_write_deadline`]. Default: 60 s. At most a year.
    pub fn with_write_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines = self.deadlines.with_write(deadline);
        self
    }

    /// As [`Server::with_http2_idle_timeout`]. Default: 60 s. At most a year.
    pub fn with_http2_idle_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines = self.deadlines.with_http2_idle(timeout);
        self
    }

    /// As [`Server::with_http2_ping_interval`]. Default: 30 s. At least a second, at most a year.
    pub fn with_http2_ping_interval(mut self, interval: Duration) -> Self {
        self.deadlines = self.deadlines.with_http2_ping(interval);
        self
    }

    /// As [`Server::with_shutdown_deadline`]. Default: 10 s.
    pub const fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.shutdown = deadline;
        self
    }

    /// As [`Server::with_max_connections`], of all threads together. Default: `None`.
    pub fn with_max_connections(mut self, most: Option<usize>) -> Self {
        self.connections = ConnectionLimit::new(most);
        self
    }

    /// Starts the threads, which accept and serve until `shutdown` resolves; then closes every
    /// session with 1001, lets requests finish, and returns how the sessions ended when all
    /// threads have, too.
    ///
    /// `shutdown` runs where this is called, on any kind of runtime. Blocking work that was begun
    /// with `spawn_blocking` is not waited for.
    ///
    /// # Errors
    ///
    /// If the system gives no thread, or not what its runtime needs: the others are stopped as by
    /// `shutdown` first.
    ///
    /// # Panics
    ///
    /// If a thread did, once the others are stopped. A panic in an event, or in the inner service,
    /// ends no thread.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, its threads end at once, and with them requests and sessions:
    /// those see no further event, and [`crate::Session::closed`] tells 1006.
    pub async fn serve<S: InnerService>(
        self,
        handler: WebSocketHandler<S>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<ShutdownReport> {
        let deadlines = self.deadlines;
        let routes = handler.routes().clone();
        let handler = Arc::new(handler);
        let mut threads = Threads::default();
        let mut started = Ok(());
        for listener in self.listeners {
            let handler = Arc::clone(&handler);
            let limit = self.connections.clone();
            let serve = move |phase| serve_here(listener, deadlines, limit, handler, phase);
            started = threads.start(serve);
            if started.is_err() {
                break;
            }
        }
        let shutdown = async {
            if started.is_ok() {
                shutdown.await;
            }
        };
        let report = threads.run(shutdown, &routes, deadlines.shutdown).await;
        started.and(report)
    }
}

/// How many connections wait to be accepted, in each thread's listener; as many as in [`Server`]'s.
const BACKLOG: u32 = 1024;

/// So many listeners on the port, and which port that is.
fn listen(address: SocketAddr, count: NonZeroUsize) -> io::Result<(SocketAddr, Vec<StdListener>)> {
    let first = shared_listener(address)?;
    let local = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < count.get() {
        listeners.push(shared_listener(local)?);
    }
    Ok((local, listeners))
}

fn shared_listener(address: SocketAddr) -> io::Result<StdListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    share_port(&socket)?;
    // As `TcpListener::bind`: a server that starts again need not wait for its old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Off this runtime again: the one that it is for is not there yet.
    socket.listen(BACKLOG)?.into_std()
}

#[cfg(all(
    unix,
    not(any(
        target_os = "solaris",
        target_os = "illumos",
        target_os = "cygwin",
        target_os = "nuttx"
    ))
))]
fn share_port(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseport(true)
}

#[cfg(not(all(
    unix,
    not(any(
        target_os = "solaris",
        target_os = "illumos",
        target_os = "cygwin",
        target_os = "nuttx"
    ))
)))]
fn share_port(_socket: &TcpSocket) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "listeners cannot share a port on this system; use `Server`",
    ))
}

/// All that one thread does.
fn serve_here<S: InnerService>(
    listener: StdListener,
    deadlines: Deadlines,
    limit: ConnectionLimit,
    handler: Arc<WebSocketHandler<S>>,
    phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let server = Server::from_listener(TcpListener::from_std(listener)?)?;
        let server = server
            .with_deadlines(deadlines)
            .with_connection_limit(limit);
        let serving = async {
            let stop = reached(phase.clone(), Phase::Stopping);
            let requests = server.accept_until(handler, stop).await;
            requests.finish(deadlines.shutdown).await;
            // The sessions need this runtime until their last event.
            reached(phase.clone(), Phase::SessionsOver).await;
        };
        tokio::select! {
            biased;
            () = abandoned(phase.clone()) => {}
            () = serving => {}
        }
        Ok(())
    });
    // Dropping it would wait for blocking work, however long that takes.
    runtime.shutdown_background();
    served
}

/// How far the server is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    #[default]
    Serving,
    /// Nothing is accepted, requests finish, sessions close.
    Stopping,
    /// Nothing is left that needs the threads.
    SessionsOver,
}

async fn reached(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    let _abandoned = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Resolves when nobody is left to tell a phase.
async fn abandoned(mut phase: watch::Receiver<Phase>) {
    while phase.changed().await.is_ok() {}
}

/// The threads, and what tells them how far the server is. Dropped, it ends them.
#[derive(Default)]
struct Threads {
    phase: watch::Sender<Phase>,
    running: JoinSet<thread::Result<io::Result<()>>>,
}

impl Threads {
    fn start(
        &mut self,
        work: impl FnOnce(watch::Receiver<Phase>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let phase = self.phase.subscribe();
        let (alive, ended) = oneshot::channel::<Infallible>();
        let name = format!("ws-per-core-{}", self.running.len());
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _alive = alive;
            work(phase)
        })?;
        self.running.spawn(async move {
            let _ended = ended.await;
            // Blocks no longer than the thread needs to drop what was local to it.
            thread.join()
        });
        Ok(())
    }

    /// Waits for `shutdown`, or for the first thread that fails; then stops everything.
    async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        routes: &Routes,
        deadline: Duration,
    ) -> io::Result<ShutdownReport> {
        let mut failure = tokio::select! {
            biased;
            () = shutdown => None,
            Some(ended) = self.running.join_next() => failure_of(ended),
        };
        self.phase.send_replace(Phase::Stopping);
        let report = routes.shutdown(deadline).await;
        self.phase.send_replace(Phase::SessionsOver);
        while let Some(ended) = self.running.join_next().await {
            failure = failure.or_else(|| failure_of(ended));
        }
        match failure {
            None => Ok(report),
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic(panic)) => resume_unwind(panic),
        }
    }
}

/// Why a thread ended before it was told to.
enum Failure {
    Error(io::Error),
    Panic(Box<dyn std::any::Any + Send>),
}

/// `ended` is what the task says that joined the thread.
fn failure_of(
    ended: Result<thread::Result<io::Result<()>>, tokio::task::JoinError>,
) -> Option<Failure> {
    match ended {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(Failure::Error(error)),
        Ok(Err(panic)) => Some(Failure::Panic(panic)),
        Err(aborted) => Some(Failure::Error(aborted.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WebSocketFactory, from_fn};

    #[tokio::test]
    async fn thread_that_fails_stops_the_others_and_its_error_is_returned() {
        let outcome = beside_one_that_serves(|_phase| Err(io::ErrorKind::OutOfMemory.into())).await;

        let error = outcome.expect("no panic").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    #[tokio::test]
    async fn thread_that_panics_stops_the_others_and_its_panic_is_passed_on() {
        let outcome = beside_one_that_serves(|_phase| panic!("out of order")).await;

        let panic = outcome.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"out of order"));
    }

    /// What comes of `work` on one thread, once another has been told to stop, in order.
    async fn beside_one_that_serves(
        work: impl FnOnce(watch::Receiver<Phase>) -> io::Result<()> + Send + 'static,
    ) -> Result<io::Result<ShutdownReport>, tokio::task::JoinError> {
        let (done, stopped) = oneshot::channel();
        let mut threads = Threads::default();
        threads
            .start(move |phase| {
                let runtime = runtime::Builder::new_current_thread().build()?;
                runtime.block_on(reached(phase.clone(), Phase::SessionsOver));
                let _nobody_asks = done.send(*phase.borrow());
                Ok(())
            })
            .unwrap();
        threads.start(work).unwrap();
        let factory = WebSocketFactory::builder()
            .fallback(|_| from_fn(|_session, _message| async { Ok(()) }))
            .build()
            .unwrap();
        let routes = Routes::from(factory);

        let running = async move {
            let never = std::future::pending();
            threads.run(never, &routes, Duration::from_secs(10)).await
        };
        let bounded = tokio::time::timeout(Duration::from_secs(20), tokio::spawn(running));
        let outcome = bounded.await.expect("it ends");
        assert_eq!(stopped.await, Ok(Phase::SessionsOver));
        outcome
    }
}
