//! RFC 6455 §4.2.1 and the hostile inputs H1–H33 that a parsed head can carry, through the public
//! API only. Those that need bytes, a response or a factory are tested where these are.

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use ws_factory::{OriginPolicy, Rejection, UpgradeRequest};

#[test]
fn header_that_is_legal_is_accepted() {
    let rows = [
        ("H1: any case", "UPGRADE", "WebSocket"),
        (
            "H1: beside other tokens",
            "Connection",
            "keep-alive, UPGRADE",
        ),
        ("H9: a list", "Upgrade", "h2c, websocket"),
        ("H9: empty elements", "Upgrade", ", websocket ,,"),
        ("H22: a length that says no body", "Content-Length", "0"),
        ("H30: same origin", "Origin", "https://EXAMPLE.com"),
        ("H31: empty element", "Sec-WebSocket-Protocol", "a,,b"),
        ("H31: duplicate", "Sec-WebSocket-Protocol", "a, a"),
        ("H31: empty list", "Sec-WebSocket-Protocol", ""),
        ("H35: would wait for 100", "Expect", "100-continue"),
        ("H38: means nothing", "X-Forwarded-Host", "evil.example"),
    ];

    for (row, name, value) in rows {
        let accepted = accept(with(name, value));
        assert!(accepted.is_ok(), "hostile input {row}: {accepted:?}");
    }
    assert!(accept(valid()).is_ok(), "hostile input H30: no origin");
}

#[test]
fn header_that_is_wrong_is_refused_by_a_sentence_that_names_it() {
    let huge_key = "A".repeat(4096);
    let spaces = format!("b{}x", " ".repeat(32_000));
    let rows = [
        ("H2: empty", "Host", "", 400),
        ("H2: no host", "Host", "user@example.com", 400),
        ("H10: another", "Connection", "close", 400),
        ("H10: a substring", "Connection", "notupgrade", 400),
        ("H11: empty", "Sec-WebSocket-Key", "", 400),
        (
            "H11: 15 bytes",
            "Sec-WebSocket-Key",
            "AAAAAAAAAAAAAAAAAAAA",
            400,
        ),
        (
            "H11: 17 bytes",
            "Sec-WebSocket-Key",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            400,
        ),
        (
            "H11: no base64",
            "Sec-WebSocket-Key",
            "dGhlIHNhbXBsZSBub25j!!==",
            400,
        ),
        ("H11: 4 KiB", "Sec-WebSocket-Key", &huge_key, 400),
        ("H14: another", "Sec-WebSocket-Version", "8", 426),
        ("H14: a later one", "Sec-WebSocket-Version", "14", 426),
        ("H14: a list", "Sec-WebSocket-Version", "13, 8", 426),
        ("H14: a leading zero", "Sec-WebSocket-Version", "013", 426),
        ("H14: no number", "Sec-WebSocket-Version", "", 426),
        ("H22: a body", "Content-Length", "5", 400),
        ("H23: a body", "Transfer-Encoding", "chunked", 400),
        ("H24: a sign", "Content-Length", "+0", 400),
        ("H30: null", "Origin", "null", 403),
        ("H30: another host", "Origin", "https://evil.example", 403),
        (
            "H30: a longer host",
            "Origin",
            "https://example.com.evil",
            403,
        ),
        (
            "H30: another port",
            "Origin",
            "https://example.com:8443",
            403,
        ),
        ("H30: empty", "Origin", "", 403),
        ("H31: no token", "Sec-WebSocket-Protocol", "a, b c", 400),
        ("H31: spaces", "Sec-WebSocket-Protocol", &spaces, 400),
    ];

    for (row, name, value, status) in rows {
        let response = refusal(with(name, value));
        assert_eq!(response.status(), status, "hostile input {row}");
        assert!(names(&response, name), "hostile input {row}: {response:?}");
    }
}

/// Hostile inputs H2, H10, H11 and H13.
#[test]
fn header_that_is_missing_is_named() {
    for (name, status) in [
        ("Host", 400),
        ("Connection", 400),
        ("Sec-WebSocket-Key", 400),
        ("Sec-WebSocket-Version", 426),
    ] {
        let response = refusal(without(name));
        assert_eq!(response.status(), status, "{name}");
        assert!(names(&response, name), "{name}: {response:?}");
    }
}

