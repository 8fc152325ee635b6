//! Rust text in, the same text without comments and literals out.
//!
//! What is left is what the compiler would act on, on the lines where it stood, so that a rule
//! about code neither stumbles over prose nor over its own words in quotes.

/// Blanks every comment, string and character literal of `text`; lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = code.ends_with(is_word);
        match blank_len(rest, in_word) {
            Some(len) => {
                let (blank, after) = rest.split_at(len);
                code.push(' ');
                code.extend(blank.chars().filter(|c| *c == '\n'));
                rest = after;
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

/// The words of one line of [`code_only`], each with what stands before and behind it.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let starts = line
        .char_indices()
        .filter(|(at, c)| is_word(*c) && !line[..*at].ends_with(is_word));
    starts.map(|(at, _)| {
        let (before, word) = line.split_at(at);
        let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
        let (word, behind) = word.split_at(end);
        (before, word, behind)
    })
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes of `rest` are one comment or literal, if it begins with one.
fn blank_len(rest: &str, in_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_len(rest));
    }
    if rest.starts_with('"') {
        return Some(string_len(rest));
    }
    if rest.starts_with('\'') {
        return char_len(rest);
    }
    if in_word {
        return None;
    }
    let raw = ["r", "br", "cr"].into_iter().find(|prefix| {
        let hashes = rest.strip_prefix(prefix).unwrap_or_default();
        hashes.trim_start_matches('#').starts_with('"')
    })?;
    Some(raw_string_len(rest, raw.len()))
}

/// Block comments nest.
fn block_comment_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'x'` and `'\n'` are literals; `'x` alone is a lifetime.
fn char_len(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        // What is escaped may itself be a quote.
        chars.next();
        let (end, _) = chars.find(|(_, c)| *c == '\'')?;
        return Some(end + 1);
    }
    let (end, second) = chars.next()?;
    (second == '\'').then_some(end + 1)
}

/// A raw string ends with a quote and as many `#` as it began with.
fn raw_string_len(rest: &str, prefix: usize) -> usize {
    let hashes = rest[prefix..].bytes().take_while(|b| *b == b'#').count();
    let start = prefix + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    let body = rest[start..].find(&end);
    body.map_or(rest.len(), |len| start + len + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Vec<String> {
        let code = code_only(text);
        words(&code).map(|(_, word, _)| word.to_owned()).collect()
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        let cases: &[(&str, &[&str])] = &[
            ("a // tokio\nb", &["a", "b"]),
            ("/// tokio\na", &["a"]),
            ("a /* tokio /* hyper */ http */ b", &["a", "b"]),
            ("a \"tokio \\\" http\" b", &["a", "b"]),
            ("a r#\"tokio \" http\"# b", &["a", "b"]),
            ("a br\"tokio\\\" b", &["a", "b"]),
            ("f('\"', 'x', '\\'', '\\u{1f}', x)", &["f", "x"]),
            ("fn f<'a>(x: &'a str)", &["fn", "f", "a", "x", "a", "str"]),
            ("let r#type = bar\"\";", &["let", "r", "type", "bar"]),
        ];

        for (text, words) in cases {
            assert_eq!(kept(text), *words, "{text}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let code = code_only("\"one\ntwo\"\n/* three\nfour */ five");

        assert_eq!(code.lines().nth(3).map(str::trim), Some("five"));
    }

    #[test]
    fn word_comes_with_its_surroundings() {
        let all: Vec<_> = words("use std::time::Instant;").collect();

        assert_eq!(all[2], ("use std::", "time", "::Instant;"));
    }
}
