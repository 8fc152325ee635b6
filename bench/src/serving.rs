//! A server's frame: one thread, any port of the loopback, until stdin ends.

use std::{
    future::Future,
    io::{self, Read},
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
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        say_address(&listener)?;
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

#[expect(clippy::print_stdout, reason = "whoever started this reads it")]
fn say_address(listener: &TcpListener) -> io::Result<()> {
    println!("listening on ws://{}/", listener.local_addr()?);
    Ok(())
}

/// A thread of its own, which costs nothing while it waits.
async fn end_of_stdin() {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _ended = io::stdin().read_to_end(&mut Vec::new());
        let _nobody_waits = sender.send(());
    });
    let _ended = receiver.await;
}
