//! WebSockets and a JSON route on one port, in a hyper server of one's own.
//!
//! Run it with `cargo run --example hyper`; `GET /time` is the JSON, anything that asks for a
//! WebSocket is echoed.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use ws_handler::{
    Bytes, ConfigError, ConnectionInfo, Message, Session, ShutdownReport, WebSocketFactory,
    WebSocketHandler, from_fn, shutdown_signal,
};

/// What is no WebSocket.
async fn plain(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/time" {
        let mut response = Response::new(Full::from("not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let body = format!("{{\"unix\":{}}}", since_epoch.as_secs());
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// Serves until `stop` resolves, and then for as long as the sessions take to end.
pub(crate) async fn serve(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<ShutdownReport, ConfigError> {
    let factory = WebSocketFactory::builder()
        .fallback(|_request| {
            from_fn(|session: Session, message: Message| async move {
                session.send(message).await?;
                Ok(())
            })
        })
        .build()?;
    let handler = Arc::new(WebSocketHandler::new(factory, service_fn(plain)));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                println!("accept: {error}");
                // No file descriptor is left, say: connections that end free some.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            // Who is connected is the server's to say; sessions read it from their request.
            let service = service_fn(move |mut request: Request<Incoming>| {
                request
                    .extensions_mut()
                    .insert(ConnectionInfo::new().with_peer(peer));
                hyper::service::Service::call(&*handler, request)
            });
            let connection = http1::Builder::new()
                // Without a timer hyper would wait for a request for ever.
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                // Without this no connection would come of a 101.
                .with_upgrades();
            if let Err(error) = connection.await {
                println!("{peer}: {error}");
            }
        });
    }
    drop(listener);
    // Sessions have tasks of their own, which this runtime would cut where `main` ends. (Requests
    // that are under way it does cut: hyper-util's `GracefulShutdown` waits for them.)
    Ok(handler.routes().shutdown(Duration::from_secs(8)).await)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}/", listener.local_addr()?);
    let report = serve(listener, shutdown_signal()).await?;
    println!(
        "{} ended by handshake, {} cut",
        report.clean(),
        report.cut()
    );
    Ok(())
}
