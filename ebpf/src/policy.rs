//! The verdict on a packet: who, whom, may they.

use aya_ebpf::maps::lpm_trie::Key;
use weir_abi::{
    AUDIT_DENY, Addr, AddrInfo, Be16, DEFAULT_DENY, DENIES, EGRESS, Endpoint, HAS_ENTRIES, INGRESS, PREFIX_PORT,
    PREFIX_PROTOCOL, PolicyEntry, PolicyKey, VERDICT_ALLOW, VERDICT_DENY, VERDICT_NONE, VERDICT_REDIRECT, drop, flag,
};

use crate::{
    maps::{ADDRS, ENDPOINTS, EPOCH, POLICY, QUESTION, VERDICTS, settle},
    packet::{Packet, TCP},
};

/// Identity of the node.
pub const HOST: u32 = 1;

/// The epoch, and so the version of addresses and endpoints in force: one look for all that is asked about a packet.
#[derive(Clone, Copy)]
pub struct Epoch(pub u32);

impl Epoch {
    /// As of now.
    #[inline(always)]
    pub fn now() -> Self {
        Self(EPOCH.get(0).map_or(0, |epoch| *epoch))
    }

    /// Who is behind an address. The agent keeps entries of length 0 and 96 (all of IPv6, all of IPv4), so something is
    /// always found; without them the peer is identity 0, which only entries about everybody allow.
    #[inline(always)]
    pub fn resolve(self, addr: &Addr) -> AddrInfo {
        match ADDRS.get(Key::new(128, *addr)) {
            Some([first, _]) if self.0 & 1 == 0 => *first,
            Some([_, second]) => *second,
            None => AddrInfo { identity: 0, endpoint: 0 },
        }
    }

    /// An endpoint's policy.
    #[inline(always)]
    pub fn endpoint(self, number: u32) -> Option<Endpoint> {
        // SAFETY: the value is copied at once; a concurrent write gives the old or the new one, both whole.
        match unsafe { ENDPOINTS.get(number) } {
            Some([first, _]) if self.0 & 1 == 0 => Some(*first),
            Some([_, second]) => Some(*second),
            None => None,
        }
    }
}

/// What is to be done with a packet: [`PASS`], [`REDIRECT`], or a drop reason, which are all greater. Not an enum with
/// the reason inside: "R5 !read_ok", for the reason that isn't there.
pub type Action = u8;
pub const PASS: Action = 0;
/// To the proxy, or nowhere.
pub const REDIRECT: Action = 1;

/// What is to be done with a packet, and whose entry says so.
#[derive(Clone, Copy)]
pub struct Verdict {
    pub action: Action,
    /// Whose policy decided.
    pub direction: u8,
    pub cookie: u32,
    /// A passing connection shall be shown to the proxy, if there is one.
    pub show: bool,
    /// The audited policies would deny what passes.
    pub audited: bool,
    pub audit_direction: u8,
    pub audit_cookie: u32,
}

impl Verdict {
    #[inline(always)]
    fn new(action: Action, direction: u8, cookie: u32) -> Self {
        Self { action, direction, cookie, show: false, audited: false, audit_direction: direction, audit_cookie: 0 }
    }
}

/// What policy is asked about: the packet itself, or the exchange that it is part of, as its opener started it.
#[derive(Clone, Copy)]
pub struct Question {
    pub source: AddrInfo,
    pub destination: AddrInfo,
    pub protocol: u8,
    /// Destination port, or type of ICMP.
    pub port: Be16,
    /// Nobody can tell the port.
    pub portless: bool,
    /// Nobody can tell the protocol.
    pub opaque: bool,
}

impl Question {
    /// About the packet itself, or, turned, about the one that it answers.
    #[inline(always)]
    pub fn new(packet: &Packet, source: &AddrInfo, destination: &AddrInfo, turned: bool) -> Self {
        let (source, destination) = if turned { (*destination, *source) } else { (*source, *destination) };
        let Packet { protocol, portless, opaque, .. } = *packet;
        Self { source, destination, protocol, port: packet.port_judged(turned), portless, opaque }
    }
}

