//! The runs of a load: each goes through stages, and between two of them waits to be told.
//!
//! A stage ends with a line `NAME messages=N nanoseconds=N bytes=N lost=N` on stdout; the next begins
//! with a line on stdin, so that whoever measures the server can look at it in between.

use std::{
    io::{self, BufRead},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{interval, sleep_until, timeout},
};

use crate::{
    connection::Connection,
    frame,
    handshake::{self, Wish},
    payload::{Kind, deflated},
    replies::Expected,
};

/// What to do, in numbers; never in seconds.
#[derive(Clone, Debug, clap::Args)]
#[non_exhaustive]
pub struct Plan {
    /// The server, `host:port`.
    #[arg(long)]
    pub address: String,
    /// How many connections.
    #[arg(long, default_value_t = 1)]
    pub connections: u64,
    /// How many messages each connection sends in one write before it waits for the replies.
    #[arg(long, default_value_t = 1)]
    pub in_flight: u64,
    /// The payload's size.
    #[arg(long, default_value_t = 64)]
    pub bytes: usize,
    /// What the payload is.
    #[arg(long, value_enum, default_value = "binary")]
    pub kind: Kind,
    /// How many messages in all, rounded up to whole bursts of every connection.
    #[arg(long, default_value_t = 1_000)]
    pub messages: u64,
    /// How many bursts each connection exchanges before anything is measured.
    #[arg(long, default_value_t = 1)]
    pub warm_up: u64,
    /// Broadcast: how many messages a second.
    #[arg(long, default_value_t = 10)]
    pub rate: u64,
    /// Agrees on permessage-deflate and sends compressed messages.
    #[arg(long)]
    pub deflate: bool,
    /// Shakes hands with a browser's headers.
    #[arg(long)]
    pub browser: bool,
    /// How many threads, for a server that has several.
    #[arg(long, default_value = "1")]
    pub threads: NonZeroUsize,
}

/// What a stage did.
#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    messages: u64,
    bytes: u64,
    lost: u64,
}

impl Plan {
    /// Every connection sends and waits; stages `ready` and `done`.
    ///
    /// # Errors
    ///
    /// What the socket says, or what is wrong with a reply.
    pub async fn echo(&self) -> io::Result<()> {
        let mut open = self.open(self.connections).await?;
        open = each(open, self.warm_up).await?;
        next_stage("ready", Instant::now(), Stage::default())?;

        let start = Instant::now();
        let before = wire_bytes(&open);
        let bursts = self.messages.div_ceil(self.connections * self.in_flight);
        let open = each(open, bursts).await?;
        let stage = Stage {
            messages: bursts * self.connections * self.in_flight,
            bytes: wire_bytes(&open) - before,
            lost: 0,
        };
        next_stage("done", start, stage)
    }

    /// Connections that do nothing; stages `ready` (one connection has had an echo, so that what
    /// is the process's is there), `connected` and `echoed`.
    ///
    /// # Errors
    ///
    /// As [`Plan::echo`].
    pub async fn idle(&self) -> io::Result<()> {
        let first = each(self.open(1).await?, 1).await?;
        next_stage("ready", Instant::now(), Stage::default())?;

        let start = Instant::now();
        let mut open = self.open(self.connections).await?;
        let stage = Stage {
            messages: self.connections,
            ..Stage::default()
        };
        next_stage("connected", start, stage)?;

        let start = Instant::now();
        for connection in &mut open {
            connection.exchange(1).await?;
        }
        next_stage("echoed", start, stage)?;
        drop((first, open));
        Ok(())
    }

    /// Connect, shake hands, Close, read to the end; as many at a time as there are `connections`,
    /// `messages` in all. Stages `ready` and `done`.
    ///
    /// # Errors
    ///
    /// As [`Plan::echo`].
    pub async fn churn(&self) -> io::Result<()> {
        let rounds = self.messages.div_ceil(self.connections);
        self.come_and_go(self.warm_up).await?;
        next_stage("ready", Instant::now(), Stage::default())?;

        let start = Instant::now();
        self.come_and_go(rounds).await?;
        let stage = Stage {
            messages: rounds * self.connections,
            ..Stage::default()
        };
        next_stage("done", start, stage)
    }

