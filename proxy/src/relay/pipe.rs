//! Moves long runs of bytes from socket to socket inside the kernel (`splice(2)`): no copy to user space and back.
//!
//! ```text
//!   one socket ──splice──▶ pipe ──splice──▶ the other
//! ```
//!
//! A pair has a pipe only while such a run lasts.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// Runs shorter than this are copied: a pipe costs a few system calls.
pub(super) const SHORTEST: u64 = 256 << 10;
/// The most that a pipe may hold without being asked for by root; one that is smaller works as well. No splice asks for
/// more: the kernel refuses lengths that are negative as signed numbers.
const CAPACITY: usize = 1 << 20;

/// Empty pipes that a worker keeps.
const KEPT: usize = 16;

/// The pipes that no pair of a worker is using.
#[derive(Default)]
pub(super) struct Pool(RefCell<Vec<Pipe>>);

impl Pool {
    /// An empty pipe.
    ///
    /// # Errors
    /// Without descriptors.
    pub(super) fn take(&self) -> io::Result<Pipe> {
        let kept = self.0.borrow_mut().pop();
        kept.map_or_else(Pipe::new, Ok)
    }

    /// Takes a pipe back.
    pub(super) fn put(&self, pipe: Pipe) {
        let mut kept = self.0.borrow_mut();
        if pipe.held == 0 && kept.len() < KEPT {
            kept.push(pipe);
        }
    }
}

/// A pipe and what is in it.
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes in it.
    pub(super) held: usize,
}

impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// Without descriptors.
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // The kernel may refuse: a user's pipes have a limit together.
        let _ = fcntl_setpipe_size(&writer, CAPACITY);
        Ok(Self { reader, writer, held: 0 })
    }

    /// Takes up to `most` bytes from a socket; 0 is the end of the stream.
    pub(super) fn poll_fill(&mut self, from: &TcpStream, most: u64, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).unwrap_or(CAPACITY).min(CAPACITY);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || transfer(from, &self.writer, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(n) => {
                    self.held += n;
                    return Poll::Ready(Ok(n));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives what is held to a socket. Ready when nothing is left; pending when the socket will wake the task.
    pub(super) fn poll_drain(&mut self, to: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held > 0 {
            match to.try_io(Interest::WRITABLE, || transfer(&self.reader, to, self.held)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(to.poll_write_ready(cx))?,
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => self.held -= n,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn transfer(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}
