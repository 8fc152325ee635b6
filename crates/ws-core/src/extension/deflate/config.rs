//! Parameters of an offer in, parameters of the answer out (RFC 7692 §7.1).
//!
//! Nothing here knows a header: parameters are names with or without a value, unquoted.

use super::{PerMessageDeflate, outbound::Compression, pool::Setting};
use crate::extension::Params;

/// What we are willing to agree on, and how we then compress.
///
/// The names of the parameters are the RFC's, so that one value serves both ends: a server's own
/// direction is `server_*`, a client's `client_*`.
///
/// | setting | default | |
/// |---|---|---|
/// | `server_no_context_takeover` | false | whether the server starts every message anew |
/// | `client_no_context_takeover` | false | whether the client does |
/// | `server_max_window_bits` | 15 | how far back the server refers, as a power of two |
/// | `client_max_window_bits` | 15 | how far back the client refers |
/// | `level` | 5 | 1 is fast, 9 is small |
/// | `threshold_bytes` | 1 KiB | shorter messages go plain |
///
/// With contexts kept a session has, from its first compressed message on, 275 KiB for what it
/// sends (with 12 window bits 160 KiB, with 9 150 KiB) and 46 KiB for what it receives. Without
/// them it has nothing between two messages, and messages that resemble each other compress less.
///
/// Where a message holds a secret beside something that an attacker chooses, the compressed length
/// tells about the secret, also across messages where contexts are kept. Send such messages
/// with [`crate::FramePart::left_plain`], or agree on no compression.
///
/// ```
/// use ws_core::extension::DeflateConfig;
/// let config = DeflateConfig::default().with_server_no_context_takeover();
/// let (_, agreed) = config.accept(&[]).expect("every parameter may be absent");
/// assert_eq!(agreed[0].0, "server_no_context_takeover");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeflateConfig {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: u8,
    client_max_window_bits: u8,
    level: u8,
    threshold_bytes: usize,
}

impl DeflateConfig {
    /// Has the server start every message anew (§7.1.1.1): it then holds no state between messages,
    /// and a message for many is compressed alike for all of them.
    #[must_use]
    pub const fn with_server_no_context_takeover(mut self) -> Self {
        self.server_no_context_takeover = true;
        self
    }

    /// Has the client start every message anew (§7.1.1.2): the server then holds no state of it
    /// between messages.
    #[must_use]
    pub const fn with_client_no_context_takeover(mut self) -> Self {
        self.client_no_context_takeover = true;
        self
    }

