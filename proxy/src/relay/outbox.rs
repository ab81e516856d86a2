//! Bytes that the kernel would not take yet.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

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
        let mut sent = 0;
        if let (true, Some(stream)) = (self.is_empty(), stream) {
            sent = match stream.try_write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                other => other?,
            };
        }
        self.bytes.extend_from_slice(&data[sent..]);
        Ok(())
    }

    /// Writes what waits. Ready when nothing does; pending when the stream will wake the task as it takes more.
    pub(super) fn poll_flush(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            match stream.try_write(&self.bytes[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.sent > 0 {
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }
}
