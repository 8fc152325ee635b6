//! Jetty's init parameters in, the settings that they ask for out.
//!
//! | key                    | unit         | allowed         | sets                             |
//! |------------------------|--------------|-----------------|----------------------------------|
//! | `maxIdleTime`          | milliseconds | 0 to 2147483647 | the idle timeout; 0 turns it off |
//! | `maxTextMessageSize`   | bytes        | 1 to 2147483647 | the longest text message         |
//! | `maxBinaryMessageSize` | bytes        | 1 to 2147483647 | the longest binary message       |
//! | `inputBufferSize`      | bytes        | 1 to 2147483647 | the most that one read brings in |
//!
//! Keys are compared exactly, as Jetty does. What Jetty ignores (a key that it does not know) or
//! takes for "unlimited" (a size of -1) is an error here: a limit that somebody wrote down and that
//! is not in force is worse than a server that does not start.

use std::time::Duration;

use ws_factory::Policy;

/// Settings from key/value pairs, under the names that Jetty's servlets use.
///
/// A getter returns `None` if no pair named its setting.
///
/// ```
/// use std::time::Duration;
///
/// use ws_handler::InitParams;
///
/// let params = InitParams::parse([("maxIdleTime", "60000"), ("maxTextMessageSize", "16384")])?;
///
/// assert_eq!(params.idle_timeout(), Some(Some(Duration::from_secs(60))));
/// assert_eq!(params.max_text_bytes(), Some(16_384));
/// assert_eq!(params.max_binary_bytes(), None);
/// # Ok::<(), ws_handler::InitParamError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InitParams {
    idle_timeout_ms: Option<u32>,
    max_text_bytes: Option<u32>,
    max_binary_bytes: Option<u32>,
    read_bytes: Option<u32>,
}

impl InitParams {
    /// Reads `pairs`, in any order. No pair at all is fine.
    ///
    /// # Errors
    ///
    /// [`InitParamError`] for the first pair that has an unknown key, a key that was given before,
    /// or a value that its key does not allow.
    pub fn parse<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, InitParamError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut params = Self::default();
        for (key, value) in pairs {
            params.set(key.as_ref(), value.as_ref())?;
        }
        Ok(params)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), InitParamError> {
        let (slot, min) = match key {
            "maxIdleTime" => (&mut self.idle_timeout_ms, 0),
            "maxTextMessageSize" => (&mut self.max_text_bytes, 1),
            "maxBinaryMessageSize" => (&mut self.max_binary_bytes, 1),
            "inputBufferSize" => (&mut self.read_bytes, 1),
            _ => {
                return Err(InitParamError::UnknownKey {
                    key: key.to_owned(),
                    value: value.to_owned(),
                });
            }
        };
        if slot.is_some() {
            return Err(InitParamError::RepeatedKey {
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
        let number = value.parse().ok().filter(|n| (min..=MAX).contains(n));
        *slot = Some(number.ok_or_else(|| InitParamError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            min,
        })?);
        Ok(())
    }

    /// `maxIdleTime`. `Some(None)` is a given 0, which turns the idle timeout off.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Option<Duration>> {
        self.idle_timeout_ms
            .map(|ms| (ms > 0).then(|| Duration::from_millis(ms.into())))
    }

    /// `maxTextMessageSize`, in bytes of UTF-8 (Jetty before 9 counted characters).
    #[must_use]
    pub const fn max_text_bytes(&self) -> Option<u32> {
        self.max_text_bytes
    }

    /// `maxBinaryMessageSize`, in bytes.
    #[must_use]
    pub const fn max_binary_bytes(&self) -> Option<u32> {
        self.max_binary_bytes
    }

    /// `inputBufferSize`, in bytes.
    #[must_use]
    pub const fn read_bytes(&self) -> Option<u32> {
        self.read_bytes
    }

    /// The policy with these parameters in the place of its own values.
    #[must_use]
    pub fn apply(&self, mut policy: Policy) -> Policy {
        if let Some(timeout) = self.idle_timeout() {
            policy = policy.with_idle_timeout(timeout);
        }
        if let Some(bytes) = self.max_text_bytes {
            policy = policy.with_max_text_bytes(bytes.into());
        }
        if let Some(bytes) = self.max_binary_bytes {
            policy = policy.with_max_binary_bytes(bytes.into());
        }
        if let Some(bytes) = self.read_bytes {
            // A target whose pointers have 16 bits would have none of the rest either.
            policy = policy.with_max_read_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        policy
    }
}

/// An init parameter cannot be obeyed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InitParamError {
    /// No parameter has this name.
    #[error(
        "init parameter {key:?} (with value {value:?}) is unknown; there are maxIdleTime, \
         maxTextMessageSize, maxBinaryMessageSize and inputBufferSize"
    )]
    UnknownKey {
        /// The name that was given.
        key: String,
        /// What it was to be set to.
        value: String,
    },

    /// A parameter was given before, with the same value or another.
    #[error("init parameter {key:?} is given twice, the second time with value {value:?}")]
    RepeatedKey {
        /// Its name.
        key: String,
        /// What it was to be set to the second time.
        value: String,
    },

    /// A value that is not a number, or not one that this parameter may have.
    #[error("init parameter {key:?} is {value:?}; a whole number from {min} to {MAX} is allowed")]
    BadValue {
        /// Its name.
        key: String,
        /// What it was to be set to.
        value: String,
        /// The least that is allowed.
        min: u32,
    },
}

