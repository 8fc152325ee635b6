//! Header values in; list elements, tokens and cookies out (RFC 9110 §5.6, RFC 6265 §4.2).
//!
//! What several headers of the handshake share, of a request and of its answer in `ws-client`. Every function looks at each byte a fixed number
//! of times and allocates nothing, so what bounds it is the HTTP server's limit on a head.

use http::{HeaderMap, HeaderValue, header::HeaderName};

/// The elements of a comma-separated list, over all headers of that name and without the white
/// space around them; empty elements are legal and say nothing (§5.6.1.2).
pub fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether `token` is an element of the list, in any case: `notupgrade` is not `upgrade`.
#[must_use]
pub fn list_contains(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `bytes` are a token (§5.6.2), and if so, as text.
#[must_use]
pub fn token(bytes: &[u8]) -> Option<&str> {
    let is_token = !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    is_token.then(|| text(bytes)).flatten()
}

/// The only header of that name, `None` if there is none.
///
/// # Errors
///
/// [`Repeated`] if there are several: whoever stands in front of us may have believed another.
pub fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Repeated),
        None => Ok(first),
    }
}

/// A header that may appear once appeared more often.
#[derive(Debug)]
#[non_exhaustive]
pub struct Repeated;

/// A header's value as text. UTF-8 passes, though HTTP promises ASCII only: it is what is sent.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok()
}

/// The name and value of each cookie, in the order sent.
///
/// What is not `name=value` in UTF-8 is skipped. Quotes around a value are not part of it; nothing
/// is percent-decoded, since that is a habit of some applications and not of cookies.
pub(crate) fn cookies<'a>(
    values: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    values
        .flat_map(|value| value.split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let (name, value) = text(pair)?.split_once('=')?;
            let value = value.trim_ascii();
            let bare = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .unwrap_or(value);
            Some((name.trim_ascii(), bare))
        })
}

#[cfg(test)]
mod tests {
    use http::header::{CONNECTION, HOST};

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (CONNECTION, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn list_is_read_over_all_headers_and_without_empty_elements() {
        let headers = headers(&["a, b ,\tc", "", ",,", "d"]);

        let elements: Vec<_> = elements(&headers, &CONNECTION).collect();

        assert_eq!(elements, [b"a", b"b", b"c", b"d"]);
    }

    #[test]
    fn list_is_searched_by_token_and_not_by_substring() {
        for (value, found) in [
            ("keep-alive, Upgrade", true),
            ("UPGRADE", true),
            ("notupgrade, upgrades", false),
            ("keep-alive upgrade", false),
            ("", false),
        ] {
            let headers = headers(&[value]);
            assert_eq!(
                list_contains(&headers, &CONNECTION, "upgrade"),
                found,
                "{value}"
            );
        }
    }

    #[test]
    fn token_is_what_rfc_9110_says() {
        assert_eq!(
            token(b"chat.v2!#$%&'*+-^_`|~"),
            Some("chat.v2!#$%&'*+-^_`|~")
        );

        for separator in b"(),/:;<=>?@[\\]{}\" \t\x00\x7f\x80\xff" {
            assert_eq!(token(&[b'a', *separator, b'b']), None, "{separator:#04x}");
        }
        assert_eq!(token(b""), None);
    }

    #[test]
    fn single_header_is_told_from_none_and_from_two() {
        let one = headers(&["a"]);
        let two = headers(&["a", "a"]);

        assert_eq!(single(&one, &CONNECTION).unwrap().unwrap(), "a");
        assert!(single(&one, &HOST).unwrap().is_none());
        assert!(single(&two, &CONNECTION).is_err());
    }

    #[test]
    fn cookies_come_in_order_and_what_is_none_is_skipped() {
        let values: [&[u8]; 2] = [
            b"sid=31d4; theme=\"dark\"; broken; =empty",
            b"a=b=c;bad=\xff; last=",
        ];

        let cookies: Vec<_> = cookies(values.into_iter()).collect();

        assert_eq!(
            cookies,
            [
                ("sid", "31d4"),
                ("theme", "dark"),
                ("", "empty"),
                ("a", "b=c"),
                ("last", ""),
            ]
        );
    }
}
