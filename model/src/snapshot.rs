//! Everything the proxy needs to judge, and what changes of it from one revision to the next.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    labels::LabelSet,
    resolved::{EndpointPolicy, SelectorId},
    wanted::PolicyId,
};

/// The state of the world as of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with every change; the same number names the same content for the agent's life.
    pub revision: u64,
    /// The node's name, for flow records.
    pub node: String,
    /// Every identity in use, reserved ones that a selector matches included.
    pub identities: BTreeMap<Identity, KnownIdentity>,
    /// The policies of the pods of this node.
    pub policies: BTreeMap<PolicyId, Arc<EndpointPolicy>>,
    /// Every known pod, of this node or not.
    pub pods: BTreeMap<EndpointId, Arc<Pod>>,
    /// Identities of prefixes that policies name; what is no pod's and in none of them is the world.
    #[serde(with = "pairs")]
    pub prefixes: BTreeMap<IpNet, Identity>,
}

/// An identity as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIdentity {
    /// Its labels.
    pub labels: Arc<LabelSet>,
    /// The selectors of the snapshot's policies that match it, in ascending order.
    pub selectors: Arc<[SelectorId]>,
}

/// A pod with an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// Its identity.
    pub identity: Identity,
    /// Its addresses (`status.podIPs`).
    pub addresses: Vec<IpAddr>,
    /// Its policy, if it runs on this node, so that its policy is enforced here.
    pub policy: Option<PolicyId>,
}

/// What one event changes: new values, and `None` for what is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChange {
    /// The revision that this makes of the one before.
    pub revision: u64,
    /// Of [`Snapshot::identities`].
    pub identities: BTreeMap<Identity, Option<KnownIdentity>>,
    /// Of [`Snapshot::policies`].
    pub policies: BTreeMap<PolicyId, Option<Arc<EndpointPolicy>>>,
    /// Of [`Snapshot::pods`].
    pub pods: BTreeMap<EndpointId, Option<Arc<Pod>>>,
    /// Of [`Snapshot::prefixes`].
    #[serde(with = "pairs")]
    pub prefixes: BTreeMap<IpNet, Option<Identity>>,
}

impl Snapshot {
    /// Makes it the next revision.
    pub fn apply(&mut self, change: &SnapshotChange) {
        fn merge<K: Ord + Clone, V: Clone>(all: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
            for (key, value) in changes {
                match value {
                    Some(value) => drop(all.insert(key.clone(), value.clone())),
                    None => drop(all.remove(key)),
                }
            }
        }
        self.revision = change.revision;
        merge(&mut self.identities, &change.identities);
        merge(&mut self.policies, &change.policies);
        merge(&mut self.pods, &change.pods);
        merge(&mut self.prefixes, &change.prefixes);
    }
}

impl From<&Snapshot> for SnapshotChange {
    /// What makes the snapshot of nothing.
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            revision: snapshot.revision,
            identities: snapshot.identities.iter().map(|(id, known)| (*id, Some(known.clone()))).collect(),
            policies: snapshot.policies.iter().map(|(id, policy)| (*id, Some(Arc::clone(policy)))).collect(),
            pods: snapshot.pods.iter().map(|(id, pod)| (*id, Some(Arc::clone(pod)))).collect(),
            prefixes: snapshot.prefixes.iter().map(|(prefix, identity)| (*prefix, Some(*identity))).collect(),
        }
    }
}

/// A map as a list of pairs, since a key of JSON is a string.
mod pairs {
    use std::collections::BTreeMap;

    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<V: Serialize, S: Serializer>(map: &BTreeMap<IpNet, V>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<IpNet, V>, D::Error> {
        Ok(Vec::<(IpNet, V)>::deserialize(from)?.into_iter().collect())
    }
}
