//! Numbers and words that several renderings share.

use std::borrow::Cow;

use weir_model::flow::{DropReason, Flow, FlowKind, HeaderLog, HttpFlow, HttpVersion, L4, Verdict};

/// IP protocol numbers (IANA).
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// Bits of the TCP flags byte in the order in which Hubble prints them.
pub(super) const TCP_FLAGS: [(u8, &str); 8] =
    [(1, "FIN"), (2, "SYN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG"), (64, "ECE"), (128, "CWR")];

/// `flow.Verdict`.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Forwarded => "FORWARDED",
        Verdict::Dropped => "DROPPED",
        Verdict::Redirected => "REDIRECTED",
        Verdict::Error => "ERROR",
        Verdict::Audited => "AUDIT",
    }
}

/// `flow.DropReason`, and the text that `cilium:pkg/monitor/api/drop.go` has for it.
pub(super) fn drop_reason(reason: DropReason) -> (&'static str, &'static str) {
    match reason {
        DropReason::InvalidSourceIp => ("INVALID_SOURCE_IP", "Invalid source ip"),
        DropReason::PolicyDenied => ("POLICY_DENIED", "Policy denied"),
        DropReason::InvalidPacket => ("INVALID_PACKET_DROPPED", "Invalid packet"),
        DropReason::UnknownL4Protocol => ("UNKNOWN_L4_PROTOCOL", "Unknown L4 protocol"),
        DropReason::UnknownDestination => ("STALE_OR_UNROUTABLE_IP", "Stale or unroutable IP"),
        DropReason::FragmentNotSupported => ("IP_FRAGMENTATION_NOT_SUPPORTED", "IP fragmentation not supported"),
        DropReason::ProxyMissing => ("SOCKET_LOOKUP_FAILED", "Socket lookup failed"),
        DropReason::ProxyAssignFailed => ("SOCKET_ASSIGN_FAILED", "Socket assign failed"),
        DropReason::PolicyDeny => ("POLICY_DENY", "Policy denied by denylist"),
    }
}

/// The IP protocol that a flow runs over.
pub(super) fn protocol(flow: &Flow) -> u8 {
    match &flow.kind {
        FlowKind::Http(_) => TCP,
        FlowKind::Connection(l4) | FlowKind::Drop(l4) => l4.protocol,
    }
}

/// Whether the protocol has ports.
pub(super) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP)
}

/// What `headerMatches` found: `missing` or `rejected`, the header's name, and its value, which may be empty.
pub(super) fn header_log(http: &HttpFlow) -> impl Iterator<Item = (&'static str, &str, &str)> {
    let found = |what, list: fn(&HeaderLog) -> &[(String, String)]| {
        let list = http.headers.as_deref().map(list).unwrap_or_default();
        list.iter().map(move |(name, value)| (what, name.as_str(), value.as_str()))
    };
    found("missing", |log| &log.missing).chain(found("rejected", |log| &log.rejected))
}

/// As the access log of Cilium's Envoy names them; its HTTP/1.0 has no minor number.
pub(super) fn http_version(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Http10 => "HTTP/1",
        HttpVersion::Http11 => "HTTP/1.1",
        HttpVersion::Http2 => "HTTP/2",
    }
}

/// The target URI of RFC 9110 section 7.1, from whichever form stood on the wire.
pub(super) fn url(http: &HttpFlow) -> Cow<'_, str> {
    let (host, path) = (&*http.host, &*http.path);
    if path.starts_with('/') {
        format!("http://{host}{path}").into()
    } else if path.contains("://") {
        path.into()
    } else if path == "*" || path.is_empty() {
        format!("http://{host}").into()
    } else {
        format!("http://{path}").into()
    }
}

/// Hubble's deprecated but printed `Summary`.
pub(super) fn summary(flow: &Flow) -> String {
    match &flow.kind {
        FlowKind::Http(http) => format!("{} {} {}", http_version(http.version), http.method, url(http)),
        FlowKind::Connection(l4) | FlowKind::Drop(l4) => l4_summary(l4),
    }
}

fn l4_summary(l4: &L4) -> String {
    match l4.protocol {
        TCP => {
            let set: Vec<_> =
                TCP_FLAGS.iter().filter(|(bit, _)| l4.tcp_flags & bit != 0).map(|(_, name)| *name).collect();
            format!("TCP Flags: {}", set.join(", "))
        }
        UDP => "UDP".into(),
        SCTP => "SCTP".into(),
        ICMP => format!("ICMPv4 {}", icmp_type(&ICMPV4_TYPES, l4.icmp_type)),
        ICMPV6 => format!("ICMPv6 {}", icmp_type(&ICMPV6_TYPES, l4.icmp_type)),
        other => format!("IP protocol {other}"),
    }
}

const ICMPV4_TYPES: [(u8, &str); 6] = [
    (0, "EchoReply"),
    (3, "DestinationUnreachable"),
    (5, "Redirect"),
    (8, "EchoRequest"),
    (11, "TimeExceeded"),
    (12, "ParameterProblem"),
];
const ICMPV6_TYPES: [(u8, &str); 10] = [
    (1, "DestinationUnreachable"),
    (2, "PacketTooBig"),
    (3, "TimeExceeded"),
    (4, "ParameterProblem"),
    (128, "EchoRequest"),
    (129, "EchoReply"),
    (133, "RouterSolicitation"),
    (134, "RouterAdvertisement"),
    (135, "NeighborSolicitation"),
    (136, "NeighborAdvertisement"),
];

fn icmp_type(names: &[(u8, &'static str)], number: u8) -> String {
    let known = names.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}
