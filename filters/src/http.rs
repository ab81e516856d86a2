//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112), judged on the bytes that the upstream will read.
//!
//! One client connection maps to one upstream connection. Bytes are forwarded as they came, or not at all; nothing is
//! written anew. So the parser's duty is not to understand as much as possible, but to accept only what every server
//! frames alike: where two readings exist the message is refused, and the connection ends.
//!
//! ```text
//!             client bytes                                               server bytes
//!                  │                                                          │
//!            head  (strict parse) ── Refusal ─▶ deny                    head  (strict parse) ── Abort
//!                  │                             │                            │
//!            path  (normalised)                  │                            │
//!                  │                             │                            │
//!            rule  (PeerRules::judge) ── Deny ─▶ deny                         │
//!                  │ Allow                       │                            │
//!            framing (body, trailers)            │                      framing (body, trailers)
//!                  │                             ▼                            │
//!                  ▼                       local replies                      ▼
//!           to the upstream                      └──────▶ in turn ◀───────────┘
//!                                                            │
//!                                                            ▼
//!                                                        to the client
//! ```
//!
//! [`inspect`] drives all of it. A message that is accepted has these properties, on which the rest relies:
//! * its head has no NUL, every CR is followed by LF and every LF preceded by CR;
//! * method, target and host are visible ASCII;
//! * it has one framing: no body, one length, or the one coding `chunked`.

use thiserror::Error;

pub mod deny;
pub mod edit;
pub mod framing;
pub mod head;
pub mod inspect;
pub mod parts;
pub mod path;
pub mod rule;

pub use deny::{POLICY_HEADER, Reason, Reply};
pub use edit::{Edit, Findings};
pub use head::{KeptHead, RequestHead, ResponseHead};
pub use inspect::{Abort, ClientStep, Decision, Eof, Inspector, Judge, ServerStep};
pub use rule::{Effect, Judgement, NamedRule, PeerRules, PortRules, RuleError, Standing, check_rule};

/// The most header lines that a head can have, whatever [`Limits::headers`] says; the size of an array on the stack.
pub const MAX_HEADERS: usize = 128;

/// Bounds on what one peer can make weir hold. The caller's buffers must take `head_bytes` and `trailer_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head including its empty line. Envoy allows 60 KiB, nginx 32 KiB.
    pub head_bytes: usize,
    /// Header lines of a head; at most [`MAX_HEADERS`]. Envoy allows 100.
    pub headers: usize,
    /// Requests without their complete response; further ones wait unread.
    pub pipelined: usize,
    /// Bytes of one chunk's extensions. RFC 9112 section 7.1.1 asks for a limit; signed uploads to S3 use 85.
    pub chunk_extension_bytes: usize,
    /// Bytes of a trailer section including its empty line. It is held back until it is complete.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            headers: MAX_HEADERS,
            pipelined: 128,
            chunk_extension_bytes: 512,
            trailer_bytes: 8 << 10,
        }
    }
}

/// Why a message is refused. The text goes into the flow record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// The head is longer than [`Limits::head_bytes`].
    #[error("head too large")]
    HeadTooLarge,
    /// More header lines than [`Limits::headers`].
    #[error("too many headers")]
    TooManyHeaders,
    /// A CR without LF, or a LF without CR (RFC 9112 section 2.2).
    #[error("bare CR or LF")]
    LineEnding,
    /// A NUL byte in a head or trailer section.
    #[error("NUL byte")]
    Nul,
    /// The first byte begins no HTTP/1 message; TLS, for instance. Or the first line names another protocol.
    #[error("not HTTP/1")]
    NotHttp,
    /// The HTTP/2 connection preface (RFC 9113 section 3.4).
    #[error("HTTP/2 with prior knowledge")]
    Http2,
    /// The request or status line (RFC 9112 sections 3 and 4), or a method that servers frame differently.
    #[error("malformed start line")]
    StartLine,
    /// A header line (RFC 9112 section 5): name, space before the colon, folding, control bytes, or a name or
    /// connection option that hides a framing field.
    #[error("malformed header")]
    Header,
    /// The request target (RFC 9112 section 3.2): its form, or a byte that has no place in it.
    #[error("malformed request target")]
    Target,
    /// The path's percent escapes, or a path that servers resolve differently.
    #[error("path: {0}")]
    Path(#[from] path::PathError),
    /// `Host` is missing, repeated, malformed, or differs from the target (RFC 9112 section 3.2).
    #[error("malformed or conflicting Host")]
    Host,
    /// `Content-Length` is repeated, no number, or stands where no body can be (RFC 9112 section 6.3).
    #[error("malformed or conflicting Content-Length")]
    ContentLength,
    /// `Transfer-Encoding` other than one `chunked`, in HTTP/1.0, or beside `Content-Length` (RFC 9112 section 6.1).
    #[error("malformed or conflicting Transfer-Encoding")]
    TransferEncoding,
    /// A chunk's size, extension or line ending (RFC 9112 section 7.1).
    #[error("malformed chunk")]
    Chunk,
    /// A trailer section that is malformed, too large, or holds a field that must not be there (RFC 9110 section 6.5.1).
    #[error("malformed trailer")]
    Trailer,
}
