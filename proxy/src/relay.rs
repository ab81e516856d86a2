//! One client connection and its upstream connection: bytes are passed on as they came, as far as the inspector says.
//!
//! ```text
//!              client_in ──▶ inspector ──▶ to_upstream
//!   client ◀─▶                   │                        ◀─▶ upstream (called with the first allowed request)
//!              to_client ◀── inspector ◀── upstream_in
//!                    ▲           │
//!                    └─ replies ─┘
//! ```
//!
//! * Reads go into the worker's one scratch buffer. A pair that is idle holds no buffer: `*_in` keeps what the inspector
//!   cannot judge yet, `to_*` what the kernel would not take, both usually nothing.
//! * Back-pressure: nothing is read from a side while the other does not take what was read before.
//! * The end of a side's stream is passed on when all before it is; a reset as a reset.

use std::{
    cell::RefCell,
    future::Future as _,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};
use weir_filters::http::{ClientStep, Eof, Inspector, Limits, ServerStep};

use crate::{inspect::Session, socket, upstream};

/// The size of a worker's read buffer: bytes per read system call at most.
pub const SCRATCH: usize = 64 << 10;
/// A client that pipelines requests and does not read the answers is not read from any more beyond this.
const REPLY_BACKLOG: usize = 128 << 10;
/// After a reply that ends the connection the client's rest is read and dropped for so long, so that a reset does not
/// overtake the reply (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// A server that neither answers nor says `100 Continue` gets the body after so long, as from curl.
const EXPECT_PATIENCE: Duration = Duration::from_secs(1);

/// A worker's read buffer, shared by its connections one after the other.
pub type Scratch = Rc<RefCell<Box<[u8]>>>;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both directions were finished, or weir finished them.
    Finished,
    /// The client reset it; the server saw a reset.
    ClientReset,
    /// The server reset or refused it; the client saw a reset.
    UpstreamReset,
    /// The server's answer was not HTTP, or broke its framing; both saw a reset.
    Aborted,
    /// Nothing happened for too long.
    TimedOut,
}

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From a request head's first byte to its last.
    pub head: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        // Cilium's Envoy gives a stream 300 s without activity; between requests Envoy's default is an hour.
        Self { head: Duration::from_secs(60), idle: Duration::from_secs(3600) }
    }
}

