//! An extension of one's own: `x-xor`, which changes every byte of a data frame by a key that the
//! client names, and marks the frame with RSV2. No secrecy comes of it; what it shows is all that an
//! extension needs: a negotiator, which answers an offer, and an instance for each connection, which
//! transforms what goes through it.
//!
//! Run it with `cargo run --example extension`. A client that offers `x-xor; key=42` gets its echo by
//! it, and one that offers nothing gets it plain.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use ws_handler::{
    AgreedExtension, Bytes, Endpoint, EventResult, Extension, ExtensionNegotiator, ExtensionOffer,
    FramePart, Message, NotFound, ProtocolError, ReservedBits, Server, Session, WebSocketFactory,
    WebSocketHandler, shutdown_signal,
};

/// What a server is willing to agree on: any key.
#[derive(Debug)]
pub(crate) struct OfferedXor;

impl ExtensionNegotiator for OfferedXor {
    fn name(&self) -> &str {
        NAME
    }

    /// One key, and nothing else: an offer with a parameter that is unknown, or there twice, is
    /// declined, and the client's next one is looked at.
    fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
        let mut params = offer.params();
        let (Some(("key", Some(key))), None) = (params.next(), params.next()) else {
            return None;
        };
        let key = key.parse().ok()?;
        let answer = ExtensionOffer::new(NAME).with_param("key", Some(&format!("{key}")));
        Some(AgreedExtension::new(answer, Xor::new(key)))
    }
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Xor {
    key: u8,
    inbound: Option<FramePart>,
    outbound: Option<FramePart>,
}

impl Xor {
    pub(crate) fn new(key: u8) -> Self {
        Self {
            key,
            inbound: None,
            outbound: None,
        }
    }

    fn apply(&self, payload: &[u8]) -> Bytes {
        payload.iter().map(|byte| byte ^ self.key).collect()
    }
}

impl Extension for Xor {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Two extensions that want the same bit are never agreed on together.
    fn reserved(&self) -> ReservedBits {
        ReservedBits::RSV2
    }

    /// The same frame leads to the same bytes wherever the key is the same, so a message for many
    /// is transformed once for all of them.
    fn outbound_key(&self) -> Option<u64> {
        Some(self.key.into())
    }

    /// A part of a frame as it arrived: here each byte stands for itself, so that nothing need be
    /// kept from one part to the next.
    fn push_inbound(&mut self, part: FramePart) {
        let reserved = part.header().reserved();
        // A peer may leave a frame as it is.
        if !reserved.contains(ReservedBits::RSV2) {
            self.inbound = Some(part);
            return;
        }
        let payload = self.apply(part.payload());
        let rest = reserved.without(ReservedBits::RSV2);
        self.inbound = Some(part.with_payload(payload).with_reserved(rest));
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        Ok(self.inbound.take())
    }

    fn push_outbound(&mut self, frame: FramePart) {
        let payload = self.apply(frame.payload());
        let reserved = frame.header().reserved().with(ReservedBits::RSV2);
        self.outbound = Some(frame.with_payload(payload).with_reserved(reserved));
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.outbound.take()
    }
}

const NAME: &str = "x-xor";

pub(crate) struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let factory = WebSocketFactory::builder()
        .with_extension(OfferedXor)
        .fallback(|_request| Echo)
        .build()?;
    let server = Server::bind("127.0.0.1:8080").await?;
    println!("ws://{}/ offers x-xor", server.local_addr());
    server
        .serve(WebSocketHandler::new(factory, NotFound), shutdown_signal())
        .await;
    Ok(())
}
