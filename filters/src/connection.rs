//! One connection of HTTP, whatever its version: the first bytes tell, without delay.
//!
//! ```text
//!                 ┌── any other byte ──▶ HTTP/1 ── Upgrade: h2c, answered 101 ──┐
//!   first bytes ──┤                                                             ▼
//!                 └── PRI * HTTP/2.0 ─────────────────────────────────────▶ HTTP/2
//! ```
//!
//! The steps are those of [`http::inspect`] and [`http2::inspect`], and so is the contract: `input` is all of a direction
//! that was not consumed yet, and after every step [`Inspector::take_reply`] is called until it returns `None`.

use std::fmt;

use crate::{
    http::{self, Eof},
    http2,
};

/// What the client's bytes ask the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// Write the first `n` bytes of the input to the upstream; `n` is not 0.
    Forward(usize),
    /// Write [`Inspector::take_replacement`] to the upstream, and drop the first `n` bytes of the input; `n` is not 0.
    Replace(usize),
    /// Drop the first `n` bytes of the input; `n` is not 0.
    Discard(usize),
    /// Read more from the client.
    NeedMore,
    /// Do not read from the client, nor call again, until the server's side has made a step, or a reply was taken, or
    /// [`Inspector::release`] was called.
    Wait,
    /// No client byte will be consumed any more. The connection ends by a reply with `close`, or by the upstream's end.
    Stop,
    /// From here on pass all bytes of both directions, those of the input included, unseen.
    Opaque,
    /// Close both sides at once.
    Abort(Abort),
}