/// Hostile inputs H3, H12, H14, H24 and H30: even if both say the same, or one says the right.
#[test]
fn header_that_is_repeated_is_named() {
    for (name, first, second, status) in [
        ("Host", "example.com", "example.com", 400),
        ("Sec-WebSocket-Key", VALID_KEY, VALID_KEY, 400),
        ("Sec-WebSocket-Version", "13", "13", 426),
        ("Content-Length", "0", "5", 400),
        ("Origin", "http://example.com", "http://example.com", 400),
    ] {
        let mut request = with(name, first);
        append(&mut request, name, second);
        let response = refusal(request);
        assert_eq!(response.status(), status, "{name}");
        assert!(names(&response, name), "{name}: {response:?}");
    }
}

/// Hostile inputs H20 and H21.
#[test]
fn target_may_be_odd_or_absolute_but_names_no_user() {
    assert!(accept(to("//a/%00/..;/b")).is_ok());
    assert!(accept(to("http://example.com/chat")).is_ok());
    assert_eq!(refusal(to("http://user@example.com/chat")).status(), 400);
}

/// Hostile input H4.
#[test]
fn http_1_0_is_refused() {
    assert_eq!(refusal(over(Version::HTTP_10)).status(), 400);
}

/// Hostile inputs H5 and H6.
#[test]
fn other_method_is_told_the_right_one() {
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::CONNECT,
    ] {
        let response = refusal(by(method.clone()));

        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "GET", "{method}");
    }
}

/// Hostile inputs H7 and H8.
#[test]
fn request_that_asks_for_something_else_is_not_ours() {
    for upgrade in ["websocketx", "h2c", "websocket/13", "web socket", ""] {
        let request = with("upgrade", upgrade);

        assert!(!UpgradeRequest::is_upgrade(&request), "{upgrade}");
        let response = refusal(request);
        assert_eq!(response.status(), 426, "{upgrade}");
        assert_eq!(response.headers()["upgrade"], "websocket", "{upgrade}");
    }
    assert!(!UpgradeRequest::is_upgrade(&without("upgrade")));
    assert!(!UpgradeRequest::is_upgrade(&over(Version::HTTP_2)));
}

/// Hostile inputs H4 and H5: what asks for a WebSocket in the wrong way is ours to refuse.
#[test]
fn request_that_asks_wrongly_is_still_ours() {
    assert!(UpgradeRequest::is_upgrade(&valid()));
    assert!(UpgradeRequest::is_upgrade(&by(Method::POST)));
    assert!(UpgradeRequest::is_upgrade(&over(Version::HTTP_10)));
    assert!(UpgradeRequest::is_upgrade(&with(
        "upgrade",
        "h2c, WebSocket"
    )));
}

/// Hostile inputs H13 and H14.
#[test]
fn other_version_is_told_ours() {
    for request in [with(VERSION, "8"), without(VERSION)] {
        let response = refusal(request);

        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()[VERSION], "13");
    }
}

/// Hostile inputs H22 and H23: the connection ends, so the body cannot become a second request.
#[test]
fn body_on_an_upgrade_ends_the_connection() {
    for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked")] {
        let response = refusal(with(name, value));

        assert_eq!(response.headers()["connection"], "close", "{name}");
    }
}

/// Hostile input H30, under each policy.
#[test]
fn origin_is_held_against_the_policy() {
    let list = OriginPolicy::list(["https://good.example"]).unwrap();
    let by = OriginPolicy::by(|origin, request| origin == "null" && request.path() == "/chat");
    let any = OriginPolicy::any();
    for (policy, origin, allowed) in [
        (&list, "https://good.example", true),
        (&list, "https://GOOD.example", false),
        (&list, "https://good.example:443", false),
        (&list, "http://good.example", false),
        (&list, "https://good.example.evil", false),
        (&list, "http://example.com", false),
        (&list, "null", false),
        (&by, "null", true),
        (&by, "http://example.com", false),
        (&any, "null", true),
        (&any, "https://evil.example", true),
    ] {
        let request = parse(with("origin", origin)).unwrap();
        assert_eq!(
            policy.allows(origin, &request),
            allowed,
            "{origin} under {policy:?}"
        );
    }
}

/// Hostile input H30: bytes that are no text must not pass for an absent origin.
#[test]
fn origin_that_is_not_text_is_refused() {
    let bytes = HeaderValue::from_bytes(b"http://\xff").unwrap();
    let mut request = valid();
    request.headers_mut().insert("origin", bytes);

    assert_eq!(refusal(request).status(), 403);
}

