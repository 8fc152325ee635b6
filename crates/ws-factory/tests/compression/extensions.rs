//! Extensions to watch a pipeline with, by public API alone.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ws_factory::{
    AgreedExtension, Bytes, Extension, ExtensionNegotiator, ExtensionOffer, FramePart,
    ProtocolError, ReservedBits,
};

/// Adds 1 to every byte on its way out, marks the frame with RSV2, and counts the frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counting {
    pub(crate) frames: Arc<AtomicUsize>,
    inbound: Option<FramePart>,
    outbound: Option<FramePart>,
}

impl Counting {
    pub(crate) fn count(&self) -> usize {
        self.frames.load(Ordering::Relaxed)
    }
}

impl Extension for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn reserved(&self) -> ReservedBits {
        ReservedBits::RSV2
    }

    fn outbound_key(&self) -> Option<u64> {
        Some(1)
    }

    fn push_inbound(&mut self, part: FramePart) {
        // Its bit is left as it came, which it should not be.
        self.inbound = Some(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        Ok(self.inbound.take())
    }

    fn push_outbound(&mut self, frame: FramePart) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        let payload: Bytes = frame
            .payload()
            .iter()
            .map(|it| it.wrapping_add(1))
            .collect();
        let reserved = frame.header().reserved().with(ReservedBits::RSV2);
        self.outbound = Some(frame.with_payload(payload).with_reserved(reserved));
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.outbound.take()
    }
}

impl ExtensionNegotiator for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
        Some(AgreedExtension::new(offer.clone(), self.clone()))
    }
}

/// Makes nothing of whatever is sent, and says that it does so to everybody alike.
#[derive(Debug, Default)]
pub(crate) struct Swallow {
    pub(crate) alike: bool,
    inbound: Option<FramePart>,
}

impl Extension for Swallow {
    fn name(&self) -> &'static str {
        "swallow"
    }

    fn outbound_key(&self) -> Option<u64> {
        self.alike.then_some(0)
    }

    fn push_inbound(&mut self, part: FramePart) {
        self.inbound = Some(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        Ok(self.inbound.take())
    }

    fn push_outbound(&mut self, _frame: FramePart) {}

    fn poll_outbound(&mut self) -> Option<FramePart> {
        None
    }
}

/// Answers an offer of `odd` by a function.
pub(crate) struct Odd(pub(crate) fn(&ExtensionOffer) -> Option<AgreedExtension>);

impl fmt::Debug for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Odd")
    }
}

impl ExtensionNegotiator for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
        (self.0)(offer)
    }
}
