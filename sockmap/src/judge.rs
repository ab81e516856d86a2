//! What the programs say to a packet, by the mirror of their maps: `ebpf/src/policy.rs` once more, without a kernel.
//! `tests/kernel` compares the two.

use weir_abi::{
    AUDIT_DENY, Addr, AddrInfo, DEFAULT_DENY, EGRESS, HAS_ENTRIES, INGRESS, PREFIX_PEER, PREFIX_PORT, PREFIX_PROTOCOL,
    PolicyEntry, VERDICT_ALLOW, VERDICT_DENY, VERDICT_NONE, VERDICT_REDIRECT, drop, flag,
};
use weir_model::identity::Identity;

use crate::state::{Entries, State};

const TCP: u8 = 6;

/// What policy is asked about: the first packet of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who opens it.
    pub source: Addr,
    /// Whom it is sent to.
    pub destination: Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port in host byte order, or type of ICMP; `None` where nobody can tell it.
    pub port: Option<u16>,
}

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It goes on.
    Pass,
    /// The proxy gets it, or nobody.
    Redirect,
    /// It is dropped, for this reason of `weir_abi::drop`.
    Drop(u8),
}

/// A verdict with its explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is done.
    pub outcome: Outcome,
    /// Whose policy decided: `INGRESS` or `EGRESS`.
    pub direction: u8,
    /// The rule's number, or 0.
    pub cookie: u32,
    /// The connection is shown to the proxy, if there is one.
    pub show: bool,
    /// The audited policies would deny what passes; with the number of their rule.
    pub audited: Option<u32>,
}

impl State {
    /// The verdict on an exchange, by both its ends.
    pub fn judge(&self, question: &Question) -> Judgement {
        let (source, destination) = (self.who((128, question.source)), self.who((128, question.destination)));
        let egress = self.judge_side(question, source.endpoint, EGRESS, destination.identity);
        if matches!(egress.outcome, Outcome::Drop(_)) || source.identity == Identity::HOST.0 {
            return egress;
        }
        let ingress = self.judge_side(question, destination.endpoint, INGRESS, source.identity);
        let decides = match (egress.outcome, ingress.outcome) {
            (_, Outcome::Drop(_) | Outcome::Redirect) => ingress,
            (Outcome::Redirect, _) => egress,
            _ if egress.cookie == 0 => ingress,
            _ => egress,
        };
        let passes = decides.outcome == Outcome::Pass;
        Judgement {
            show: passes && (egress.show || ingress.show),
            audited: egress.audited.or(ingress.audited).filter(|_| passes),
            ..decides
        }
    }

    /// Whether an end of the exchange is a pod of this node.
    pub fn concerns(&self, question: &Question) -> bool {
        let ends = [question.source, question.destination];
        ends.iter().any(|end| self.who((128, *end)).endpoint != AddrInfo::default().endpoint)
    }

    fn judge_side(&self, question: &Question, endpoint: u32, direction: u8, peer: u32) -> Judgement {
        let plain = |outcome| Judgement { outcome, direction, cookie: 0, show: false, audited: None };
        if endpoint == 0 {
            return plain(Outcome::Pass);
        }
        let Some(policy) = self.endpoint(endpoint) else { return plain(Outcome::Drop(drop::POLICY_DENIED)) };
        let says = |what| policy.flags & flag(what, direction) != 0;
        let mut entry = PolicyEntry::default();
        if says(HAS_ENTRIES)
            && let Some(entries) = self.policies.get(&policy.slot)
        {
            entry = stronger(find(entries, question, direction, peer), find(entries, question, direction, 0));
        }
        let tcp = question.protocol == TCP;
        let outcome = match entry.verdict {
            VERDICT_DENY => Outcome::Drop(drop::POLICY_DENY),
            VERDICT_REDIRECT if tcp => Outcome::Redirect,
            VERDICT_REDIRECT => Outcome::Drop(drop::POLICY_DENIED),
            VERDICT_ALLOW => Outcome::Pass,
            _ if !says(DEFAULT_DENY) => Outcome::Pass,
            _ if question.port.is_none() => Outcome::Drop(drop::FRAGMENT),
            _ => Outcome::Drop(drop::POLICY_DENIED),
        };
        let audited = match entry.audited {
            VERDICT_DENY => true,
            VERDICT_REDIRECT => !tcp,
            VERDICT_NONE => says(AUDIT_DENY),
            _ => false,
        };
        let passes = outcome == Outcome::Pass;
        Judgement {
            outcome,
            direction,
            cookie: entry.cookie,
            show: passes && tcp && (entry.observe != 0 || entry.audited == VERDICT_REDIRECT),
            audited: (passes && audited).then_some(entry.audit_cookie),
        }
    }
}

/// The entry with the longest prefix.
fn find(entries: &Entries, question: &Question, direction: u8, peer: u32) -> PolicyEntry {
    let port = question.port.unwrap_or(0);
    let longest = if question.port.is_some() { PREFIX_PORT } else { PREFIX_PROTOCOL };
    let of_protocol = (PREFIX_PROTOCOL..=longest).rev().map(|prefix| {
        let bits = prefix - PREFIX_PROTOCOL;
        let port = port & u16::MAX.checked_shl(16 - bits).unwrap_or(0);
        (prefix, peer, direction, question.protocol, port)
    });
    let keys = of_protocol.chain([(PREFIX_PEER, peer, direction, 0, 0)]);
    keys.into_iter().find_map(|key| entries.get(&key)).copied().unwrap_or_default()
}

fn stronger(a: PolicyEntry, b: PolicyEntry) -> PolicyEntry {
    let (verdict, cookie) = if b.verdict > a.verdict { (b.verdict, b.cookie) } else { (a.verdict, a.cookie) };
    let audited = if b.audited > a.audited { (b.audited, b.audit_cookie) } else { (a.audited, a.audit_cookie) };
    PolicyEntry {
        verdict,
        cookie,
        audited: audited.0,
        audit_cookie: audited.1,
        observe: a.observe | b.observe,
        zero: 0,
    }
}