/// What the server's bytes ask the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStep {
    /// Write the first `n` bytes of the input to the client; `n` is not 0.
    Forward(usize),
    /// Write [`Inspector::take_replacement`] to the client, and drop the first `n` bytes of the input.
    Replace(usize),
    /// Read more from the server.
    NeedMore,
    /// A local reply goes first: call [`Inspector::take_reply`], then again.
    Wait,
    /// Do not read from the server, nor call again, until the client's side has made a step.
    Hold,
    /// As [`ClientStep::Opaque`].
    Opaque,
    /// Close both sides at once.
    Abort(Abort),
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Abort {
    /// A request of HTTP/1 broke off in its body.
    #[error("request: {0}")]
    Request(http::Refusal),
    /// The server's HTTP/1.
    #[error(transparent)]
    Http1(#[from] http::Abort),
    /// The server's HTTP/2.
    #[error(transparent)]
    Http2(#[from] http2::Abort),
}

/// Who decides, and who keeps the record.
pub trait Judge: http::Judge + http2::Judge {
    /// The request of HTTP/1 that was judged last is stream 1 of HTTP/2 from now on.
    fn upgraded(&mut self);
}

/// The state of one connection.
pub struct Inspector {
    version: Version,
    /// A part of the preface is there, or of a method that begins as it does.
    in_preface: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "most connections are of HTTP/1; a box would be one more allocation for each"
)]
enum Version {
    /// `fresh` until the first request has begun.
    Http1 {
        inspector: http::Inspector,
        fresh: bool,
    },
    Http2(Box<http2::Inspector>),
}

impl Inspector {
    /// A new connection.
    pub fn new() -> Self {
        Self {
            version: Version::Http1 { inspector: http::Inspector::new(http::Limits::default()), fresh: true },
            in_preface: false,
        }
    }

    /// What to do with the client's bytes. `input` is all that was not consumed yet.
    pub fn client(&mut self, input: &[u8], judge: &mut impl Judge) -> ClientStep {
        if let Version::Http1 { fresh: fresh @ true, .. } = &mut self.version {
            let preface = &http2::PREFACE[..];
            self.in_preface = false;
            if input.starts_with(preface) {
                self.version = Version::Http2(Box::new(http2::Inspector::new(http2::Limits::default())));
            } else if preface.starts_with(input) {
                self.in_preface = !input.is_empty();
                return ClientStep::NeedMore;
            } else {
                *fresh = false;
            }
        }
        let step = match &mut self.version {
            Version::Http1 { inspector, .. } => inspector.client(input, judge),
            Version::Http2(inspector) => return inspector.client(input, judge).into(),
        };
        if step != http::ClientStep::Http2 {
            return step.into();
        }
        self.upgrade(judge);
        self.client(input, judge)
    }

    /// What to do with the server's bytes. `input` is all that was not consumed yet.
    pub fn server(&mut self, input: &[u8], judge: &mut impl Judge) -> ServerStep {
        let step = match &mut self.version {
            Version::Http1 { inspector, .. } => inspector.server(input, judge),
            Version::Http2(inspector) => return inspector.server(input, judge).into(),
        };
        if step != http::ServerStep::Http2 {
            return step.into();
        }
        self.upgrade(judge);
        self.server(input, judge)
    }

    fn upgrade(&mut self, judge: &mut impl Judge) {
        if let Version::Http1 { inspector, .. } = &self.version {
            let settings = inspector.http2_settings();
            let inspector = http2::Inspector::upgraded(http2::Limits::default(), settings);
            self.version = Version::Http2(Box::new(inspector));
            judge.upgraded();
        }
    }

    /// The bytes of the last `Replace`; empty if they were taken.
    pub fn take_replacement(&mut self) -> Vec<u8> {
        match &mut self.version {
            Version::Http1 { .. } => Vec::new(),
            Version::Http2(inspector) => inspector.take_replacement(),
        }
    }

    /// The reply whose turn it is. After one with `close` nothing follows.
    pub fn take_reply(&mut self) -> Option<http2::Reply> {
        match &mut self.version {
            Version::Http1 { inspector, .. } => {
                inspector.take_reply().map(|reply| http2::Reply { bytes: reply.to_bytes(), close: reply.close })
            }
            Version::Http2(inspector) => inspector.take_reply(),
        }
    }

    /// As [`http::Inspector::client_eof`].
    pub fn client_eof(&mut self) -> Eof {
        match &mut self.version {
            Version::Http1 { inspector, .. } => inspector.client_eof(),
            Version::Http2(inspector) if inspector.is_waiting() => Eof::Wait,
            Version::Http2(_) => Eof::Shutdown,
        }
    }

    /// As [`http::Inspector::server_eof`]; the connection ends in any case.
    pub fn server_eof(&mut self) -> Result<Eof, Abort> {
        match &mut self.version {
            Version::Http1 { inspector, .. } => match inspector.server_eof() {
                Eof::Abort(abort) => Err(abort.into()),
                eof => Ok(eof),
            },
            Version::Http2(inspector) => inspector.server_eof().map(|()| Eof::Close).map_err(Abort::from),
        }
    }

    /// So many of the client's next bytes can be passed unseen, if [`Self::client_ran`] is told. Long bodies of HTTP/1, and
    /// what is not HTTP any more; DATA frames are too short to be worth it.
    pub fn client_run(&self) -> u64 {
        match &self.version {
            Version::Http1 { inspector, .. } => inspector.client_run(),
            Version::Http2(_) => 0,
        }
    }

    /// As [`http::Inspector::client_ran`].
    pub fn client_ran(&mut self, bytes: u64) {
        if let Version::Http1 { inspector, .. } = &mut self.version {
            inspector.client_ran(bytes);
        }
    }

    /// As [`Self::client_run`], for the server's bytes.
    pub fn server_run(&self) -> u64 {
        match &self.version {
            Version::Http1 { inspector, .. } => inspector.server_run(),
            Version::Http2(_) => 0,
        }
    }

    /// As [`http::Inspector::server_ran`].
    pub fn server_ran(&mut self, bytes: u64) {
        if let Version::Http1 { inspector, .. } = &mut self.version {
            inspector.server_ran(bytes);
        }
    }

    /// Tells a client of HTTP/2 to open no more streams on this connection.
    pub fn leave(&mut self) {
        if let Version::Http2(inspector) = &mut self.version {
            inspector.leave();
        }
    }

    /// Lets the client's next request come on another connection: as [`http::Inspector::stop`], or as [`Self::leave`].
    pub fn stop(&mut self) {
        match &mut self.version {
            Version::Http1 { inspector, .. } => inspector.stop(),
            Version::Http2(inspector) => inspector.leave(),
        }
    }

    /// Whether a stream, 0 with HTTP/1, is there.
    pub fn has_stream(&self, stream: u32) -> bool {
        match &self.version {
            Version::Http1 { .. } => stream == 0,
            Version::Http2(inspector) => inspector.has_stream(stream),
        }
    }

    /// Whether nothing is outstanding.
    pub fn is_idle(&self) -> bool {
        match &self.version {
            Version::Http1 { inspector, .. } => inspector.is_idle() && !self.in_preface,
            Version::Http2(inspector) => inspector.is_idle(),
        }
    }

    /// Whether a part of a request's head is there. For head timeouts.
    pub fn in_head(&self) -> bool {
        match &self.version {
            Version::Http1 { inspector, .. } => inspector.in_head() || self.in_preface,
            Version::Http2(inspector) => inspector.in_head(),
        }
    }

    /// As [`http::Inspector::awaits_continue`].
    pub fn awaits_continue(&self) -> bool {
        matches!(&self.version, Version::Http1 { inspector, .. } if inspector.awaits_continue())
    }

    /// As [`http::Inspector::release`].
    pub fn release(&mut self) {
        if let Version::Http1 { inspector, .. } = &mut self.version {
            inspector.release();
        }
    }
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.version {
            Version::Http1 { .. } => "HTTP/1",
            Version::Http2(_) => "HTTP/2",
        })
    }
}

