//! A client's frames, made once before anything is measured (RFC 6455 §5.2).

/// Text (§5.6).
pub const TEXT: u8 = 0x1;

/// Binary (§5.6).
pub const BINARY: u8 = 0x2;

/// Close (§5.5.1).
pub const CLOSE: u8 = 0x8;

/// The bit that RFC 7692 §6 puts on a compressed message.
pub const COMPRESSED: u8 = 0x40;

/// The bit of a message's last frame.
pub const FIN: u8 = 0x80;

/// A masked frame that is a whole message; `first` is its first byte but for FIN.
///
/// All are masked with the same key, which no server can make use of: it would have to look.
#[must_use]
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN | first];
    match u16::try_from(payload.len()) {
        Ok(len @ 126..) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Ok(len) => frame.push(0x80 | len as u8),
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_the_one_of_the_rfc() {
        // §5.7: "A single-frame masked text message".
        let hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];

        assert_eq!(masked(TEXT, b"Hello"), hello);
    }

    #[test]
    fn length_takes_the_shortest_form() {
        let headers =
            [125, 126, 65_535, 65_536].map(|len| masked(BINARY, &vec![0; len]).len() - len);

        assert_eq!(headers, [6, 8, 8, 14]);
    }
}
