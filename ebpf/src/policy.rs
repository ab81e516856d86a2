//! The verdict on a packet: who, whom, may they.

use aya_ebpf::maps::lpm_trie::Key;
use weir_abi::{
    ALLOW, Addr, AddrInfo, Be16, EGRESS, ENFORCE_EGRESS, ENFORCE_INGRESS, Endpoint, INGRESS, PREFIX_PORT, PolicyEntry,
    PolicyKey, REDIRECT, drop,
};

use crate::{
    maps::{ADDRS, ENDPOINTS, POLICY},
    packet::{Packet, TCP},
};

/// Identity of the node.
pub const HOST: u32 = 1;

/// What is to be done with a packet, and whose entry says so.
#[derive(Clone, Copy)]
pub enum Verdict {
    Allow { direction: u8, cookie: u32 },
    Redirect { direction: u8, cookie: u32 },
    Drop { direction: u8, reason: u8 },
}

/// Who is behind an address. The agent keeps entries of length 0 and 96 (all of IPv6, all of IPv4), so something is
/// always found; without them the peer is identity 0, which no entry allows.
#[inline(always)]
pub fn resolve(addr: &Addr) -> AddrInfo {
    match ADDRS.get(Key::new(128, *addr)) {
        Some(info) => *info,
        None => AddrInfo { identity: 0, endpoint: 0 },
    }
}

/// What policy is asked about: the packet itself, or the exchange that it is part of, as its opener started it.
#[derive(Clone, Copy)]
pub struct Question {
    pub source: AddrInfo,
    pub destination: AddrInfo,
    pub protocol: u8,
    /// Destination port.
    pub port: Be16,
    pub fragment: bool,
}

impl Question {
    /// About the packet itself, or, turned, about the one that it answers.
    #[inline(always)]
    pub fn new(packet: &Packet, source: &AddrInfo, destination: &AddrInfo, turned: bool) -> Self {
        let (source, destination, port) = match turned {
            true => (*destination, *source, packet.source_port),
            false => (*source, *destination, packet.destination_port),
        };
        Self { source, destination, protocol: packet.protocol, port, fragment: packet.fragment }
    }
}

/// Judges both sides that this node enforces: egress of the source, ingress of the destination.
#[inline(always)]
pub fn judge(question: &Question) -> Verdict {
    let Question { source, destination, .. } = question;
    let egress = judge_side(question, source.endpoint, EGRESS, destination.identity);
    if let Verdict::Drop { .. } = egress {
        return egress;
    }
    // The node may always reach its pods. Its own packets are not judged, so this is about their replies: `from_net`
    // and `from_pod` let nobody speak with the node's address.
    if source.identity == HOST {
        return egress;
    }
    let ingress = judge_side(question, destination.endpoint, INGRESS, source.identity);
    match (egress, ingress) {
        (_, Verdict::Drop { .. } | Verdict::Redirect { .. }) => ingress,
        (Verdict::Redirect { .. }, _) => egress,
        // An allow with a rule explains more than the default.
        (Verdict::Allow { cookie: 0, .. }, _) => ingress,
        _ => egress,
    }
}

#[inline(always)]
fn judge_side(question: &Question, endpoint: u32, direction: u8, peer: u32) -> Verdict {
    let enforced = if direction == INGRESS { ENFORCE_INGRESS } else { ENFORCE_EGRESS };
    let default = Verdict::Allow { direction, cookie: 0 };
    if endpoint == 0 {
        return default;
    }
    // SAFETY: the value is copied at once; a concurrent write gives the old or the new policy, both whole.
    let Some(&Endpoint { slot, flags }) = (unsafe { ENDPOINTS.get(endpoint) }) else {
        // An address points to an endpoint that has no policy yet: fail closed.
        return Verdict::Drop { direction, reason: drop::POLICY_DENIED };
    };
    if flags & enforced == 0 {
        return default;
    }
    // Without a port to look at, protocol 0 finds nothing but an entry for every protocol.
    let protocol = if question.fragment { 0 } else { question.protocol };
    let key = PolicyKey { slot, peer, direction, protocol, port: question.port };
    let entry = stronger(lookup(key), lookup(PolicyKey { peer: 0, ..key }));
    match entry.verdict {
        ALLOW => Verdict::Allow { direction, cookie: entry.cookie },
        REDIRECT if question.protocol == TCP => Verdict::Redirect { direction, cookie: entry.cookie },
        _ if question.fragment => Verdict::Drop { direction, reason: drop::FRAGMENT },
        _ => Verdict::Drop { direction, reason: drop::POLICY_DENIED },
    }
}

#[inline(always)]
fn lookup(key: PolicyKey) -> PolicyEntry {
    match POLICY.get(Key::new(PREFIX_PORT, key)) {
        Some(entry) => *entry,
        None => PolicyEntry { verdict: 0, cookie: 0 },
    }
}

/// Redirect outranks allow, allow outranks nothing.
#[inline(always)]
fn stronger(a: PolicyEntry, b: PolicyEntry) -> PolicyEntry {
    if b.verdict > a.verdict { b } else { a }
}
