//! fastwebsockets 0.10 on hyper, as its own echo example, outside of tokio's cooperative budget.
//!
//! It makes one write call for each message, whatever one does.

use std::io;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::task;
use ws_bench::serving;

fn main() -> io::Result<()> {
    serving::run_each(|stream| async move {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer))
            .with_upgrades();
        let _gone = connection.await;
    })
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgrade) = upgrade::upgrade(&mut request)?;
    drop(tokio::spawn(task::unconstrained(async move {
        let _gone = echo(upgrade).await;
    })));
    Ok(response)
}

async fn echo(upgrade: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = upgrade.await?;
    socket.set_max_message_size(64 << 20);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    }
}
