//! What a client is told when weir answers in the upstream's place. One row per case; all replies are constants.

use weir_model::flow::HttpVersion;

use super::{Refusal, RequestHead};

/// A local reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What to write to the client; empty if the connection just ends.
    pub bytes: &'static [u8],
    /// Whether to close the connection, both sides of it, once the bytes are written.
    pub close: bool,
}

impl Reply {
    /// Ends the connection without a word.
    pub(super) const CLOSE: Self = Self { bytes: b"", close: true };
}

macro_rules! reply {
    ($status:expr, $fields:expr, $body:expr) => {
        concat!("HTTP/1.1 ", $status, "\r\n", $fields, "\r\n", $body).as_bytes()
    };
}

macro_rules! denied {
    ($connection:expr, $body:expr) => {
        reply!("403 Forbidden", concat!("content-type: text/plain\r\ncontent-length: 15\r\n", $connection), $body)
    };
}

/// The answer to a request that no rule allows: what Envoy answers with Cilium's filter. HEAD gets the length without
/// the body.
pub(super) fn denied(head: &RequestHead<'_>, close: bool) -> Reply {
    let bytes = match (head.method() == "HEAD", close, head.version()) {
        (false, true, _) => denied!("connection: close\r\n", "Access denied\r\n"),
        (true, true, _) => denied!("connection: close\r\n", ""),
        // A client of HTTP/1.0 takes the connection for closed unless it is told.
        (false, false, HttpVersion::Http10) => denied!("connection: keep-alive\r\n", "Access denied\r\n"),
        (true, false, HttpVersion::Http10) => denied!("connection: keep-alive\r\n", ""),
        (false, false, _) => denied!("", "Access denied\r\n"),
        (true, false, _) => denied!("", ""),
    };
    Reply { bytes, close }
}

/// The answer to a request that cannot be judged; the connection ends with it.
pub(super) fn refused(refusal: Refusal) -> Reply {
    let bytes = match refusal {
        // An answer in HTTP/1 would be no more than noise.
        Refusal::NotHttp | Refusal::Http2 => return Reply::CLOSE,
        Refusal::HeadTooLarge | Refusal::TooManyHeaders => {
            reply!("431 Request Header Fields Too Large", "content-length: 0\r\nconnection: close\r\n", "")
        }
        _ => reply!("400 Bad Request", "content-length: 0\r\nconnection: close\r\n", ""),
    };
    Reply { bytes, close: true }
}
