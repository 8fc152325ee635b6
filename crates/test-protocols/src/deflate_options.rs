//! What both programs are told about compression.

use clap::Args;
use ws_handler::extension::DeflateConfig;

/// Whether to agree to permessage-deflate, and how.
#[derive(Clone, Copy, Debug, Default, Args, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeflateOptions {
    /// Compress messages where the other side agrees
    #[arg(long)]
    pub deflate: bool,

    /// Compress messages, each on its own: less memory, less gain
    #[arg(long)]
    pub deflate_no_context: bool,

    /// Send messages of fewer bytes uncompressed; implies --deflate
    #[arg(long, value_name = "BYTES")]
    pub deflate_threshold: Option<usize>,
}

impl DeflateOptions {
    /// What is asked for; `None` for no compression.
    #[must_use]
    pub fn config(&self) -> Option<DeflateConfig> {
        let asked = self.deflate || self.deflate_no_context || self.deflate_threshold.is_some();
        let mut config = asked.then(DeflateConfig::default)?;
        if self.deflate_no_context {
            config = config
                .with_server_no_context_takeover()
                .with_client_no_context_takeover();
        }
        if let Some(bytes) = self.deflate_threshold {
            config = config.with_threshold_bytes(bytes);
        }
        Some(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_options_asks_for_compression() {
        let none = DeflateOptions::default();
        let plain = DeflateOptions {
            deflate: true,
            ..none
        };
        let no_context = DeflateOptions {
            deflate_no_context: true,
            ..none
        };
        let threshold = DeflateOptions {
            deflate_threshold: Some(0),
            ..none
        };

        assert_eq!(none.config(), None);
        assert_eq!(plain.config(), Some(DeflateConfig::default()));
        assert_ne!(no_context.config(), plain.config());
        assert_eq!(
            threshold.config(),
            Some(DeflateConfig::default().with_threshold_bytes(0))
        );
    }
}
