//! The extension that changes nothing: Jetty's `identity`, for tests of the pipeline.

use super::Extension;
use crate::{FramePart, ProtocolError};

/// Hands every part on as it came.
///
/// ```
/// use ws_core::extension::{Extension, Identity};
/// assert_eq!(Identity::default().name(), "identity");
/// ```
#[derive(Debug, Default)]
pub struct Identity {
    inbound: Option<FramePart>,
    outbound: Option<FramePart>,
}

impl Extension for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn outbound_key(&self) -> Option<u64> {
        Some(0)
    }

    fn push_inbound(&mut self, part: FramePart) {
        self.inbound = Some(part);
    }

    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        Ok(self.inbound.take())
    }

    fn push_outbound(&mut self, frame: FramePart) {
        self.outbound = Some(frame);
    }

    fn poll_outbound(&mut self) -> Option<FramePart> {
        self.outbound.take()
    }
}
