//! Reading and writing without waiting: exactly one system call per piece, if all goes well.
//!
//! A read that leaves room in the buffer has emptied the socket. Saying so to tokio saves the read that would find
//! nothing (epoll is edge-triggered: new bytes make a new event). The calls are rustix's, since those of a C library are
//! points where a thread can be cancelled, which costs a little each time.

use std::{
    io,
    task::{Context, Poll},
};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::{io::Interest, net::TcpStream, task::coop};

/// Whether what was just pending will wake the task. If not, the task has used up its turn with the runtime, and is polled
/// again in any case.
pub(super) fn is_armed() -> bool {
    coop::has_budget_remaining()
}

/// Reads what is there; 0 is the end of the stream.
///
/// `armed` says that the stream will wake the task, and has not yet: then there is nothing to read, and no need to say once
/// more that the task waits. It stays true until something comes, since tokio takes the waker away with the same event that
/// makes the stream readable.
pub(super) fn poll_read(
    stream: &TcpStream,
    armed: &mut bool,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        let (mut tried, mut short) = (false, None);
        let read = stream.try_io(Interest::READABLE, || {
            tried = true;
            let (n, _) = recv(stream, &mut *buffer, RecvFlags::empty())?;
            if 0 < n && n < buffer.len() {
                short = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        *armed &= !tried;
        match (short, read) {
            (Some(n), _) => return Poll::Ready(Ok(n)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, read) => return Poll::Ready(read),
        }
        if *armed {
            return Poll::Pending;
        }
        if stream.poll_read_ready(cx)?.is_pending() {
            *armed = is_armed();
            return Poll::Pending;
        }
    }
}

/// Writes as much as the kernel takes now; 0 if nothing.
pub(super) fn try_write(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    match stream.try_io(Interest::WRITABLE, || Ok(send(stream, data, SendFlags::NOSIGNAL)?)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
