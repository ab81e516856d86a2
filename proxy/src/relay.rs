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
//! * Back-pressure: nothing is read from a side while the other does not take what was read before. So a pair holds at
//!   most a head, a scratch buffer's worth and the replies to it, per direction.
//! * Long runs of bytes that nobody needs to see go from socket to socket inside the kernel, see `pipe`.
//! * The end of a side's stream is passed on when all before it is; a reset as a reset.
//! * No wake-up is lost: [`Relay::poll`] is pending only when it is `settled`, which is that every socket that could let it go
//!   on will wake it, and the timer too.
//!
//! What is only watched passes at once, and the inspector gets a copy (`tap`). Its server is called when the client's
//! connection comes, since it may be the one to speak first.
//!
//! The client's direction is in `client`, the server's in `server`, time limits in `clock`.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use weir_filters::{connection::Inspector, http::Eof, tap::Tap};

use self::{
    clock::{Clock, Due},
    outbox::Outbox,
};
use crate::{drain::Drain, inspect::Session, socket, upstream::Call};

mod client;
mod clock;
mod outbox;
mod pipe;
mod server;
mod splice;
mod tapped;
mod wire;

#[cfg(test)]
mod tests;

pub use clock::Timeouts;

/// The size of a worker's read buffer: bytes per read system call at most.
const SCRATCH: usize = 64 << 10;

/// What the pairs of one worker share.
pub struct Common {
    /// How servers are called.
    pub call: Call,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Tells when to end.
    pub drain: Rc<Drain>,
    /// The read buffer, used by one pair after the other.
    scratch: RefCell<Box<[u8]>>,
    /// For long bodies.
    pipes: pipe::Pool,
}

impl Common {
    /// For a new worker.
    pub fn new(call: Call, timeouts: Timeouts) -> Rc<Self> {
        let scratch = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
        Rc::new(Self { call, timeouts, drain: Rc::default(), scratch, pipes: pipe::Pool::default() })
    }
}

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
    /// The policy in force does not allow it any more; both saw a reset.
    Cut,
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
    /// While the connection is only watched.
    tap: Option<Box<Tap>>,
    session: Session,
    common: Rc<Common>,
    client_in: Vec<u8>,
    upstream_in: Vec<u8>,
    to_client: Outbox,
    to_upstream: Outbox,
    flags: Flags,
    armed: Armed,
    turn: Turn,
    clock: Clock,
}

#[derive(Default)]
struct Flags {
    /// The inspector wants the server's side to go on first.
    waiting: bool,
    /// It has; what is held of the client's bytes is to be tried again.
    retry: bool,
    /// The inspector wants the client's side to go on first.
    holding: bool,
    /// It has; what is held of the server's bytes is to be tried again.
    retry_upstream: bool,
    /// No inspection any more.
    opaque: bool,
    /// Nothing of the client's is wanted any more: it is read and dropped, so that its end is seen.
    stopped: bool,
    client_eof: bool,
    upstream_eof: bool,
    /// The end was passed on.
    client_finished: bool,
    upstream_finished: bool,
    /// The server takes no bytes any more; what it sent before may still be read.
    upstream_deaf: bool,
    /// It has said so by a reset. The kernel tells that once, so its end of stream is to be read as a reset.
    upstream_was_reset: bool,
    /// The last byte for the client was queued: end after it.
    closing: bool,
    /// The rules in force cannot be kept here: no request is read any more.
    leaving: bool,
    /// Bytes have moved in this poll.
    moved: bool,
    /// The last read of a side filled the buffer: there is more, and it may be much.
    client_is_bulky: bool,
    upstream_is_bulky: bool,
}

/// What will wake the task.
#[derive(Clone, Copy, Default)]
struct Armed {
    client_read: bool,
    upstream_read: bool,
    /// As of this round.
    client_write: bool,
    upstream_write: bool,
}

/// How much a pair may do before others get their turn.
#[derive(Clone, Copy, Default)]
struct Turn {
    reads_left: u8,
    /// It goes on when they had theirs.
    rests: bool,
}

impl Turn {
    /// A connection that never runs dry moves so many buffers at a time.
    const READS: u8 = 32;

    fn begin() -> Self {
        Self { reads_left: Self::READS, rests: false }
    }

    /// Counts a read; true if it has to wait for the next turn, for which the task will be woken.
    fn rests(&mut self, cx: &Context<'_>) -> bool {
        if self.reads_left == 0 && !self.rests {
            self.rests = true;
            cx.waker().wake_by_ref();
        }
        self.reads_left = self.reads_left.saturating_sub(1);
        self.rests
    }
}

impl Relay {
    /// A pair that has a client only so far.
    pub fn new(client: TcpStream, session: Session, common: Rc<Common>) -> Self {
        Self {
            client,
            upstream: Upstream::None,
            inspector: Inspector::new(),
            tap: session.is_watched().then(Box::default),
            session,
            client_in: Vec::new(),
            upstream_in: Vec::new(),
            to_client: Outbox::default(),
            to_upstream: Outbox::default(),
            flags: Flags::default(),
            armed: Armed::default(),
            turn: Turn::default(),
            clock: Clock::new(&common.timeouts),
            common,
        }
    }

