//! The L3/L4 half of a policy as map entries.

use std::collections::{BTreeMap, btree_map::Entry};

use weir_model::{
    identity::Identity,
    resolved::{Direction, EndpointPolicy, L4Rule, Peers},
    wanted::{EntryKey, EntryVerdict, KernelPolicy},
};

/// Lays a policy out by key. On one key redirect outranks allow, because only the proxy sees the union of all rules; of two
/// equal verdicts the first explains.
pub fn kernel_policy(policy: &EndpointPolicy) -> KernelPolicy {
    let mut entries = BTreeMap::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        for rule in policy.direction(direction).iter().flat_map(|policy| &policy.rules) {
            add(&mut entries, direction, rule);
        }
    }
    KernelPolicy { enforce_ingress: policy.ingress.is_some(), enforce_egress: policy.egress.is_some(), entries }
}

fn add(entries: &mut BTreeMap<EntryKey, EntryVerdict>, direction: Direction, rule: &L4Rule) {
    let everybody = [Identity::UNKNOWN];
    let peers: Box<dyn Iterator<Item = &Identity>> = match &rule.peers {
        Peers::Any => Box::new(everybody.iter()),
        Peers::Identities(identities) => Box::new(identities.iter()),
    };
    let protocols = rule.protocol.map_or(&[0][..], |protocol| protocol.numbers());
    for peer in peers {
        for protocol in protocols {
            let key = EntryKey { direction, peer: *peer, protocol: *protocol, port: rule.port };
            let verdict = EntryVerdict { redirect: rule.http.is_some(), origin: rule.origin.clone() };
            match entries.entry(key) {
                Entry::Vacant(vacant) => drop(vacant.insert(verdict)),
                Entry::Occupied(mut occupied) if verdict.redirect && !occupied.get().redirect => {
                    occupied.insert(verdict);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
}
