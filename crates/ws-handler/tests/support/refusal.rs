//! A handshake that a client that is not ours sees refused.

use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::Error;

use crate::client::open;

/// Opens one that must be refused: the status and the text of the refusal.
pub(crate) async fn refused<const N: usize>(
    addr: SocketAddr,
    path: &str,
    headers: [(&'static str, &'static str); N],
) -> (u16, String) {
    match open(addr, path, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let text = String::from_utf8(body).expect("refusals are text");
            (response.status().as_u16(), text)
        }
        other => panic!("not refused: {other:?}"),
    }
}
