//! Masking keys that nobody can predict (RFC 6455 §5.3, §10.3).

use ws_factory::MaskKeys;

/// Keys from the thread's generator: ChaCha, seeded by the operating system and seeded anew as it
/// goes. The connection itself holds no state for it.
#[derive(Debug)]
pub(crate) struct RandomKeys;

impl MaskKeys for RandomKeys {
    fn next_key(&mut self) -> [u8; 4] {
        rand::random::<u32>().to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_do_not_repeat() {
        let keys: HashSet<_> = (0..1000).map(|_| RandomKeys.next_key()).collect();

        // Of 1,000 keys out of 2^32, two pairs are alike once in 10^8 runs.
        assert!(keys.len() >= 998, "{}", keys.len());
    }
}
