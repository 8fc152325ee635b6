//! Which extensions a factory agrees to, and how (RFC 6455 §9).
//!
//! Offers are looked at in the client's order. Several offers of one extension are alternatives:
//! the first that is accepted counts. An extension that claims a reserved bit which an earlier one
//! has is declined, so that a conflict never reaches the wire.

use std::{fmt, sync::Arc};

use ws_core::{
    Extension, ExtensionStack,
    extension::{DeflateConfig, Fragment, Identity},
};

use crate::{ExtensionOffer, Policy};

/// Makes instances of one extension for connections that offer it.
///
/// ```
/// use ws_factory::{AgreedExtension, ExtensionNegotiator, ExtensionOffer, extension::Identity};
///
/// #[derive(Debug)]
/// struct OfferIdentity;
///
/// impl ExtensionNegotiator for OfferIdentity {
///     fn name(&self) -> &str {
///         "identity"
///     }
///
///     fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
///         let known = offer.params().next().is_none();
///         known.then(|| AgreedExtension::new(offer.clone(), Identity::default()))
///     }
/// }
/// ```
pub trait ExtensionNegotiator: Send + Sync + fmt::Debug + 'static {
    /// The registered name, in the case in which it is compared.
    fn name(&self) -> &str;

    /// Answers one offer of this extension; `None` declines it. An unknown or a repeated parameter
    /// is to be declined.
    fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension>;
}

/// An extension that was agreed on.
#[derive(Debug)]
pub struct AgreedExtension {
    answer: ExtensionOffer,
    extension: Box<dyn Extension>,
}

impl AgreedExtension {
    /// What the 101 says of it, and the instance that this connection gets. An answer of another
    /// name than the offer's, or with what is no token, declines the offer.
    #[must_use]
    pub fn new(answer: ExtensionOffer, extension: impl Extension + 'static) -> Self {
        Self {
            answer,
            extension: Box::new(extension),
        }
    }

    /// Whether the 101 can say so, of this offer.
    fn answers(&self, offer: &ExtensionOffer) -> bool {
        self.answer.name() == offer.name() && self.answer.is_legal()
    }
}

/// Agrees to Jetty's `identity`, which changes nothing: for tests of a pipeline.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct OfferedIdentity;

impl ExtensionNegotiator for OfferedIdentity {
    fn name(&self) -> &str {
        "identity"
    }

    fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
        let known = offer.params().next().is_none();
        known.then(|| AgreedExtension::new(offer.clone(), Identity::default()))
    }
}

/// Agrees to Jetty's `fragment`, which cuts what is sent into frames of at most `maxLength` bytes,
/// and at least `minFragments` of them.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct OfferedFragment;

impl ExtensionNegotiator for OfferedFragment {
    fn name(&self) -> &str {
        "fragment"
    }

    fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
        let params: Vec<_> = offer.params().collect();
        let (extension, agreed) = Fragment::accept(&params)?;
        let answer = ExtensionOffer::with_params("fragment", agreed);
        Some(AgreedExtension::new(answer, extension))
    }
}

/// The extensions that a factory knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtensionRegistry(Vec<Arc<dyn ExtensionNegotiator>>);

impl ExtensionRegistry {
    /// Adds an extension; returns whether its name was free.
    pub(crate) fn add(&mut self, negotiator: Arc<dyn ExtensionNegotiator>) -> bool {
        let free = self.0.iter().all(|known| known.name() != negotiator.name());
        if free {
            self.0.push(negotiator);
        }
        free
    }

    /// What comes of a client's offers: the extensions in the order in which they were agreed, and
    /// what the 101 says of them.
    pub(crate) fn agree(
        &self,
        offers: &[ExtensionOffer],
        compression: Option<&DeflateConfig>,
    ) -> (ExtensionStack, Vec<ExtensionOffer>) {
        let mut stack = ExtensionStack::default();
        let mut answers: Vec<ExtensionOffer> = Vec::new();
        for offer in offers {
            let agreed = |answer: &ExtensionOffer| answer.name() == offer.name();
            if answers.iter().any(agreed) {
                continue;
            }
            let negotiator = self.0.iter().find(|known| known.name() == offer.name());
            let accepted = match negotiator {
                Some(negotiator) => negotiator.accept(offer),
                None => compression.and_then(|config| accept_deflate(config, offer)),
            };
            // What cannot be said in the 101 would be agreed on by us alone.
            let Some(accepted) = accepted.filter(|it| it.answers(offer)) else {
                continue;
            };
            if stack.push(accepted.extension).is_ok() {
                answers.push(accepted.answer);
            }
        }
        (stack, answers)
    }
}

/// Answers an offer of compression as the policy says; `None` for an offer of anything else.
fn accept_deflate(config: &DeflateConfig, offer: &ExtensionOffer) -> Option<AgreedExtension> {
    if offer.name() != DEFLATE {
        return None;
    }
    let params: Vec<_> = offer.params().collect();
    let (extension, agreed) = config.accept(&params)?;
    Some(AgreedExtension::new(
        ExtensionOffer::with_params(DEFLATE, agreed),
        extension,
    ))
}

