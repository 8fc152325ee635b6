//! A handshake in, the endpoint of the test protocol that it names out.

use async_trait::async_trait;
use ws_handler::{
    Accept, Accepted, Acceptor, ConfigError, Endpoint, Group, Policy, Rejection, SlowMember,
    UpgradeRequest, WebSocketFactory, extension::DeflateConfig,
};

use crate::{
    assemble::Assemble,
    broadcast::Broadcast,
    broadcast_ping::BroadcastPing,
    echo::Echo,
    fragment::Fragment,
    log::{EventLog, Logged},
    ping::Ping,
};

/// The factory of every test protocol, by the names of Jetty's `TestServer`; with an event log,
/// every event of every session is written there, and with a configuration of compression that is
/// agreed to where a client offers it.
///
/// | name | what comes back |
/// |---|---|
/// | none | nothing, but Pings are answered |
/// | `echo`, `lws-mirror-protocol` | every data frame, as it came |
/// | `echo-broadcast` | every message, to everybody, in the frames it came in |
/// | `echo-broadcast-ping` | the same, and a Ping `01 02 03` every 10 s |
/// | `echo-assemble` | every message in one frame |
/// | `echo-fragment` | every message in two frames, cut at half its bytes |
///
/// All but `lws-mirror-protocol` and `echo-broadcast-ping` also go by the prefix
/// `org.ietf.websocket.test-`. Where no subprotocol is offered the path may name one: `/echo`. A
/// message may have 64 MiB.
///
/// # Errors
///
/// None today: what is configured here is correct.
///
/// ```
/// let factory = test_protocols::factory(None, None)?;
/// assert_eq!(factory.policy().max_text_bytes(), 64 << 20);
/// # Ok::<(), ws_handler::ConfigError>(())
/// ```
pub fn factory(
    events: Option<EventLog>,
    compression: Option<DeflateConfig>,
) -> Result<WebSocketFactory, ConfigError> {
    let policy = Policy::default()
        .with_max_message_bytes(MAX_MESSAGE_BYTES)
        .with_compression(compression);
    WebSocketFactory::builder()
        .with_policy(policy)
        .with_acceptor(TestProtocols {
            events,
            broadcast: Group::new(SlowMember::Close),
            broadcast_ping: Group::new(SlowMember::Close),
        })
        .build()
}

/// The longest message, in bytes: 64 MiB, which Autobahn's largest cases and the demo page stay
/// below.
pub(crate) const MAX_MESSAGE_BYTES: u64 = 64 << 20;

struct TestProtocols {
    events: Option<EventLog>,
    /// Those who chose `echo-broadcast`, under either of its names.
    broadcast: Group,
    broadcast_ping: Group,
}

#[async_trait]
impl Acceptor for TestProtocols {
    async fn accept(
        &self,
        request: &UpgradeRequest,
        subprotocol: Option<&str>,
    ) -> Result<Option<Accepted>, Rejection> {
        let protocol = match subprotocol {
            Some(name) => Protocol::named(name),
            None if request.subprotocols().is_empty() => Some(Protocol::at(request.path())),
            None => Some(Protocol::Ping),
        };
        Ok(protocol.map(|protocol| self.endpoint(protocol)))
    }
}

impl TestProtocols {
    fn endpoint(&self, protocol: Protocol) -> Accepted {
        match protocol {
            Protocol::Ping => self.accepted("TestWebSocket", Ping),
            Protocol::Echo => self.accepted("TestEchoWebSocket", Echo),
            Protocol::Broadcast => {
                let endpoint = Broadcast::new(self.broadcast.clone());
                self.accepted("TestEchoBroadcastWebSocket", endpoint)
            }
            Protocol::BroadcastPing => {
                let endpoint = BroadcastPing::new(self.broadcast_ping.clone());
                self.accepted("TestEchoBroadcastPingWebSocket", endpoint)
            }
            Protocol::Assemble => self.accepted("TestEchoAssembleWebSocket", Assemble),
            Protocol::Fragment => self.accepted("TestEchoFragmentWebSocket", Fragment),
        }
    }

    /// Accepts with an endpoint, whose events are logged under the name of Jetty's class.
    fn accepted(&self, class: &'static str, endpoint: impl Endpoint) -> Accepted {
        match &self.events {
            None => Accept::new(endpoint).into(),
            Some(log) => Accept::new(Logged::new(endpoint, class, log.clone())).into(),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Ping,
    Echo,
    Broadcast,
    BroadcastPing,
    Assemble,
    Fragment,
}

impl Protocol {
    /// The protocol of this name, in exactly this case.
    fn named(name: &str) -> Option<Self> {
        match name {
            "lws-mirror-protocol" => return Some(Self::Echo),
            "echo-broadcast-ping" => return Some(Self::BroadcastPing),
            _ => {}
        }
        match name.strip_prefix(PREFIX).unwrap_or(name) {
            "echo" => Some(Self::Echo),
            "echo-broadcast" => Some(Self::Broadcast),
            "echo-assemble" => Some(Self::Assemble),
            "echo-fragment" => Some(Self::Fragment),
            _ => None,
        }
    }

    /// The protocol that a path names; any other path names none.
    fn at(path: &str) -> Self {
        let name = path.strip_prefix('/').unwrap_or(path);
        Self::named(name).unwrap_or(Self::Ping)
    }
}

const PREFIX: &str = "org.ietf.websocket.test-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_table_and_no_others() {
        for (name, want) in [
            ("echo", Some(Protocol::Echo)),
            ("lws-mirror-protocol", Some(Protocol::Echo)),
            ("echo-broadcast", Some(Protocol::Broadcast)),
            ("echo-broadcast-ping", Some(Protocol::BroadcastPing)),
            ("echo-assemble", Some(Protocol::Assemble)),
            ("echo-fragment", Some(Protocol::Fragment)),
            ("org.ietf.websocket.test-echo", Some(Protocol::Echo)),
            (
                "org.ietf.websocket.test-echo-broadcast",
                Some(Protocol::Broadcast),
            ),
            (
                "org.ietf.websocket.test-echo-assemble",
                Some(Protocol::Assemble),
            ),
            (
                "org.ietf.websocket.test-echo-fragment",
                Some(Protocol::Fragment),
            ),
            ("org.ietf.websocket.test-echo-broadcast-ping", None),
            ("org.ietf.websocket.test-lws-mirror-protocol", None),
            ("org.ietf.websocket.test-", None),
            ("ECHO", None),
            ("echo-", None),
            ("", None),
        ] {
            assert_eq!(Protocol::named(name), want, "{name}");
        }
    }

    #[test]
    fn path_names_a_protocol_only_as_a_whole() {
        for (path, want) in [
            ("/echo", Protocol::Echo),
            ("/org.ietf.websocket.test-echo", Protocol::Echo),
            ("/echo-fragment", Protocol::Fragment),
            ("/", Protocol::Ping),
            ("/echo/", Protocol::Ping),
            ("//echo", Protocol::Ping),
            ("/chat/echo", Protocol::Ping),
            ("*", Protocol::Ping),
        ] {
            assert_eq!(Protocol::at(path), want, "{path}");
        }
    }
}
