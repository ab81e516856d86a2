//! HTTP/2 (RFC 9113) and gRPC over it, judged request by request on one connection.
//!
//! One client connection maps to one upstream connection, as with HTTP/1. Frames pass as they came, in both directions:
//! settings, windows, priorities, trailers. So flow control is end to end, and weir holds no stream's data. What is held
//! back is a header block until its last frame is there; it is decoded ([`crate::hpack`]), judged, and then passed whole.
//!
//! ```text
//!   client ──▶ frame ──▶ header block ──▶ hpack ──▶ head (strict) ──▶ rule ──┬─ Allow ──▶ upstream
//!                │                                     │                     │
//!                │                                     └─ Refusal ──┐        └─ Deny ──▶ deny ──┐
//!                ├─ DATA of a denied stream: dropped, its window ───┼───────────────────────────┤
//!                └─ all else ───────────────────────────────────────┼──▶ upstream               │
//!                                                                   ▼                           ▼
//!   client ◀───────────────── between two frames of the server ◀── reset, 4xx, GOAWAY ◀── 403, grpc-status 7
//! ```
//!
//! Before the server's SETTINGS the upstream gets the preface alone, which is the same for all clients: a server that speaks
//! HTTP/1 only must not find a request in what the client calls a frame.
//!
//! **Where frames are not passed as they came:**
//! * From the first block on that the upstream must not see, the client's blocks are written anew, without the dynamic
//!   table: the upstream's decoder has missed entries.
//! * `SETTINGS_HEADER_TABLE_SIZE` is lowered to [`Limits::table_bytes`], for that much is held per direction.
//! * The body of a 403 takes a part of the client's window that the upstream does not know of. It is taken off the next
//!   `WINDOW_UPDATE`; until then a DATA frame for which the window is too small goes in two pieces.
//!
//! **What is refused** beyond malformed messages (section 8.1.1): server push, since nobody asked and nobody judged; a path
//! or host that servers read differently, as with HTTP/1.

use thiserror::Error;

mod budget;
mod deny;
mod frame;
mod head;
pub mod inspect;
mod streams;

pub use budget::Rate;
pub use deny::GRPC_DENIED;
pub use head::{Parts, check_trailers, with_request};
pub use inspect::{Abort, ClientStep, Inspector, Judge, Reply, ServerStep};

use crate::{hpack, http};

/// The connection preface (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bounds on what one peer can make weir hold or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a header block with its frame headers. As a head of HTTP/1.
    pub block_bytes: usize,
    /// Frames of a header block. Four of the smallest maximum size hold 64 KiB; some clients cut smaller.
    pub block_frames: usize,
    /// Bytes of a header list (RFC 9113 section 6.5.2). As a head of HTTP/1.
    pub list_bytes: usize,
    /// Fields of a header list, pseudo-header fields included; at most [`http::MAX_HEADERS`].
    pub fields: usize,
    /// Requests in progress. Envoy allows 1,024, Go 250, nginx 128.
    pub streams: usize,
    /// Bytes of a denied request's body that are dropped before the client is asked to stop. More than most uploads.
    pub dropped_bytes: u64,
    /// Bytes of a direction's dynamic table, once SETTINGS speak of it. Chrome and nginx use 4 to 64 KiB.
    pub table_bytes: u32,
    /// SETTINGS frames of the client. Each must be answered; a client sends a handful in its life.
    pub settings: Rate,
    /// PING frames of the client. gRPC sends one per burst of data to measure the path, so each DATA frame of either
    /// direction gives one back, and each PING of the server, which it answers.
    pub pings: Rate,
    /// Requests that the client resets before they are answered ("rapid reset", CVE-2023-44487), or has reset by a frame
    /// that may not be there (CVE-2025-8671). An answered one gives one back; nghttp2 allows 1,000 and 33 a second.
    pub resets: Rate,
    /// WINDOW_UPDATE frames of the client. Each DATA frame of the server gives two back.
    pub updates: Rate,
    /// Frames that carry nothing: PRIORITY, DATA without bytes, what comes on a stream that is over, GOAWAY, unknown types.
    /// A request gives four back.
    pub idle_frames: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_bytes: 64 << 10,
            block_frames: 32,
            list_bytes: 64 << 10,
            fields: http::MAX_HEADERS,
            streams: 1_024,
            dropped_bytes: 64 << 20,
            table_bytes: 64 << 10,
            settings: Rate { burst: 100, per_second: 10 },
            pings: Rate { burst: 1_000, per_second: 100 },
            resets: Rate { burst: 1_000, per_second: 200 },
            updates: Rate { burst: 10_000, per_second: 1_000 },
            idle_frames: Rate { burst: 1_000, per_second: 100 },
        }
    }
}

