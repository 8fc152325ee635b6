//! A request as the head of a handshake: of HTTP/1 (RFC 6455 §4.1), and of HTTP/2 (RFC 8441 §5).

use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{self, HeaderName},
};
use ws_factory::ExtensionOffer;

use crate::ConnectRequest;

impl ConnectRequest {
    /// A GET, with the nonce that the answer has to prove it has seen.
    pub(crate) fn upgrade(&self, key: &str) -> Request<()> {
        let mut head = Request::new(());
        *head.method_mut() = Method::GET;
        *head.uri_mut() = Uri::from(self.path.clone());
        let headers = head.headers_mut();
        headers.insert(header::HOST, visible_ascii(self.host_and_port()));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_KEY, visible_ascii(key));
        self.put_offers(headers);
        head
    }

    /// An extended CONNECT: the connection is HTTP/2's already, so nothing is upgraded or proved.
    pub(crate) fn extended_connect(&self) -> Request<()> {
        let mut head = Request::new(());
        *head.method_mut() = Method::CONNECT;
        *head.version_mut() = Version::HTTP_2;
        let scheme = if self.secure { "https" } else { "http" };
        *head.uri_mut() = Uri::builder()
            .scheme(scheme)
            .authority(self.host_and_port())
            .path_and_query(self.path.clone())
            .build()
            .expect("the parts of a URL");
        self.put_offers(head.headers_mut());
        let protocol = Protocol::from_static("websocket");
        head.extensions_mut().insert(protocol);
        head
    }

    /// What either kind says in the same way, and then what the caller added.
    fn put_offers(&self, headers: &mut HeaderMap) {
        let mut put = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
        put(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        if !self.subprotocols().is_empty() {
            let offers = visible_ascii(&self.subprotocols().join(", "));
            put(header::SEC_WEBSOCKET_PROTOCOL, offers);
        }
        if let Some(offers) = ExtensionOffer::header(&self.policy().extension_offers()) {
            put(header::SEC_WEBSOCKET_EXTENSIONS, offers);
        }
        headers.extend(self.headers.clone());
    }
}

fn visible_ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a key, a token and an authority are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers two subprotocols, and has a header of its own, twice.
    fn request() -> ConnectRequest {
        ConnectRequest::to("wss://a:444/chat?b=c")
            .and_then(|request| request.with_subprotocol("b"))
            .and_then(|request| request.with_subprotocol("a"))
            .and_then(|request| request.with_header("X-Room", "7"))
            .and_then(|request| request.with_header("x-room", "8"))
            .unwrap()
    }

    fn lines(head: &Request<()>) -> Vec<String> {
        let headers = head.headers().iter();
        headers
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn upgrade_has_what_the_handshake_needs_then_what_the_caller_added() {
        let head = request().upgrade("dGhlIHNhbXBsZSBub25jZQ==");

        assert_eq!(head.method(), "GET");
        assert_eq!(head.uri(), "/chat?b=c");
        assert_eq!(
            lines(&head),
            [
                "host: a:444",
                "upgrade: websocket",
                "connection: Upgrade",
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
                "sec-websocket-version: 13",
                "sec-websocket-protocol: b, a",
                "x-room: 7",
                "x-room: 8",
            ]
        );
    }

    #[test]
    fn extended_connect_has_neither_key_nor_what_only_http_1_has() {
        let head = request().extended_connect();

        assert_eq!(head.method(), "CONNECT");
        assert_eq!(head.uri(), "https://a:444/chat?b=c");
        let protocol = head.extensions().get::<Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        assert_eq!(
            lines(&head),
            [
                "sec-websocket-version: 13",
                "sec-websocket-protocol: b, a",
                "x-room: 7",
                "x-room: 8",
            ]
        );
    }

    #[test]
    fn default_port_is_left_out() {
        let uri = |url| {
            ConnectRequest::to(url)
                .unwrap()
                .extended_connect()
                .uri()
                .to_string()
        };

        assert_eq!(uri("ws://a:80/"), "http://a/");
        assert_eq!(uri("wss://a:443"), "https://a/");
        assert_eq!(uri("wss://[::1]:80/"), "https://[::1]:80/");
    }
}
