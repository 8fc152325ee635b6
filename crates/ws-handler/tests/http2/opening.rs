//! The handshake: what is accepted and how, what is refused and how, and what a session knows of it.

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::ext::Protocol;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Foreign;
use ws_handler::{
    Accept, Endpoint, EventResult, Policy, RefusalReason, Rejection, Servlets, Session, Text,
    UpgradeRequest, WebSocketFactory, WebSocketFactoryBuilder, WebSocketHandler,
};

use crate::{
    bounded::bounded,
    client::{Client, connect, hear, say},
    serving::{pages, recording, serve},
    wire::{PING, SETTINGS, Wire, frame},
};

/// Hostile input P1.
#[tokio::test]
async fn first_settings_say_that_extended_connects_are_known_and_none_takes_it_back() {
    const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    let (addr, _log) = recording().await;
    let mut wire = Wire::connect(addr).await;

    let first = bounded(wire.next()).await.unwrap();

    let value_of = |name: u16| {
        first.payload.chunks(6).find_map(|setting| {
            let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
            (setting[..2] == name.to_be_bytes()).then_some(value)
        })
    };
    assert_eq!((first.kind, first.flags), (SETTINGS, 0));
    assert_eq!(value_of(ENABLE_CONNECT_PROTOCOL), Some(1));
    // The documented limits: requests at a time, and the window of each.
    assert_eq!(value_of(3), Some(100));
    assert_eq!(value_of(4), Some(64 * 1024));
    wire.open(1).await;
    wire.echoes(1).await;
    wire.send(&frame(PING, 0, 0, b"anything")).await;
    while let Some(frame) = wire.next().await {
        assert!(
            frame.kind != SETTINGS || frame.payload.is_empty(),
            "{frame:?}"
        );
        if frame.kind == PING {
            break;
        }
    }
}

/// Hostile input P2.
#[tokio::test]
async fn session_is_opened_with_200_and_without_the_headers_of_an_upgrade() {
    let (addr, mut log) = recording().await;
    for protocol in ["websocket", "WebSocket", "WEBSOCKET"] {
        let mut client = Client::connect(addr).await;
        let mut request = connect("/chat").body(Empty::new()).unwrap();
        request.extensions_mut().insert(Protocol::from(protocol));

        let (mut tunnel, head) = client.open_with(request).await;

        assert_eq!(head.status, 200, "{protocol}");
        for name in [
            "sec-websocket-accept",
            "upgrade",
            "connection",
            "content-length",
            "content-type",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
        ] {
            assert!(!head.headers.contains_key(name), "{protocol}: {name}");
        }
        say(&mut tunnel, Foreign::text("hi")).await;
        assert_eq!(hear(&mut tunnel).await, Foreign::text("hi"));
        drop(tunnel);
        log.life().await;
    }
}

/// Says what its session knows of the request.
struct Knowing;

impl Endpoint for Knowing {
    async fn on_text(&mut self, session: &Session, _text: Text) -> EventResult {
        let request = session.request();
        let known = format!(
            "{} {:?} {} {} {:?} {:?} {:?} {:?} {:?}",
            request.method(),
            request.version(),
            request.uri(),
            request.path(),
            request.query(),
            request.path_param("room"),
            request.header("x-kept"),
            request.cookie("sid"),
            session.subprotocol(),
        );
        assert!(request.peer().is_some() && request.local().is_some());
        session.send_text(known).await?;
        Ok(())
    }
}

async fn knowing(request: UpgradeRequest) -> Result<Accept<Knowing>, Rejection> {
    assert_eq!(request.host(), "example.com");
    Ok(Accept::new(Knowing).with_header("x-room", request.path_param("room").unwrap_or("-"))?)
}

fn rooms(factory: WebSocketFactoryBuilder) -> WebSocketFactoryBuilder {
    let policy = Policy::default().with_compression(Some(Default::default()));
    factory
        .endpoint_with("knowing", knowing)
        .fallback(|_| Knowing)
        .with_policy(policy)
}

#[tokio::test]
async fn session_knows_what_the_request_said_and_the_answer_what_was_agreed() {
    let handler = Servlets::new().mount("/chat/{room}", rooms).unwrap();
    let addr = serve(handler.around(pages())).await;
    let mut client = Client::connect(addr).await;
    let request = connect("/chat/a%20b?c=d")
        .header("sec-websocket-protocol", "other, knowing")
        .header("sec-websocket-extensions", "permessage-deflate")
        .header("origin", "http://example.com")
        .header("cookie", "sid=31d4")
        .header("x-kept", "7")
        .body(Empty::new());

    let (mut tunnel, head) = client.open_with(request.unwrap()).await;

    assert_eq!(head.headers["sec-websocket-protocol"], "knowing");
    assert_eq!(
        head.headers["sec-websocket-extensions"],
        "permessage-deflate"
    );
    assert_eq!(head.headers["x-room"], "a b");
    say(&mut tunnel, Foreign::text("what?")).await;
    assert_eq!(
        hear(&mut tunnel).await.into_text().unwrap().as_str(),
        "CONNECT HTTP/2.0 http://example.com/chat/a%20b?c=d /chat/a%20b Some(\"c=d\") \
         Some(\"a b\") Some(\"7\") Some(\"31d4\") Some(\"knowing\")"
    );
}

