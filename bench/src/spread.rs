//! How many connections each thread of a server has got: counted when they open, said when it ends.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, ThreadId},
};

/// A number for each thread; clones count together.
#[derive(Clone, Debug)]
pub struct Spread {
    threads: NonZeroUsize,
    counts: Arc<Mutex<HashMap<ThreadId, u64>>>,
}

impl Spread {
    /// Over so many threads, of which some may get nothing.
    #[must_use]
    pub fn over(threads: NonZeroUsize) -> Self {
        Self {
            threads,
            counts: Arc::default(),
        }
    }

    /// One more for the thread that calls this.
    pub fn count(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(thread::current().id()).or_default() += 1;
    }
}

/// A server's last line: `connections 57 43`, the most first.
impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: Vec<u64> = counts.values().copied().collect();
        counts.resize(self.threads.get().max(counts.len()), 0);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        formatter.write_str("connections")?;
        counts
            .iter()
            .try_for_each(|count| write!(formatter, " {count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_apart_and_those_without_any_are_there() {
        let spread = Spread::over(NonZeroUsize::new(3).unwrap());
        let other = spread.clone();

        spread.count();
        thread::spawn(move || (0..2).for_each(|_| other.count()))
            .join()
            .unwrap();

        assert_eq!(spread.to_string(), "connections 2 1 0");
    }
}
