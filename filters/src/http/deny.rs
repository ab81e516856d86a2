//! What a client is told when weir answers in the upstream's place. One row per case; all replies are constants,
//! but for the reason of a denial, where that is wanted.

use std::borrow::Cow;

use weir_model::{
    flow::HttpVersion,
    resolved::{Direction, RuleId},
};

use super::{Refusal, RequestHead};

/// The field of a denial that says why, where that is wanted: [`RuleId::reference`].
pub const POLICY_HEADER: &str = "x-weir-policy";

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule that denies it; 0 if it is the default.
    pub rule: RuleId,
    /// Whose policy.
    pub direction: Direction,
}

impl Reason {
    /// The value of [`POLICY_HEADER`].
    pub fn text(self) -> String {
        self.rule.reference(self.direction)
    }
}

/// A local reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What to write to the client; empty if the connection just ends.
    pub bytes: &'static [u8],
    /// Whether to close the connection, both sides of it, once the bytes are written.
    pub close: bool,
    /// What the client is to be told besides.
    pub reason: Option<Reason>,
}

impl Reply {
    /// Ends the connection without a word.
    pub(super) const CLOSE: Self = Self { bytes: b"", close: true, reason: None };

    /// What to write, the reason included: as the first field.
    pub fn to_bytes(self) -> Cow<'static, [u8]> {
        let Some(reason) = self.reason else { return self.bytes.into() };
        let line = self.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (status, rest) = self.bytes.split_at(line);
        [status, format!("{POLICY_HEADER}: {}\r\n", reason.text()).as_bytes(), rest].concat().into()
    }
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
pub(super) fn denied(head: &RequestHead<'_>, close: bool, reason: Option<Reason>) -> Reply {
    let bytes = match (head.method() == "HEAD", close, head.version()) {
        (false, true, _) => denied!("connection: close\r\n", "Access denied\r\n"),
        (true, true, _) => denied!("connection: close\r\n", ""),
        // A client of HTTP/1.0 takes the connection for closed unless it is told.
        (false, false, HttpVersion::Http10) => denied!("connection: keep-alive\r\n", "Access denied\r\n"),
        (true, false, HttpVersion::Http10) => denied!("connection: keep-alive\r\n", ""),
        (false, false, _) => denied!("", "Access denied\r\n"),
        (true, false, _) => denied!("", ""),
    };
    Reply { bytes, close, reason }
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
    Reply { bytes, close: true, reason: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_first_field() {
        let reason = |rule, direction| Some(Reason { rule: RuleId(rule), direction });
        let rows = [
            (reason(0x2a, Direction::Ingress), "x-weir-policy: 0000002a; ingress\r\n"),
            (reason(0, Direction::Egress), "x-weir-policy: default; egress\r\n"),
            (None, ""),
        ];
        for (reason, line) in rows {
            let reply = Reply { bytes: denied!("", "Access denied\r\n"), close: false, reason };
            let expected = format!(
                "HTTP/1.1 403 Forbidden\r\n{line}content-type: text/plain\r\ncontent-length: 15\r\n\r\nAccess denied\r\n"
            );
            assert_eq!(String::from_utf8_lossy(&reply.to_bytes()), expected);
        }
    }
}
