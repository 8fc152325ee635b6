//! How a factory answers: refusals, the choice of an endpoint, configuration. The answers need no
//! connection; what becomes of one is in `upgrade`.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::task::yield_now;
use ws_factory::{
    Accept, Accepted, Acceptor, ConfigError, Endpoint, OriginPolicy, Policy, Rejection,
    StatelessEndpoint, UpgradeRequest, WebSocketFactory, WebSocketFactoryBuilder,
};

struct Quiet;

impl Endpoint for Quiet {}

impl StatelessEndpoint for Quiet {}

fn handshake() -> Request<()> {
    Request::get("/chat")
        .header("host", "example.com")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap()
}

fn with(name: &'static str, value: &'static str) -> Request<()> {
    let mut request = handshake();
    let value = HeaderValue::from_static(value);
    request
        .headers_mut()
        .append(HeaderName::from_static(name), value);
    request
}

fn quiet() -> WebSocketFactory {
    WebSocketFactory::builder()
        .fallback(|_| Quiet)
        .build()
        .unwrap()
}

async fn answer(factory: &WebSocketFactory, mut request: Request<()>) -> Response<String> {
    factory.accept(&mut request).await.expect("a handshake")
}

#[tokio::test]
async fn handshake_is_answered_with_101() {
    let response = answer(&quiet(), handshake()).await;

    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "RFC 6455 §1.3"
    );
}

#[tokio::test]
async fn request_that_is_no_handshake_is_left_as_it_was() {
    let factory = quiet();
    let mut request = Request::get("/page")
        .header("accept", "text/html")
        .body(())
        .unwrap();
    request.extensions_mut().insert("kept");

    let answer = factory.accept(&mut request).await;

    assert!(answer.is_none());
    assert_eq!(request.headers()["accept"], "text/html");
    assert_eq!(request.extensions().get(), Some(&"kept"));
    assert_eq!(factory.stats().refused(), 0);
}

#[tokio::test]
async fn foreign_origin_is_403_unless_it_may_connect() {
    let open = WebSocketFactory::builder()
        .fallback(|_| Quiet)
        .with_origin(OriginPolicy::any())
        .build()
        .unwrap();
    let foreign = || with("origin", "https://evil.example");
    let strict = quiet();

    assert_eq!(
        answer(&strict, foreign()).await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        answer(&strict, with("origin", "null")).await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        answer(&open, foreign()).await.status(),
        StatusCode::SWITCHING_PROTOCOLS
    );
    assert_eq!(strict.stats().refused(), 2);
}

#[tokio::test]
async fn handshake_that_no_endpoint_serves_is_400_and_says_what_is_missing() {
    let factory = WebSocketFactory::builder()
        .endpoint("chat", |_| Quiet)
        .build()
        .unwrap();

    let none = answer(&factory, handshake()).await;
    let empty = answer(&factory, with("sec-websocket-protocol", "")).await;
    let other = answer(&factory, with("sec-websocket-protocol", "other")).await;

    let missing = "Sec-WebSocket-Protocol: missing; a subprotocol must be offered here";
    let unknown = "Sec-WebSocket-Protocol: names nothing that is served here";
    for (answer, sentence) in [(none, missing), (empty, missing), (other, unknown)] {
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.body(), sentence);
    }
}

