//! Hostile inputs C1 to C5 and H39: what is offered in, what the 101 says out.

use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, header::SEC_WEBSOCKET_EXTENSIONS};
use ws_factory::{
    AgreedExtension, Endpoint, ExtensionOffer, OfferedFragment, OfferedIdentity, Policy,
    WebSocketFactory, WebSocketFactoryBuilder, extension::DeflateConfig, extension::Identity,
};

use crate::{
    extensions::{Counting, Odd},
    peer::connect,
};

struct Quiet;

impl Endpoint for Quiet {}

fn compressing(config: DeflateConfig) -> WebSocketFactoryBuilder {
    let policy = Policy::default().with_compression(Some(config));
    WebSocketFactory::builder()
        .fallback(|_| Quiet)
        .with_policy(policy)
}

async fn answer(factory: &WebSocketFactory, offers: &[&str]) -> Response<String> {
    let mut request = Request::get("/")
        .header("host", "example.com")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap();
    for offer in offers {
        let value = HeaderValue::from_str(offer).unwrap();
        request
            .headers_mut()
            .append(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    factory.accept(&mut request).await.expect("a handshake")
}

/// What the 101 says; empty for nothing.
async fn agreed(factory: &WebSocketFactory, offers: &[&str]) -> String {
    let response = answer(factory, offers).await;
    assert_eq!(response.status(), 101, "{offers:?}");
    let mut values = response.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let value = values.next().map(|it| it.to_str().unwrap().to_owned());
    assert!(values.next().is_none());
    value.unwrap_or_default()
}

/// The answer to each offer, where compression is configured by default.
async fn assert_answers(rows: &[(&[&str], &str)]) {
    let factory = compressing(DeflateConfig::default()).build().unwrap();
    for (offers, want) in rows {
        assert_eq!(agreed(&factory, offers).await, *want, "{offers:?}");
    }
}

/// Hostile input C1.
#[tokio::test]
async fn legal_offer_is_answered_and_its_parameters_kept() {
    assert_answers(&[
        (&["permessage-deflate"], "permessage-deflate"),
        (
            &["permessage-deflate; client_max_window_bits"],
            "permessage-deflate",
        ),
        (
            &["permessage-deflate;server_no_context_takeover ; client_no_context_takeover"],
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            &[r#"permessage-deflate; server_max_window_bits="10""#],
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            &[r#"permessage-deflate; server_max_window_bits="1\0"; client_max_window_bits="8""#],
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=8",
        ),
    ])
    .await;

    let factory = compressing(DeflateConfig::default()).build().unwrap();
    for bits in 8..=15 {
        let offer = format!("permessage-deflate; client_max_window_bits={bits}");
        assert_eq!(agreed(&factory, &[&offer]).await, offer);
    }
    for bits in 9..=15 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        assert_eq!(agreed(&factory, &[&offer]).await, offer);
    }
}

/// Hostile inputs C2 and C5: alone they are no compression, and in front of a good offer nothing.
#[tokio::test]
async fn offer_that_cannot_be_kept_is_declined_and_the_next_one_tried() {
    let factory = compressing(DeflateConfig::default()).build().unwrap();
    for params in [
        "client_max_window_bits=16",
        "client_max_window_bits=7",
        "client_max_window_bits=010",
        "client_max_window_bits=99999999999999999999",
        "client_max_window_bits=-9",
        "client_max_window_bits=0x9",
        "server_max_window_bits",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "client_max_window_bits; client_max_window_bits=10",
        "server_no_context_takeover; server_no_context_takeover",
        "Server_No_Context_Takeover",
        "mux",
    ] {
        let bad = format!("permessage-deflate; {params}");

        assert_eq!(agreed(&factory, &[&bad]).await, "", "{bad}");
        let both = format!("{bad}, permessage-deflate; server_max_window_bits=12");
        assert_eq!(
            agreed(&factory, &[&both]).await,
            "permessage-deflate; server_max_window_bits=12",
            "{bad}"
        );
    }
}

/// Hostile input C3.
#[tokio::test]
async fn first_usable_alternative_counts_wherever_it_stands() {
    assert_answers(&[
        (
            &["x-webkit-deflate-frame, mux; a=\"b\\c\", permessage-deflate"],
            "permessage-deflate",
        ),
        (
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            &["permessage-deflate; mux", ", ,", "permessage-deflate"],
            "permessage-deflate",
        ),
        (&["PERMESSAGE-DEFLATE, deflate-frame"], ""),
    ])
    .await;
}

/// Hostile inputs C4 and H39: at the best of five, since other tests run beside this one.
#[tokio::test]
async fn hostile_header_costs_what_it_weighs() {
    let factory = compressing(DeflateConfig::default()).build().unwrap();
    let offers = |offer: &str| offer.repeat(1_500);
    for (header, status) in [
        (",".repeat(8 << 10), 101),
        (offers("permessage-deflate; mux,"), 101),
        (offers("a;b=\"\\c\","), 101),
        (format!("permessage-deflate{}", offers("; a")), 101),
        ("; =; ;;".to_owned(), 400),
        (format!("a; b=\"{}", "\\\"".repeat(4 << 10)), 400),
        (
            r#"permessage-deflate; server_max_window_bits="""#.to_owned(),
            400,
        ),
    ] {
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            let response = answer(&factory, &[&header]).await;
            fastest = fastest.min(start.elapsed());

            assert_eq!(response.status(), status);
            assert!(!response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS));
        }
        assert!(fastest < Duration::from_millis(20), "{fastest:?}");
    }
}

#[tokio::test]
async fn nothing_is_agreed_to_unless_asked_for() {
    let factory = WebSocketFactory::builder()
        .fallback(|_| Quiet)
        .build()
        .unwrap();

    for offer in ["permessage-deflate", "identity", "fragment; maxLength=1"] {
        assert_eq!(agreed(&factory, &[offer]).await, "");
    }
}

#[tokio::test]
async fn server_says_what_its_configuration_asks_for() {
    let config = DeflateConfig::default()
        .with_server_no_context_takeover()
        .with_client_no_context_takeover()
        .with_server_max_window_bits(11)
        .with_client_max_window_bits(10);
    let factory = compressing(config).build().unwrap();
    let own = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
               server_max_window_bits=11";

    assert_eq!(agreed(&factory, &["permessage-deflate"]).await, own);
    assert_eq!(
        agreed(&factory, &["permessage-deflate; client_max_window_bits"]).await,
        format!("{own}; client_max_window_bits=10")
    );
}

/// The order of the client's offers is that of the answer, and a bit has one owner.
#[tokio::test]
async fn extensions_beside_each_other_are_agreed_in_the_clients_order() {
    let factory = compressing(DeflateConfig::default())
        .with_extension(OfferedIdentity)
        .with_extension(OfferedFragment)
        .with_extension(Counting::default())
        .with_extension(Odd(|offer| {
            // Claims a bit, as the compression does.
            let params = [("server_no_context_takeover", None)];
            let (deflate, _) = DeflateConfig::default().accept(&params)?;
            Some(AgreedExtension::new(offer.clone(), deflate))
        }))
        .build()
        .unwrap();
    for (offers, want) in [
        (
            "fragment; maxLength=2; minFragments=2, identity, permessage-deflate, counting",
            "fragment; maxLength=2; minFragments=2, identity, permessage-deflate, counting",
        ),
        ("permessage-deflate, odd", "permessage-deflate"),
        ("odd, permessage-deflate, identity", "odd, identity"),
        ("identity; a, identity", "identity"),
    ] {
        assert_eq!(agreed(&factory, &[offers]).await, want);
    }
}

#[tokio::test]
async fn negotiator_that_panics_is_a_500_and_its_nonsense_is_declined() {
    let panics = compressing(DeflateConfig::default())
        .with_extension(Odd(|_| panic!("on purpose")))
        .build()
        .unwrap();
    let nonsense = compressing(DeflateConfig::default())
        .with_extension(Odd(|_| {
            let answer = ExtensionOffer::new("odd").with_param("a", Some("1\r\nx: y"));
            Some(AgreedExtension::new(answer, Identity::default()))
        }))
        .build()
        .unwrap();

    assert_eq!(answer(&panics, &["odd"]).await.status(), 500);
    assert_eq!(agreed(&panics, &["identity"]).await, "");
    let offers = "odd, permessage-deflate";
    assert_eq!(agreed(&nonsense, &[offers]).await, "permessage-deflate");
}

#[tokio::test(start_paused = true)]
async fn session_knows_what_was_agreed() {
    let factory = compressing(DeflateConfig::default()).build().unwrap();

    let offer = "permessage-deflate; server_max_window_bits=\"9\"";
    let (_peer, agreed) = connect(&factory, offer).await;

    let [session] = &factory.sessions()[..] else {
        panic!("{:?}", factory.sessions());
    };
    assert_eq!(agreed, "permessage-deflate; server_max_window_bits=9");
    assert_eq!(session.request().extensions(), agreed);
}