    /// Relays until the connection ends.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let common = Rc::clone(&self.common);
        let mut scratch = common.scratch.borrow_mut();
        self.turn = Turn::begin();
        loop {
            (self.armed.client_write, self.armed.upstream_write) = (false, false);
            loop {
                let moved = self
                    .leave()
                    .and_then(|()| self.pump_client(cx, &mut scratch))
                    .and_then(|()| self.pump_upstream(cx, &mut scratch));
                if let Err(end) = moved {
                    return Poll::Ready(self.end(end));
                }
                if self.pass_ends_on() {
                    return Poll::Ready(End::Finished);
                }
                if self.is_settled() {
                    break;
                }
            }
            let looked = self.session.take_looked();
            // Nobody shall miss a watched connection for its silence.
            if std::mem::take(&mut self.flags.moved) || self.session.is_watched() {
                self.clock.touch(looked);
            }
            match self.clock.poll(&common.timeouts, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Due::End) => return Poll::Ready(self.end(End::TimedOut)),
                Poll::Ready(Due::Release) => {
                    self.inspector.release();
                    self.stop_waiting();
                }
                Poll::Ready(Due::Look) if self.client_is_lost() => return Poll::Ready(self.end(End::ClientReset)),
                Poll::Ready(Due::Look) => {}
            }
        }
    }

    /// A proxy that ends wants no new requests, nor does a connection whose rules edit headers by now.
    fn leave(&mut self) -> Result<(), End> {
        self.follow_policy()?;
        if self.flags.opaque || self.tap.is_some() {
            return Ok(());
        }
        if self.flags.leaving {
            self.inspector.stop();
        } else if self.common.drain.is_on() {
            self.inspector.leave();
        } else {
            return Ok(());
        }
        self.send_replies()
    }

    /// Whether everything that could let this pair go on will wake it.
    fn is_settled(&self) -> bool {
        let Self { flags, armed, .. } = self;
        let (connecting, open) =
            (matches!(self.upstream, Upstream::Connecting(_)), matches!(self.upstream, Upstream::Open(_)));
        let upstream_busy = connecting || (open && !self.to_upstream.is_empty());
        (armed.client_write || self.to_client.is_empty())
            && (armed.upstream_write || !upstream_busy)
            && (armed.client_read || self.turn.rests || !self.reads_client())
            && (armed.upstream_read || self.turn.rests || !self.reads_upstream())
            && (!flags.retry || upstream_busy)
            && (!flags.retry_upstream || !self.to_client.is_empty())
    }

    /// A client that is not read from may have reset the connection meanwhile; nothing else would tell.
    fn client_is_lost(&self) -> bool {
        !self.reads_client() && matches!(self.client.take_error(), Ok(Some(_)) | Err(_))
    }

    /// The server's side went on, or a reply went out: what the client's side waited for may have come.
    fn stop_waiting(&mut self) {
        self.flags.retry |= std::mem::take(&mut self.flags.waiting);
    }

    fn send_client(&mut self, data: &[u8]) -> Result<(), End> {
        self.to_client.send(Some(&self.client), data).map_err(|_| End::ClientReset)
    }

    /// Sends the local replies whose turn has come.
    fn send_replies(&mut self) -> Result<(), End> {
        while let Some(reply) = self.inspector.take_reply() {
            self.send_client(&reply.bytes)?;
            self.stop_waiting();
            self.flags.closing |= reply.close;
        }
        Ok(())
    }

    /// Passes the end of either stream on once all before it is; true when the connection is over.
    fn pass_ends_on(&mut self) -> bool {
        self.flags.closing |= self.flags.leaving && self.is_idle();
        if self.flags.closing {
            return self.close_in_order();
        }
        let flags = &mut self.flags;
        let client_has_all = self.to_client.is_empty();
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
        (flags.client_finished && flags.upstream_finished) || (self.common.drain.is_on() && self.is_idle())
    }

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool {
        let tapped = self.tap.as_ref().is_none_or(|tap| tap.has_seen_all());
        tapped
            && self.inspector.is_idle()
            && self.to_client.is_empty()
            && self.to_upstream.is_empty()
            && !self.flags.opaque
    }

    /// After the last byte for the client: its end, then whatever it still sends is read and dropped until it ends too,
    /// and what the server was promised of a request is written.
    fn close_in_order(&mut self) -> bool {
        if !self.to_client.is_empty() {
            return false;
        }
        if !self.flags.client_finished {
            self.flags.client_finished = true;
            socket::finish(&self.client);
            self.clock.linger();
        }
        if self.to_upstream.is_empty() {
            // What the server still has to say, nobody will hear.
            self.upstream = Upstream::None;
        }
        self.flags.client_eof && matches!(self.upstream, Upstream::None)
    }

    /// Makes the other side see what happened to this one.
    fn end(&mut self, end: End) -> End {
        if matches!(end, End::ClientReset | End::Aborted | End::Cut)
            && let Upstream::Open(stream) | Upstream::Connecting(stream) = &self.upstream
        {
            socket::reset_on_close(stream);
        }
        if matches!(end, End::UpstreamReset | End::Aborted | End::Cut) {
            socket::reset_on_close(&self.client);
        }
        end
    }

    fn refused_by_upstream(&self, error: &io::Error) -> End {
        tracing::debug!(ends = ?self.session.ends(), %error, "the server did not accept");
        self.session.recorder().metrics().upstream_failure();
        End::UpstreamReset
    }
}
