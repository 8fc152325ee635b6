//! yawc 0.5 on hyper, as its own echo example, with UTF-8 checked as RFC 6455 asks (off by default).
//!
//! With `batched`: as its authors measure it, 128 KiB to read into, and up to 32 messages that are ready
//! sent in one write. With `deflate`: permessage-deflate without contexts, its default level.

use std::{env, io};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ws_bench::serving;
use yawc::{CompressionLevel, Frame, HttpWebSocket, OpCode, Options, WebSocket};

fn main() -> io::Result<()> {
    let mode = match env::args().nth(1).as_deref() {
        Some("batched") => Mode::Batched,
        Some("deflate") => Mode::Deflate,
        _ => Mode::Plain,
    };
    serving::run_each(move |stream| async move {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(move |r| answer(r, mode)))
            .with_upgrades();
        let _gone = connection.await;
    })
}

#[derive(Clone, Copy)]
enum Mode {
    Plain,
    Batched,
    Deflate,
}

async fn answer(
    mut request: Request<Incoming>,
    mode: Mode,
) -> yawc::Result<Response<Empty<Bytes>>> {
    let options = Options::default()
        .with_limits(64 << 20, 65 << 20)
        .with_utf8();
    let options = match mode {
        Mode::Plain => options,
        Mode::Batched => options
            .with_read_buffer_capacity(128 << 10)
            .with_backpressure_boundary(64 << 10),
        Mode::Deflate => options
            .with_compression_level(CompressionLevel::default())
            .server_no_context_takeover()
            .client_no_context_takeover(),
    };
    let (response, upgrade) = WebSocket::upgrade_with_options(&mut request, options)?;
    drop(tokio::spawn(async move {
        let Ok(socket) = upgrade.await else { return };
        match mode {
            Mode::Batched => batched(socket).await,
            Mode::Plain | Mode::Deflate => one_by_one(socket).await,
        }
    }));
    Ok(response)
}

async fn one_by_one(mut socket: HttpWebSocket) {
    while let Some(frame) = socket.next().await {
        if is_data(&frame) && socket.send(frame).await.is_err() {
            return;
        }
    }
}

async fn batched(mut socket: HttpWebSocket) {
    while let Some(first) = socket.next().await {
        let mut frame = first;
        for taken in 1..=MAX_BATCH {
            if is_data(&frame) && socket.feed(frame).await.is_err() {
                return;
            }
            if taken == MAX_BATCH {
                break;
            }
            match socket.next().now_or_never().flatten() {
                Some(next) => frame = next,
                None => break,
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}

const MAX_BATCH: usize = 32;

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}