    /// The first connection sends, and all of them are to receive; stages `ready` and `done`, which
    /// counts deliveries. What has not come [`BROADCAST_PATIENCE`] after the last is lost.
    ///
    /// # Errors
    ///
    /// As [`Plan::echo`].
    pub async fn broadcast(&self) -> io::Result<()> {
        let mut open = self.open(self.connections).await?;
        let first = open.remove(0);
        // Members join in their own time; what is broadcast before is nobody's.
        tokio::time::sleep(JOIN).await;
        let mut sender = first;
        sender.send().await?;
        sender.receive().await?;
        for member in &mut open {
            member.receive().await?;
        }
        next_stage("ready", Instant::now(), Stage::default())?;

        let start = Instant::now();
        let before = wire_bytes(&open);
        let mut members = JoinSet::new();
        let messages = self.messages;
        for mut member in open {
            members.spawn(async move {
                let until = member.replies().messages() + messages;
                while member.replies().messages() < until {
                    match timeout(BROADCAST_PATIENCE, member.receive()).await {
                        Ok(received) => received?,
                        Err(_) => break,
                    }
                }
                Ok(member)
            });
        }
        self.publish(&mut sender).await?;
        let mut open = joined(members).await?;
        open.push(sender);
        let expected = messages * self.connections;
        let received: u64 = open.iter().map(|it| it.replies().messages() - 1).sum();
        let stage = Stage {
            messages: received,
            bytes: wire_bytes(&open).saturating_sub(before),
            lost: expected.saturating_sub(received),
        };
        next_stage("done", start, stage)
    }

    /// Sends at the rate, and receives its own meanwhile.
    async fn publish(&self, sender: &mut Connection) -> io::Result<()> {
        let mut ticks =
            interval(Duration::from_secs(1) / u32::try_from(self.rate.max(1)).unwrap_or(1));
        let until = sender.replies().messages() + self.messages;
        let mut sent = 0;
        let mut deadline = tokio::time::Instant::now() + BROADCAST_PATIENCE;
        while sender.replies().messages() < until {
            tokio::select! {
                biased;
                received = sender.receive() => received?,
                _ = ticks.tick(), if sent < self.messages => {
                    sender.send().await?;
                    sent += 1;
                    deadline = tokio::time::Instant::now() + BROADCAST_PATIENCE;
                }
                () = sleep_until(deadline), if sent == self.messages => break,
            }
        }
        Ok(())
    }

    async fn open(&self, connections: u64) -> io::Result<Vec<Connection>> {
        let payload = self.kind.payload(self.bytes);
        let one = if self.deflate {
            frame::masked(frame::COMPRESSED | self.kind.opcode(), &deflated(&payload))
        } else {
            frame::masked(self.kind.opcode(), &payload)
        };
        let burst = Arc::new(one.repeat(usize::try_from(self.in_flight).unwrap_or(1)));
        let expected = Arc::new(Expected::new(self.kind.opcode(), payload, self.deflate));
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream = handshake::connect(&self.address, self.wish()).await?;
            let (burst, expected) = (Arc::clone(&burst), Arc::clone(&expected));
            open.push(Connection::new(stream, burst, self.in_flight, expected));
        }
        Ok(open)
    }

    const fn wish(&self) -> Wish {
        Wish {
            deflate: self.deflate,
            browser: self.browser,
        }
    }

    async fn come_and_go(&self, rounds: u64) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let (address, wish) = (self.address.clone(), self.wish());
            tasks.spawn(async move {
                let close = frame::masked(frame::CLOSE, &1000_u16.to_be_bytes());
                for _ in 0..rounds {
                    let mut stream = handshake::connect(&address, wish).await?;
                    stream.write_all(&close).await?;
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await?;
                    if answer.first() != Some(&(frame::FIN | frame::CLOSE)) {
                        return Err(io::Error::other(format!(
                            "a Close is answered {answer:02x?}"
                        )));
                    }
                }
                Ok(())
            });
        }
        joined(tasks).await.map(drop)
    }
}

/// All of them side by side, each as many bursts.
async fn each(connections: Vec<Connection>, bursts: u64) -> io::Result<Vec<Connection>> {
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        tasks.spawn(async move {
            connection.exchange(bursts).await?;
            Ok(connection)
        });
    }
    joined(tasks).await
}

async fn joined<T: 'static>(mut tasks: JoinSet<io::Result<T>>) -> io::Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        all.push(ended.map_err(io::Error::other)??);
    }
    Ok(all)
}

fn wire_bytes(connections: &[Connection]) -> u64 {
    connections.iter().map(|it| it.replies().wire_bytes()).sum()
}

/// How long members may take to join after their handshake.
const JOIN: Duration = Duration::from_millis(200);

/// How long after a message another is waited for; the slowest rate is ten a second.
const BROADCAST_PATIENCE: Duration = Duration::from_secs(3);

/// Says that a stage is over, and waits to be told that the next may begin.
#[expect(clippy::print_stdout, reason = "whoever started this reads it")]
fn next_stage(name: &str, start: Instant, stage: Stage) -> io::Result<()> {
    let nanoseconds = start.elapsed().as_nanos();
    let Stage {
        messages,
        bytes,
        lost,
    } = stage;
    println!("{name} messages={messages} nanoseconds={nanoseconds} bytes={bytes} lost={lost}");
    // Nobody is served meanwhile, and nothing is to be.
    io::stdin().lock().read_line(&mut String::new()).map(drop)
}
