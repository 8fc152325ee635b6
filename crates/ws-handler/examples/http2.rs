//! WebSockets over HTTP/2 and over HTTP/1 on one port, in a hyper server of one's own.
//!
//! Run it with `cargo run --example http2`: it opens two sessions to itself, one over each, and says
//! what they know of it. [`ws_handler::Server`] speaks both without any of this.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;
use ws_client::{ConnectRequest, HttpVersion, connect};
use ws_handler::{
    CloseCode, ConfigError, Message, NotFound, Session, WebSocketFactory, WebSocketHandler, from_fn,
};

/// Serves for ever, with sessions that are told which HTTP they came over.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), ConfigError> {
    let factory = WebSocketFactory::builder()
        .fallback(|_request| {
            from_fn(|session: Session, message: Message| async move {
                if let Message::Text(text) = message {
                    let version = session.request().version();
                    session
                        .send_text(format!("{text} over {version:?}"))
                        .await?;
                }
                Ok(())
            })
        })
        .build()?;
    let handler = WebSocketHandler::new(factory, NotFound);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        // What a client has to see before it may ask for a WebSocket.
        .enable_connect_protocol()
        // Less for each session than for all of them: one that does not read stops no other.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let (builder, handler) = (builder.clone(), handler.clone());
        tokio::spawn(async move {
            let stream = TokioIo::new(stream);
            let connection = builder.serve_connection_with_upgrades(stream, handler);
            if let Err(error) = connection.await {
                println!("connection: {error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    tokio::spawn(serve(listener));

    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let request = ConnectRequest::to(&url)?.with_http_version(version);
        let printer = from_fn(|session: Session, message: Message| async move {
            println!("{message:?}");
            session.close(CloseCode::NORMAL, "");
            Ok(())
        });
        let session = connect(request, printer).await?;
        session.send_text("hello").await?;
        session.closed().await;
    }
    Ok(())
}
