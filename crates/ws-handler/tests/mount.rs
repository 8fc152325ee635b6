//! The handler in servers that are not ours: hyper's, hyper-util's, axum's, as a tower service.
//!
//! Each is asked for the same things by a client that is not ours either.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    task::{Context, Poll},
};

use axum::{Router, extract::State, response::IntoResponse, routing::any};
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{
    Message as Foreign,
    protocol::{CloseFrame, frame::coding::CloseCode as ForeignCode},
};
use tower::ServiceExt;
use ws_handler::{
    Accept, Bytes, CloseCode, Endpoint, EventResult, Message, Policy, Rejection, Session,
    UpgradeRequest, WebSocketFactory, WebSocketHandler,
};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/client.rs"]
mod client;
#[path = "support/plain.rs"]
mod plain;
#[path = "support/refusal.rs"]
mod refusal;
#[path = "support/talk.rs"]
mod talk;

use bounded::bounded;
use client::open;
use plain::plain;
use refusal::refused;
use talk::{hear, say};

/// Echoes; closes when it is told to.
struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        if message.as_bytes() == b"close" {
            session.close(CloseCode::POLICY_VIOLATION, "as you wish");
            return Ok(());
        }
        session.send(message).await?;
        Ok(())
    }
}

async fn guarded(request: UpgradeRequest) -> Result<Accept<Echo>, Rejection> {
    tokio::task::yield_now().await;
    match request.cookie("user") {
        Some(user) => Ok(Accept::new(Echo).with_header("x-user", user)?),
        None => Err(Rejection::new(StatusCode::UNAUTHORIZED, "who are you?")),
    }
}

fn factory() -> WebSocketFactory {
    WebSocketFactory::builder()
        .endpoint("echo", |_| Echo)
        .endpoint_with("guarded", guarded)
        .fallback(|_| Echo)
        .with_policy(Policy::default().with_max_message_bytes(16 << 20))
        .build()
        .expect("endpoints")
}

#[tokio::test]
async fn hyper_serves_websockets_beside_a_json_route() {
    let handler = WebSocketHandler::new(factory(), plain());

    let addr = listen(move |stream| {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), handler.clone())
            .with_upgrades();
        async move { drop(connection.await) }
    })
    .await;

    everything_works(addr, "/").await;
    requests_pass_untouched(addr).await;
    sizes_echo(addr, "/", &[16 << 20]).await;
}

#[tokio::test]
async fn hyper_utils_builder_serves_websockets_beside_a_json_route() {
    let handler = WebSocketHandler::new(factory(), plain());

    let addr = listen(move |stream| {
        let handler = handler.clone();
        async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let io = TokioIo::new(stream);
            drop(builder.serve_connection_with_upgrades(io, handler).await);
        }
    })
    .await;

    everything_works(addr, "/").await;
    requests_pass_untouched(addr).await;
}

#[tokio::test]
async fn tower_service_serves_websockets_beside_a_json_route() {
    let inner = tower::service_fn(|request| hyper::service::Service::call(&plain(), request));
    let handler = WebSocketHandler::new(factory(), inner);

    let addr = listen(move |stream| {
        let service = TowerToHyperService::new(handler.clone());
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        async move { drop(connection.await) }
    })
    .await;

    everything_works(addr, "/").await;
    requests_pass_untouched(addr).await;
}

#[tokio::test]
async fn axum_serves_the_handler_at_a_route_and_as_the_fallback() {
    let inner = || tower::service_fn(|request| hyper::service::Service::call(&plain(), request));
    let app = Router::new()
        .route_service("/chat", WebSocketHandler::new(factory(), inner()))
        .route("/json", any(|| async { axum::Json("axum's own") }))
        .fallback_service(WebSocketHandler::new(factory(), inner()));

    let addr = serve_axum(app).await;

    everything_works(addr, "/chat").await;
    everything_works(addr, "/anywhere").await;
    requests_pass_untouched(addr).await;
    assert_eq!(
        ask(addr, Request::get("/json")).await,
        "\"axum's own\"",
        "the other routes are axum's"
    );
}

#[tokio::test]
async fn axum_handler_function_accepts_in_one_call() {
    async fn chat(
        State(factory): State<WebSocketFactory>,
        mut request: axum::extract::Request,
    ) -> axum::response::Response {
        match factory.accept(&mut request).await {
            Some(response) => response.into_response(),
            None => {
                let Ok(response) = hyper::service::Service::call(&plain(), request).await;
                response.into_response()
            }
        }
    }
    let app = Router::new().fallback(chat).with_state(factory());

    let addr = serve_axum(app).await;

    everything_works(addr, "/").await;
    requests_pass_untouched(addr).await;
}

#[tokio::test]
async fn tower_handler_is_ready_when_the_inner_service_is() {
    let never = tower::util::MapRequest::new(Never, |request: Request<Empty<Bytes>>| request);
    let mut handler = WebSocketHandler::new(factory(), never);

    let ready = ServiceExt::<Request<Empty<Bytes>>>::ready(&mut handler);

    assert!(ready.now_or_never().is_none());
}

/// A tower service that is never ready.
struct Never;

impl tower::Service<Request<Empty<Bytes>>> for Never {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _request: Request<Empty<Bytes>>) -> Self::Future {
        std::future::pending()
    }
}

/// What a client wants of a server, whatever that is.
async fn everything_works(addr: SocketAddr, path: &str) {
    sizes_echo(addr, path, &[0, 1, 125, 126, 65_535, 65_536]).await;
    pings_are_answered(addr, path).await;
    both_sides_close(addr, path).await;
    subprotocols_are_chosen(addr, path).await;
    refusals_carry_a_sentence(addr, path).await;
}