/// The client's order, then none.
#[tokio::test]
async fn first_offer_of_the_client_that_is_registered_is_agreed() {
    let factory = WebSocketFactory::builder()
        .endpoint("chat", |_| Quiet)
        .shared("chat.v2", Quiet)
        .fallback_shared(Quiet)
        .build()
        .unwrap();
    let rows = [
        ("chat, chat.v2", Some("chat")),
        ("other, chat.v2, chat", Some("chat.v2")),
        ("CHAT", None),
        ("other", None),
    ];

    for (offers, agreed) in rows {
        let response = answer(&factory, with("sec-websocket-protocol", offers)).await;
        let header = response.headers().get("sec-websocket-protocol");
        assert_eq!(
            response.status(),
            StatusCode::SWITCHING_PROTOCOLS,
            "{offers}"
        );
        assert_eq!(
            header.map(HeaderValue::as_bytes),
            agreed.map(str::as_bytes),
            "{offers}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_is_not_made_in_time_is_503() {
    let factory = WebSocketFactory::builder()
        .fallback_with(|_| pending::<Result<Accept<Quiet>, Rejection>>())
        .build()
        .unwrap();
    let start = tokio::time::Instant::now();

    let response = answer(&factory, handshake()).await;

    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

/// Hostile inputs A1 and A20.
#[tokio::test]
async fn panic_of_the_application_is_500_and_its_text_stays_inside() {
    let secret = || -> Quiet { panic!("password is swordfish") };
    let factories = [
        WebSocketFactory::builder().fallback(move |_| secret()),
        WebSocketFactory::builder()
            .fallback_with(move |_| async move { Ok::<_, Rejection>(Accept::new(secret())) }),
        WebSocketFactory::builder()
            .fallback(|_| Quiet)
            .with_origin(OriginPolicy::by(move |_: &str, _: &UpgradeRequest| {
                secret();
                true
            })),
    ];

    for factory in factories {
        let factory = factory.build().unwrap();
        let response = answer(&factory, with("origin", "https://example.com")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            !response.body().contains("swordfish"),
            "{}",
            response.body()
        );
        assert_eq!(factory.stats().refused(), 1);
    }
}

#[tokio::test]
async fn rejection_of_the_endpoint_factory_is_the_answer_with_its_headers() {
    let factory = WebSocketFactory::builder()
        .fallback_with(|request: UpgradeRequest| async move {
            if request.cookie("session").is_none() {
                let location = HeaderValue::from_static("/login");
                return Err(Rejection::forbidden("log in first")
                    .with_header(HeaderName::from_static("x-login"), location));
            }
            Ok(Accept::new(Quiet).with_header("x-room", "7")?)
        })
        .build()
        .unwrap();

    let refused = answer(&factory, handshake()).await;
    let accepted = answer(&factory, with("cookie", "session=1")).await;

    assert_eq!(
        (refused.status(), refused.body().as_str()),
        (StatusCode::FORBIDDEN, "log in first")
    );
    assert_eq!(refused.headers()["x-login"], "/login");
    assert_eq!(accepted.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(accepted.headers()["x-room"], "7");
}

#[tokio::test]
async fn header_with_a_line_break_is_a_fault_of_the_application() {
    let factory = WebSocketFactory::builder()
        .fallback_with(|_| async { Ok(Accept::new(Quiet).with_header("x-a", "b\r\nx-c: d")?) })
        .build()
        .unwrap();

    let response = answer(&factory, handshake()).await;

    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!response.headers().contains_key("x-c"));
}

/// A handshake under way is counted, and one that is given up is not.
#[tokio::test]
async fn one_more_than_max_sessions_is_503() {
    let factory = WebSocketFactory::builder()
        .endpoint_with("stuck", |_| pending::<Result<Accept<Quiet>, Rejection>>())
        .fallback(|_| Quiet)
        .with_policy(Policy::default().with_max_sessions(1))
        .build()
        .unwrap();
    let first = tokio::spawn({
        let factory = factory.clone();
        async move { answer(&factory, with("sec-websocket-protocol", "stuck")).await }
    });
    yield_now().await;

    let refused = answer(&factory, handshake()).await;
    first.abort();
    let _cancelled = first.await;
    let accepted = answer(&factory, handshake()).await;

    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(accepted.status(), StatusCode::SWITCHING_PROTOCOLS);
}

/// Nobody serves these requests with upgrades, so no connection can come of them.
#[tokio::test]
async fn upgrade_that_fails_is_counted_and_drops_the_endpoint_untold() {
    struct Told(Arc<Mutex<Vec<&'static str>>>);
    impl Endpoint for Told {
        async fn on_connect(&mut self, _: &ws_factory::Session) -> ws_factory::EventResult {
            self.0.lock().unwrap().push("connect");
            Ok(())
        }
    }
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("drop");
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&log);
    let factory = WebSocketFactory::builder()
        .fallback(move |_| Told(Arc::clone(&told)))
        .build()
        .unwrap();

    let response = answer(&factory, handshake()).await;
    let report = factory.shutdown(Duration::from_secs(1)).await;

    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(*log.lock().unwrap(), ["drop"]);
    let stats = factory.stats();
    assert_eq!(
        (stats.failed_upgrades(), stats.opened(), stats.open()),
        (1, 0, 0)
    );
    assert_eq!((report.clean(), report.cut()), (0, 0));
}

#[tokio::test]
async fn handshake_after_shutdown_is_503() {
    let factory = quiet();

    factory.shutdown(Duration::ZERO).await;

    let response = answer(&factory, handshake()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// Asked for every offer and then for none, and it decides about origins.
#[derive(Clone, Default)]
struct ByPath(Arc<Mutex<Vec<Option<String>>>>);

#[async_trait]
impl Acceptor for ByPath {
    fn check_origin(&self, origin: &str, _: &UpgradeRequest) -> bool {
        origin == "https://friend.example"
    }

    async fn accept(
        &self,
        request: &UpgradeRequest,
        subprotocol: Option<&str>,
    ) -> Result<Option<Accepted>, Rejection> {
        self.0.lock().unwrap().push(subprotocol.map(str::to_owned));
        if request.path() != "/chat" {
            return Err(Rejection::not_found("no such room"));
        }
        Ok((subprotocol != Some("a")).then(|| Accept::new(Quiet).into()))
    }
}

#[tokio::test]
async fn acceptor_of_ones_own_decides_everything() {
    let acceptor = ByPath::default();
    let asked = Arc::clone(&acceptor.0);
    let factory = WebSocketFactory::builder()
        .with_acceptor(acceptor)
        .build()
        .unwrap();
    let mut elsewhere = handshake();
    *elsewhere.uri_mut() = "/elsewhere".parse().unwrap();

    let second = answer(&factory, with("sec-websocket-protocol", "a, b, c")).await;
    let missing = answer(&factory, elsewhere).await;
    let stranger = answer(&factory, with("origin", "https://example.com")).await;
    let friend = answer(&factory, with("origin", "https://friend.example")).await;

    assert_eq!(second.headers()["sec-websocket-protocol"], "b");
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);
    assert_eq!(friend.status(), StatusCode::SWITCHING_PROTOCOLS);
    let asked = asked.lock().unwrap();
    assert_eq!(
        *asked,
        [Some("a".to_owned()), Some("b".to_owned()), None, None]
    );
}

/// Hostile input A18.
#[test]
fn configuration_that_cannot_work_does_not_build() {
    let builder = WebSocketFactory::builder;
    let duplicate = |name: &str| ConfigError::DuplicateSubprotocol {
        subprotocol: name.to_owned(),
    };
    let invalid = |name: &str| ConfigError::InvalidSubprotocol {
        subprotocol: name.to_owned(),
    };
    let rows: [(WebSocketFactoryBuilder, ConfigError); 7] = [
        (builder(), ConfigError::NoEndpoint),
        (
            builder().endpoint("a", |_| Quiet).shared("a", Quiet),
            duplicate("a"),
        ),
        (
            builder().fallback(|_| Quiet).fallback_shared(Quiet),
            ConfigError::DuplicateFallback,
        ),
        (builder().endpoint("", |_| Quiet), invalid("")),
        (builder().endpoint("a b", |_| Quiet), invalid("a b")),
        (
            builder()
                .endpoint("a", |_| Quiet)
                .with_acceptor(ByPath::default()),
            ConfigError::AcceptorAndEndpoints,
        ),
        // The first mistake is the one that is told.
        (
            builder()
                .endpoint("b,c", |_| Quiet)
                .endpoint("d;e", |_| Quiet),
            invalid("b,c"),
        ),
    ];

    for (builder, expected) in rows {
        assert_eq!(builder.build().err(), Some(expected));
    }
}
