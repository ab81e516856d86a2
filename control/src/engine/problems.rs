//! Conflicts between objects that are each well-formed.

use weir_model::{
    endpoint::PodName,
    policy::{CidrGroups, PeerSelector, Policy, RuleEntry, Services},
};

use super::Engine;
use crate::{
    manifests::{Kind, ObjectKey},
    problem::Problem,
    store::Store,
};

impl Engine {
    /// What is wrong at present, with the places of `store`.
    pub fn problems(&self, store: &Store) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        for (address, owner, loser) in self.pods.conflicts() {
            let reason = format!("{address} is already the address of pod {owner}; remove the pod that is stale");
            problems.push(problem(store, &pod(loser), "status.podIPs", reason));
        }
        for name in self.pods.waiting.keys() {
            let reason = "no identity number is left for its labels, so it is taken for a pod without labels \
                          (reserved:init); use fewer distinct label sets";
            problems.push(problem(store, &pod(name), "metadata.labels", reason.into()));
        }
        for (key, policy) in self.rules.policies() {
            problems.extend(self.dangling(policy).map(|reason| problem(store, key, "spec", reason)));
        }
        for (_, cached) in self.cache.all().filter(|(_, cached)| cached.out_of_numbers) {
            let reason = format!("no identity number is left for {}, which therefore matches nobody", cached.selector);
            problems.push(Problem::of_file("", reason));
        }
        problems.sort();
        problems
    }

    /// What a policy refers to by name and is not there.
    fn dangling<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = String> + 'a {
        let lists =
            policy.rules.iter().flat_map(|rule| [&rule.ingress, &rule.ingress_deny, &rule.egress, &rule.egress_deny]);
        let entries = lists.flatten();
        let peers = entries.flat_map(|entry: &RuleEntry| entry.peers.iter().flatten());
        peers.filter_map(|peer| {
            let missing = match peer {
                PeerSelector::CidrGroup(peer) => {
                    matches!(peer.groups, CidrGroups::Named(_)) && self.referents.groups(peer).next().is_none()
                }
                PeerSelector::Service(peer) => {
                    matches!(peer.services, Services::Named(_)) && self.referents.services(peer).next().is_none()
                }
                _ => false,
            };
            missing.then(|| format!("there is no {peer}; until there is, it matches nobody"))
        })
    }
}

fn pod(name: &PodName) -> ObjectKey {
    ObjectKey { kind: Kind::Pod, namespace: name.namespace.clone(), name: name.name.clone() }
}

/// A problem that names where the object was written.
fn problem(store: &Store, key: &ObjectKey, field: &str, reason: String) -> Problem {
    let stored = store.get(key);
    Problem {
        file: stored.map(|stored| stored.file.clone()).unwrap_or_default(),
        document: stored.map_or(0, |stored| stored.document),
        object: key.to_string(),
        field: field.into(),
        reason,
    }
}
