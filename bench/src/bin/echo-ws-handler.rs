//! This project by its public path: hyper, `WebSocketHandler`, `Endpoint`, as its README shows it.
//!
//! With `deflate`: permessage-deflate without contexts, its default level. With `multi-thread`: on tokio's
//! usual runtime, with its usual number of workers. With `per-core`, and a number of threads or one for
//! each core that there is: by `PerCore`.

use std::{env, future, io, num::NonZeroUsize, thread::available_parallelism};

use tokio::{net::TcpListener, runtime::Builder};
use ws_bench::{serving, spread::Spread};
use ws_handler::{
    Endpoint, EventResult, Message, NotFound, PerCore, Policy, Server, Session, UpgradeRequest,
    WebSocketFactory, WebSocketHandler, extension::DeflateConfig,
};

struct Echo;

impl Endpoint for Echo {
    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        session.send(message).await?;
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    match arguments.next().as_deref() {
        Some("deflate") => {
            let handler = handler(compressing(), |_request| Echo)?;
            serving::run(|listener| serve(listener, handler))
        }
        Some("multi-thread") => {
            let handler = handler(policy(), |_request| Echo)?;
            serving::run_on(&mut Builder::new_multi_thread(), |listener| {
                serve(listener, handler)
            })
        }
        Some("per-core") => per_core(match arguments.next() {
            Some(threads) => threads.parse().map_err(io::Error::other)?,
            None => available_parallelism()?,
        }),
        _ => {
            let handler = handler(policy(), |_request| Echo)?;
            serving::run(|listener| serve(listener, handler))
        }
    }
}

/// The defaults, but for room for the largest message.
fn policy() -> Policy {
    Policy::default().with_max_message_bytes(64 << 20)
}

fn compressing() -> Policy {
    let config = DeflateConfig::default()
        .with_server_no_context_takeover()
        .with_client_no_context_takeover();
    policy().with_compression(Some(config))
}

fn handler(
    policy: Policy,
    endpoint: impl Fn(&UpgradeRequest) -> Echo + Send + Sync + 'static,
) -> io::Result<WebSocketHandler<NotFound>> {
    let factory = WebSocketFactory::builder()
        .fallback(endpoint)
        .with_policy(policy)
        .build()
        .map_err(io::Error::other)?;
    Ok(WebSocketHandler::new(factory, NotFound))
}

async fn serve(listener: TcpListener, handler: WebSocketHandler<NotFound>) -> io::Result<()> {
    let server = Server::from_listener(listener)?;
    server.serve(handler, future::pending()).await;
    Ok(())
}

/// Says in the end how many connections each thread had; the one that this is called on has none.
#[expect(clippy::print_stdout, reason = "whoever started this reads it")]
fn per_core(threads: NonZeroUsize) -> io::Result<()> {
    let spread = Spread::over(threads);
    let counted = spread.clone();
    let handler = handler(policy(), move |_request| {
        counted.count();
        Echo
    })?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = PerCore::bind(serving::LOOPBACK, threads).await?;
        serving::say_address(server.local_addr());
        server.serve(handler, serving::end_of_stdin()).await
    })?;
    println!("{spread}");
    Ok(())
}
