//! A chat with rooms, and a page for it: run it with `cargo run --example chat` and open
//! `http://127.0.0.1:8080/` twice. Everything that is a WebSocket's is `ws-handler`'s; the page
//! needs `hyper` and `http-body-util` besides.
//!
//! `/chat/{room}` is a WebSocket of text messages. `/name ada` takes a name, `/typing` tells the
//! others, anything else is said. What comes back is `ada: hello`, or a notice that begins with `*`.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{convert::Infallible, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ws_handler::{
    Bytes, Close, CloseCode, CloseEvent, EventResult, Membership, Policy, Server, ServletError,
    Servlets, Session, ShutdownReport, SlowMember, StatelessEndpoint, Text, TopicError, Topics,
    WebSocketFactoryBuilder, service_fn, shutdown_signal,
};

/// One for all sessions: what belongs to one of them is in its `extensions`.
struct Chat {
    /// What is said. Nobody must miss a line without knowing: who cannot keep up is closed with
    /// 1013, and comes back.
    said: Topics,
    /// Who comes, goes and types. Who cannot keep up misses it, and nobody waits.
    notices: Topics,
}

/// What a member is called.
struct Name(String);

/// A member's places in both topics of its room; given up with the session that keeps them.
type Seats = [Membership; 2];

/// How long a room waits for a member that is behind. Meanwhile the one who spoke is not read
/// either, so nobody can talk faster than the slowest listens; this bounds for how long.
const PATIENCE: Duration = Duration::from_secs(1);

impl Chat {
    fn new() -> Self {
        Self {
            // The names of rooms are the peers' choice, so there is a bound on how many there are.
            said: Topics::new(SlowMember::Close).with_max_topics(10_000),
            notices: Topics::new(SlowMember::DropNewest).with_max_topics(10_000),
        }
    }

    fn notice(&self, session: &Session, name: &Name, what: &str) {
        let notice = format!("* {} {what}", name.0);
        self.notices
            .broadcast_except(room(session), notice, session);
    }
}

impl StatelessEndpoint for Chat {
    async fn on_connect(&self, session: &Session) -> EventResult {
        let seats: Seats = [
            self.said.join(room(session), session).map_err(refused)?,
            self.notices.join(room(session), session).map_err(refused)?,
        ];
        session.extensions().insert(seats);
        let name = Name(format!("guest-{}", session.id()));
        session.send_text(format!("* you are {}", name.0)).await?;
        self.notice(session, &name, "has come");
        session.extensions().insert(name);
        Ok(())
    }

    async fn on_text(&self, session: &Session, text: Text) -> EventResult {
        let Some(name) = session.extensions().get::<Name>() else {
            return Ok(());
        };
        if let Some(new) = text.strip_prefix("/name ") {
            let Some(new) = Name::parse(new) else {
                session
                    .send_text("* a name has 1 to 24 letters and digits")
                    .await?;
                return Ok(());
            };
            session.send_text(format!("* you are {}", new.0)).await?;
            self.notice(session, &name, &format!("is now {}", new.0));
            session.extensions().insert(new);
        } else if *text == *"/typing" {
            self.notice(session, &name, "is typing");
        } else {
            // To the speaker, too, who so sees the order in which everybody has it.
            let line = format!("{}: {text}", name.0);
            self.said
                .broadcast_within(room(session), line, PATIENCE)
                .await;
        }
        Ok(())
    }

    async fn on_close(&self, session: &Session, _event: &CloseEvent) {
        // None, if it never got a seat.
        if let Some(name) = session.extensions().get::<Name>() {
            self.notice(session, &name, "has left");
        }
    }
}

impl Name {
    /// Nothing that could look like somebody else's line. Who they really are, a login would know:
    /// `endpoint_with` can ask one before the 101.
    fn parse(name: &str) -> Option<Self> {
        let fits = (1..=24).contains(&name.chars().count());
        let fits = fits && name.chars().all(char::is_alphanumeric);
        fits.then(|| Self(name.to_owned()))
    }
}

fn refused(error: TopicError) -> Close {
    let code = match error {
        TopicError::TooMany { .. } => CloseCode::TRY_AGAIN_LATER,
        _ => CloseCode::POLICY_VIOLATION,
    };
    Close::new(code, error.to_string())
}

fn room(session: &Session) -> &str {
    session.request().path_param("room").unwrap_or_default()
}

fn policy() -> Policy {
    Policy::default()
        .with_max_text_bytes(4096)
        .with_max_binary_bytes(0)
        // What waits for a member that does not read; then it is behind.
        .with_max_outbox_bytes(256 * 1024)
        .with_max_sessions_per_peer(Some(100))
        // Proxies cut what is silent, mostly after a minute.
        .with_ping_interval(Some(Duration::from_secs(30)))
        .with_pong_deadline(Some(Duration::from_secs(10)))
}

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_page = request.method() == Method::GET && request.uri().path() == "/";
    if !is_page {
        let mut response = Response::new(Full::from("not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let mut response = Response::new(Full::from(include_str!("chat.html")));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Serves until `stop` resolves. Then every session is closed with 1001, and those that have not
/// answered at the server's deadline are cut.
pub(crate) async fn serve(
    server: Server,
    stop: impl Future<Output = ()>,
) -> Result<ShutdownReport, ServletError> {
    let chat = |factory: WebSocketFactoryBuilder| factory.fallback_shared(Chat::new());
    let handler = Servlets::new()
        .with_policy(policy())
        .mount("/chat/{room}", chat)?
        .around(service_fn(page));
    Ok(server.serve(handler, stop).await)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::bind("127.0.0.1:8080")
        .await?
        // Shorter than what a supervisor waits between SIGTERM and SIGKILL.
        .with_shutdown_deadline(Duration::from_secs(8));
    println!("open http://{}/", server.local_addr());
    let report = serve(server, shutdown_signal()).await?;
    println!(
        "{} ended by handshake, {} cut",
        report.clean(),
        report.cut()
    );
    Ok(())
}
