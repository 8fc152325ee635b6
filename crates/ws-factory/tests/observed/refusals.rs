//! Each refusal is counted once, under the reason that it has.

use std::future::pending;

use http::Request;
use ws_factory::{Accept, RefusalReason, Rejection, UpgradeRequest, WebSocketFactory};

use crate::pipe::{Echo, Served};

/// Serves the subprotocols that say what is to go wrong.
fn failing() -> Served {
    let accept = |outcome: Result<Echo, Rejection>| outcome.map(Accept::new);
    let builder = WebSocketFactory::builder()
        .endpoint_with("forbidden", move |_| async move {
            accept(Err(Rejection::forbidden("not you")))
        })
        .endpoint_with("broken", move |_| async move {
            accept(Err(Rejection::internal("the database is gone")))
        })
        .endpoint("panicking", |_| -> Echo { panic!("no endpoint") })
        .endpoint_with("late", |_: UpgradeRequest| {
            pending::<Result<Accept<Echo>, Rejection>>()
        });
    Served::of(builder)
}

#[tokio::test(start_paused = true)]
async fn refusal_is_counted_under_its_reason() {
    let rows = [
        ("sec-websocket-version", "12", 426, RefusalReason::Version),
        ("host", "", 400, RefusalReason::Header),
        ("sec-websocket-key", "short", 400, RefusalReason::Header),
        ("origin", "https://evil.example", 403, RefusalReason::Origin),
        (
            "sec-websocket-protocol",
            "x",
            400,
            RefusalReason::NoEndpoint,
        ),
        (
            "sec-websocket-protocol",
            "forbidden",
            403,
            RefusalReason::Application,
        ),
        (
            "sec-websocket-protocol",
            "broken",
            500,
            RefusalReason::Failed,
        ),
        (
            "sec-websocket-protocol",
            "panicking",
            500,
            RefusalReason::Failed,
        ),
        (
            "sec-websocket-protocol",
            "late",
            503,
            RefusalReason::Timeout,
        ),
    ];
    for (name, value, status, reason) in rows {
        let served = failing();

        let answer = served.answer_to(&[(name, value)]).await;

        assert_eq!(answer.status(), status, "{name}: {value}");
        let stats = served.factory.stats();
        assert_eq!(
            (stats.refused(), stats.refused_for(reason)),
            (1, 1),
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn other_method_is_counted_as_such() {
    let factory = Served::echo().factory;
    let mut request = Request::post("/").header("upgrade", "websocket");
    request = request.header("connection", "upgrade");

    let answer = factory.accept(&mut request.body(()).unwrap()).await;

    assert_eq!(answer.unwrap().status(), 405);
    assert_eq!(factory.stats().refused_for(RefusalReason::Method), 1);
}

#[test]
fn unauthorized_comes_with_its_challenge() {
    let rejection = Rejection::unauthorized("Bearer".parse().unwrap(), "log in first");

    assert_eq!(rejection.status(), 401);
    assert_eq!(rejection.headers()["www-authenticate"], "Bearer");
    assert_eq!(rejection.body(), "log in first");
}
