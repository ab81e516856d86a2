//! Both directions of one HTTP/1 connection: bytes in, steps out.
//!
//! ```text
//!   client()                                          server()
//!   ────────                                          ────────
//!            ┌──────────────────────┐                        ┌────────────────────────┐
//!            ▼                      │                        ▼                        │
//!   ┌───── Head ── Deny ──▶ Message, swallowed      ┌────── Head ── 1xx ──▶ Message ──┤
//!   │        │                      ▲               │        │                        │
//!   │        └─── Allow ──▶ Message, passed         │        └── final ──▶ Message ───┘
//!   │ refused                                       │ malformed, unsolicited
//!   ▼                                               ▼
//! Stopped                                         Aborted           101 or CONNECT 2xx ──▶ both Opaque
//!
//!   queue:  ┌──────────┬───────┬──────────┬───────┐
//!   oldest  │ Upstream │ Local │ Upstream │ Local │  newest       one slot per request, in order
//!           └──────────┴───────┴──────────┴───────┘
//!             responses   take_reply()
//! ```
//!
//! **Contract.** `input` is always everything of that direction that was not consumed yet; bytes leave it only by
//! `Forward(n)` and `Discard(n)`, and all `n` must leave it before the next call. After *every* step of either direction
//! the caller calls [`Inspector::take_reply`] until it returns `None`. How the bytes are cut into inputs makes no
//! difference to what is forwarded, discarded, judged and answered; with one exception: a server's bytes that let a
//! waiting client go on may count as sent before or after what it then sends, as they came in one input or in two.
//!
//! **Where the reading of the upstream is in doubt, the client waits**, unread: behind a request that asks for an upgrade
//! or a tunnel, until it is answered; with the body of a request with `Expect`, until the upstream has spoken, since
//! servers that answer without reading the body disagree about what the next bytes are. If such an answer is final, the
//! body is never passed on, and the connection ends with the answer. Some old servers neither answer nor send `100`: after
//! about a second (curl's time) the caller calls [`Inspector::release`].

use std::collections::VecDeque;

use super::{
    Limits, Refusal, RequestHead, ResponseHead,
    deny::{Reason, Reply},
    framing::Body,
    head::{Scanner, Upgrade},
    path::Scratch,
};

mod client;
pub mod gate;
mod server;

/// What the client's bytes ask the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// Write the first `n` bytes of the input to the upstream; `n` is not 0.
    Forward(usize),
    /// Drop the first `n` bytes of the input; `n` is not 0.
    Discard(usize),
    /// Read more from the client.
    NeedMore,
    /// Do not read from the client, nor call again, until the server's side has made a step, or a reply was taken, or
    /// [`Inspector::release`] was called.
    Wait,
    /// No client byte will be consumed any more; no need to read. The connection ends by a reply with `close`, or by the
    /// upstream's end.
    Stop,
    /// From here on pass all bytes of both directions, those of the input included, unseen.
    Opaque,
    /// From here on the connection speaks HTTP/2, the input included: see [`Inspector::http2_settings`].
    Http2,
    /// Close both sides at once: a request broke off in its body, and its answer has begun.
    Abort(Refusal),
}

/// What the server's bytes ask the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStep {
    /// Write the first `n` bytes of the input to the client; `n` is not 0.
    Forward(usize),
    /// Read more from the server.
    NeedMore,
    /// A local reply goes first: call [`Inspector::take_reply`], then again.
    Wait,
    /// As [`ClientStep::Opaque`].
    Opaque,
    /// As [`ClientStep::Http2`].
    Http2,
    /// Close both sides at once; the client may have half a response.
    Abort(Abort),
}

/// Why a connection cannot go on, by the server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Abort {
    /// A response without a request.
    #[error("response without a request")]
    Unsolicited,
    /// `101`, and the request has no `Upgrade` or is not complete; or a tunnel is opened before its request is complete.
    #[error("upgrade that was not asked for")]
    UnaskedUpgrade,
    /// `101` to an `Upgrade` that leads to HTTP inside TLS, or to HTTP/2 in a way that is none, whose requests the rules
    /// would not see.
    #[error("upgrade to another form of HTTP")]
    HttpUpgrade,
    /// The response is malformed.
    #[error("response: {0}")]
    Malformed(Refusal),
    /// The server's end came within a response.
    #[error("truncated response")]
    Truncated,
}

