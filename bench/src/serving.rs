//! A server's frame: one thread unless more are asked for, any port of the loopback, until stdin ends.

use std::{
    future::Future,
    io::{self, Read},
    net::SocketAddr,
    thread,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
};

/// Runs `serve` on a current-thread runtime, having said where it listens; ends when stdin does.
///
/// # Errors
///
/// What binding or serving fails with.
pub fn run<Serve, Served>(serve: Serve) -> io::Result<()>
where
    Serve: FnOnce(TcpListener) -> Served,
    Served: Future<Output = io::Result<()>>,
{
    run_on(&mut Builder::new_current_thread(), serve)
}

/// As [`run`], on another runtime.
///
/// # Errors
///
/// As [`run`].
pub fn run_on<Serve, Served>(runtime: &mut Builder, serve: Serve) -> io::Result<()>
where
    Serve: FnOnce(TcpListener) -> Served,
    Served: Future<Output = io::Result<()>>,
{
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(LOOPBACK).await?;
        say_address(listener.local_addr()?);
        tokio::select! {
            served = serve(listener) => served,
            () = end_of_stdin() => Ok(()),
        }
    })
}

/// Runs a server that is a function of one socket, of which each has a task.
///
/// # Errors
///
/// As [`run`].
pub fn run_each<Each, Done>(each: Each) -> io::Result<()>
where
    Each: Fn(TcpStream) -> Done,
    Done: Future<Output = ()> + Send + 'static,
{
    run(|listener| async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            drop(tokio::spawn(each(stream)));
        }
    })
}

/// Where servers listen: any port.
pub const LOOPBACK: (&str, u16) = ("127.0.0.1", 0);

/// A server's first line.
#[expect(clippy::print_stdout, reason = "whoever started this reads it")]
pub fn say_address(address: SocketAddr) {
    println!("listening on ws://{address}/");
}

/// Waits on a thread of its own, which costs nothing meanwhile.
pub async fn end_of_stdin() {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _ended = io::stdin().read_to_end(&mut Vec::new());
        let _nobody_waits = sender.send(());
    });
    let _ended = receiver.await;
}
