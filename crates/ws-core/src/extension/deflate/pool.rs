//! States and buffers that no message is using, for the next message of this thread.
//!
//! Where no context is kept a message needs a state from its first byte to its last, and then
//! nobody does: a thread needs about one of each kind. The pool lets them go from message to
//! message, so that in steady state nothing is allocated. It holds at most [`MAX_STATES`] of each
//! kind, and nothing of what they have seen: a state is reset when it is taken.

use std::cell::RefCell;

use zlib_rs::{Deflate, DeflateConfig, Inflate};

/// What two compressors must have in common to stand in for each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    /// 9 to 15.
    pub(super) window_bits: u8,
    /// 1 to 9.
    pub(super) level: u8,
}

/// A state that inflates, at the start of a stream.
pub(super) fn take_inflate() -> Inflate {
    match with(|pool| pool.inflaters.pop()) {
        Some(mut inflate) => {
            inflate.reset(false);
            inflate
        }
        None => Inflate::new(false, 15),
    }
}

/// A state that compresses, at the start of a stream.
pub(super) fn take_deflate(setting: Setting) -> Deflate {
    let pooled = with(|pool| {
        let at = pool.compressors.iter().position(|it| it.0 == setting)?;
        Some(pool.compressors.swap_remove(at).1)
    });
    match pooled {
        Some(mut deflate) => {
            deflate.reset();
            deflate
        }
        None => {
            let mut config = DeflateConfig::new(setting.level.into());
            // Negative: without the header and the checksum of zlib's own format.
            config.window_bits = -i32::from(setting.window_bits);
            config.mem_level = MEM_LEVEL;
            Deflate::new_with_config(config)
        }
    }
}

/// A buffer of [`BUFFER_BYTES`].
pub(super) fn take_buffer() -> Vec<u8> {
    with(|pool| pool.buffer.take()).unwrap_or_else(|| vec![0; BUFFER_BYTES])
}

pub(super) fn give_inflate(inflate: Inflate) {
    with(|pool| {
        pool.inflaters.truncate(MAX_STATES - 1);
        pool.inflaters.push(inflate);
        Some(())
    });
}

pub(super) fn give_deflate(setting: Setting, deflate: Deflate) {
    with(|pool| {
        if pool.compressors.len() == MAX_STATES {
            // The one that has waited longest: perhaps nobody has its setting any more.
            pool.compressors.remove(0);
        }
        pool.compressors.push((setting, deflate));
        Some(())
    });
}

pub(super) fn give_buffer(buffer: Vec<u8>) {
    with(|pool| pool.buffer.replace(buffer));
}

/// `None` also where the thread is ending and its pool is gone.
fn with<T>(act: impl FnOnce(&mut Pool) -> Option<T>) -> Option<T> {
    POOL.try_with(|pool| act(&mut pool.borrow_mut()))
        .ok()
        .flatten()
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { inflaters: Vec::new(), compressors: Vec::new(), buffer: None })
    };
}

struct Pool {
    inflaters: Vec<Inflate>,
    compressors: Vec<(Setting, Deflate)>,
    buffer: Option<Vec<u8>>,
}

/// What one call of a state writes at most, and so what is inflated beyond a limit.
///
/// Large enough that the cost of a call (some 100 ns) does not show beside what it inflates, small
/// beside the default limit of a message.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;

/// More than one only where messages that arrive in pieces overlap, or settings differ.
const MAX_STATES: usize = 4;

/// How many symbols a block has at most: 2^(6 + this). zlib's default of 8 costs 40 KiB more per
/// state and, at the sizes of messages, compresses no better.
const MEM_LEVEL: i32 = 5;
