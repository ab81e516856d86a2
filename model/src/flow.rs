//! The record of what happened: one [`Flow`] per request, connection and drop. Metrics, `weir observe`, the JSON log
//! are readers of it.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    endpoint::PodName,
    identity::Identity,
    labels::LabelSet,
    resolved::{Direction, RuleId, RuleOrigin},
};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// What was decided.
    pub verdict: Verdict,
    /// Why it was dropped, for [`Verdict::Dropped`] at L3/L4.
    pub drop_reason: Option<DropReason>,
    /// The side of the policy that decided: egress of the source, or ingress of the destination.
    pub direction: Direction,
    /// The client.
    pub source: Party,
    /// The server.
    pub destination: Party,
    /// What was seen.
    pub kind: FlowKind,
    /// The rule that decided; `None` when no rule did (default allow, or default deny).
    pub rule: Option<RuleOrigin>,
    /// The number of that rule.
    pub rule_id: RuleId,
    /// The rule's `log.value`.
    pub policy_log: Option<Arc<str>>,
}

/// One side of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Address and port; port 0 for protocols without ports.
    pub address: SocketAddr,
    /// Who this is.
    pub who: Arc<Who>,
}

/// Identity, labels and name behind an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The identity.
    pub identity: Identity,
    /// Its labels.
    pub labels: Arc<LabelSet>,
    /// The pod, if it is one.
    pub pod: Option<PodName>,
    /// The pod's endpoint number if it runs on this node, else 0.
    pub endpoint: u32,
}

/// What was decided about a request, connection or packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Passed on.
    Forwarded,
    /// Denied.
    Dropped,
    /// The connection was handed to the proxy.
    Redirected,
    /// Not understood or not deliverable; never passed on.
    Error,
    /// Passed on, but the audited policies would have denied it.
    Audited,
}

/// What a flow record is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowKind {
    /// An HTTP request that the proxy judged.
    Http(Box<HttpFlow>),
    /// A new connection, or the first packet of an exchange, as the kernel saw it.
    Connection(L4),
    /// A packet that the kernel dropped.
    Drop(L4),
}

/// Layer 4 of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct L4 {
    /// IP protocol number.
    pub protocol: u8,
    /// The TCP flags byte (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128); 0 for other protocols.
    pub tcp_flags: u8,
    /// ICMP type, for the ICMP protocols.
    pub icmp_type: u8,
}

/// An HTTP exchange. Its texts are mostly short: such a string is held in place, not on the heap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpFlow {
    /// As on the wire.
    pub version: HttpVersion,
    /// As on the wire.
    pub method: SmolStr,
    /// `Host` or `:authority`.
    pub host: SmolStr,
    /// Path and query as on the wire.
    pub path: SmolStr,
    /// Status of the final response; 0 when there was none.
    pub status: u16,
    /// The gRPC status of a call that has ended, or 7 for one that was denied.
    pub grpc_status: Option<u16>,
    /// From the request's last head byte to the response's last head byte, in nanoseconds.
    pub latency_ns: u64,
    /// Index of the `rules.http` element of [`Flow::rule`] that allowed the request; `None` when none did, or when the
    /// rule has no HTTP rules.
    pub http_rule: Option<u16>,
    /// Why a request was refused as malformed; empty otherwise.
    pub refusal: std::borrow::Cow<'static, str>,
    /// Where the request's headers were not what `headerMatches` want; `None` if nowhere.
    pub headers: Option<Box<HeaderLog>>,
}

/// What `headerMatches` with a `mismatch` have found, as `(name, value)`; an empty value asks for presence. In Cilium's
/// access log these are `missing_headers` and `rejected_headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderLog {
    /// What the request should have had. (LOG, ADD, REPLACE)
    pub missing: Vec<(String, String)>,
    /// What it had instead, and does not have any more. (DELETE, REPLACE)
    pub rejected: Vec<(String, String)>,
}

/// Protocol version of an HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// Why the kernel side dropped a packet. The numbers are those of Hubble's `DropReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DropReason {
    /// The source address is not the sender's.
    InvalidSourceIp = 132,
    /// No rule allows it.
    PolicyDenied = 133,
    /// The packet cannot be parsed.
    InvalidPacket = 134,
    /// A protocol that the policy cannot judge.
    UnknownL4Protocol = 142,
    /// A packet for an address that is not this endpoint's. Cilium's own use of the number (`DROP_NON_LOCAL`, today "Stale
    /// or unroutable IP"); 150 is its neighbour-solicitation code.
    UnknownDestination = 151,
    /// A fragment, whose port the policy cannot see.
    FragmentNotSupported = 157,
    /// An L7 port, and no proxy listens.
    ProxyMissing = 178,
    /// The kernel refused to hand the packet to the proxy's socket.
    ProxyAssignFailed = 179,
    /// A rule denies it.
    PolicyDeny = 181,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::InvalidSourceIp,
        Self::PolicyDenied,
        Self::InvalidPacket,
        Self::UnknownL4Protocol,
        Self::UnknownDestination,
        Self::FragmentNotSupported,
        Self::ProxyMissing,
        Self::ProxyAssignFailed,
        Self::PolicyDeny,
    ];

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }
}
