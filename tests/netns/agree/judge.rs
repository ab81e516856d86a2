//! What the kernel makes of a flow by the entries that were read back: who is behind both addresses, which policy the pod
//! has, and two look-ups in it, for the peer and for everybody, each of which finds the longest prefix.

use std::{cmp::Reverse, net::IpAddr};

use ipnet::IpNet;
use weir_control::reference::Verdict;
use weir_model::{
    identity::Identity,
    resolved::{Direction, RuleId},
};
use weir_sockmap::dump::{Address, Dump, Entry};

use super::flows::Flow;

/// The maps, as read back.
pub(super) struct Maps<'a> {
    dump: &'a Dump,
    addresses: Vec<(IpNet, &'a Address)>,
}

/// What they say of one side of a flow.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) enforced: Decided,
    pub(super) audited: Decided,
    pub(super) observe: bool,
    /// The peer's identity and the entries about it and about everybody, to be printed.
    #[expect(dead_code, reason = "printed")]
    by: (u32, [Option<&'a Entry>; 2]),
}

/// A verdict and its rule.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) verdict: Verdict,
    pub(super) rule: RuleId,
}

impl<'a> Maps<'a> {
    pub(super) fn new(dump: &'a Dump) -> Self {
        let parsed = |address: &'a Address| (address.prefix.parse().expect("a prefix"), address);
        Self { dump, addresses: dump.addresses.iter().map(parsed).collect() }
    }

    /// The pod's side of a flow.
    pub(super) fn judge(&self, flow: &Flow<'_>, direction: Direction) -> Judged<'a> {
        let (own, peer) = match direction {
            Direction::Ingress => (flow.target(), flow.source()),
            Direction::Egress => (flow.source(), flow.target()),
        };
        let (own, peer) = (self.who(own).endpoint, self.who(peer).identity);
        if peer == Identity::HOST.0 && direction == Direction::Ingress {
            let free = || Decided { verdict: Verdict::Allow, rule: RuleId(0) };
            return Judged { enforced: free(), audited: free(), observe: false, by: (peer, [None; 2]) };
        }
        let endpoint = self.dump.endpoints.iter().find(|endpoint| endpoint.endpoint == own);
        let endpoint = endpoint.expect("the pod is an endpoint of the node");
        let says = |what: &str| endpoint.flags.contains(&format!("{direction} {what}"));
        let everybody = Identity::UNKNOWN.0;
        let found = [peer, everybody]
            .map(|peer| says("entries").then(|| self.longest(endpoint.slot, direction, peer, flow)).flatten());
        let decide = |plane: fn(&Entry) -> (&str, RuleId), default_deny: bool| {
            let rank = |verdict: &str| ["none", "allow", "redirect", "deny"].iter().position(|name| *name == verdict);
            let (verdict, rule) =
                found.into_iter().flatten().map(plane).max_by_key(|(verdict, _)| rank(verdict)).unwrap_or_default();
            let verdict = match verdict {
                "deny" => Verdict::Deny,
                "redirect" if flow.protocol == 6 => Verdict::Redirect,
                "redirect" => Verdict::Deny,
                "allow" => Verdict::Allow,
                _ if default_deny => Verdict::Deny,
                _ => Verdict::Allow,
            };
            Decided { verdict, rule }
        };
        Judged {
            enforced: decide(|entry| (&entry.verdict, entry.rule), says("default deny")),
            audited: decide(|entry| (&entry.audited, entry.audited_rule), says("audited deny")),
            observe: found.into_iter().flatten().any(|entry| entry.observe),
            by: (peer, found),
        }
    }

    fn who(&self, address: IpAddr) -> &'a Address {
        let covering = self.addresses.iter().filter(|(net, _)| net.contains(&address));
        covering.max_by_key(|(net, _)| net.prefix_len()).expect("the map holds everything").1
    }

    fn longest(&self, slot: u32, direction: Direction, peer: u32, flow: &Flow<'_>) -> Option<&'a Entry> {
        let is_about = |entry: &&Entry| (entry.slot, entry.direction, entry.peer) == (slot, direction, peer);
        let covers = |entry: &&Entry| match entry.protocol {
            0 => true,
            protocol => protocol == flow.protocol && (entry.ports.0..=entry.ports.1).contains(&flow.port),
        };
        let about = self.dump.policy.iter().filter(is_about).filter(covers);
        about.max_by_key(|entry| (entry.protocol, Reverse(entry.ports.1 - entry.ports.0)))
    }
}
