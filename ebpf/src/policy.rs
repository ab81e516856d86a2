//! The verdict on a packet: who, whom, may they.

use aya_ebpf::maps::lpm_trie::Key;
use weir_abi::{
    ALLOW, Addr, AddrInfo, EGRESS, ENFORCE_EGRESS, ENFORCE_INGRESS, Endpoint, INGRESS, PREFIX_PORT, PolicyEntry,
    PolicyKey, REDIRECT, drop,
};

use crate::{
    maps::{ADDRS, ENDPOINTS, POLICY},
    packet::{Packet, TCP},
};

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

/// Judges both sides that this node enforces: egress of `source`, ingress of `destination`.
#[inline(always)]
pub fn judge(packet: &Packet, source: &AddrInfo, destination: &AddrInfo) -> Verdict {
    let egress = judge_side(packet, source.endpoint, EGRESS, destination.identity);
    if let Verdict::Drop { .. } = egress {
        return egress;
    }
    let ingress = judge_side(packet, destination.endpoint, INGRESS, source.identity);
    match (egress, ingress) {
        (_, Verdict::Drop { .. } | Verdict::Redirect { .. }) => ingress,
        (Verdict::Redirect { .. }, _) => egress,
        // An allow with a rule explains more than the default.
        (Verdict::Allow { cookie: 0, .. }, _) => ingress,
        _ => egress,
    }
}

#[inline(always)]
fn judge_side(packet: &Packet, endpoint: u32, direction: u8, peer: u32) -> Verdict {
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
    let protocol = if packet.fragment { 0 } else { packet.protocol };
    let key = PolicyKey { slot, peer, direction, protocol, port: packet.destination_port };
    let entry = stronger(lookup(key), lookup(PolicyKey { peer: 0, ..key }));
    match entry.verdict {
        ALLOW => Verdict::Allow { direction, cookie: entry.cookie },
        REDIRECT if packet.protocol == TCP => Verdict::Redirect { direction, cookie: entry.cookie },
        _ if packet.fragment => Verdict::Drop { direction, reason: drop::FRAGMENT },
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