async fn sizes_echo(addr: SocketAddr, path: &str, sizes: &[usize]) {
    let (mut client, _) = open(addr, path, []).await.expect("accepted");
    for &size in sizes {
        let messages = [
            Foreign::text("\u{e9}".repeat(size / 2) + &"x".repeat(size % 2)),
            Foreign::binary(vec![0xff; size]),
        ];
        for message in messages {
            say(&mut client, message.clone()).await;
            let echo = hear(&mut client).await;
            assert!(echo == message, "{size} bytes");
        }
    }
}

async fn pings_are_answered(addr: SocketAddr, path: &str) {
    let (mut client, _) = open(addr, path, []).await.expect("accepted");
    for size in [0, 125] {
        let payload = Bytes::from(vec![7; size]);
        say(&mut client, Foreign::Ping(payload.clone())).await;
        let answer = hear(&mut client).await;
        assert_eq!(answer, Foreign::Pong(payload), "F16");
    }
}

async fn both_sides_close(addr: SocketAddr, path: &str) {
    let (mut client, _) = open(addr, path, []).await.expect("accepted");
    let ours = CloseFrame {
        code: ForeignCode::Library(3000),
        reason: "enough".into(),
    };
    say(&mut client, Foreign::Close(Some(ours))).await;
    let answer = hear(&mut client).await;
    let Foreign::Close(Some(answer)) = answer else {
        panic!("not a Close: {answer:?}");
    };
    assert_eq!(u16::from(answer.code), 3000);
    assert!(bounded(client.next()).await.is_none(), "nothing follows");

    let (mut client, _) = open(addr, path, []).await.expect("accepted");
    say(&mut client, Foreign::text("close")).await;
    let theirs = hear(&mut client).await;
    let Foreign::Close(Some(theirs)) = theirs else {
        panic!("not a Close: {theirs:?}");
    };
    assert_eq!(
        (u16::from(theirs.code), &*theirs.reason),
        (1008, "as you wish")
    );
    assert!(bounded(client.next()).await.is_none(), "nothing follows");
}

async fn subprotocols_are_chosen(addr: SocketAddr, path: &str) {
    let offers = [
        ("unknown, echo, guarded", Some("echo")),
        ("guarded, echo", Some("guarded")),
    ];
    for (offer, chosen) in offers {
        let headers = [("sec-websocket-protocol", offer), ("cookie", "user=Ada")];
        let (mut client, response) = open(addr, path, headers).await.expect("accepted");
        let header = |name| {
            response
                .headers()
                .get(name)
                .map(|v| v.to_str().expect("ASCII"))
        };
        assert_eq!(header("sec-websocket-protocol"), chosen);
        let user = (chosen == Some("guarded")).then_some("Ada");
        assert_eq!(header("x-user"), user, "a header of the endpoint factory's");
        for name in ["content-length", "transfer-encoding", "content-type"] {
            assert_eq!(header(name), None, "{name} on a 101");
        }
        say(&mut client, Foreign::text("hi")).await;
        let echo = hear(&mut client).await;
        assert_eq!(echo, Foreign::text("hi"));
    }
}

async fn refusals_carry_a_sentence(addr: SocketAddr, path: &str) {
    let refusals = [
        (("sec-websocket-protocol", "guarded"), 401, "who are you?"),
        (
            ("origin", "https://good.evil"),
            403,
            "Origin: may not open a WebSocket here",
        ),
        (
            ("sec-websocket-protocol", "a b"),
            400,
            "Sec-WebSocket-Protocol: every name must be a token",
        ),
    ];
    for (header, status, sentence) in refusals {
        let refusal = refused(addr, path, [header]).await;
        assert_eq!(refusal, (status, sentence.to_owned()), "{header:?}");
    }
}

/// What is no handshake of ours reaches the inner service as it was sent, body and all.
async fn requests_pass_untouched(addr: SocketAddr) {
    let post = Request::post("/orders?id=7").header("content-type", "text/plain");
    let h2c = Request::get("/")
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__");

    let posted = ask(addr, post).await;
    let upgraded = ask(addr, h2c).await;

    let body = BODY.repeat(1000);
    assert_eq!(
        posted,
        format!(r#"{{"method":"POST","path":"/orders","upgrade":"-","body":"{body}"}}"#)
    );
    assert!(upgraded.contains(r#""upgrade":"h2c""#), "{upgraded}");
}

const BODY: &str = "all of it, ";

/// Sends a request with hyper, and a body if it is a POST; returns the answer's body.
async fn ask(addr: SocketAddr, request: http::request::Builder) -> String {
    let mut request = request
        .header("host", "example.com")
        .body(Full::default())
        .expect("HTTP works");
    if request.method() == http::Method::POST {
        *request.body_mut() = Full::<Bytes>::from(BODY.repeat(1000));
    }
    let stream = TokioIo::new(bounded(TcpStream::connect(addr)).await.expect("HTTP works"));
    let (mut sender, connection) = bounded(hyper::client::conn::http1::handshake(stream))
        .await
        .expect("HTTP works");
    tokio::spawn(connection);
    let response = bounded(sender.send_request(request))
        .await
        .expect("HTTP works");
    let body = bounded(response.into_body().collect())
        .await
        .expect("HTTP works");
    String::from_utf8(body.to_bytes().to_vec()).expect("HTTP works")
}

/// Hands every connection to `serve`, each on its own task.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    addr
}

async fn serve_axum(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}