/// For a client's handshake of one's own.
impl Policy {
    /// The extensions that a client of this policy offers.
    #[must_use]
    pub fn extension_offers(&self) -> Vec<ExtensionOffer> {
        let offer = |config: &DeflateConfig| ExtensionOffer::with_params(DEFLATE, config.offer());
        self.compression().map(offer).into_iter().collect()
    }

    /// What a server's answer to [`Self::extension_offers`] leads to.
    ///
    /// # Errors
    ///
    /// The rule that the answer breaks, such as an extension that was not offered; the client
    /// fails the connection (RFC 6455 §4.1, RFC 7692 §5.1).
    pub fn agree_to(&self, answers: &[ExtensionOffer]) -> Result<ExtensionStack, &'static str> {
        let mut stack = ExtensionStack::default();
        for answer in answers {
            let config = self
                .compression()
                .filter(|_| answer.name() == DEFLATE && stack.is_empty())
                .ok_or("an extension that was not offered")?;
            let params: Vec<_> = answer.params().collect();
            let extension = Box::new(config.agree(&params)?);
            stack
                .push(extension)
                .map_err(|_extension| "a reserved bit with two meanings")?;
        }
        Ok(stack)
    }
}

/// The registered name (RFC 7692 §8).
const DEFLATE: &str = "permessage-deflate";

#[cfg(test)]
mod tests {
    use ws_core::{FramePart, ProtocolError, ReservedBits};

    use super::*;

    /// Claims a bit, and accepts what carries no parameter, or `a=1`.
    #[derive(Debug)]
    struct Claims(&'static str, ReservedBits);

    impl Extension for Claims {
        fn name(&self) -> &'static str {
            self.0
        }
        fn reserved(&self) -> ReservedBits {
            self.1
        }
        fn push_inbound(&mut self, _part: FramePart) {}
        fn poll_inbound(&mut self) -> Result<Option<FramePart>, ProtocolError> {
            Ok(None)
        }
        fn push_outbound(&mut self, _frame: FramePart) {}
        fn poll_outbound(&mut self) -> Option<FramePart> {
            None
        }
    }

    impl ExtensionNegotiator for Claims {
        fn name(&self) -> &str {
            self.0
        }
        fn accept(&self, offer: &ExtensionOffer) -> Option<AgreedExtension> {
            let known = offer.params().all(|param| param == ("a", Some("1")));
            known.then(|| AgreedExtension::new(offer.clone(), Self(self.0, self.1)))
        }
    }

    fn registry() -> ExtensionRegistry {
        let mut registry = ExtensionRegistry::default();
        assert!(registry.add(Arc::new(Claims("one", ReservedBits::RSV1))));
        assert!(registry.add(Arc::new(Claims("other", ReservedBits::RSV1))));
        assert!(registry.add(Arc::new(Claims("third", ReservedBits::RSV2))));
        assert!(!registry.add(Arc::new(Claims("one", ReservedBits::NONE))));
        registry
    }

    fn answers(offers: &[ExtensionOffer]) -> Vec<String> {
        let (stack, answers) = registry().agree(offers, None);
        assert_eq!(stack.len(), answers.len());
        answers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn first_acceptable_alternative_counts() {
        let bad = ExtensionOffer::new("one").with_param("b", None);
        let good = ExtensionOffer::new("one").with_param("a", Some("1"));

        assert_eq!(
            answers(&[bad, good, ExtensionOffer::new("one")]),
            ["one; a=1"]
        );
    }

    /// Answers as it was told to.
    #[derive(Debug)]
    struct Answers(ExtensionOffer);

    impl ExtensionNegotiator for Answers {
        fn name(&self) -> &str {
            "answers"
        }
        fn accept(&self, _offer: &ExtensionOffer) -> Option<AgreedExtension> {
            Some(AgreedExtension::new(self.0.clone(), Identity::default()))
        }
    }

    #[test]
    fn answer_that_the_101_cannot_give_is_declined() {
        let offer = ExtensionOffer::new("answers");
        let with = |value| offer.clone().with_param("a", Some(value));
        for (answer, agreed) in [
            (offer.clone(), 1),
            (with("1"), 1),
            (with("\u{e4}"), 0),
            (with("1, other"), 0),
            (with("1\r\nx: y"), 0),
            (offer.clone().with_param("", None), 0),
            (ExtensionOffer::new("other"), 0),
        ] {
            let mut registry = ExtensionRegistry::default();
            registry.add(Arc::new(Answers(answer)));

            let (stack, answers) = registry.agree(std::slice::from_ref(&offer), None);

            assert_eq!((stack.len(), answers.len()), (agreed, agreed));
        }
    }

    #[test]
    fn later_claim_of_the_same_bit_is_declined() {
        let offers = ["unknown", "other", "one", "third"].map(ExtensionOffer::new);

        assert_eq!(answers(&offers), ["other", "third"]);
    }
}
