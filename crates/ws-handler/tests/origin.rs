//! H30 on the wire: whichever way an endpoint is registered and mounted, a page of another origin
//! gets a 403 before an endpoint exists.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use ws_handler::{
    Accept, Accepted, Acceptor, Endpoint, NotFound, OriginPolicy, Rejection, Servlets,
    StatelessEndpoint, UpgradeRequest, WebSocketFactory, WebSocketFactoryBuilder, WebSocketHandler,
};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/serving.rs"]
mod serving;

use raw::{HANDSHAKE, Raw};
use serving::serve;

struct Nothing;

impl Endpoint for Nothing {}
impl StatelessEndpoint for Nothing {}

/// How many endpoints were made.
#[derive(Clone, Default)]
struct Made(Arc<AtomicUsize>);

impl Made {
    fn one(&self) -> Nothing {
        self.0.fetch_add(1, Ordering::SeqCst);
        Nothing
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// An acceptor that says nothing about origins.
struct Silent(Made);

#[async_trait]
impl Acceptor for Silent {
    async fn accept(
        &self,
        _request: &UpgradeRequest,
        subprotocol: Option<&str>,
    ) -> Result<Option<Accepted>, Rejection> {
        Ok(subprotocol
            .is_some()
            .then(|| Accept::new(self.0.one()).into()))
    }
}

/// A way to register an endpoint for the subprotocol `chat`.
type Register = fn(WebSocketFactoryBuilder, Made) -> WebSocketFactoryBuilder;

/// Every way there is. A shared endpoint exists before any request, so there is nothing to count.
const WAYS: [(&str, Register); 7] = [
    ("endpoint", |builder, made| {
        builder.endpoint("chat", move |_| made.one())
    }),
    ("endpoint_with", |builder, made| {
        builder.endpoint_with("chat", move |_| {
            let made = made.clone();
            async move { Ok(Accept::new(made.one())) }
        })
    }),
    ("shared", |builder, _| builder.shared("chat", Nothing)),
    ("fallback", |builder, made| {
        builder.fallback(move |_| made.one())
    }),
    ("fallback_with", |builder, made| {
        builder.fallback_with(move |_| {
            let made = made.clone();
            async move { Ok(Accept::new(made.one())) }
        })
    }),
    ("fallback_shared", |builder, _| {
        builder.fallback_shared(Nothing)
    }),
    ("with_acceptor", |builder, made| {
        builder.with_acceptor(Silent(made))
    }),
];

const OTHERS: [&str; 8] = [
    "null",
    "",
    "https://good.evil",
    "http://example.com.evil",
    "http://example.com:8080",
    "https://sub.example.com",
    "http://example.com/",
    "http://example.com, http://evil",
];

#[tokio::test]
async fn same_origin_is_the_default_of_every_way_to_register() {
    for (way, register) in WAYS {
        let made = Made::default();
        let factory = register(WebSocketFactory::builder(), made.clone())
            .build()
            .unwrap();
        let registered = made.clone();
        let servlet = move |builder| register(builder, registered);
        let servlets = Servlets::new().mount("/chat", servlet).unwrap();
        let handler = WebSocketHandler::new(factory.clone(), NotFound);
        let (handler, servlets) = (serve(handler).await, serve(servlets.around(NotFound)).await);

        for addr in [handler, servlets] {
            for origin in OTHERS {
                let status = ask(addr, &format!("Origin: {origin}\r\n")).await;
                assert_eq!(status, "403", "hostile input H30: {way}, {origin:?}");
            }
            let two = "Origin: http://example.com\r\nOrigin: http://example.com\r\n";
            assert_eq!(ask(addr, two).await, "400", "hostile input H30: {way}");
            assert_eq!(made.count(), 0, "hostile input H30: {way}");
        }
        for addr in [handler, servlets] {
            for header in [
                "",
                "Origin: http://EXAMPLE.com\r\n",
                "Origin: https://example.com\r\n",
            ] {
                assert_eq!(ask(addr, header).await, "101", "{way}, {header:?}");
            }
        }
        let refused = u64::try_from(OTHERS.len() + 1).unwrap();
        assert_eq!(factory.stats().refused(), refused, "{way}");
    }
}

/// A policy, and the status that it gives to origins.
type Ruled = (
    &'static str,
    OriginPolicy,
    &'static [(&'static str, &'static str)],
);

#[tokio::test]
async fn other_origin_policies_are_what_they_say_on_every_way_that_has_one() {
    let listed = || OriginPolicy::list(["https://app.example", "null"]).unwrap();
    let by = || OriginPolicy::by(|origin, request| origin.ends_with(request.path()));
    let policies: [Ruled; 3] = [
        (
            "list",
            listed(),
            &[
                ("https://app.example", "101"),
                ("null", "101"),
                ("https://app.example.evil", "403"),
                ("http://app.example", "403"),
                ("https://APP.example", "403"),
                ("http://example.com", "403"),
            ],
        ),
        (
            "any",
            OriginPolicy::any(),
            &[("https://good.evil", "101"), ("null", "101")],
        ),
        (
            "by",
            by(),
            &[("x:/chat", "101"), ("http://example.com", "403")],
        ),
    ];
    // An acceptor of one's own decides by itself.
    let (_, ways) = WAYS.split_last().unwrap();

    for (way, register) in ways {
        for (name, policy, rows) in &policies {
            let builder = WebSocketFactory::builder().with_origin(policy.clone());
            let factory = register(builder, Made::default()).build().unwrap();
            let addr = serve(WebSocketHandler::new(factory, NotFound)).await;
            for (origin, status) in *rows {
                let told = ask(addr, &format!("Origin: {origin}\r\n")).await;
                assert_eq!(told, *status, "hostile input H30: {way}, {name}, {origin}");
            }
            assert_eq!(ask(addr, "").await, "101", "{way}, {name}: no browser");
        }
    }
}

/// The status of the answer to a handshake with further headers, whose sentence names `Origin` if
/// it is a refusal.
async fn ask(addr: SocketAddr, headers: &str) -> String {
    let mut raw = Raw::connect(addr).await;
    let lines = format!("\r\nSec-WebSocket-Protocol: chat\r\n{headers}\r\n");
    raw.send(HANDSHAKE.replace("\r\n\r\n", &lines)).await;
    let status = raw.head().await[9..12].to_owned();
    let _gone = raw.stream.shutdown().await;
    let rest = raw.rest().await;
    assert_eq!(rest.starts_with(b"Origin: "), status != "101", "{rest:?}");
    status
}
