//! Addresses to the people behind them, for flow records.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use crate::{
    flow::Who,
    identity::Identity,
    labels::{LabelKey, LabelSet},
    snapshot::Snapshot,
};

/// Who is behind an address, as of one snapshot.
#[derive(Clone, Debug)]
pub struct People {
    pods: HashMap<IpAddr, Arc<Who>>,
    reserved: BTreeMap<Identity, Arc<Who>>,
}

impl People {
    /// The people of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let labels: HashMap<Identity, &LabelSet> = snapshot.identities.iter().map(|(id, set)| (*id, set)).collect();
        let mut pods = HashMap::new();
        for pod in &snapshot.pods {
            let who = Arc::new(Who {
                identity: pod.identity,
                labels: labels.get(&pod.identity).map(|set| (*set).clone()).unwrap_or_default(),
                pod: Some(pod.name.clone()),
                endpoint: if pod.local { pod.endpoint.0 } else { 0 },
            });
            pods.extend(pod.addresses.iter().map(|address| (*address, Arc::clone(&who))));
        }
        let reserved = (0..Identity::FIRST_ALLOCATED.0).map(Identity).filter_map(|identity| {
            let name = identity.reserved_name()?;
            let labels = LabelSet::from_iter([(LabelKey::reserved(name), String::new())]);
            Some((identity, Arc::new(Who { identity, labels, pod: None, endpoint: 0 })))
        });
        Self { pods, reserved: reserved.collect() }
    }

    /// The pod with this address, or else whoever has the reserved `identity`.
    pub fn who(&self, address: IpAddr, identity: Identity) -> Arc<Who> {
        let known = self.pods.get(&address).or_else(|| self.reserved.get(&identity));
        known
            .cloned()
            .unwrap_or_else(|| Arc::new(Who { identity, labels: LabelSet::default(), pod: None, endpoint: 0 }))
    }

    /// The pod with this address, or else the world.
    pub fn pod_or_world(&self, address: IpAddr) -> Arc<Who> {
        self.who(address, if address.is_ipv4() { Identity::WORLD_IPV4 } else { Identity::WORLD_IPV6 })
    }
}
