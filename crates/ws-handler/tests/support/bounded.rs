//! No test hangs: what has not happened within this time is not going to.

use std::{future::Future, time::Duration};

/// The future's output.
///
/// # Panics
///
/// If it takes longer than any machine needs.
pub(crate) async fn bounded<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it happens within 20 seconds")
}
