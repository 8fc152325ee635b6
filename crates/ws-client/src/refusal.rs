//! An answer that opens no session: what the server said instead, and no more of it than is useful.

use std::fmt;

use http::{HeaderMap, StatusCode, response::Parts};

/// How a server refused the handshake.
///
/// A redirect is a refusal, too: it is not followed, since `Authorization` and `Cookie` would go
/// to a place that nobody chose. The place is in the header `Location`.
#[derive(Clone)]
pub struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Refusal {
    /// What was said, with as much of the body as was [`keep`]t.
    pub(crate) fn new(head: Parts, body: &[u8]) -> Self {
        Self {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first 64 KiB of the body, as text; what is not UTF-8 is replaced. Empty if there was
    /// none, or if none came in time.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl fmt::Display for Refusal {
    /// The status and, unless it is markup, the beginning of the body, in one line and escaped: what
    /// a server says cannot look like a line of a log, nor move a terminal's cursor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        let words: Vec<_> = self.body.split_whitespace().collect();
        let text = words.join(" ");
        if text.is_empty() || text.starts_with('<') {
            return Ok(());
        }
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        let rest = if shown.len() < text.len() { "…" } else { "" };
        write!(f, ": {shown:?}{rest}")
    }
}

impl fmt::Debug for Refusal {
    /// Leaves out headers and body: they may hold cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Adds what came of a body; returns whether more is of use.
pub(crate) fn keep(body: &mut Vec<u8>, data: &[u8]) -> bool {
    let room = MAX_BODY_BYTES - body.len();
    body.extend_from_slice(&data[..data.len().min(room)]);
    body.len() < MAX_BODY_BYTES
}

/// Enough for any sentence that says why, and for most pages.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Enough for a sentence that says why, in a line of a log.
const SHOWN_CHARS: usize = 160;

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn shown(body: &str) -> String {
        let refusal = Refusal {
            status: StatusCode::FORBIDDEN,
            headers: HeaderMap::new(),
            body: body.to_owned(),
        };
        refusal.to_string()
    }

    #[test]
    fn reason_is_shown_with_the_status_and_markup_is_not() {
        let rows = [
            ("", "403 Forbidden"),
            (" \r\n", "403 Forbidden"),
            ("log in first\n", "403 Forbidden: \"log in first\""),
            ("{\n  \"a\": 1\n}", r#"403 Forbidden: "{ \"a\": 1 }""#),
            ("\n<!DOCTYPE html><title>no</title>", "403 Forbidden"),
        ];

        for (body, text) in rows {
            assert_eq!(shown(body), text, "{body:?}");
        }
    }

    #[test]
    fn shown_body_is_one_short_line_of_printable_characters() {
        let hostile = "a\nWARN b\r\u{1b}[2J\u{202e}\u{0}\u{feff}\u{85}c";
        let long = "\u{1b}".repeat(64 * 1024);

        let text = shown(hostile);

        assert_eq!(
            text,
            r#"403 Forbidden: "a WARN b \u{1b}[2J\u{202e}\0\u{feff} c""#
        );
        assert_eq!(
            shown(&long),
            format!("403 Forbidden: \"{}\"…", r"\u{1b}".repeat(160))
        );
    }
}
