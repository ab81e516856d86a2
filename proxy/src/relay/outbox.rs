//! Bytes that the kernel would not take yet.

use std::{
    io,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use super::{
    pipe::{Pipe, Pool},
    wire::try_write,
};

/// What waits to be written to one socket, in order. Usually nothing, and then it holds no memory.
#[derive(Default)]
pub(super) struct Outbox {
    /// What came by a pipe; it goes before the bytes.
    pipe: Option<Pipe>,
    bytes: Vec<u8>,
    sent: usize,
}

/// What went wrong with [`Outbox::poll_splice`].
pub(super) enum Broken {
    /// There is no pipe to be had.
    Pipe(io::Error),
    /// The socket that was read.
    From,
    /// The socket that was written.
    To(io::Error),
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.pipe.as_ref().map_or(0, |pipe| pipe.held)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `data` behind what waits already; without a stream it all waits.
    pub(super) fn send(&mut self, stream: Option<&TcpStream>, data: &[u8]) -> io::Result<()> {
        let sent = match stream {
            Some(stream) if self.is_empty() => try_write(stream, data)?,
            _ => 0,
        };
        self.bytes.extend_from_slice(&data[sent..]);
        Ok(())
    }

    /// Moves up to `most` bytes from one socket to this one without looking at them; the outbox is empty. 0 is the end of
    /// the stream.
    pub(super) fn poll_splice(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        most: u64,
        pool: &Pool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Broken>> {
        debug_assert!(self.is_empty());
        let pipe = match &mut self.pipe {
            Some(pipe) => pipe,
            none => none.insert(pool.take().map_err(Broken::Pipe)?),
        };
        let moved = ready!(pipe.poll_fill(from, most, cx)).map_err(|_| Broken::From)?;
        match pipe.poll_drain(to, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(Broken::To(error))),
            // What is left in the pipe waits as other bytes do.
            _ => Poll::Ready(Ok(moved)),
        }
    }

    /// The run of bytes is over.
    pub(super) fn end_splice(&mut self, pool: &Pool) {
        if let Some(pipe) = self.pipe.take_if(|pipe| pipe.held == 0) {
            pool.put(pipe);
        }
    }

    /// Writes what waits. Ready when nothing does; pending when the stream will wake the task as it takes more.
    pub(super) fn poll_flush(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pipe) = &mut self.pipe {
            ready!(pipe.poll_drain(stream, cx))?;
        }
        while self.sent < self.bytes.len() {
            match try_write(stream, &self.bytes[self.sent..])? {
                0 => ready!(stream.poll_write_ready(cx))?,
                sent => self.sent += sent,
            }
        }
        if self.sent > 0 {
            (self.bytes, self.sent) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}