/// Hostile inputs P3, P5, P18.
#[tokio::test]
async fn request_that_is_refused_gets_the_status_and_the_sentence() {
    let factory = WebSocketFactory::builder()
        .endpoint("knowing", |_| Knowing)
        .build()
        .unwrap();
    let addr = serve(WebSocketHandler::new(factory.clone(), pages())).await;
    let mut client = Client::connect(addr).await;
    let without_version = || {
        Request::connect("http://example.com/chat").extension(Protocol::from_static("websocket"))
    };
    let foreign = connect("/chat").extension(Protocol::from_static("connect-udp"));
    let version = "Sec-WebSocket-Version: must be 13";
    let origin = "Origin: may not open a WebSocket here";
    let rows = [
        (
            "P3",
            foreign,
            501,
            ":protocol: only `websocket` is served here",
        ),
        ("P5: none", without_version(), 400, version),
        (
            "P5: 8",
            without_version().header("sec-websocket-version", "8"),
            400,
            version,
        ),
        (
            "P5: two",
            connect("/").header("sec-websocket-version", "13"),
            400,
            version,
        ),
        (
            "P18",
            connect("/").header("origin", "https://evil.example"),
            403,
            origin,
        ),
        (
            "P18: port",
            connect("/").header("origin", "http://example.com:81"),
            403,
            origin,
        ),
        (
            "P18: two",
            connect("/")
                .header("origin", "http://example.com")
                .header("origin", "http://a"),
            400,
            "Origin: was sent more than once",
        ),
        (
            "another Host",
            connect("/").header("host", "evil.example"),
            400,
            "Host: is not the host of `:authority`",
        ),
        (
            "no endpoint",
            connect("/")
                .header("host", "EXAMPLE.com:80")
                .header("sec-websocket-protocol", "another"),
            400,
            "Sec-WebSocket-Protocol: names nothing that is served here",
        ),
    ];

    for (row, request, status, sentence) in rows {
        let request = request.body(Empty::new()).unwrap();

        let answer = client.send(request).await;

        let names_version = answer.headers().get("sec-websocket-version").is_some();
        assert_eq!(answer.status(), status, "{row}");
        assert_eq!(names_version, row.starts_with("P5"), "{row}");
        let body = bounded(answer.into_body().collect()).await.unwrap();
        assert_eq!(body.to_bytes(), sentence, "{row}");
    }
    let stats = factory.stats();
    assert_eq!(stats.refused_for(RefusalReason::Version), 3);
    assert_eq!(stats.refused_for(RefusalReason::Origin), 2);
    assert_eq!(stats.refused_for(RefusalReason::NoEndpoint), 1);
}

#[tokio::test]
async fn what_asks_for_no_websocket_or_for_no_path_of_ours_reaches_the_inner_service() {
    let (asked, mut methods) = mpsc::unbounded_channel();
    let inner = ws_handler::service_fn(move |request: Request<_>| {
        let path = request.uri().path().to_owned();
        asked.send(format!("{} {path}", request.method())).unwrap();
        let answer = http::Response::builder().status(418);
        std::future::ready(answer.body(http_body_util::Full::<ws_handler::Bytes>::default()))
    });
    let handler = Servlets::new().mount("/chat/{room}", rooms).unwrap();
    let addr = serve(handler.around(inner)).await;
    let mut client = Client::connect(addr).await;
    let udp = |path| connect(path).extension(Protocol::from_static("connect-udp"));

    let requests = [
        Request::get("http://example.com/chat/7"),
        Request::post("http://example.com/chat/7").header("sec-websocket-version", "13"),
        Request::connect("example.com:80"),
        connect("/elsewhere"),
        udp("/elsewhere"),
        udp("/chat/7"),
    ];
    let mut statuses = Vec::new();
    for request in requests {
        let answer = client.send(request.body(Empty::new()).unwrap()).await;
        statuses.push(answer.status().as_u16());
    }

    assert_eq!(statuses, [418, 418, 418, 418, 418, 501], "P3 is the last");
    let mut seen = Vec::new();
    while let Ok(method) = methods.try_recv() {
        seen.push(method);
    }
    assert_eq!(
        seen,
        [
            "GET /chat/7",
            "POST /chat/7",
            "CONNECT ",
            "CONNECT /elsewhere",
            "CONNECT /elsewhere"
        ]
    );
}

#[tokio::test]
async fn sessions_requests_and_refusals_share_a_connection() {
    let (addr, _log) = recording().await;
    let mut client = Client::connect(addr).await;

    let (mut first, _) = client.open("/a").await;
    let (mut second, _) = client.open("/b").await;
    let evil = connect("/").header("origin", "http://evil.example");
    let refused = client.refused(evil.body(Empty::new()).unwrap()).await;
    let page = Request::get("http://example.com/page").body(Empty::new());
    let page = client.refused(page.unwrap()).await;

    assert_eq!((refused.0, page.0, page.1.as_str()), (403, 200, "a page"));
    for n in 0..3 {
        for tunnel in [&mut first, &mut second] {
            say(tunnel, Foreign::text(format!("{n}"))).await;
        }
        for tunnel in [&mut second, &mut first] {
            assert_eq!(hear(tunnel).await, Foreign::text(format!("{n}")));
        }
    }
}
