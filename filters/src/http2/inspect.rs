//! Both directions of one HTTP/2 connection: bytes in, steps out.
//!
//! ```text
//!   client()                                                server()
//!   ────────                                                ────────
//!   Preface ─▶ Settings ─▶ Boundary ◀────┐                  Settings ─▶ Boundary ◀──────────┐
//!                  │ DATA, unknown types  │                    │ DATA, unknown types          │
//!                  ├───▶ Payload ─────────┤                    ├───▶ Payload ─────────────────┤
//!                  │  passed or dropped   │                    │        (window too small)    │
//!                  │                      │                    ├───▶ Payload ──▶ Rest ──▶ … ──┤
//!                  │ HEADERS … complete   │                    │ HEADERS … complete           │
//!                  ├───▶ judged ──────────┤                    ├───▶ status seen ─────────────┤
//!                  │ all other frames     │                    │ all other frames             │
//!                  └──────────────────────┘                    └──────────────────────────────┘
//!                  │ connection error                          │ server error
//!                  ▼                                           ▼
//!               Stopped ──▶ GOAWAY in replies               Aborted
//! ```
//!
//! **Contract.** `input` is always everything of that direction that was not consumed yet; bytes leave it only by
//! `Forward(n)`, `Replace(n)` and `Discard(n)`, and all `n` must leave it before the next call. After *every* step of
//! either direction the caller calls [`Inspector::take_reply`]; what it returns goes to the client before any further byte
//! of the server's. Weir's own frames come between two frames of the server's, never within one, nor within a header block,
//! nor before the server's SETTINGS, which are to be its first (RFC 9113 section 3.4).
//! How the bytes are cut into inputs makes no difference to what is judged, and none to the frames that each side gets, but
//! for WINDOW_UPDATE, since bytes are given back per input, and for where DATA is cut that the client's window is too small
//! for.

use std::{borrow::Cow, collections::VecDeque, time::Instant};

use super::{
    Code, Limits, Refusal,
    budget::Budget,
    deny::Answer,
    frame::{self, Frame, setting},
    streams::{Stream, Streams},
};
use crate::{
    hpack,
    http::{Decision, Reason, RequestHead, path::Scratch},
};

mod client;
mod server;

/// Bytes for the client that may wait for the end of a server's frame.
const REPLIES: usize = 64 << 10;

/// Bytes for the upstream that are written anew in one step, or little more. A block of the client's may come to much more
/// without the table that it was written with.
const REWRITTEN: usize = 64 << 10;

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
    /// Do not read from the client, nor call again, until the server's direction has made a step or a reply was taken: the
    /// upstream is not known to speak HTTP/2 yet, or too much waits for the end of the server's frame.
    Wait,
    /// No client byte will be consumed any more; the connection ends by a reply with `close`.
    Stop,
}

/// What the server's bytes ask the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStep {
    /// Write the first `n` bytes of the input to the client; `n` is not 0.
    Forward(usize),
    /// Write [`Inspector::take_replacement`] to the client, and drop the first `n` bytes of the input, which may be none.
    Replace(usize),
    /// Read more from the server.
    NeedMore,
    /// Do not read from the server, nor call again, until the client's direction has made a step: the client's window is
    /// used up.
    Wait,
    /// Close both sides at once.
    Abort(Abort),
}

/// Why a connection cannot go on, by the server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Abort {
    /// PUSH_PROMISE: nobody asked, and nobody has judged.
    #[error("server push")]
    Push,
    /// A frame whose length or order makes the rest unreadable.
    #[error("malformed frame")]
    Frame,
    /// A header block that cannot be decoded.
    #[error(transparent)]
    Compression(hpack::Error),
    /// A header block over [`Limits::block_bytes`] or [`Limits::block_frames`].
    #[error("header block too large")]
    BlockTooLarge,
    /// The server's end came within a frame.
    #[error("truncated frame")]
    Truncated,
}

/// Who decides, and who keeps the record.
pub trait Judge {
    /// Decides about a request; it is called once for each well-formed one. `is_grpc` is what its `content-type` says.
    fn judge_stream(&mut self, stream: u32, head: &RequestHead<'_>, is_grpc: bool) -> Decision;

    /// As [`crate::http::Judge::reason`].
    fn stream_reason(&self) -> Option<Reason> {
        None
    }

    /// An allowed request was answered: with this status, and for gRPC, whose answer is over then, with this gRPC status.
    fn stream_answered(&mut self, stream: u32, status: u16, grpc_status: Option<u16>);

    /// The head of a gRPC call's response has come; [`Self::stream_answered`] follows when the call is over.
    fn stream_answering(&mut self, stream: u32);

    /// An allowed request will not be answered: one side has reset it.
    fn stream_reset(&mut self, stream: u32);

    /// A request (`head` is there if one could be read), a stream or the connection was refused.
    fn stream_refused(&mut self, refusal: Refusal, head: Option<&RequestHead<'_>>);

    /// The time, for rates.
    fn now(&mut self) -> Instant;
}

/// Bytes of a dynamic table before SETTINGS say otherwise (RFC 9113 section 6.5.2).
const INITIAL_TABLE: usize = 4_096;

/// Where a direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the client's preface.
    Preface,
    /// Before the first frame, which is to be SETTINGS.
    Settings,
    /// Between two frames.
    Boundary,
    /// Within a frame's payload, of which so many bytes are left.
    Payload { left: usize, pass: bool },
    /// Within a DATA frame of the server's, cut in two: the rest has this header, which it has not got yet.
    Rest(Frame),
    /// Nothing is read any more.
    Stopped,
}

/// Bytes for the client that are not the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What to write.
    pub bytes: Cow<'static, [u8]>,
    /// Whether to close the connection, both sides of it, once the bytes are written.
    pub close: bool,
}