impl From<http::ClientStep> for ClientStep {
    fn from(step: http::ClientStep) -> Self {
        match step {
            http::ClientStep::Forward(n) => Self::Forward(n),
            http::ClientStep::Discard(n) => Self::Discard(n),
            http::ClientStep::NeedMore => Self::NeedMore,
            http::ClientStep::Wait => Self::Wait,
            http::ClientStep::Stop => Self::Stop,
            http::ClientStep::Opaque => Self::Opaque,
            // Dealt with before.
            http::ClientStep::Http2 => Self::Abort(http::Abort::HttpUpgrade.into()),
            http::ClientStep::Abort(refusal) => Self::Abort(Abort::Request(refusal)),
        }
    }
}

impl From<http2::ClientStep> for ClientStep {
    fn from(step: http2::ClientStep) -> Self {
        match step {
            http2::ClientStep::Forward(n) => Self::Forward(n),
            http2::ClientStep::Replace(n) => Self::Replace(n),
            http2::ClientStep::Discard(n) => Self::Discard(n),
            http2::ClientStep::NeedMore => Self::NeedMore,
            http2::ClientStep::Wait => Self::Wait,
            http2::ClientStep::Stop => Self::Stop,
        }
    }
}

impl From<http::ServerStep> for ServerStep {
    fn from(step: http::ServerStep) -> Self {
        match step {
            http::ServerStep::Forward(n) => Self::Forward(n),
            http::ServerStep::NeedMore => Self::NeedMore,
            http::ServerStep::Wait => Self::Wait,
            http::ServerStep::Opaque => Self::Opaque,
            // Dealt with before.
            http::ServerStep::Http2 => Self::Abort(http::Abort::HttpUpgrade.into()),
            http::ServerStep::Abort(abort) => Self::Abort(abort.into()),
        }
    }
}

impl From<http2::ServerStep> for ServerStep {
    fn from(step: http2::ServerStep) -> Self {
        match step {
            http2::ServerStep::Forward(n) => Self::Forward(n),
            http2::ServerStep::Replace(n) => Self::Replace(n),
            http2::ServerStep::NeedMore => Self::NeedMore,
            http2::ServerStep::Wait => Self::Hold,
            http2::ServerStep::Abort(abort) => Self::Abort(abort.into()),
        }
    }
}
