//! A server that can be watched: a line in the log for each session, numbers at `GET /stats`, the
//! same numbers pushed to everybody who is connected; and limits, so that no peer takes it all.
//!
//! Run it with `cargo run --example monitoring`, then connect to `ws://127.0.0.1:8080/`; messages
//! are echoed. Besides `ws-handler` it needs `hyper`, `http-body-util`, `tracing` and
//! `tracing-subscriber`.

use std::{convert::Infallible, future::ready, io, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};
use ws_handler::{
    Bytes, CloseEvent, ConfigError, FactoryStats, Message, Policy, Prepared, RefusalReason, Server,
    Session, SessionListener, ShutdownReport, WebSocketFactory, WebSocketHandler, from_fn,
    service_fn, shutdown_signal,
};

/// One line for each session that is over. It is told within the session's span, which says by
/// itself who it was, how it ended and how long it was; what went through it has to be added.
struct AccessLog;

impl SessionListener for AccessLog {
    /// Called by the session's task, so it must not wait: a log that is slow belongs behind a
    /// bounded channel.
    fn closed(&self, session: &Session, event: &CloseEvent) {
        let traffic = session.stats();
        tracing::info!(
            target: "access",
            messages_in = traffic.messages_in(),
            bytes_in = traffic.bytes_in(),
            messages_out = traffic.messages_out(),
            bytes_out = traffic.bytes_out(),
            missed = traffic.dropped(),
            round_trip = ?session.round_trip(),
            cause = event.cause().map(tracing::field::display),
            "session over"
        );
    }
}

pub(crate) fn policy() -> Policy {
    Policy::default()
        .with_max_sessions(50_000)
        // Behind a proxy everybody has the proxy's address: there a layer that trusts it has to
        // replace the request's `ConnectionInfo`, or this is a limit for all together.
        .with_max_sessions_per_peer(Some(20))
        // Finds peers that are gone without a word, keeps proxies from cutting what is silent, and
        // measures `Session::round_trip`.
        .with_ping_interval(Some(Duration::from_secs(20)))
        .with_pong_deadline(Some(Duration::from_secs(10)))
}

/// The numbers as JSON. Nothing in it is of a peer's choosing, so nothing has to be escaped.
fn json(stats: &FactoryStats) -> String {
    let traffic = stats.traffic();
    let numbers = [
        ("open", stats.open() as u64),
        ("opened", stats.opened()),
        ("closed", stats.closed()),
        ("lost", stats.closed_with(1006)),
        ("refused", stats.refused()),
        (
            "refused_over_limit_of_peer",
            stats.refused_for(RefusalReason::SessionsOfPeer),
        ),
        ("messages_in", traffic.messages_in()),
        ("messages_out", traffic.messages_out()),
        ("most_waiting_bytes", traffic.most_waiting_bytes()),
    ];
    let members = numbers.map(|(name, number)| format!("\"{name}\":{number}"));
    format!("{{{}}}", members.join(","))
}

/// Tells everybody the numbers, for as long as it is polled. Who has not read the ones before yet
/// misses these: newer ones will come, and nobody else waits.
async fn push_stats(factory: &WebSocketFactory, every: Duration) -> Infallible {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        // Encoded once, whoever gets it.
        let numbers = Prepared::from(json(&factory.stats()));
        for session in factory.sessions() {
            if session.queued().0 == 0 {
                // An error says that it is closing.
                let _closing = session.try_send_prepared(&numbers);
            }
        }
    }
}

/// What is no WebSocket. Everybody may see it here; put it where your other internal pages are.
fn plain<B>(factory: &WebSocketFactory, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET || request.uri().path() != "/stats" {
        let mut response = Response::new(Full::from("not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut response = Response::new(Full::from(json(&factory.stats())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Serves until `stop` resolves, and then for as long as the sessions take to end.
pub(crate) async fn serve(
    server: Server,
    policy: Policy,
    push_every: Duration,
    stop: impl Future<Output = ()>,
) -> Result<ShutdownReport, ConfigError> {
    let echo = |session: Session, message: Message| async move { Ok(session.send(message).await?) };
    let factory = WebSocketFactory::builder()
        .fallback(move |_request| from_fn(echo))
        .with_listener(AccessLog)
        .with_policy(policy)
        .build()?;
    let numbers = factory.clone();
    let inner = service_fn(move |request| ready(Ok::<_, Infallible>(plain(&numbers, &request))));
    let handler = WebSocketHandler::new(factory.clone(), inner);
    // Side by side in one task, so that the pushes end with the server.
    tokio::select! {
        report = server.serve(handler, stop) => Ok(report),
        never = push_stats(&factory, push_every) => match never {},
    }
}

/// Logs from level info: each session that is over, handshakes that are refused, and what fails.
/// `debug` for sessions that open, and for HTTP connections that fail.
pub(crate) fn log_to(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_writer(writer)
        .init();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    log_to(io::stderr);
    let server = Server::bind("127.0.0.1:8080").await?;
    tracing::info!("listening on http://{}/", server.local_addr());
    let report = serve(server, policy(), Duration::from_secs(1), shutdown_signal()).await?;
    tracing::info!(clean = report.clean(), cut = report.cut(), "stopped");
    Ok(())
}
