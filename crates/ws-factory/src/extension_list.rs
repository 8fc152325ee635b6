//! `Sec-WebSocket-Extensions` in and out (RFC 6455 §9.1).
//!
//! ```text
//!   extension-list = 1#( token *( ";" token [ "=" ( token | quoted-string ) ] ) )
//! ```
//!
//! Every byte is looked at once, and at most [`MAX_OFFERS`] offers are kept.

use std::fmt;

use http::{HeaderMap, HeaderValue, header};

use crate::headers;

/// How many offers of one request are looked at: a browser makes one or two.
const MAX_OFFERS: usize = 32;

/// An extension by name, with parameters: as a client offers it, or as a server agrees to it.
///
/// ```
/// use ws_factory::ExtensionOffer;
///
/// let offer = ExtensionOffer::new("permessage-deflate")
///     .with_param("server_max_window_bits", Some("10"))
///     .with_param("client_max_window_bits", None);
/// assert_eq!(
///     offer.to_string(),
///     "permessage-deflate; server_max_window_bits=10; client_max_window_bits"
/// );
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtensionOffer {
    name: String,
    params: Vec<(String, Option<String>)>,
}

impl ExtensionOffer {
    /// An extension without parameters. What is not a token is declined by every peer.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            params: Vec::new(),
        }
    }

    pub(crate) fn with_params(name: &str, params: Vec<(String, Option<String>)>) -> Self {
        Self {
            name: name.to_owned(),
            params,
        }
    }

    /// Adds a parameter, with or without a value.
    #[must_use]
    pub fn with_param(mut self, name: impl Into<String>, value: Option<&str>) -> Self {
        self.params.push((name.into(), value.map(str::to_owned)));
        self
    }

    /// The registered name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters in the order in which they were given; the quotes of a value are gone.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether it can be written in a header.
    pub(crate) fn is_legal(&self) -> bool {
        let is_token = |text: &str| headers::token(text.as_bytes()).is_some();
        let mut params = self.params();
        is_token(&self.name)
            && params.all(|(name, value)| is_token(name) && value.is_none_or(is_token))
    }

    /// The extensions of a request or a response, in order.
    ///
    /// # Errors
    ///
    /// [`MalformedExtensions`] where a header is not what §9.1 says.
    pub fn parse_all(headers: &HeaderMap) -> Result<Vec<Self>, MalformedExtensions> {
        let mut offers = Vec::new();
        for value in headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS) {
            let mut rest = Cursor(value.as_bytes());
            loop {
                // Empty elements are legal in a list, and say nothing (RFC 9110 §5.6.1.2).
                while rest.takes(b',') {}
                if rest.is_empty() || offers.len() == MAX_OFFERS {
                    break;
                }
                offers.push(rest.extension()?);
                if !rest.is_empty() && !rest.takes(b',') {
                    return Err(MalformedExtensions(()));
                }
            }
        }
        Ok(offers)
    }

    /// The header that lists these; `None` for none, and where a name or a value is not visible
    /// ASCII.
    #[must_use]
    pub fn header(agreed: &[Self]) -> Option<HeaderValue> {
        let list: Vec<String> = agreed.iter().map(Self::to_string).collect();
        if list.is_empty() {
            return None;
        }
        HeaderValue::from_str(&list.join(", ")).ok()
    }
}

impl fmt::Display for ExtensionOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (name, value) in &self.params {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// A `Sec-WebSocket-Extensions` that is not what RFC 6455 §9.1 says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Sec-WebSocket-Extensions: not a list of extensions")]
pub struct MalformedExtensions(());

/// What is left of a header, with the white space in front of it skipped by each question.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn is_empty(&mut self) -> bool {
        self.0 = self.0.trim_ascii_start();
        self.0.is_empty()
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let taken = self.0.strip_prefix(&[byte]);
        self.0 = taken.unwrap_or(self.0);
        taken.is_some()
    }

    fn extension(&mut self) -> Result<ExtensionOffer, MalformedExtensions> {
        let mut offer = ExtensionOffer::new(self.token()?);
        while self.takes(b';') {
            let name = self.token()?;
            let value = if self.takes(b'=') {
                Some(self.value()?)
            } else {
                None
            };
            offer.params.push((name, value));
        }
        Ok(offer)
    }

    fn token(&mut self) -> Result<String, MalformedExtensions> {
        self.0 = self.0.trim_ascii_start();
        let ends = |byte: &u8| headers::token(std::slice::from_ref(byte)).is_none();
        let end = self.0.iter().position(ends).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        headers::token(token)
            .map(str::to_owned)
            .ok_or(MalformedExtensions(()))
    }

    /// A token, or a quoted string that holds one once its quotes and escapes are gone.
    fn value(&mut self) -> Result<String, MalformedExtensions> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = Vec::new();
        let mut bytes = self.0.iter();
        loop {
            match bytes.next().ok_or(MalformedExtensions(()))? {
                b'"' => break,
                b'\\' => value.push(*bytes.next().ok_or(MalformedExtensions(()))?),
                byte => value.push(*byte),
            }
        }
        self.0 = bytes.as_slice();
        headers::token(&value)
            .map(str::to_owned)
            .ok_or(MalformedExtensions(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<Vec<String>, MalformedExtensions> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_str(value).unwrap(),
        );
        let offers = ExtensionOffer::parse_all(&headers)?;
        Ok(offers.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lists_are_read_as_the_grammar_says() {
        for (value, offers) in [
            ("", &[][..]),
            (",, ,", &[]),
            ("foo", &["foo"]),
            ("foo, bar;a;b=2 ; c = \"3\",", &["foo", "bar; a; b=2; c=3"]),
            (r#"foo; a="b\c""#, &["foo; a=bc"]),
            ("foo;a=1, foo;a=2, foo", &["foo; a=1", "foo; a=2", "foo"]),
        ] {
            assert_eq!(parse(value).unwrap(), offers, "{value}");
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        // Hostile inputs C4 and H39.
        for value in [
            ";",
            "; =; ;;",
            "foo;",
            "foo;=1",
            "foo; a=",
            "foo bar",
            "foo; a=\"1",
            "foo; a=\"\\",
            "foo; a=\"b c\"",
            "foo; a=\"\"",
            "foo; a=b=c",
            "f(o",
        ] {
            assert_eq!(parse(value), Err(MalformedExtensions(())), "{value}");
        }
    }

    #[test]
    fn long_lists_are_cut_and_cost_what_they_weigh() {
        // Hostile input C4: 8 KiB of commas, 1,500 offers, an endless quoted string.
        assert_eq!(parse(&",".repeat(8192)).unwrap().len(), 0);
        assert_eq!(parse(&"a,".repeat(1500)).unwrap().len(), MAX_OFFERS);
        assert!(parse(&format!("a; b=\"{}", "\\a".repeat(4000))).is_err());
    }
}
