//! Whose connections a change may concern, so that only those are looked at.

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use weir_model::{endpoint::EndpointId, identity::Identity, snapshot::SnapshotChange, wanted::PolicyId};

use super::World;
use crate::origin::Ends;

/// Whose connections a change may concern.
#[derive(Debug, Default)]
pub struct Touched {
    everybody: bool,
    /// Those of pods that have changed, and of this node's whose policy has.
    addresses: HashSet<IpAddr>,
    /// Those that other selectors match now.
    identities: HashSet<Identity>,
    /// Those that have another identity now, or none.
    prefixes: Vec<IpNet>,
}

impl Touched {
    /// Everybody's.
    pub fn everybody() -> Self {
        Self { everybody: true, ..Self::default() }
    }

    /// Of a change to `before`.
    pub fn of(before: &World, change: &SnapshotChange) -> Self {
        let people = before.people();
        let old = change.pods.keys().filter_map(|id| people.pod(*id));
        let pods = old.chain(change.pods.values().flatten()).flat_map(|pod| &pod.addresses).copied();
        let edited = |(_, policy): &(EndpointId, PolicyId)| change.policies.contains_key(policy);
        let enforced = (!change.policies.is_empty()).then_some(&before.enforced).into_iter().flatten();
        let policies = enforced.filter(|(_, enforced)| edited(enforced)).map(|(address, _)| *address);
        let differs = |id: Identity, new: &[_]| people.identity(id).map_or(&[][..], |old| &old.selectors) != new;
        // Nobody has had an identity that was not known, unless it is a reserved one.
        let known = |id: Identity| id < Identity::FIRST_ALLOCATED || people.identity(id).is_some();
        let identities = change
            .identities
            .iter()
            .filter(|(id, new)| known(**id) && differs(**id, new.as_ref().map_or(&[][..], |new| &new.selectors)));
        Self {
            everybody: false,
            addresses: pods.chain(policies).collect(),
            identities: identities.map(|(id, _)| *id).collect(),
            prefixes: change.prefixes.keys().copied().collect(),
        }
    }

    /// Whether a connection between these may be one of them, which `world` knows by now.
    pub fn concerns(&self, ends: Ends, world: &World) -> bool {
        self.everybody
            || [ends.client.ip(), ends.server.ip()].into_iter().any(|address| {
                self.addresses.contains(&address)
                    || self.prefixes.iter().any(|prefix| prefix.contains(&address))
                    || (!self.identities.is_empty()
                        && self.identities.contains(&world.people().pod_or_world(address).identity))
            })
    }
}