/// The state of one connection. See the module's text for the contract.
pub struct Inspector {
    limits: Limits,
    client: Place,
    server: Place,
    requests: hpack::Decoder,
    responses: hpack::Decoder,
    streams: Streams,
    scratch: Scratch,
    /// Frames for the client, waiting for the end of the server's frame.
    replies: Vec<u8>,
    /// The connection ends with the replies.
    closing: bool,
    /// GOAWAY was sent: no new request.
    leaving: bool,
    /// The last stream that a GOAWAY has named; the next must name none above it (RFC 9113 section 6.8).
    promised: u32,
    /// What goes in place of the input's bytes.
    out: Vec<u8>,
    /// A frame of the client's has begun, and cannot be dealt with yet.
    partial: bool,
    /// The upstream has not seen all blocks of the client.
    rewrites: bool,
    /// The next block that is written anew begins with a size update.
    announce: bool,
    /// The client's bytes that were dropped, and are to be given back.
    credit: u32,
    windows: Windows,
    /// What is left of a DATA frame of the server's that is being cut in two.
    rest: Option<Frame>,
    /// SETTINGS that the other side has not acknowledged.
    of_client: Unacknowledged,
    of_server: Unacknowledged,
    /// Largest payload of a client's frame.
    max_frame: usize,
    budgets: Budgets,
}

/// The client's windows for what the server sends.
#[derive(Clone, Copy, Debug)]
struct Windows {
    /// What the connection's window has room for, as the client sees it.
    connection: i64,
    /// Bytes that weir has sent, and the upstream does not know of.
    borrowed: u32,
    /// What a new stream's window has room for.
    stream: u32,
}

impl Windows {
    const INITIAL: u32 = 65_535;
}

/// Header table sizes of SETTINGS frames that wait for their acknowledgement: the smallest and the last of each frame.
#[derive(Debug, Default)]
struct Unacknowledged(VecDeque<Option<(u32, u32)>>);

impl Unacknowledged {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nobody lets so many wait.
    const LIMIT: usize = 64;

    fn push(&mut self, payload: &[u8]) -> bool {
        let sizes = frame::settings(payload).filter(|(id, _)| *id == setting::HEADER_TABLE_SIZE);
        let sizes = sizes.fold(None, |sizes: Option<(u32, u32)>, (_, size)| {
            Some((sizes.map_or(size, |(smallest, _)| smallest.min(size)), size))
        });
        self.0.push_back(sizes);
        self.0.len() <= Self::LIMIT
    }

    /// Puts the oldest frame in force; true if it changes the size.
    fn acknowledge(&mut self, decoder: &mut hpack::Decoder, limits: &Limits) -> bool {
        let Some(Some((smallest, last))) = self.0.pop_front() else { return false };
        for size in [smallest, last] {
            decoder.set_limit(size.min(limits.table_bytes) as usize);
        }
        true
    }
}

#[derive(Debug)]
struct Budgets {
    settings: Budget,
    pings: Budget,
    resets: Budget,
    updates: Budget,
    idle_frames: Budget,
}

impl Inspector {
    /// A connection that an HTTP/1.1 client has upgraded with a request (RFC 7540 section 3.2), which is stream 1 and
    /// was judged. `settings` is the payload of its `HTTP2-Settings`. The client's preface comes next.
    pub fn upgraded(limits: Limits, settings: &[u8]) -> Self {
        let mut inspector = Self::new(limits);
        inspector.note_settings(settings);
        // The 101 acknowledges them.
        inspector.of_client.push(settings);
        inspector.of_client.acknowledge(&mut inspector.responses, &limits);
        inspector.streams.open(1);
        inspector.streams.insert(1, Stream { passed: true, client_ended: true, ..Stream::default() });
        inspector
    }

