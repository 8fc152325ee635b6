//! A size in; a message's payload, and the frames that carry it, out.
//!
//! Text is Jetty's: pairs of decimal digits, the codes of random capital letters. Two payloads of
//! 16 bytes or more are never alike, so a reply tells what it answers.

use ws_client::{Bytes, Message};

/// A text of exactly `bytes` digits: `65` to `90`, again and again, the last maybe cut.
pub(crate) fn text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 1);
    while text.len() < bytes {
        let code = rand::random_range(b'A'..=b'Z');
        text.push(char::from(b'0' + code / 10));
        text.push(char::from(b'0' + code % 10));
    }
    text.truncate(bytes);
    text
}

/// Exactly `bytes` random bytes.
pub(crate) fn binary(bytes: usize) -> Bytes {
    let mut data = vec![0; bytes];
    rand::fill(&mut data);
    data.into()
}

/// Where the frames of `message` begin, less the first, if none may carry more than `most` bytes.
pub(crate) fn cuts(message: &Message, most: Option<usize>) -> impl Iterator<Item = usize> + Clone {
    let bytes = message.len();
    let most = most.unwrap_or(bytes).max(1);
    (most..bytes).step_by(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_digits_of_exactly_the_size() {
        for bytes in [0, 1, 2, 63, 64, 1000] {
            let text = text(bytes);

            assert_eq!(text.len(), bytes);
            for pair in text.as_bytes().chunks_exact(2) {
                let pair = str::from_utf8(pair).unwrap();
                let code: u8 = pair.parse().unwrap();
                assert!(code.is_ascii_uppercase(), "{pair} in {text}");
            }
        }
    }

    #[test]
    fn binary_is_of_exactly_the_size_and_new_each_time() {
        for bytes in [0, 1, 125, 1000] {
            assert_eq!(binary(bytes).len(), bytes);
        }
        assert_ne!(binary(16), binary(16));
        assert_ne!(text(32), text(32));
    }

    #[test]
    fn frames_carry_at_most_what_they_may_and_the_last_one_what_is_left() {
        let cases: [(usize, Option<usize>, &[usize]); 7] = [
            (10, Some(4), &[4, 8]),
            (8, Some(4), &[4]),
            (4, Some(4), &[]),
            (3, Some(1), &[1, 2]),
            (0, Some(4), &[]),
            (10, None, &[]),
            (0, None, &[]),
        ];

        for (bytes, most, want) in cases {
            let message = Message::binary(vec![0; bytes]);
            let cuts: Vec<_> = cuts(&message, most).collect();
            assert_eq!(cuts, want, "{bytes} bytes by {most:?}");
        }
    }
}