/// Why a stream or the connection is refused. The text goes into the flow record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// The client's first bytes are not [`PREFACE`], or no SETTINGS frame follows.
    #[error("malformed connection preface")]
    Preface,
    /// A frame that must not be there: its type, stream or order (RFC 9113 sections 4 to 6).
    #[error("unexpected frame")]
    Frame,
    /// A frame's length (RFC 9113 section 4.2).
    #[error("frame size")]
    FrameSize,
    /// A frame on a stream that its sender has ended (RFC 9113 section 5.1).
    #[error("frame on a closed stream")]
    StreamClosed,
    /// The header block cannot be decoded.
    #[error(transparent)]
    Compression(#[from] hpack::Error),
    /// Over [`Limits::block_bytes`] or [`Limits::block_frames`].
    #[error("header block too large")]
    BlockTooLarge,
    /// Over [`Limits::list_bytes`].
    #[error("header list too large")]
    ListTooLarge,
    /// Over [`Limits::fields`].
    #[error("too many headers")]
    TooManyHeaders,
    /// A pseudo-header field that is missing, repeated, unknown or misplaced (RFC 9113 section 8.3).
    #[error("malformed pseudo-header field")]
    PseudoHeader,
    /// A field's name or value (RFC 9113 section 8.2), or a field of the connection (section 8.2.2).
    #[error("malformed header")]
    Header,
    /// `Content-Length` is repeated, no number, or not the length of the body (RFC 9113 section 8.1.1).
    #[error("malformed or wrong Content-Length")]
    ContentLength,
    /// A trailer section that does not end the stream, or holds a field that must not be there.
    #[error("malformed trailer")]
    Trailer,
    /// Host, path or method, as with HTTP/1.
    #[error(transparent)]
    Http(#[from] http::Refusal),
    /// Over [`Limits::streams`], or after GOAWAY.
    #[error("too many streams")]
    TooManyStreams,
    /// Over [`Limits::settings`].
    #[error("too many SETTINGS")]
    SettingsFlood,
    /// Over [`Limits::pings`].
    #[error("too many PINGs")]
    PingFlood,
    /// Over [`Limits::resets`].
    #[error("too many resets")]
    ResetFlood,
    /// Over [`Limits::updates`].
    #[error("too many WINDOW_UPDATEs")]
    UpdateFlood,
    /// Over [`Limits::idle_frames`].
    #[error("too many frames without content")]
    IdleFlood,
}

/// Error codes (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Code {
    None = 0,
    Protocol = 1,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Compression = 9,
    EnhanceYourCalm = 11,
}

impl Refusal {
    /// What the peer is told.
    fn code(self) -> Code {
        match self {
            Self::FrameSize => Code::FrameSize,
            Self::StreamClosed => Code::StreamClosed,
            Self::Compression(_) => Code::Compression,
            Self::TooManyStreams => Code::RefusedStream,
            Self::BlockTooLarge
            | Self::SettingsFlood
            | Self::PingFlood
            | Self::ResetFlood
            | Self::UpdateFlood
            | Self::IdleFlood => Code::EnhanceYourCalm,
            _ => Code::Protocol,
        }
    }

    /// The status of a request that is well-formed HTTP/2, but not for weir; `None` where the stream is to be reset.
    fn status(self) -> Option<u16> {
        match self {
            Self::ListTooLarge | Self::TooManyHeaders => Some(431),
            Self::Http(_) => Some(400),
            _ => None,
        }
    }
}