    /// A connection whose client begins with the preface.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            client: Place::Preface,
            server: Place::Settings,
            requests: hpack::Decoder::new(INITIAL_TABLE),
            responses: hpack::Decoder::new(INITIAL_TABLE),
            streams: Streams::default(),
            scratch: Scratch::default(),
            replies: Vec::new(),
            closing: false,
            leaving: false,
            promised: frame::STREAM,
            out: Vec::new(),
            partial: false,
            rewrites: false,
            announce: false,
            credit: 0,
            rest: None,
            windows: Windows { connection: Windows::INITIAL.into(), borrowed: 0, stream: Windows::INITIAL },
            of_client: Unacknowledged::default(),
            of_server: Unacknowledged::default(),
            max_frame: frame::SMALLEST_MAX,
            budgets: Budgets {
                settings: Budget::new(limits.settings),
                pings: Budget::new(limits.pings),
                resets: Budget::new(limits.resets),
                updates: Budget::new(limits.updates),
                idle_frames: Budget::new(limits.idle_frames),
            },
        }
    }

    /// The bytes of the last `Replace`.
    pub fn take_replacement(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The frames whose turn it is. After a reply with `close` nothing follows.
    pub fn take_reply(&mut self) -> Option<Reply> {
        if !self.has_reply() {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.replies);
        if self.server == Place::Settings {
            let mut settings = Vec::new();
            Frame { length: 0, kind: frame::kind::SETTINGS, flags: 0, stream: 0 }.write(&mut settings);
            bytes.splice(..0, settings);
        }
        // Once is enough.
        Some(Reply { bytes: bytes.into(), close: std::mem::take(&mut self.closing) })
    }

    /// Whether it is the turn of weir's own frames.
    fn has_reply(&self) -> bool {
        match self.server {
            Place::Boundary | Place::Rest(_) => self.closing || !self.replies.is_empty(),
            // A server that has not spoken yet may have nothing to answer.
            Place::Settings => self.closing,
            _ => false,
        }
    }

    /// Tells the client to open no more streams; those that are open go on.
    pub fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) && self.client != Place::Stopped {
            self.go_away(Code::None);
        }
    }

    fn go_away(&mut self, code: Code) {
        self.promised = self.promised.min(self.streams.last);
        frame::go_away(&mut self.replies, self.promised, code);
    }

    /// The server has closed its direction: is it where it may?
    pub fn server_eof(&self) -> Result<(), Abort> {
        if matches!(self.server, Place::Settings | Place::Boundary) { Ok(()) } else { Err(Abort::Truncated) }
    }

    /// Whether the client's bytes wait; see [`ClientStep::Wait`].
    pub fn is_waiting(&self) -> bool {
        self.replies.len() > REPLIES || self.is_unproven()
    }

    /// Whether the upstream has not shown yet that it speaks HTTP/2. Until then it gets no byte that a client could choose:
    /// a server of HTTP/1 might take frames for requests.
    fn is_unproven(&self) -> bool {
        self.client == Place::Settings && self.server == Place::Settings
    }

    /// Whether a part of a frame of the client's is there that waits for the rest. For head timeouts.
    pub fn in_head(&self) -> bool {
        self.partial || self.is_unproven()
    }

    /// Whether no request is in progress, and no answer is owed.
    pub fn is_idle(&self) -> bool {
        self.streams.len() == 0 && matches!(self.server, Place::Settings | Place::Boundary) && self.replies.is_empty()
    }

    /// Whether a side of the stream may still send.
    pub fn has_stream(&self, stream: u32) -> bool {
        self.streams.contains(stream)
    }

    /// Requests that are not answered completely.
    pub fn outstanding(&self) -> usize {
        self.streams.len()
    }

    fn note_settings(&mut self, payload: &[u8]) {
        for (id, value) in frame::settings(payload) {
            if id == setting::INITIAL_WINDOW_SIZE {
                self.windows.stream = value;
            }
        }
    }

    /// Answers a stream in the upstream's place.
    fn answer(&mut self, stream: u32, answer: Answer, stop: bool, reason: Option<Reason>) {
        let update = self.responses.owed();
        let start = self.replies.len();
        answer.write(&mut self.replies, stream, update, stop, reason);
        if let (Some(size), false) = (update, matches!(answer, Answer::Reset(_))) {
            // The client's decoder sees it, so this one has to.
            let mut block = Vec::new();
            hpack::encode::size_update(&mut block, size);
            let _ = self.responses.decode(&block, |_| {});
        }
        debug_assert!(self.replies.len() > start);
        let data = u32::try_from(answer.data()).unwrap_or(u32::MAX);
        self.windows.connection -= i64::from(data);
        self.windows.borrowed += data;
    }

    /// Whether the client's windows have room for the body of a 403.
    fn has_room(&self) -> bool {
        let body = super::deny::BODY.len();
        self.windows.connection >= body as i64 && self.windows.stream as usize >= body
    }

    /// What must hold between steps.
    fn check_invariants(&self) {
        debug_assert!(self.streams.len() <= self.limits.streams + 1, "streams over their limit");
    }
}