    /// How far back the server may refer: 2 to the power of this, in bytes (§7.1.2.1). Default:
    /// 15.
    ///
    /// Kept between 9 and 15. zlib has no window of 256 bytes: where 8 is said, it uses 512.
    #[must_use]
    pub fn with_server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = bits.clamp(LEAST_WINDOW_BITS, MOST_WINDOW_BITS);
        self
    }

    /// How far back the client may refer (§7.1.2.2): as [`Self::with_server_max_window_bits`].
    #[must_use]
    pub fn with_client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_max_window_bits = bits.clamp(LEAST_WINDOW_BITS, MOST_WINDOW_BITS);
        self
    }

    /// How hard to compress. Default: 5, which takes two thirds of the time of zlib's own default
    /// of 6 for messages that are 2 % larger.
    ///
    /// Kept between 1 and 9.
    #[must_use]
    pub fn with_level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// How long a message is at least that is compressed, in bytes; of one in several frames, how
    /// long its first frame is. Default: 1,024.
    #[must_use]
    pub const fn with_threshold_bytes(mut self, bytes: usize) -> Self {
        self.threshold_bytes = bytes;
        self
    }

    /// As a server: what an offer leads to, and the parameters to answer with; `None` declines it.
    ///
    /// Declined is what §7.1 declares invalid, and a server's window of 8 bits.
    #[must_use]
    pub fn accept(&self, offer: &[(&str, Option<&str>)]) -> Option<(PerMessageDeflate, Params)> {
        let offer = Parameters::parse(offer).ok()?;
        let server_bits = match offer.server_max_window_bits {
            Some(bits) => bits.min(self.server_max_window_bits),
            None => self.server_max_window_bits,
        };
        if server_bits < LEAST_WINDOW_BITS {
            return None;
        }
        // §7.1.2.2: only a client that says so can be told how large its window may be.
        let client_bits = offer.client_max_window_bits.map(|bits| match bits {
            Some(bits) => bits.min(self.client_max_window_bits),
            None => self.client_max_window_bits,
        });

        let tells_server_bits =
            offer.server_max_window_bits.is_some() || server_bits < MOST_WINDOW_BITS;
        let tells_client_bits = matches!(offer.client_max_window_bits, Some(Some(_)))
            || self.client_max_window_bits < MOST_WINDOW_BITS;
        let agreed = Parameters {
            server_no_context_takeover: offer.server_no_context_takeover
                || self.server_no_context_takeover,
            client_no_context_takeover: offer.client_no_context_takeover
                || self.client_no_context_takeover,
            server_max_window_bits: tells_server_bits.then_some(server_bits),
            client_max_window_bits: client_bits.filter(|_| tells_client_bits).map(Some),
        };
        let deflate = PerMessageDeflate::new(
            !agreed.client_no_context_takeover,
            self.compression(server_bits, !agreed.server_no_context_takeover),
        );
        Some((deflate, agreed.into_params()))
    }

    /// As a client: the parameters to offer.
    #[must_use]
    pub fn offer(&self) -> Params {
        let bits = |bits: u8| (bits < MOST_WINDOW_BITS).then_some(bits);
        Parameters {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: bits(self.server_max_window_bits),
            client_max_window_bits: Some(bits(self.client_max_window_bits)),
        }
        .into_params()
    }

    /// As a client: what the answer to [`Self::offer`] leads to.
    ///
    /// # Errors
    ///
    /// Why the answer is none to our offer. The client fails the connection (§7.1).
    pub fn agree(
        &self,
        answer: &[(&str, Option<&str>)],
    ) -> Result<PerMessageDeflate, &'static str> {
        let answer = Parameters::parse(answer)?;
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err("server_no_context_takeover was asked for");
        }
        if answer.server_max_window_bits.unwrap_or(MOST_WINDOW_BITS) > self.server_max_window_bits {
            return Err("server_max_window_bits is above what was asked for");
        }
        let client_bits = match answer.client_max_window_bits {
            Some(Some(bits)) => bits.min(self.client_max_window_bits),
            Some(None) => return Err("client_max_window_bits without a value"),
            None => self.client_max_window_bits,
        };
        if client_bits < LEAST_WINDOW_BITS {
            return Err("client_max_window_bits of 8 is a window that this client does not have");
        }
        let starts_anew = self.client_no_context_takeover || answer.client_no_context_takeover;
        Ok(PerMessageDeflate::new(
            !answer.server_no_context_takeover,
            self.compression(client_bits, !starts_anew),
        ))
    }

    const fn compression(&self, window_bits: u8, keeps_context: bool) -> Compression {
        Compression {
            setting: Setting {
                window_bits,
                level: self.level,
            },
            keeps_context,
            threshold_bytes: self.threshold_bytes,
        }
    }
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: MOST_WINDOW_BITS,
            client_max_window_bits: MOST_WINDOW_BITS,
            level: 5,
            threshold_bytes: 1024,
        }
    }
}

/// The parameters of one offer or answer.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer, the parameter may have no value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// §7.1: a name that is not defined, one that is there twice, and a value that is not defined
    /// for its name make the whole invalid.
    fn parse(params: &[(&str, Option<&str>)]) -> Result<Self, &'static str> {
        let mut parsed = Self::default();
        for &(name, value) in params {
            let twice = match (name, value) {
                (SERVER_NO_CONTEXT, None) => {
                    std::mem::replace(&mut parsed.server_no_context_takeover, true)
                }
                (CLIENT_NO_CONTEXT, None) => {
                    std::mem::replace(&mut parsed.client_no_context_takeover, true)
                }
                (SERVER_BITS, Some(value)) => {
                    let bits = window_bits(value)?;
                    parsed.server_max_window_bits.replace(bits).is_some()
                }
                (CLIENT_BITS, value) => {
                    let bits = value.map(window_bits).transpose()?;
                    parsed.client_max_window_bits.replace(bits).is_some()
                }
                (SERVER_NO_CONTEXT | CLIENT_NO_CONTEXT, Some(_)) => {
                    return Err("value for a parameter that has none");
                }
                (SERVER_BITS, None) => return Err("server_max_window_bits without a value"),
                _ => return Err("parameter that RFC 7692 does not define"),
            };
            if twice {
                return Err("parameter that is there twice");
            }
        }
        Ok(parsed)
    }

    fn into_params(self) -> Params {
        let flag = |name: &str, set: bool| set.then(|| (name.to_owned(), None));
        let bits = |name: &str, bits: Option<u8>| (name.to_owned(), bits.map(|it| it.to_string()));
        [
            flag(SERVER_NO_CONTEXT, self.server_no_context_takeover),
            flag(CLIENT_NO_CONTEXT, self.client_no_context_takeover),
            self.server_max_window_bits
                .map(|it| bits(SERVER_BITS, Some(it))),
            self.client_max_window_bits.map(|it| bits(CLIENT_BITS, it)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// §7.1.2: a decimal integer from 8 to 15 without leading zeroes.
fn window_bits(value: &str) -> Result<u8, &'static str> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + digit - b'0'),
        _ => Err("window bits that are not 8 to 15"),
    }
}

const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// What zlib compresses within, at the least.
const LEAST_WINDOW_BITS: u8 = 9;
const MOST_WINDOW_BITS: u8 = 15;
