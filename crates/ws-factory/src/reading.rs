//! How a link reads: into what all sessions of its thread read into, or straight to where the rest
//! of a large message belongs.

use std::{
    io,
    task::{Context, Poll, ready},
};

use ws_core::{Demand, Event, Message};

use crate::{
    buffers::{self, LARGEST_CLASS, ReadBuffers},
    ending::End,
    link::Link,
};

/// What the last reads were like.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Whether the last one was of the rest of a large message.
    large: bool,
    /// Whether the next one is likely to find nothing: the last one left nothing in the socket, and
    /// nobody has woken the task to read since.
    drained: bool,
    /// How many more may be small before the next is expected to be: 0 while they are.
    bulk: u8,
}

/// How many bytes came, and the event that they are or complete.
type Read = (usize, Option<Event>);

/// How many times as much as other reads one of the rest of a large message takes: fewer calls,
/// which are most of what 1 MiB costs.
const LARGE_READS: usize = 4;

/// How much is read at first after a large message, in bytes.
const BEFORE_LARGE: usize = 4 * 1024;

/// What a read counts for in a turn at least, in bytes: it takes its time however little it finds,
/// and a policy may want reads of one byte.
const LEAST_READ: u32 = 4 * 1024;

/// For how many small reads a large one makes the next be expected to be large, too.
const BULK_READS: u8 = 16;

impl Link {
    /// Reads once. `Ok(None)` when bytes came, an event when they completed a large frame, or are a
    /// message and nothing else; that only if messages are wanted now. What the protocol asks for
    /// when there is such an event has been done.
    #[inline(always)]
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        demand: Demand,
    ) -> Poll<Result<Option<Event>, End>> {
        let direct = match self.connection.is_within_frame() {
            true => ready!(self.poll_read_direct(cx))?,
            false => None,
        };
        let (read, event) = match direct {
            Some(direct) => direct,
            None => {
                // Most often nothing more has come, and this is all that it takes to be woken when
                // it has. Woken after that it reads at once.
                if self.reading.drained && self.io.poll_read_ready(cx)?.is_pending() {
                    self.reading.drained = self.turn.bytes == 0;
                    return Poll::Pending;
                }
                // Not by a closure, which would be a function of its own: 20 instructions.
                let mut buffers = buffers::lend();
                let read = self.poll_read_shared(cx, demand, &mut buffers);
                buffers::give_back(buffers);
                ready!(read)?
            }
        };
        if read == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
        }
        // Cannot truncate: a turn ends long before.
        self.turn.bytes += (read as u32).max(LEAST_READ);
        self.clocks.touch();
        Poll::Ready(Ok(event))
    }

    /// Reads the rest of a large frame to where it belongs; `None` if it has to go by the thread's
    /// buffers.
    #[inline(never)]
    fn poll_read_direct(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Read>, End>> {
        let Some((buffer, room)) = self.connection.direct_buffer(buffers::take_large) else {
            return Poll::Ready(Ok(None));
        };
        let most = self.policy.max_read_bytes().saturating_mul(LARGE_READS);
        let read = ready!(self.io.poll_read_buf(cx, buffer, room.min(most)))?;
        self.reading = Reading {
            large: true,
            ..Reading::default()
        };
        let event = self.connection.recv_direct(read)?;
        if let Some(event) = &event {
            self.react(event);
            let rest = self.connection.take_rest();
            buffers::keep_large(event_len(event), rest);
        }
        Poll::Ready(Ok(Some((read, event))))
    }

    /// Reads into the thread's buffers.
    #[inline(always)]
    fn poll_read_shared(
        &mut self,
        cx: &mut Context<'_>,
        demand: Demand,
        buffers: &mut ReadBuffers,
    ) -> Poll<Result<Read, End>> {
        if self.reading.bulk > 0 {
            return self.poll_read_bulk(cx, demand, buffers);
        }
        // One large message is likely to follow another: what is read with its header has to be
        // copied, the rest has not.
        let most = match self.reading.large {
            true => BEFORE_LARGE,
            false => LARGEST_CLASS,
        };
        let most = most.min(self.policy.max_read_bytes());
        let (scratch, keeping) = buffers.small();
        let Poll::Ready(read) = self.io.poll_read_slice(cx, &mut scratch[..most])? else {
            self.reading.drained = true;
            return Poll::Pending;
        };
        self.reading = Reading {
            large: false,
            drained: read < most,
            bulk: if read == LARGEST_CLASS { BULK_READS } else { 0 },
        };
        let bytes = &mut scratch[..read];
        if demand == Demand::Any
            && let Some(message) = self
                .connection
                .recv_alone(bytes, |payload| keeping.keep(payload))
        {
            return Poll::Ready(Ok((read, Some(self.read_message(message)))));
        }
        self.connection.recv(buffers.copy_small(read));
        Poll::Ready(Ok((read, None)))
    }

    /// Reads more than is copied gladly: what comes is given away where it was read into.
    #[inline(never)]
    fn poll_read_bulk(
        &mut self,
        cx: &mut Context<'_>,
        demand: Demand,
        buffers: &mut ReadBuffers,
    ) -> Poll<Result<Read, End>> {
        let scratch = buffers.scratch();
        let most = self.policy.max_read_bytes().min(scratch.capacity());
        let Poll::Ready(read) = self.io.poll_read_buf(cx, scratch, most)? else {
            self.reading.drained = true;
            return Poll::Pending;
        };
        self.reading = Reading {
            large: false,
            drained: read < most,
            bulk: match read > LARGEST_CLASS {
                true => BULK_READS,
                false => self.reading.bulk - 1,
            },
        };
        let mut bytes = buffers.take();
        let message = match demand {
            Demand::Any => self.connection.recv_first(&mut bytes),
            Demand::Control => None,
        };
        if !bytes.is_empty() {
            self.connection.recv(bytes);
        }
        Poll::Ready(Ok((
            read,
            message.map(|message| self.read_message(message)),
        )))
    }

    /// Counts a message that a read has brought.
    #[inline]
    fn read_message(&mut self, message: Message) -> Event {
        self.turn.events += 1;
        self.session.meter().received_message(message.len());
        Event::Message(message)
    }

    /// Reads and forgets, until the peer ends.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let read = buffers::with_reading(|buffers| self.io.poll_read_slice(cx, buffers.small().0));
        match ready!(read) {
            Ok(1..) => {
                // One read a turn: a peer that sends for ever does not keep the others waiting.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }
}

/// How long the payload of a large message or frame is.
fn event_len(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.len(),
        Event::Frame(frame) => frame.payload().len(),
        _ => 0,
    }
}
