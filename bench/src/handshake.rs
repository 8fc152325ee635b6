//! The client's half of the handshake (RFC 6455 §4.1), in as few words as there are or in a browser's.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Wish {
    /// permessage-deflate, without contexts on either side; refused is an error.
    pub deflate: bool,
    /// The headers that a browser adds.
    pub browser: bool,
}

/// Connects and shakes hands.
///
/// # Errors
///
/// Whatever the socket says, or that the server refuses.
pub async fn connect(address: &str, wish: Wish) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request(address, wish).as_bytes()).await?;
    let mut head = Vec::new();
    // No server speaks first: nothing follows the head.
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await?;
        if read == 0 || head.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the server's answer has no end"));
        }
    }
    let head = String::from_utf8_lossy(&head);
    let agreed = head.to_ascii_lowercase().contains("permessage-deflate");
    if !head.starts_with("HTTP/1.1 101") || agreed != wish.deflate {
        return Err(io::Error::other(format!("the server answers {head}")));
    }
    Ok(stream)
}

const MAX_HEAD_BYTES: usize = 4 << 10;

fn request(address: &str, wish: Wish) -> String {
    let deflate = if wish.deflate { DEFLATE } else { "" };
    let browser = if wish.browser { BROWSER } else { "" };
    format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {deflate}{browser}\r\n"
    )
}

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; \
    server_no_context_takeover; client_no_context_takeover\r\n";

/// Chrome's, with a session cookie; the origin is left out, since here it would have to be a port of
/// the moment, and so is the offer to compress.
const BROWSER: &str = "Pragma: no-cache\r\nCache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/141.0.0.0 Safari/537.36\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=8c1f6c0e5b7d4a4f9f5b2f0e6d3c1a7b; theme=dark; consent=necessary\r\n";
