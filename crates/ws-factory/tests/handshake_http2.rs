//! RFC 8441 §5 and the hostile inputs P2–P5 and P18 that a parsed head can carry, through the public
//! API only.

use http::{HeaderName, HeaderValue, Method, Request, Version};
use hyper::ext::Protocol;
use ws_factory::{OriginPolicy, UpgradeRequest};

/// Hostile inputs P2 and P4.
#[test]
fn connect_of_http2_is_a_handshake_if_its_protocol_is_websocket() {
    for protocol in ["websocket", "WebSocket", "WEBSOCKET"] {
        let request = connect(protocol);
        assert!(UpgradeRequest::is_upgrade(&request), "{protocol}");

        let request = parse(request).expect("a handshake");
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.host(), "example.com");
        assert_eq!(request.uri().path(), "/chat");
    }
    for protocol in ["connect-udp", "websockets", "websocket/13", ""] {
        assert!(
            !UpgradeRequest::is_upgrade(&connect(protocol)),
            "{protocol}"
        );
    }
    let mut get = connect("websocket");
    *get.method_mut() = Method::GET;
    assert!(!UpgradeRequest::is_upgrade(&get));
    let mut plain = connect("websocket");
    plain.extensions_mut().clear();
    assert!(!UpgradeRequest::is_upgrade(&plain));
    let mut http1 = connect("websocket");
    *http1.version_mut() = Version::HTTP_11;
    assert!(!UpgradeRequest::is_upgrade(&http1), "it has no `Upgrade`");
}

/// Hostile inputs P3, P5 and P18.
#[test]
fn connect_that_is_wrong_is_refused_by_a_sentence_that_says_why() {
    let version = "sec-websocket-version";
    let rows = [
        (connect("connect-udp"), 501, ":protocol: only"),
        (plain(), 400, "over HTTP/2 a WebSocket begins with CONNECT"),
        (without(version), 400, "Sec-WebSocket-Version: must be 13"),
        (with(version, "8"), 400, "Sec-WebSocket-Version: must be 13"),
        (
            also(version, "13"),
            400,
            "Sec-WebSocket-Version: must be 13",
        ),
        (
            with("content-length", "5"),
            400,
            "Content-Length: an upgrade has no body",
        ),
        (to("/chat"), 400, ":authority: is missing"),
        (
            to("http://user@example.com/"),
            400,
            ":authority: must be a host",
        ),
        (
            with("host", "evil.example"),
            400,
            "Host: is not the host of",
        ),
        (
            with("host", "example.com:81"),
            400,
            "Host: is not the host of",
        ),
        (with("host", "a b"), 400, "Host: must be a host"),
        (with("origin", "\u{fc}"), 403, "Origin: is not an origin"),
        (
            with("sec-websocket-protocol", "a b"),
            400,
            "Sec-WebSocket-Protocol: every",
        ),
        (
            with("sec-websocket-extensions", "=;"),
            400,
            "Sec-WebSocket-Extensions",
        ),
    ];

    for (request, status, sentence) in rows {
        let shown = format!("{request:?}");
        let response = parse(request).expect_err("must be refused").into_response();

        assert_eq!(response.status(), status, "{shown}");
        assert!(
            response.body().starts_with(sentence),
            "{shown}: {}",
            response.body()
        );
        // What HTTP/2 does not have.
        for name in ["connection", "upgrade"] {
            assert!(!response.headers().contains_key(name), "{shown}");
        }
        let is_of_version = sentence.starts_with("Sec-WebSocket-Version");
        assert_eq!(
            response.headers().contains_key(version),
            is_of_version,
            "{shown}"
        );
    }
}

#[test]
fn host_beside_authority_may_be_written_otherwise_or_stand_for_it() {
    let https = to("https://example.com/chat");
    for (mut request, host) in [
        (connect("websocket"), "EXAMPLE.com:80"),
        (https, "example.com:443"),
        (to("/chat"), "example.com"),
    ] {
        let value = HeaderValue::from_static(host);
        request.headers_mut().insert("host", value);

        assert!(parse(request).is_ok(), "{host}");
    }
}

/// Hostile input P18: the origin is held against `:authority`.
#[test]
fn origin_is_compared_with_the_authority() {
    for (origin, same) in [
        ("http://example.com", true),
        ("https://EXAMPLE.com", true),
        ("https://evil.example", false),
        ("http://example.com:81", false),
        ("null", false),
    ] {
        let request = parse(with("origin", origin)).expect("a handshake");

        assert_eq!(
            OriginPolicy::same_origin().allows(origin, &request),
            same,
            "{origin}"
        );
    }
}

fn connect(protocol: &str) -> Request<()> {
    let mut request = plain();
    let protocol = Protocol::from(protocol);
    request.extensions_mut().insert(protocol);
    request
}

fn plain() -> Request<()> {
    Request::connect("http://example.com/chat")
        .version(Version::HTTP_2)
        .header("sec-websocket-version", "13")
        .body(())
        .expect("a request")
}

fn to(target: &str) -> Request<()> {
    let mut request = connect("websocket");
    *request.uri_mut() = target.parse().expect("a target");
    request
}

fn without(name: &str) -> Request<()> {
    let mut request = connect("websocket");
    request.headers_mut().remove(name);
    request
}

fn with(name: &'static str, value: &str) -> Request<()> {
    let mut request = without(name);
    append(&mut request, name, value);
    request
}

fn also(name: &'static str, value: &str) -> Request<()> {
    let mut request = connect("websocket");
    append(&mut request, name, value);
    request
}

fn append(request: &mut Request<()>, name: &'static str, value: &str) {
    // One byte for each character, so that what is no UTF-8 can be written.
    let bytes: Vec<u8> = value.chars().map(|c| c as u8).collect();
    let value = HeaderValue::from_bytes(&bytes).expect("a header value");
    request
        .headers_mut()
        .append(HeaderName::from_static(name), value);
}

fn parse(request: Request<()>) -> Result<UpgradeRequest, ws_factory::Rejection> {
    let (parts, ()) = request.into_parts();
    UpgradeRequest::parse(parts)
}
