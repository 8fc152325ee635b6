//! tokio-websockets 0.13, as its own echo example: no limits, outside of tokio's cooperative budget.
//!
//! Batching by hand has no effect: it writes what is pending before it reads.

use std::io;

use tokio::{net::TcpStream, task};
use tokio_websockets::{Config, Limits, ServerBuilder};
use ws_bench::{echo, serving};

fn main() -> io::Result<()> {
    serving::run_each(|stream| task::unconstrained(serve(stream)))
}

async fn serve(stream: TcpStream) {
    let server = ServerBuilder::new()
        .config(Config::default().frame_size(usize::MAX))
        .limits(Limits::unlimited());
    if let Ok((_request, socket)) = server.accept(stream).await {
        echo::one_by_one(socket).await;
    }
}