/// What the end of one direction asks the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eof {
    /// The end must wait: there are bytes before it that [`ClientStep::Wait`] holds back. Ask again after the next step.
    Wait,
    /// Write what is left to write, then shut down writing to the other side; its bytes still come.
    Shutdown,
    /// Write what is left to write, then close both sides.
    Close,
    /// Close both sides in a way that the client sees as an error.
    Abort(Abort),
}

/// A judge's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Forward the request.
    Allow,
    /// Answer 403.
    Deny,
}

/// Who decides, and who keeps the record.
pub trait Judge {
    /// Decides about a request. Called exactly once for each, in order, when its head is complete and well-formed.
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision;

    /// Why the request that was judged last is denied, if the client is to be told.
    fn reason(&self) -> Option<Reason> {
        None
    }

    /// The request that was judged last, and allowed, asks for something that is not HTTP. If that is granted, what follows
    /// on the connection is this request's.
    fn leaves(&mut self, _: &RequestHead<'_>) {}

    /// The head of the final response to the oldest allowed request that has none yet.
    fn responded(&mut self, head: &ResponseHead<'_>);

    /// A request was refused; it is the connection's last. `head` is there if its syntax was right; its host and path may
    /// then be preliminary. An allowed request whose body turns out to be malformed is refused after it was judged.
    fn refused(&mut self, refusal: Refusal, head: Option<&RequestHead<'_>>);
}

/// The state of one connection. See the module's text for the contract.
#[derive(Debug)]
pub struct Inspector {
    limits: Limits,
    client: Client,
    server: Server,
    queue: VecDeque<Slot>,
    scratch: Scratch,
    /// Both directions have left HTTP/1.
    opaque: bool,
    /// For HTTP/2.
    http2: bool,
    /// The payload of the last `HTTP2-Settings`.
    http2_settings: Vec<u8>,
    /// The server has said that it closes, or the last reply was taken: no answer can follow.
    ended: bool,
    /// The answer to the last request came instead of its body being read; the connection ends with it.
    cut: bool,
}

/// The client's direction.
#[derive(Debug)]
enum Client {
    /// Between requests, or within a head.
    Head(Scanner),
    /// A judged request is being passed or swallowed.
    Message(Message),
    /// Nothing is read any more.
    Stopped,
    /// As [`ClientStep::Abort`].
    Aborted(Refusal),
}

/// What is left of a judged request.
#[derive(Debug)]
struct Message {
    /// Head bytes, which are all in the input.
    head: usize,
    body: Body,
    /// Forward or discard.
    pass: bool,
    /// Whether it has an `Expect` that concerns its body.
    expects: bool,
    /// Whether the body waits for the upstream's word.
    held: bool,
    /// Whether the connection ends with it.
    last: bool,
}

/// The server's direction.
#[derive(Debug)]
enum Server {
    /// Between responses, or within a head.
    Head(Scanner),
    /// A response is being passed.
    Message { head: usize, body: Body, then: Then },
    /// Nothing is read any more.
    Aborted(Abort),
}

/// What follows a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Another response to the same request.
    Another,
    /// The next request's response.
    Next,
    /// The end of the connection.
    End,
    /// Bytes that are not HTTP/1.
    Tunnel,
    /// HTTP/2, whose first response is to the same request.
    Http2,
}

/// A request without its complete answer.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Upstream(Asked),
    Local(Reply),
}

/// What the reading of a response depends on.
#[derive(Clone, Copy, Debug)]
struct Asked {
    head: bool,
    connect: bool,
    upgrade: Upgrade,
}

impl Asked {
    /// Whether the answer may end HTTP/1 on this connection.
    fn leaves(self) -> bool {
        self.connect || self.upgrade != Upgrade::None
    }
}

impl Inspector {
    /// A new connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            client: Client::Head(Scanner::default()),
            server: Server::Head(Scanner::default()),
            queue: VecDeque::new(),
            scratch: Scratch::default(),
            opaque: false,
            http2: false,
            http2_settings: Vec::new(),
            ended: false,
            cut: false,
        }
    }

    /// The local reply whose turn it is. After one with `close` nothing follows.
    pub fn take_reply(&mut self) -> Option<Reply> {
        let Some(Slot::Local(reply)) = self.queue.front().copied() else { return None };
        self.queue.pop_front();
        if reply.close {
            self.end();
            self.client = Client::Stopped;
        }
        Some(reply)
    }

    /// The client has closed its direction. Ask when [`Inspector::client`] has seen all bytes before.
    pub fn client_eof(&mut self) -> Eof {
        match self.client {
            _ if self.opaque || self.http2 => Eof::Shutdown,
            Client::Head(_) if self.is_blocked() => Eof::Wait,
            Client::Message(Message { held: true, .. }) => Eof::Wait,
            _ => Eof::Shutdown,
        }
    }

    /// The server has closed its direction. Ask when [`Inspector::server`] has seen all bytes before.
    pub fn server_eof(&mut self) -> Eof {
        match &self.server {
            _ if self.opaque || self.http2 => Eof::Shutdown,
            Server::Aborted(abort) => Eof::Abort(*abort),
            Server::Message { body: Body::UntilClose, .. } => {
                self.end();
                self.server = Server::Head(Scanner::default());
                Eof::Close
            }
            Server::Message { .. } => Eof::Abort(Abort::Truncated),
            Server::Head(scanner) if scanner.has_begun() => Eof::Abort(Abort::Truncated),
            Server::Head(_) => Eof::Close,
        }
    }

    /// So many of the client's next bytes can be passed unseen, if [`Inspector::client_ran`] is told.
    pub fn client_run(&self) -> u64 {
        match &self.client {
            _ if self.opaque => u64::MAX,
            Client::Message(Message { head: 0, pass: true, held: false, body, .. }) => body.run(),
            _ => 0,
        }
    }

    /// So many bytes of the client's were passed unseen, no more than [`Inspector::client_run`].
    pub fn client_ran(&mut self, bytes: u64) {
        if let Client::Message(message) = &mut self.client {
            message.body.ran(bytes);
        }
    }

    /// As [`Inspector::client_run`], for the server's bytes.
    pub fn server_run(&self) -> u64 {
        match &self.server {
            _ if self.opaque => u64::MAX,
            Server::Message { head: 0, body, .. } => body.run(),
            _ => 0,
        }
    }

    /// As [`Inspector::client_ran`], for the server's bytes.
    pub fn server_ran(&mut self, bytes: u64) {
        if let Server::Message { body, .. } = &mut self.server {
            body.ran(bytes);
        }
    }

    /// Reads no other request: the connection is idle when what has come is answered. Not behind a request that may end
    /// HTTP on this connection; ask again.
    pub fn stop(&mut self) {
        match &mut self.client {
            _ if matches!(self.queue.back(), Some(Slot::Upstream(asked)) if asked.leaves()) => {}
            Client::Head(_) => self.client = Client::Stopped,
            Client::Message(message) => message.last = true,
            Client::Stopped | Client::Aborted(_) => {}
        }
    }

    /// Whether nothing is outstanding: no request in progress, no answer owed. For keep-alive timeouts.
    pub fn is_idle(&self) -> bool {
        !self.opaque && self.queue.is_empty() && !self.in_head() && !matches!(self.client, Client::Message(_))
    }

    /// Whether a part of a request's head is there. For head timeouts.
    pub fn in_head(&self) -> bool {
        matches!(&self.client, Client::Head(scanner) if scanner.has_begun())
    }

    /// Whether a body waits for the upstream's word; see [`Inspector::release`].
    pub fn awaits_continue(&self) -> bool {
        matches!(&self.client, Client::Message(message) if message.held && message.head == 0)
    }

    /// Lets the body of a request with `Expect` pass although the upstream is silent.
    pub fn release(&mut self) {
        if let Client::Message(message) = &mut self.client {
            message.held = false;
        }
    }

    /// The payload of the SETTINGS frame that the client's `HTTP2-Settings` stands for.
    pub fn http2_settings(&self) -> &[u8] {
        &self.http2_settings
    }

    /// Requests that are not answered completely.
    pub fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Whether the next request must not be read yet.
    fn is_blocked(&self) -> bool {
        self.queue.len() >= self.limits.pipelined.max(1)
            || matches!(self.queue.back(), Some(Slot::Upstream(asked)) if asked.leaves())
    }

    /// No answer can follow.
    fn end(&mut self) {
        self.ended = true;
        self.queue.clear();
    }

    /// What must hold between steps.
    fn check_invariants(&self) {
        debug_assert!(!self.ended || self.queue.is_empty(), "answers owed after the end");
        // One more than the limit: a body that is refused after its request was answered.
        debug_assert!(self.queue.len() <= self.limits.pipelined.max(1).saturating_add(1), "queue over its limit");
        debug_assert!(
            !matches!(self.server, Server::Message { .. }) || matches!(self.queue.front(), Some(Slot::Upstream(_))),
            "a response without its request"
        );
        debug_assert!(!matches!(&self.client, Client::Message(message) if message.head == 0 && message.body.is_done()));
    }
}
