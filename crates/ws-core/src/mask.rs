//! Masking: every byte from a client is XORed with four that it chose (RFC 6455 §5.3).
//!
//! Masking and unmasking are the same operation. The loop is written so that the compiler turns
//! it into vector instructions; there is no `unsafe` code and no dispatch.

/// XORs `payload` with `key`, where `payload` begins `offset` bytes into its frame.
///
/// ```
/// let mut payload = *b"Hello";
/// ws_core::mask::apply(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(payload, *b"\x7f\x9f\x4d\x51\x58"); // RFC 6455 §5.7
/// ```
pub fn apply(payload: &mut [u8], key: [u8; 4], offset: u64) {
    // Only the position within the key matters, so the cast keeps all that does.
    let key = u32::from_le_bytes(key).rotate_right((offset & 3) as u32 * 8);
    let wide = u128::from(key) * 0x1_0000_0001_0000_0001_0000_0001;

    let (blocks, rest) = payload.as_chunks_mut::<16>();
    for block in blocks {
        *block = (u128::from_le_bytes(*block) ^ wide).to_le_bytes();
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_le_bytes(*word) ^ key).to_le_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    /// Hostile input F20: sizes 0 to 70 at every alignment, against the definition of §5.3.
    #[test]
    fn every_size_and_alignment_equals_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for start in 0..8 {
            for len in 0..=70 {
                for offset in 0..9u64 {
                    let mut buffer: Vec<u8> = (0..start + len).map(|byte| byte as u8).collect();
                    let expected: Vec<u8> = buffer[start..]
                        .iter()
                        .enumerate()
                        .map(|(at, byte)| byte ^ key[(at + offset as usize) % 4])
                        .collect();

                    apply(&mut buffer[start..], key, offset);

                    assert_eq!(
                        buffer[start..],
                        expected,
                        "start {start} len {len} offset {offset}"
                    );
                }
            }
        }
    }

    #[test]
    fn zero_key_changes_nothing() {
        let mut payload = *b"unchanged by a key of zeros";

        apply(&mut payload, [0; 4], 3);

        assert_eq!(&payload, b"unchanged by a key of zeros");
    }
}
