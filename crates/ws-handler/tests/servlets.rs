//! Servlets on the wire: which one answers, with which parameters and which limits.

use tokio_tungstenite::tungstenite::Message as Foreign;
use ws_handler::{
    Endpoint, EventResult, Message, NotFound, Policy, ServletError, Servlets, Session,
    WebSocketFactoryBuilder, WebSocketServlet,
};

#[path = "support/bounded.rs"]
mod bounded;
#[path = "support/client.rs"]
mod client;
#[path = "support/plain.rs"]
mod plain;
#[path = "support/refusal.rs"]
mod refusal;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/talk.rs"]
mod talk;

use client::{Client, open};
use plain::plain;
use refusal::refused;
use serving::serve;
use talk::{hear, say};

/// A servlet whose endpoint says its name and what it knows of the path, then echoes.
struct Named(&'static str);

impl WebSocketServlet for Named {
    fn configure(self, factory: WebSocketFactoryBuilder) -> WebSocketFactoryBuilder {
        factory.fallback(move |_request| Greeting { name: self.0 })
    }
}

struct Greeting {
    name: &'static str,
}

impl Endpoint for Greeting {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let request = session.request();
        let params: Vec<_> = request
            .path_params()
            .map(|(name, value)| format!(" {name}={value}"))
            .collect();
        let greeting = format!("{} {}{}", self.name, request.path(), params.concat());
        session.send_text(greeting).await?;
        Ok(())
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

#[tokio::test]
async fn exact_comes_before_template_before_longest_prefix() {
    let servlets = Servlets::new()
        .mount("/*", Named("everything"))
        .and_then(|servlets| servlets.mount("/chat/*", Named("below chat")))
        .and_then(|servlets| servlets.mount("/chat/{room}", Named("room")))
        .and_then(|servlets| servlets.mount("/chat/{room}/{seat}", Named("seat")))
        .and_then(|servlets| servlets.mount("/chat/lobby", Named("lobby")))
        .unwrap();
    let addr = serve(servlets.around(NotFound)).await;

    for (path, greeting) in [
        ("/chat/lobby", "lobby /chat/lobby"),
        ("/chat/lobby?room=1", "lobby /chat/lobby"),
        ("/chat/blue", "room /chat/blue room=blue"),
        (
            "/chat/gr%C3%BCn%20",
            "room /chat/gr%C3%BCn%20 room=gr\u{fc}n ",
        ),
        ("/chat/a%2Fb", "room /chat/a%2Fb room=a/b"),
        ("/chat/%252F", "room /chat/%252F room=%2F"),
        ("/chat/a/1", "seat /chat/a/1 room=a seat=1"),
        // No UTF-8, so no value of a parameter.
        ("/chat/%ff", "below chat /chat/%ff"),
        ("/chat", "below chat /chat"),
        ("/chat/", "below chat /chat/"),
        ("/chat/a/1/x", "below chat /chat/a/1/x"),
        ("/chats", "everything /chats"),
        ("/", "everything /"),
        ("//chat/lobby", "everything //chat/lobby"),
        ("/x/../chat/lobby", "everything /x/../chat/lobby"),
    ] {
        let (mut client, _) = open(addr, path, []).await.unwrap();
        assert_eq!(hear(&mut client).await, Foreign::text(greeting), "{path}");
    }
}

#[tokio::test]
async fn path_without_a_servlet_belongs_to_the_inner_service_upgrade_or_not() {
    let servlets = Servlets::new().mount("/chat", Named("chat")).unwrap();
    let addr = serve(servlets.around(plain())).await;

    // The client calls it a refusal: it is the inner service's answer.
    let (status, body) = refused(addr, "/other", []).await;

    let want = r#"{"method":"GET","path":"/other","upgrade":"websocket","body":""}"#;
    assert_eq!((status, body.as_str()), (200, want));
}

#[tokio::test]
async fn inner_service_may_answer_the_upgrade_itself() {
    let inside = Servlets::new().mount("/inner", Named("inner")).unwrap();
    let outside = Servlets::new().mount("/outer", Named("outer")).unwrap();
    let inner = inside.around(plain());
    let flat = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let answer = hyper::service::Service::call(&inner, request);
        async move { answer.await.map(|response| response.map(collapse)) }
    });
    let addr = serve(outside.around(flat)).await;

    for (path, greeting) in [("/outer", "outer /outer"), ("/inner", "inner /inner")] {
        let (mut client, _) = open(addr, path, []).await.unwrap();
        assert_eq!(hear(&mut client).await, Foreign::text(greeting));
    }
}