/// Judges both sides that this node enforces: egress of the source, ingress of the destination.
#[inline(always)]
pub fn judge(epoch: Epoch, question: Question) -> Verdict {
    let nothing = Verdict::new(drop::POLICY_DENIED, EGRESS, 0);
    let Some(question) = settle(&QUESTION, 0, question) else { return nothing };
    let Question { source, destination, .. } = question;
    let egress = judge_side(epoch, question, source.endpoint, EGRESS, destination.identity);
    let Some(egress) = settle(&VERDICTS, EGRESS as u32, egress) else { return nothing };
    // The node may always reach its pods. Its own packets are not judged, so this is about their replies: `from_net`
    // and `from_pod` let nobody speak with the node's address.
    if egress.action > REDIRECT || source.identity == HOST {
        return *egress;
    }
    let ingress = judge_side(epoch, question, destination.endpoint, INGRESS, source.identity);
    let Some(ingress) = settle(&VERDICTS, INGRESS as u32, ingress) else { return nothing };
    // An allow with a rule explains more than the default.
    let ingress_decides = ingress.action != PASS || (egress.action == PASS && egress.cookie == 0);
    let decides = if ingress_decides { ingress } else { egress };
    let audited = if egress.audited { egress } else { ingress };
    Verdict {
        show: egress.show | ingress.show,
        audited: audited.audited,
        audit_direction: audited.audit_direction,
        audit_cookie: audited.audit_cookie,
        ..*decides
    }
}

#[inline(always)]
fn judge_side(epoch: Epoch, question: &Question, endpoint: u32, direction: u8, peer: u32) -> Verdict {
    let verdict = |action| Verdict::new(action, direction, 0);
    if endpoint == 0 {
        return verdict(PASS);
    }
    let Some(Endpoint { slot, flags }) = epoch.endpoint(endpoint) else {
        // An address points to an endpoint that has no policy yet: fail closed.
        return verdict(drop::POLICY_DENIED);
    };
    let says = |what| flags & flag(what, direction) != 0;
    let mut entry = PolicyEntry::default();
    if says(HAS_ENTRIES) {
        // Where the protocol cannot be told, no entry for protocol 0 exists, so one for every protocol is found.
        let protocol = if question.opaque { 0 } else { question.protocol };
        let key = PolicyKey { slot, peer, direction, protocol, port: question.port };
        let prefix = if question.portless { PREFIX_PROTOCOL } else { PREFIX_PORT };
        entry = stronger(lookup(prefix, key), lookup(prefix, PolicyKey { peer: 0, ..key }));
    }
    let tcp = question.protocol == TCP;
    let action = match entry.verdict {
        VERDICT_DENY => drop::POLICY_DENY,
        VERDICT_REDIRECT if tcp => REDIRECT,
        VERDICT_REDIRECT => drop::POLICY_DENIED,
        VERDICT_ALLOW => PASS,
        _ if !says(DEFAULT_DENY) => PASS,
        _ if question.portless => drop::FRAGMENT,
        _ => drop::POLICY_DENIED,
    };
    if action == PASS && question.opaque && says(DENIES) {
        return verdict(drop::UNKNOWN_PROTOCOL);
    }
    let audited = match entry.audited {
        VERDICT_DENY => true,
        VERDICT_REDIRECT => !tcp,
        VERDICT_NONE => says(AUDIT_DENY),
        _ => false,
    };
    let passes = action == PASS;
    Verdict {
        action,
        direction,
        cookie: entry.cookie,
        show: passes && tcp && (entry.observe != 0 || entry.audited == VERDICT_REDIRECT),
        audited: passes && audited,
        audit_direction: direction,
        audit_cookie: entry.audit_cookie,
    }
}

#[inline(always)]
fn lookup(prefix: u32, key: PolicyKey) -> PolicyEntry {
    match POLICY.get(Key::new(prefix, key)) {
        Some(entry) => *entry,
        None => PolicyEntry::default(),
    }
}

/// Denial outranks redirect, redirect allowance, and that nothing; of what is in force and of what is audited alike.
#[inline(always)]
fn stronger(a: PolicyEntry, b: PolicyEntry) -> PolicyEntry {
    let mut entry = a;
    if b.verdict > a.verdict {
        entry.verdict = b.verdict;
        entry.cookie = b.cookie;
    }
    if b.audited > a.audited {
        entry.audited = b.audited;
        entry.audit_cookie = b.audit_cookie;
    }
    entry.observe |= b.observe;
    entry
}