/// The largest `int` of Java, which is what Jetty reads sizes as.
const MAX: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_sets_what_it_names() {
        let params = InitParams::parse([
            ("inputBufferSize", "4096"),
            ("maxBinaryMessageSize", "2147483647"),
            ("maxTextMessageSize", "1"),
            ("maxIdleTime", "1500"),
        ])
        .unwrap();

        let idle_timeout = Duration::from_millis(1_500);
        assert_eq!(params.idle_timeout(), Some(Some(idle_timeout)));
        assert_eq!(params.max_text_bytes(), Some(1));
        assert_eq!(params.max_binary_bytes(), Some(2_147_483_647));
        assert_eq!(params.read_bytes(), Some(4_096));
    }

    #[test]
    fn no_pairs_ask_for_nothing() {
        let params = InitParams::parse::<&str, &str>([]).unwrap();

        assert_eq!(params, InitParams::default());
        assert_eq!(params.idle_timeout(), None);
    }

    #[test]
    fn an_idle_time_of_zero_turns_the_timeout_off() {
        let params = InitParams::parse([("maxIdleTime".to_owned(), "0".to_owned())]).unwrap();

        assert_eq!(params.idle_timeout(), Some(None));
    }

    #[test]
    fn a_pair_that_cannot_be_obeyed_is_an_error_that_names_it() {
        // Pairs, and what the error's text must contain.
        let cases: [(&str, &[&str]); 13] = [
            ("bufferSize=1", &["\"bufferSize\"", "inputBufferSize"]),
            (
                "maxidletime=1",
                &["\"maxidletime\"", "\"1\"", "maxIdleTime"],
            ),
            (" maxIdleTime=1", &["\" maxIdleTime\"", "unknown"]),
            ("=", &["\"\"", "unknown"]),
            (
                "maxIdleTime=-1",
                &["maxIdleTime", "\"-1\"", "0 to 2147483647"],
            ),
            ("maxIdleTime=", &["maxIdleTime", "\"\"", "0 to 2147483647"]),
            ("maxIdleTime=5s", &["maxIdleTime", "\"5s\"", "whole number"]),
            ("maxIdleTime=1.5", &["maxIdleTime", "\"1.5\""]),
            ("maxTextMessageSize=0", &["\"0\"", "1 to 2147483647"]),
            ("maxBinaryMessageSize=2147483648", &["\"2147483648\""]),
            ("inputBufferSize=99999999999999999999", &["inputBufferSize"]),
            ("inputBufferSize=8 ", &["inputBufferSize", "\"8 \""]),
            (
                "maxIdleTime=1,inputBufferSize=1,maxIdleTime=1",
                &["maxIdleTime", "twice", "\"1\""],
            ),
        ];

        for (pairs, wanted) in cases {
            let pairs = pairs.split(',').map(|pair| pair.split_once('=').unwrap());
            let error = InitParams::parse(pairs).unwrap_err();

            for part in wanted {
                assert!(error.to_string().contains(part), "{error}");
            }
        }
    }
}
