//! When the process is asked to end.

/// Resolves on Ctrl-C, and on Unix on SIGTERM.
///
/// Where the system offers neither it never resolves.
///
/// # Cancel safety
///
/// Cancel safe: it only waits. From its first poll on these signals no longer end the process by
/// themselves.
pub async fn shutdown_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate() => {}
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}
