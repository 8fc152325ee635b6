//! tokio-tungstenite as the client: a WebSocket that we did not write.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error,
        client::IntoClientRequest,
        handshake::client::Response,
        http::{HeaderName, HeaderValue},
    },
};

use crate::bounded::bounded;

pub(crate) type Client = WebSocketStream<TcpStream>;

/// Opens a WebSocket at a path, with further headers.
pub(crate) async fn open<const N: usize>(
    addr: SocketAddr,
    path: &str,
    headers: [(&'static str, &'static str); N],
) -> Result<(Client, Response), Error> {
    let mut request = format!("ws://{addr}{path}").into_client_request()?;
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }
    let stream = bounded(TcpStream::connect(addr)).await?;
    bounded(tokio_tungstenite::client_async(request, stream)).await
}
