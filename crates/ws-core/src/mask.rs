//! Masking: every byte from a client is XORed with four that it chose (RFC 6455 §5.3).
//!
//! Masking and unmasking are the same operation. The loops are written so that the compiler turns
//! them into vector instructions; where the processor has AVX2, which cannot be known before the
//! program runs, a second copy of the loop uses it. Calling that one is the only `unsafe` code of
//! the project: it takes half to three quarters of the time from 16 KiB on.

/// XORs `payload` with `key`, where `payload` begins `offset` bytes into its frame.
///
/// ```
/// let mut payload = *b"Hello";
/// ws_core::mask::apply(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(payload, *b"\x7f\x9f\x4d\x51\x58"); // RFC 6455 §5.7
/// ```
#[inline]
pub fn apply(payload: &mut [u8], key: [u8; 4], offset: u64) {
    // Only the position within the key matters, so the cast keeps all that does.
    let key = u32::from_le_bytes(key).rotate_right((offset & 3) as u32 * 8);
    #[cfg(target_arch = "x86_64")]
    if payload.len() >= WORTH_ASKING && std::arch::is_x86_feature_detected!("avx2") {
        #[expect(
            unsafe_code,
            reason = "there is no other way to call a function for a processor that may not be there"
        )]
        // SAFETY: the processor has AVX2; that is all that the function asks for.
        return unsafe { apply_avx2(payload, key) };
    }
    apply_short(payload, key);
}

/// For payloads of a few dozen bytes, where a loop over large blocks would leave nearly all to the
/// one over words.
fn apply_short(payload: &mut [u8], key: u32) {
    let (blocks, rest) = payload.as_chunks_mut::<64>();
    for block in blocks {
        apply_words(block.as_chunks_mut().0, key);
    }
    apply_blocks::<16>(rest, key);
}

/// From how many bytes on it pays to ask the processor what it can do.
#[cfg(target_arch = "x86_64")]
const WORTH_ASKING: usize = 256;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_avx2(payload: &mut [u8], key: u32) {
    apply_blocks::<512>(payload, key);
}

/// The loop, over blocks of `BLOCK` bytes, a multiple of four.
#[inline(always)]
fn apply_blocks<const BLOCK: usize>(payload: &mut [u8], key: u32) {
    let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
    for block in blocks {
        apply_words(block.as_chunks_mut().0, key);
    }
    let (words, rest) = rest.as_chunks_mut();
    apply_words(words, key);
    for (byte, key) in rest.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
    }
}

#[inline(always)]
fn apply_words(words: &mut [[u8; 4]], key: u32) {
    for word in words {
        *word = (u32::from_le_bytes(*word) ^ key).to_le_bytes();
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

    /// The blocks of the vector loops, and what is left over behind them.
    #[test]
    fn every_size_around_the_blocks_equals_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in (250..=270).chain(380..=390).chain([1000, 4099, 65_537]) {
            for offset in 0..4u64 {
                let mut payload: Vec<u8> = (0..len).map(|byte: usize| byte as u8).collect();
                let expected: Vec<u8> = payload
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| byte ^ key[(at + offset as usize) % 4])
                    .collect();

                apply(&mut payload, key, offset);

                assert_eq!(payload, expected, "len {len} offset {offset}");
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
