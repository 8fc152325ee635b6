//! Parts of frames in, parts of frames out (RFC 6455 §9).
//!
//! An [`Extension`] is a pure transformation, in both directions, of data frames; control frames
//! pass it by. It is *pulled*: it is given one part and then asked for what became of it, piece by
//! piece, so that nothing is inflated before somebody wants it.
//!
//! Outbound, a message meets the extensions in the order in which they were agreed; inbound, in
//! the reverse order (§9.1).

mod identity;
pub use identity::Identity;

mod fragment;
pub use fragment::Fragment;

mod deflate;
pub use deflate::{DeflateConfig, PerMessageDeflate};

use crate::{FramePart, ProtocolError, ReservedBits, prepared::FormKey};

/// The parameters of an extension as they were agreed: names, some with a value.
pub type Params = Vec<(String, Option<String>)>;

/// A transformation of data frames that both ends have agreed on.
///
/// After each `push_*`, the matching `poll_*` is called until it yields `None`, before the next
/// `push_*`.
///
/// Inbound the parts are those of frames as they arrive. Outbound each part is a whole frame, and
/// so must be what it becomes: a header is written before its payload.
pub trait Extension: Send + std::fmt::Debug {
    /// The registered name, as it stands in `Sec-WebSocket-Extensions`.
    fn name(&self) -> &'static str;

    /// The reserved bits that the extension gives a meaning to. Inbound it clears them.
    fn reserved(&self) -> ReservedBits {
        ReservedBits::NONE
    }

    /// What the outcome of [`Self::poll_outbound`] depends on besides the frame, as a number that
    /// differs where the outcome may; `None` where it depends on the frames before, too.
    ///
    /// A message for many is run once through extensions that have one. Default: `None`.
    fn outbound_key(&self) -> Option<u64> {
        None
    }

    /// Takes a part from the peer's side.
    fn push_inbound(&mut self, part: FramePart);

    /// The next piece of what the last part became on its way to the application.
    ///
    /// # Errors
    ///
    /// What the peer did wrong; the connection fails with its code.
    fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError>;

    /// Takes a whole frame from the application's side.
    fn push_outbound(&mut self, frame: FramePart);

    /// The next frame that the last one became on its way to the peer.
    fn poll_outbound(&mut self) -> Option<FramePart>;
}

/// The extensions of one connection, in the order in which they were agreed.
///
/// ```
/// use ws_core::{ExtensionStack, extension::Identity};
/// let mut stack = ExtensionStack::default();
/// assert!(stack.push(Box::new(Identity::default())).is_ok());
/// assert_eq!(stack.len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct ExtensionStack {
    /// The first is the application's neighbour, the last the wire's.
    layers: Vec<Box<dyn Extension>>,
    /// Whether the layers may still hold something of the part that was pushed last.
    draining: bool,
    /// A piece that [`Self::has_inbound`] came upon.
    ahead: Option<Box<FramePart>>,
}

impl ExtensionStack {
    /// Adds an extension behind those that are there.
    ///
    /// # Errors
    ///
    /// The extension comes back when it claims a reserved bit that another one has (§9.1 leaves
    /// such a conflict to be found here, never on the wire).
    pub fn push(&mut self, extension: Box<dyn Extension>) -> Result<(), Box<dyn Extension>> {
        let bits = extension.reserved();
        if self.claimed().without(bits) != self.claimed() {
            return Err(extension);
        }
        self.layers.push(extension);
        Ok(())
    }

    /// How many extensions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether frames go as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// What the outbound outcome depends on; `None` where one extension keeps a context.
    pub(crate) fn outbound_key(&self) -> Option<FormKey> {
        self.layers
            .iter()
            .map(|layer| Some((layer.name(), layer.outbound_key()?)))
            .collect()
    }

    /// Every reserved bit that has an owner.
    #[must_use]
    pub fn claimed(&self) -> ReservedBits {
        self.layers.iter().fold(ReservedBits::NONE, |bits, layer| {
            bits.with(layer.reserved())
        })
    }

    /// Whether something of the last part is still inside. Only looking tells: an extension may
    /// make one part into several, or the last of a message into none.
    pub(crate) fn has_inbound(&mut self) -> Result<bool, ProtocolError> {
        if self.draining && self.ahead.is_none() {
            self.ahead = self.pull_inbound()?.map(Box::new);
        }
        Ok(self.ahead.is_some())
    }

    pub(crate) fn push_inbound(&mut self, part: FramePart) {
        if let Some(layer) = self.layers.last_mut() {
            self.draining = true;
            layer.push_inbound(part);
        }
    }

    pub(crate) fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        match self.ahead.take() {
            None if self.draining => self.pull_inbound(),
            ahead => Ok(ahead.map(|part| *part)),
        }
    }

    fn pull_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
        let mut at = 0;
        while let Some(layer) = self.layers.get_mut(at) {
            match layer.poll_inbound()? {
                Some(part) if at == 0 => return Ok(Some(part)),
                Some(part) => {
                    at -= 1;
                    self.layers[at].push_inbound(part);
                }
                None => at += 1,
            }
        }
        self.draining = false;
        Ok(None)
    }

    pub(crate) fn push_outbound(&mut self, frame: FramePart) {
        if let Some(layer) = self.layers.first_mut() {
            layer.push_outbound(frame);
        }
    }

    pub(crate) fn poll_outbound(&mut self) -> Option<FramePart> {
        let wire = self.layers.len().checked_sub(1)?;
        let mut at = wire;
        loop {
            match self.layers[at].poll_outbound() {
                Some(frame) if at == wire => return Some(frame),
                Some(frame) => {
                    at += 1;
                    self.layers[at].push_outbound(frame);
                }
                None => at = at.checked_sub(1)?,
            }
        }
    }
}
