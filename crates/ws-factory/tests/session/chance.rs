//! What is random in a test, and the same in each of its runs.

use std::time::Duration;

use tokio::time::sleep;

/// xorshift64*: what it says follows from its seed, which a failure names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    pub(crate) async fn pause(&mut self) {
        match self.below(8) {
            0 => sleep(Duration::from_secs(self.below(20))).await,
            1 => sleep(Duration::from_millis(self.below(20))).await,
            2 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}