fn collapse<B>(body: http_body_util::Either<B, B>) -> B {
    match body {
        http_body_util::Either::Left(body) | http_body_util::Either::Right(body) => body,
    }
}

#[tokio::test]
async fn limits_are_the_init_parameters_over_the_servlets_over_the_servers() {
    let strict = |factory: WebSocketFactoryBuilder| {
        let policy = factory.policy().clone().with_max_binary_bytes(3);
        Named("strict").configure(factory).with_policy(policy)
    };
    let addr = serve(
        Servlets::new()
            .with_policy(Policy::default().with_max_text_bytes(20))
            .mount("/server", Named("server"))
            .and_then(|servlets| {
                servlets.mount_with("/strict", strict, [("maxTextMessageSize", "10")])
            })
            .unwrap()
            .around(NotFound),
    )
    .await;

    for (path, fits, does_not) in [
        (
            "/server",
            Foreign::text("x".repeat(20)),
            Foreign::text("x".repeat(21)),
        ),
        (
            "/server",
            Foreign::binary(vec![0; 21]),
            Foreign::binary(vec![0; 65_537]),
        ),
        (
            "/strict",
            Foreign::text("x".repeat(10)),
            Foreign::text("x".repeat(11)),
        ),
        (
            "/strict",
            Foreign::binary(vec![0; 3]),
            Foreign::binary(vec![0; 4]),
        ),
    ] {
        let (mut client, _) = open(addr, path, []).await.unwrap();
        hear(&mut client).await;

        say(&mut client, fits.clone()).await;
        assert_eq!(hear(&mut client).await, fits);
        say(&mut client, does_not).await;
        assert_eq!(close_code(&mut client).await, 1009, "{path}: {fits:?}");
    }
}

#[tokio::test]
async fn idle_time_of_the_init_parameters_ends_an_idle_session() {
    let servlets = Servlets::new()
        .mount_with("/chat", Named("chat"), [("maxIdleTime", "50")])
        .unwrap();
    let addr = serve(servlets.around(NotFound)).await;
    let (mut client, _) = open(addr, "/chat", []).await.unwrap();
    hear(&mut client).await;

    assert_eq!(close_code(&mut client).await, 1001);
}

#[test]
fn what_cannot_be_mounted_is_an_error_that_names_it() {
    let twice = Servlets::new()
        .mount("/chat/{room}", Named("first"))
        .and_then(|servlets| servlets.mount("/chat/{name}", Named("second")));
    let unknown = Servlets::new().mount_with("/chat", Named("chat"), [("maxIdletime", "5")]);
    let bad = Servlets::new().mount_with("/chat", Named("chat"), [("maxIdleTime", "5s")]);
    let nothing = Servlets::new().mount("/chat", |factory| factory);
    let no_path = Servlets::new().mount("chat", Named("chat"));

    for (mounted, parts) in [
        (twice, ["/chat/{room}", "/chat/{name}"]),
        (unknown, ["maxIdletime", "unknown"]),
        (bad, ["maxIdleTime", "5s"]),
        (nothing, ["/chat", "no endpoint"]),
        (no_path, ["\"chat\"", "'/'"]),
    ] {
        let error: ServletError = mounted.expect_err("it is wrong");
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

async fn close_code(client: &mut Client) -> u16 {
    match hear(client).await {
        Foreign::Close(Some(close)) => close.code.into(),
        other => panic!("not a Close with a code: {other:?}"),
    }
}