/// Bytes that the kernel would not take yet.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes `data` behind what waits already.
    fn send(&mut self, stream: Option<&TcpStream>, data: &[u8]) -> io::Result<()> {
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

    /// Writes what waits; ready when nothing does.
    fn poll_flush(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            match stream.try_write(&self.bytes[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}

enum Upstream {
    None,
    Connecting(TcpStream),
    Open(TcpStream),
}

impl Upstream {
    fn open(&self) -> Option<&TcpStream> {
        match self {
            Self::Open(stream) => Some(stream),
            _ => None,
        }
    }
}

/// A pair of connections.
pub struct Relay {
    client: TcpStream,
    upstream: Upstream,
    inspector: Inspector,
    session: Session,
    scratch: Scratch,
    client_in: Vec<u8>,
    upstream_in: Vec<u8>,
    to_client: Outbox,
    to_upstream: Outbox,
    flags: Flags,
    timeouts: Timeouts,
    active: Instant,
    head_since: Option<Instant>,
    release_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Default)]
struct Flags {
    /// The inspector wants the server's side to go on first.
    waiting: bool,
    /// It has; what is held of the client's bytes is to be tried again.
    retry: bool,
    /// No inspection any more.
    opaque: bool,
    /// Nothing of the client's is wanted any more.
    stopped: bool,
    client_eof: bool,
    upstream_eof: bool,
    /// The end was passed on.
    client_finished: bool,
    upstream_finished: bool,
    /// The server takes no bytes any more; what it sent before may still be read.
    upstream_deaf: bool,
    /// The last reply was queued: end after it.
    closing: bool,
    /// End as soon as nothing is outstanding.
    draining: bool,
}

/// What the timer was for.
enum Due {
    /// The body of a request with `Expect` may go.
    Release,
    /// The connection has to end.
    End,
}

type Progress = Result<bool, End>;

impl Relay {
    /// A pair that has a client only so far.
    pub fn new(client: TcpStream, session: Session, scratch: Scratch, timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            client,
            upstream: Upstream::None,
            inspector: Inspector::new(Limits::default()),
            session,
            scratch,
            client_in: Vec::new(),
            upstream_in: Vec::new(),
            to_client: Outbox::default(),
            to_upstream: Outbox::default(),
            flags: Flags::default(),
            timeouts,
            active: now,
            head_since: None,
            release_at: None,
            timer: Box::pin(sleep_until(now + timeouts.head.min(timeouts.idle))),
        }
    }

    /// From now on the connection ends when no exchange is under way.
    pub fn drain(&mut self) {
        self.flags.draining = true;
    }

    /// Relays until the connection ends.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let scratch = Rc::clone(&self.scratch);
        let mut scratch = scratch.borrow_mut();
        loop {
            let moved = self.pump_client(cx, &mut scratch).and_then(|client| {
                let upstream = self.pump_upstream(cx, &mut scratch)?;
                Ok(client | upstream)
            });
            match moved {
                Err(end) => return Poll::Ready(self.end(end)),
                Ok(moved) => {
                    if self.pass_ends_on(cx) {
                        return Poll::Ready(End::Finished);
                    }
                    if moved {
                        self.active = Instant::now();
                        continue;
                    }
                }
            }
            match self.poll_timer(cx) {
                Poll::Ready(Due::Release) => {
                    self.inspector.release();
                    self.stop_waiting();
                }
                Poll::Ready(Due::End) => return Poll::Ready(self.end(End::TimedOut)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Moves bytes from the client to the upstream. True if anything moved.
    fn pump_client(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Progress {
        let mut moved = self.poll_connect(cx)?;
        if !self.flush_upstream(cx) {
            return Ok(moved);
        }
        if mem::take(&mut self.flags.retry) && !self.client_in.is_empty() {
            moved |= self.take_held()?;
        }
        while self.reads_client() {
            if self.client.poll_read_ready(cx).is_pending() {
                break;
            }
            match self.client.try_read(scratch) {
                Ok(0) => self.flags.client_eof = true,
                // After the last reply; the timer bounds it.
                Ok(_) if self.flags.closing => {}
                Ok(n) if self.client_in.is_empty() => {
                    let taken = self.take_from_client(&scratch[..n])?;
                    self.client_in.extend_from_slice(&scratch[taken..n]);
                }
                Ok(n) => {
                    self.client_in.extend_from_slice(&scratch[..n]);
                    self.take_held()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return Err(End::ClientReset),
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Tries what is held of the client's bytes again.
    fn take_held(&mut self) -> Progress {
        let mut held = mem::take(&mut self.client_in);
        let taken = self.take_from_client(&held)?;
        held.drain(..taken);
        if !held.is_empty() {
            self.client_in = held;
        }
        Ok(taken > 0)
    }

    fn reads_client(&self) -> bool {
        let flags = &self.flags;
        !flags.client_eof
            && (flags.closing
                || (!flags.waiting
                    && !flags.stopped
                    && self.to_upstream.is_empty()
                    && self.to_client.len() < REPLY_BACKLOG))
    }

    /// Lets the inspector judge `input`, and says how many bytes of it are dealt with.
    fn take_from_client(&mut self, input: &[u8]) -> Result<usize, End> {
        let mut at = 0;
        while at < input.len() && !self.flags.closing {
            if self.flags.opaque {
                self.send_upstream(&input[at..])?;
                at = input.len();
                break;
            }
            match self.inspector.client(&input[at..], &mut self.session) {
                ClientStep::Forward(n) => {
                    self.send_upstream(&input[at..at + n])?;
                    at += n;
                }
                ClientStep::Discard(n) => at += n,
                ClientStep::NeedMore => break,
                ClientStep::Wait => {
                    self.flags.waiting = true;
                    // A reply whose turn it is ends the waiting at once.
                    self.send_replies()?;
                    break;
                }
                ClientStep::Opaque => self.flags.opaque = true,
                ClientStep::Stop => {
                    self.flags.stopped = true;
                    break;
                }
                ClientStep::Abort(reason) => {
                    tracing::debug!(ends = ?self.session.ends(), %reason, "the request broke off");
                    return Err(End::Aborted);
                }
            }
            self.send_replies()?;
        }
        if self.flags.waiting && self.inspector.awaits_continue() && self.release_at.is_none() {
            self.release_at = Some(Instant::now() + EXPECT_PATIENCE);
            self.timer.as_mut().reset(Instant::now() + EXPECT_PATIENCE);
        }
        self.head_since = match (self.inspector.in_head(), self.head_since) {
            (true, None) => Some(Instant::now()),
            (true, since) => since,
            (false, _) => None,
        };
        let over = self.flags.closing || self.flags.stopped;
        Ok(if over { input.len() } else { at })
    }

    fn send_upstream(&mut self, data: &[u8]) -> Result<(), End> {
        if matches!(self.upstream, Upstream::None) {
            match upstream::call(self.session.ends(), self.session.recorder().metrics()) {
                Ok(stream) => self.upstream = Upstream::Connecting(stream),
                Err(error) => return Err(self.refused_by_upstream(&error)),
            }
        }
        if self.flags.upstream_deaf {
            return Ok(());
        }
        if self.to_upstream.send(self.upstream.open(), data).is_err() {
            self.upstream_is_deaf();
        }
        Ok(())
    }

    /// The server has reset the connection, maybe after an answer that is still to be read.
    fn upstream_is_deaf(&mut self) {
        self.flags.upstream_deaf = true;
        self.to_upstream = Outbox::default();
    }

    fn refused_by_upstream(&self, error: &io::Error) -> End {
        tracing::debug!(ends = ?self.session.ends(), %error, "the server did not accept");
        self.session.recorder().metrics().upstream_failure();
        End::UpstreamReset
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Progress {
        let Upstream::Connecting(stream) = &self.upstream else { return Ok(false) };
        if stream.poll_write_ready(cx).is_pending() {
            return Ok(false);
        }
        if let Ok(Some(error)) | Err(error) = stream.take_error() {
            return Err(self.refused_by_upstream(&error));
        }
        if let Upstream::Connecting(stream) = mem::replace(&mut self.upstream, Upstream::None) {
            self.upstream = Upstream::Open(stream);
        }
        Ok(true)
    }

    /// True if nothing waits for the upstream.
    fn flush_upstream(&mut self, cx: &mut Context<'_>) -> bool {
        let Upstream::Open(stream) = &self.upstream else { return self.to_upstream.is_empty() };
        match self.to_upstream.poll_flush(stream, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.upstream_is_deaf();
                true
            }
        }
    }

    /// Moves bytes from the upstream to the client. True if anything moved.
    fn pump_upstream(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Progress {
        let mut moved = false;
        if self.to_client.poll_flush(&self.client, cx).map_err(|_| End::ClientReset)?.is_pending() {
            return Ok(false);
        }
        while !self.flags.upstream_eof && self.to_client.is_empty() {
            let Some(stream) = self.upstream.open() else { break };
            if stream.poll_read_ready(cx).is_pending() {
                break;
            }
            match stream.try_read(scratch) {
                Ok(0) => self.upstream_ended()?,
                Ok(_) if self.flags.closing => {}
                Ok(n) if self.upstream_in.is_empty() => self.take_from_upstream(&scratch[..n])?,
                Ok(n) => {
                    let mut input = mem::take(&mut self.upstream_in);
                    input.extend_from_slice(&scratch[..n]);
                    self.take_from_upstream(&input)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return Err(End::UpstreamReset),
            }
            moved = true;
        }
        Ok(moved)
    }

    fn take_from_upstream(&mut self, input: &[u8]) -> Result<(), End> {
        self.stop_waiting();
        let mut at = 0;
        while at < input.len() {
            if self.flags.opaque {
                self.send_client(&input[at..])?;
                return Ok(());
            }
            match self.inspector.server(&input[at..], &mut self.session) {
                ServerStep::Forward(n) => {
                    self.send_client(&input[at..at + n])?;
                    at += n;
                }
                ServerStep::NeedMore => break,
                // Replies were sent after the last step, so this one has something to send.
                ServerStep::Wait => {}
                ServerStep::Opaque => self.flags.opaque = true,
                ServerStep::Abort(reason) => {
                    tracing::debug!(ends = ?self.session.ends(), %reason, "the server's answer cannot be relayed");
                    self.session.failed("malformed response");
                    return Err(End::Aborted);
                }
            }
            self.send_replies()?;
        }
        self.upstream_in = input[at..].to_vec();
        Ok(())
    }

    /// The server's side went on, or a reply went out: what the client's side waited for may have come.
    fn stop_waiting(&mut self) {
        self.flags.retry |= mem::take(&mut self.flags.waiting);
    }

    fn upstream_ended(&mut self) -> Result<(), End> {
        self.flags.upstream_eof = true;
        self.stop_waiting();
        match self.inspector.server_eof() {
            Eof::Shutdown | Eof::Wait => {}
            Eof::Close => self.flags.closing = true,
            Eof::Abort(reason) => {
                tracing::debug!(ends = ?self.session.ends(), %reason, "the server closed");
                return Err(End::Aborted);
            }
        }
        self.send_replies()
    }

    fn send_client(&mut self, data: &[u8]) -> Result<(), End> {
        self.to_client.send(Some(&self.client), data).map_err(|_| End::ClientReset)
    }

    /// Sends the local replies whose turn has come.
    fn send_replies(&mut self) -> Result<(), End> {
        while let Some(reply) = self.inspector.take_reply() {
            self.send_client(reply.bytes)?;
            self.stop_waiting();
            self.flags.closing |= reply.close;
        }
        Ok(())
    }

    /// Passes the end of either stream on once all before it is; true when the connection is over.
    fn pass_ends_on(&mut self, cx: &mut Context<'_>) -> bool {
        let flags = &mut self.flags;
        let client_has_all = self.to_client.is_empty();
        if flags.closing && client_has_all && !flags.client_finished {
            flags.client_finished = true;
            socket::finish(&self.client);
            // What the server still has to say, nobody will hear.
            self.upstream = Upstream::None;
            self.timer.as_mut().reset(Instant::now() + LINGER);
            // The timer must be seen by this task even if nothing else happens.
            let _ = self.timer.as_mut().poll(cx);
        }
        if flags.closing {
            return client_has_all && flags.client_eof;
        }
        // What is held then is a request cut short, which nobody needs to see.
        // What is held at the end without waiting for anything is a request cut short, which nobody needs to see.
        let judged = !flags.retry && (!flags.waiting || self.inspector.client_eof() != Eof::Wait);
        if flags.client_eof && judged && self.to_upstream.is_empty() && !flags.upstream_finished {
            match &self.upstream {
                Upstream::None => return client_has_all,
                Upstream::Connecting(_) => {}
                Upstream::Open(stream) => {
                    flags.upstream_finished = true;
                    socket::finish(stream);
                }
            }
        }
        if flags.upstream_eof && client_has_all && !flags.client_finished {
            flags.client_finished = true;
            socket::finish(&self.client);
        }
        let idle = self.inspector.is_idle() && client_has_all && self.to_upstream.is_empty() && !flags.opaque;
        (flags.client_eof && flags.upstream_eof && client_has_all) || (flags.draining && idle)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let idle_at = self.active + self.timeouts.idle;
            let head_at = self.head_since.map(|since| since + self.timeouts.head);
            if self.flags.closing || now >= idle_at || head_at.is_some_and(|at| now >= at) {
                return Poll::Ready(Due::End);
            }
            let next = now + self.timeouts.head.min(self.timeouts.idle);
            self.timer.as_mut().reset(head_at.unwrap_or(next).min(idle_at).min(next));
            if self.release_at.take_if(|at| now >= *at).is_some() {
                return Poll::Ready(Due::Release);
            }
        }
        Poll::Pending
    }

    /// Makes the other side see what happened to this one.
    fn end(&mut self, end: End) -> End {
        if matches!(end, End::ClientReset | End::Aborted)
            && let Upstream::Open(stream) | Upstream::Connecting(stream) = &self.upstream
        {
            socket::reset_on_close(stream);
        }
        if matches!(end, End::UpstreamReset | End::Aborted) {
            socket::reset_on_close(&self.client);
        }
        end
    }
}
