//! Bytes that the kernel would not take yet.

use std::{
    io,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use super::wire::try_write;

/// What waits to be written to one socket, in order. Usually nothing, and then it holds no memory.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
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

    /// Writes what waits. Ready when nothing does; pending when the stream will wake the task as it takes more.
    pub(super) fn poll_flush(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            match try_write(stream, &self.bytes[self.sent..])? {
                0 => ready!(stream.poll_write_ready(cx))?,
                sent => self.sent += sent,
            }
        }
        if self.sent > 0 {
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }
}
