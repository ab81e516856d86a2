//! What a client is told on a stream that weir answers in the upstream's place. One row per case.

use super::{
    Code, Refusal,
    frame::{self, Frame, flag, kind},
    head::Request,
};
use crate::{
    hpack::encode,
    http::{POLICY_HEADER, Reason},
};

/// The body of a 403: what Envoy answers with Cilium's filter.
pub(super) const BODY: &[u8; 15] = b"Access denied\r\n";

/// The gRPC status PERMISSION_DENIED.
pub const GRPC_DENIED: u16 = 7;

/// How a stream is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `grpc-status: 7`, without a body ("trailers only").
    Grpc,
    /// 403 with its body.
    Denied,
    /// 403 to HEAD.
    DeniedHead,
    /// 403 without a body, for which the client's windows have no room.
    DeniedBare,
    /// Another status, without a body.
    Status(u16),
    /// RST_STREAM alone.
    Reset(Code),
}

impl Answer {
    /// For a request that no rule allows.
    pub(super) fn denied(request: &Request<'_>, window: bool) -> Self {
        match request.head.method() {
            _ if request.is_grpc => Self::Grpc,
            "HEAD" => Self::DeniedHead,
            _ if window => Self::Denied,
            _ => Self::DeniedBare,
        }
    }

    /// For a request that cannot be judged.
    pub(super) fn refused(refusal: Refusal) -> Self {
        refusal.status().map_or(Self::Reset(refusal.code()), Self::Status)
    }

    /// The bytes of DATA in it.
    pub(super) fn data(self) -> usize {
        if self == Self::Denied { BODY.len() } else { 0 }
    }

    /// Whether a client that is still sending is asked to stop (RFC 9113 section 8.1): what a gRPC stream or a tunnel carries
    /// has no end of its own. Others are let finish, since some, curl 7.88 among them, take the request to stop for an error
    /// and lose the answer.
    pub(super) fn asks_to_stop(self, method: &str) -> bool {
        matches!(self, Self::Grpc | Self::Reset(_)) || method == "CONNECT"
    }

    /// Writes the frames. `update` is the size of the dynamic table that the client expects to be told first; `stop` adds
    /// the request to stop; `reason` is for a denial.
    pub(super) fn write(
        self,
        out: &mut Vec<u8>,
        stream: u32,
        update: Option<usize>,
        stop: bool,
        reason: Option<Reason>,
    ) {
        let mut block = Vec::new();
        if let Some(size) = update {
            encode::size_update(&mut block, size);
        }
        let mut field = |name: &str, value: &str| encode::literal(&mut block, name.as_bytes(), value.as_bytes(), false);
        match self {
            Self::Grpc => {
                field(":status", "200");
                field("content-type", "application/grpc");
                field("grpc-status", "7");
                field("grpc-message", "Access denied%0D%0A");
            }
            Self::Denied | Self::DeniedHead => {
                field(":status", "403");
                field("content-type", "text/plain");
                field("content-length", "15");
            }
            Self::DeniedBare => {
                field(":status", "403");
                field("content-length", "0");
            }
            Self::Status(status) => {
                field(":status", &status.to_string());
                field("content-length", "0");
            }
            Self::Reset(code) => return frame::reset(out, stream, code),
        }
        if let Some(reason) = reason {
            field(POLICY_HEADER, &reason.text());
        }
        frame::header_block(out, stream, self.data() == 0, &block);
        if self.data() > 0 {
            Frame { length: BODY.len(), kind: kind::DATA, flags: flag::END_STREAM, stream }.write(out);
            out.extend_from_slice(BODY);
        }
        if stop {
            frame::reset(out, stream, Code::None);
        }
    }
}