/// Hostile input H31: what is looked at is bounded, and nothing is offered twice.
#[test]
fn first_32_offers_are_looked_at() {
    let offers: Vec<_> = (0..8_000).map(|i| (i / 2).to_string()).collect();

    let request = parse(with("sec-websocket-protocol", &offers.join(","))).unwrap();

    assert_eq!(request.subprotocols().len(), 16);
    assert_eq!(request.subprotocols()[..3], ["0", "1", "2"]);
}

/// Hostile inputs H17, H18 and H31: any quadratic step would take minutes here.
#[test]
fn long_lists_take_linear_time() {
    let commas = ",".repeat(1 << 20);
    let spaces = format!("b{}x", " ".repeat(1 << 20));
    let tokens = "a,".repeat(1 << 19);
    for name in [
        "connection",
        "upgrade",
        "sec-websocket-protocol",
        "origin",
        "host",
        KEY,
        VERSION,
    ] {
        for value in [&commas, &spaces, &tokens] {
            let request = with(name, value);
            let outcome = accept(request);
            assert!(
                outcome.is_err() || name == "sec-websocket-protocol",
                "{name}"
            );
        }
    }

    let mut many = valid();
    for i in 0..2_000 {
        append(&mut many, &format!("x-{i}"), "1");
        append(&mut many, "upgrade", "h2c");
    }
    assert!(accept(many).is_ok());
}

/// Hostile input H16, as far as a head can carry it: no byte in no header is a panic.
#[test]
fn no_byte_of_a_header_is_a_panic() {
    let names = [
        "host",
        "connection",
        "upgrade",
        "origin",
        "cookie",
        "sec-websocket-protocol",
        KEY,
        VERSION,
    ];
    for name in names {
        for byte in u8::MIN..=u8::MAX {
            for template in [
                &b"#"[..],
                b"a#",
                b"#a",
                b"http://a#b",
                b"[#]:#",
                b"a:#",
                b"a=\"#",
                b"#,#;#",
            ] {
                let value: Vec<u8> = template
                    .iter()
                    .map(|&b| if b == b'#' { byte } else { b })
                    .collect();
                let Ok(value) = HeaderValue::from_bytes(&value) else {
                    continue;
                };
                let mut request = valid();
                request
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
                if let Ok(request) = parse(request) {
                    let origin = request.origin().unwrap_or_default();
                    let _decided = OriginPolicy::same_origin().allows(origin, &request);
                    let _read = request.cookies().count();
                }
            }
        }
    }
}

const KEY: &str = "sec-websocket-key";
const VERSION: &str = "sec-websocket-version";
const VALID_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn valid() -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_static("/chat");
    append(&mut request, "host", "example.com");
    append(&mut request, "connection", "Upgrade");
    append(&mut request, "upgrade", "websocket");
    append(&mut request, VERSION, "13");
    append(&mut request, KEY, VALID_KEY);
    request
}

/// The valid handshake with this header beside its own, or in place of the one of that name.
fn with(name: &str, value: &str) -> Request<()> {
    let mut request = without(name);
    append(&mut request, name, value);
    request
}

fn append(request: &mut Request<()>, name: &str, value: &str) {
    let name = HeaderName::try_from(name).expect("a header name");
    let value = HeaderValue::try_from(value).expect("a header value");
    request.headers_mut().append(name, value);
}

fn without(name: &str) -> Request<()> {
    let mut request = valid();
    request.headers_mut().remove(name);
    request
}

fn to(target: &str) -> Request<()> {
    let mut request = valid();
    *request.uri_mut() = target.parse().expect("a request target");
    request
}

fn by(method: Method) -> Request<()> {
    let mut request = valid();
    *request.method_mut() = method;
    request
}

fn over(version: Version) -> Request<()> {
    let mut request = valid();
    *request.version_mut() = version;
    request
}

fn parse(request: Request<()>) -> Result<UpgradeRequest, Rejection> {
    let (parts, ()) = request.into_parts();
    UpgradeRequest::parse(parts)
}

/// What a factory does before it asks for an endpoint, with the default policy.
fn accept(request: Request<()>) -> Result<UpgradeRequest, Rejection> {
    let request = parse(request)?;
    match request.origin() {
        Some(origin) if !OriginPolicy::default().allows(origin, &request) => Err(
            Rejection::forbidden("Origin: may not open a WebSocket here"),
        ),
        _ => Ok(request),
    }
}

fn refusal(request: Request<()>) -> Response<String> {
    let outcome = accept(request);
    outcome.expect_err("must be refused").into_response()
}

/// Whether the text of a refusal begins with the header at fault.
fn names(response: &Response<String>, header: &str) -> bool {
    response.body().starts_with(&format!("{header}:"))
}
