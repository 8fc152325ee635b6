//! One connection of a load: sends frames made beforehand, reads until the replies are there.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::replies::{Expected, Replies};

/// An open connection. Holds one buffer of [`MAX_READ_BYTES`] at most.
#[derive(Debug)]
pub struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    replies: Replies,
    /// Sent before anything is waited for.
    burst: Arc<Vec<u8>>,
    in_flight: u64,
    buffer: Vec<u8>,
}

impl Connection {
    /// Around a stream that has shaken hands.
    #[must_use]
    pub fn new(
        stream: TcpStream,
        burst: Arc<Vec<u8>>,
        in_flight: u64,
        expected: Arc<Expected>,
    ) -> Self {
        let (reader, writer) = stream.into_split();
        let buffer = vec![0; burst.len().clamp(MIN_READ_BYTES, MAX_READ_BYTES)];
        Self {
            reader,
            writer,
            replies: Replies::new(expected),
            burst,
            in_flight,
            buffer,
        }
    }

    /// Sends the burst and waits for all its replies, this many times.
    ///
    /// # Errors
    ///
    /// What the socket says, or what is wrong with a reply.
    pub async fn exchange(&mut self, times: u64) -> io::Result<()> {
        for _ in 0..times {
            let until = self.replies.messages() + self.in_flight;
            if self.burst.len() <= SENT_AT_ONCE {
                self.writer.write_all(&self.burst).await?;
                read_until(&mut self.reader, &mut self.replies, &mut self.buffer, until).await?;
            } else {
                // What the server sends back while it is still receiving must be read meanwhile.
                tokio::try_join!(
                    self.writer.write_all(&self.burst),
                    read_until(&mut self.reader, &mut self.replies, &mut self.buffer, until),
                )?;
            }
        }
        Ok(())
    }

    /// Sends the burst, and does not wait.
    ///
    /// # Errors
    ///
    /// What the socket says.
    pub async fn send(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.burst).await
    }

    /// Reads once.
    ///
    /// # Errors
    ///
    /// As [`Connection::exchange`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn receive(&mut self) -> io::Result<()> {
        let until = self.replies.messages() + 1;
        read_until(&mut self.reader, &mut self.replies, &mut self.buffer, until).await
    }

    /// What has come.
    #[must_use]
    pub const fn replies(&self) -> &Replies {
        &self.replies
    }
}

async fn read_until(
    reader: &mut OwnedReadHalf,
    replies: &mut Replies,
    buffer: &mut [u8],
    messages: u64,
) -> io::Result<()> {
    while replies.messages() < messages {
        let read = reader.read(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        replies.feed(&buffer[..read])?;
    }
    Ok(())
}

/// Ten thousand connections that do nothing shall fit into memory.
const MIN_READ_BYTES: usize = 512;

const MAX_READ_BYTES: usize = 256 << 10;

/// What fits into any socket's buffers, so that neither side ever waits for the other to read.
const SENT_AT_ONCE: usize = 64 << 10;
