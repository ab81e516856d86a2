//! The two sockets as hyper sees them. What comes from a client of HTTP/1 passes a [`Gate`] first.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::{net::TcpStream, time::Instant};
use weir_filters::http::{
    Refusal,
    inspect::gate::{Asks, Gate, Passage},
};

use super::Connection;

/// Bytes per read at most.
const PIECE: usize = 16 << 10;

/// What hyper reads in the place of a request that is refused, so that the answer comes in its turn.
const STAND_IN: &[u8] = b"GET /refused HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// When a byte has moved last, on either socket.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Milliseconds after `start`.
    last: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Activity {
    pub(super) fn touch(&self) {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// What the gate tells the exchanges, and they the gate.
pub(super) struct Front {
    pub(super) gate: Gate,
    /// One for each request that hyper has got, or will get, and that was not served yet.
    pub(super) requests: VecDeque<Result<Asks, Refusal>>,
    /// Why the connection ended without an answer.
    pub(super) refusal: Option<Refusal>,
    /// Since when a part of a head is there.
    pub(super) head_since: Option<Instant>,
    /// Hyper's, while the gate is held.
    waker: Option<Waker>,
}

/// Hyper wants to be able to send a wire to another thread; nobody does.
pub(super) type SharedFront = Arc<Mutex<Front>>;

impl Front {
    pub(super) fn shared(gate: Gate) -> SharedFront {
        Arc::new(Mutex::new(Self { gate, requests: VecDeque::new(), refusal: None, head_since: None, waker: None }))
    }

    /// As [`Gate::answered`].
    pub(super) fn answered(&mut self, opaque: bool) {
        self.gate.answered(opaque);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub(super) fn lock(front: &SharedFront) -> MutexGuard<'_, Front> {
    front.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's socket.
pub(super) struct ClientWire {
    socket: UpstreamWire,
    /// Stands before what is read of HTTP/1.
    front: Option<SharedFront>,
    /// What was read and not passed.
    held: Vec<u8>,
    /// Of it, where what is left begins.
    start: usize,
    /// Of what is left, so much may pass.
    ready: usize,
    eof: bool,
}

impl ClientWire {
    /// For HTTP/1, of which `first` was read already.
    pub(super) fn gated(connection: &Connection, first: Vec<u8>) -> Self {
        Self { front: Some(Arc::clone(&connection.front)), ready: 0, ..Self::open(connection, first) }
    }

    /// For HTTP/2.
    pub(super) fn open(connection: &Connection, first: Vec<u8>) -> Self {
        let socket =
            UpstreamWire { stream: Arc::clone(&connection.client), activity: Arc::clone(&connection.activity) };
        Self { socket, front: None, ready: first.len(), held: first, start: 0, eof: false }
    }

    /// What was read and not passed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.held[self.start..]
    }

    /// Asks the gate; false if more must be read.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(front) = self.front.clone() else { return Poll::Ready(Ok(false)) };
        let mut front = lock(&front);
        match front.gate.next(&self.held[self.start..]) {
            Passage::Request(asks) => front.requests.push_back(Ok(asks)),
            Passage::Pass(n) => self.ready = n,
            Passage::Discard(n) => self.start += n,
            Passage::Held if self.eof => return Poll::Ready(Ok(false)),
            Passage::Held => {
                front.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // An answer in HTTP/1 would be no more than noise.
            Passage::Refused(refusal @ (Refusal::NotHttp | Refusal::Http2)) => {
                front.refusal = Some(refusal);
                self.eof = true;
            }
            Passage::Refused(refusal) => {
                front.requests.push_back(Err(refusal));
                (self.held, self.start, self.ready) = (STAND_IN.to_vec(), 0, STAND_IN.len());
            }
            Passage::Broken(refusal) => {
                front.refusal = Some(refusal);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
            }
            Passage::Stopped => {
                self.start = self.held.len();
                return Poll::Ready(Ok(false));
            }
            Passage::NeedMore => {
                let in_head = front.gate.in_head();
                front.head_since = in_head.then(|| front.head_since.unwrap_or_else(Instant::now));
                return Poll::Ready(Ok(false));
            }
        }
        front.head_since = None;
        Poll::Ready(Ok(true))
    }

    /// Reads more behind what is held.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held.drain(..self.start);
        self.start = 0;
        let length = self.held.len();
        self.held.resize(length + PIECE, 0);
        let read = self.socket.poll_into(cx, &mut self.held[length..]);
        let n = if let Poll::Ready(Ok(n)) = &read { *n } else { 0 };
        self.held.truncate(length + n);
        if self.held.is_empty() {
            // An idle connection holds no buffer.
            self.held = Vec::new();
        }
        let n = ready!(read)?;
        self.eof |= n == 0;
        if self.front.is_none() {
            self.ready = self.held.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for ClientWire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ready > 0 {
                let n = this.ready.min(buffer.remaining());
                buffer.put_slice(&this.held[this.start..this.start + n]);
                this.start += n;
                this.ready -= n;
                return Poll::Ready(Ok(()));
            }
            if !ready!(this.advance(cx))? {
                if this.eof {
                    return Poll::Ready(Ok(()));
                }
                ready!(this.poll_fill(cx))?;
            }
        }
    }
}

impl Write for ClientWire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write_from(cx, |stream| stream.try_write(data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write_from(cx, |stream| stream.try_write_vectored(data))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// What is owed to the client was written; its end is [`super::linger`]'s.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The upstream's socket.
pub(super) struct UpstreamWire {
    pub(super) stream: Arc<TcpStream>,
    pub(super) activity: Arc<Activity>,
}

impl UpstreamWire {
    fn poll_into(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    self.activity.touch();
                    return Poll::Ready(read);
                }
            }
        }
    }

    fn poll_write_from(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.activity.touch();
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl Read for UpstreamWire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut piece = [0; PIECE];
        let room = piece.len().min(buffer.remaining());
        let n = ready!(self.poll_into(cx, &mut piece[..room]))?;
        buffer.put_slice(&piece[..n]);
        Poll::Ready(Ok(()))
    }
}

impl Write for UpstreamWire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_from(cx, |stream| stream.try_write(data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_from(cx, |stream| stream.try_write_vectored(data))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        crate::socket::finish(&self.stream);
        Poll::Ready(Ok(()))
    }
}
