//! Who is behind an address: for the records of what happened, and, in the proxy, for judging.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::{
    endpoint::EndpointId,
    flow::Who,
    identity::Identity,
    labels::{LabelKey, LabelSet},
    resolved::SelectorId,
    snapshot::{KnownIdentity, Pod, Snapshot, SnapshotChange},
};

/// Who is behind an address, as of one revision. A clone is cheap, and a change costs what it changes.
#[derive(Clone, Debug)]
pub struct People {
    identities: HashTrieMapSync<Identity, KnownIdentity>,
    pods: HashTrieMapSync<EndpointId, Arc<Pod>>,
    addresses: HashTrieMapSync<IpAddr, Arc<Who>>,
    prefixes: RedBlackTreeMapSync<IpNet, Identity>,
    /// Lengths of the prefixes of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
    reserved: Arc<BTreeMap<Identity, Arc<Who>>>,
}

impl Default for People {
    fn default() -> Self {
        let reserved = (0..Identity::FIRST_ALLOCATED.0).map(Identity).filter_map(|identity| {
            let name = identity.reserved_name()?;
            let labels = LabelSet::from_iter([(LabelKey::reserved(name), String::new())]);
            Some((identity, Arc::new(Who { identity, labels: Arc::new(labels), pod: None, endpoint: 0 })))
        });
        Self {
            identities: HashTrieMapSync::default(),
            pods: HashTrieMapSync::default(),
            addresses: HashTrieMapSync::default(),
            prefixes: RedBlackTreeMapSync::default(),
            lengths: <[BTreeSet<u8>; 2]>::default(),
            reserved: Arc::new(reserved.collect()),
        }
    }
}

impl People {
    /// The people of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut people = Self::default();
        people.apply(&SnapshotChange::from(snapshot));
        people
    }

    /// Makes them those of the next revision.
    pub fn apply(&mut self, change: &SnapshotChange) {
        for (identity, known) in &change.identities {
            match known {
                Some(known) => self.identities.insert_mut(*identity, known.clone()),
                None => drop(self.identities.remove_mut(identity)),
            }
        }
        // An address that moves from one pod to another is given up before it is taken.
        for endpoint in change.pods.keys() {
            if let Some(old) = self.pods.get(endpoint).cloned() {
                self.pods.remove_mut(endpoint);
                for address in &old.addresses {
                    if self.addresses.get(address).is_some_and(|who| who.pod.as_ref() == Some(&old.name)) {
                        self.addresses.remove_mut(address);
                    }
                }
            }
        }
        for (endpoint, pod) in change.pods.iter().filter_map(|(id, pod)| Some((*id, pod.as_ref()?))) {
            let who = Arc::new(Who {
                identity: pod.identity,
                labels: self.identities.get(&pod.identity).map(|known| known.labels.clone()).unwrap_or_default(),
                pod: Some(pod.name.clone()),
                endpoint: if pod.policy.is_some() { endpoint.0 } else { 0 },
            });
            for address in &pod.addresses {
                self.addresses.insert_mut(*address, Arc::clone(&who));
            }
            self.pods.insert_mut(endpoint, Arc::clone(pod));
        }
        for (prefix, identity) in &change.prefixes {
            match identity {
                Some(identity) => self.prefixes.insert_mut(*prefix, *identity),
                None => drop(self.prefixes.remove_mut(prefix)),
            }
        }
        if !change.prefixes.is_empty() {
            let of = |v6| self.prefixes.keys().filter(move |net| net.addr().is_ipv6() == v6).map(IpNet::prefix_len);
            self.lengths = [of(false).collect(), of(true).collect()];
        }
    }

    /// The pod with this address, or else whoever has the identity.
    pub fn who(&self, address: IpAddr, identity: Identity) -> Arc<Who> {
        if let Some(known) = self.addresses.get(&address).or_else(|| self.reserved.get(&identity)) {
            return Arc::clone(known);
        }
        let labels = self.identities.get(&identity).map(|known| Arc::clone(&known.labels)).unwrap_or_default();
        Arc::new(Who { identity, labels, pod: None, endpoint: 0 })
    }

    /// The pod with this address, or else the prefix that it is in, or else the world.
    pub fn pod_or_world(&self, address: IpAddr) -> Arc<Who> {
        let world = if address.is_ipv4() { Identity::WORLD_IPV4 } else { Identity::WORLD_IPV6 };
        self.who(address, self.prefix(address).unwrap_or(world))
    }

    /// The selectors that match an identity, in ascending order.
    pub fn selectors(&self, identity: Identity) -> Arc<[SelectorId]> {
        self.identities.get(&identity).map(|known| Arc::clone(&known.selectors)).unwrap_or_default()
    }

    /// An identity that is in use.
    pub fn identity(&self, identity: Identity) -> Option<&KnownIdentity> {
        self.identities.get(&identity)
    }

    /// The labels of an identity; of one that nothing is known of, none.
    pub fn labels(&self, identity: Identity) -> Arc<LabelSet> {
        let reserved = || self.reserved.get(&identity).map(|who| &who.labels);
        self.identities.get(&identity).map(|known| &known.labels).or_else(reserved).cloned().unwrap_or_default()
    }

    /// Every identity that a snapshot has named.
    pub fn identities(&self) -> impl Iterator<Item = (&Identity, &KnownIdentity)> {
        self.identities.iter()
    }

    /// The pods, by number.
    pub fn pods(&self) -> impl Iterator<Item = (&EndpointId, &Arc<Pod>)> {
        self.pods.iter()
    }

    /// A pod.
    pub fn pod(&self, endpoint: EndpointId) -> Option<&Arc<Pod>> {
        self.pods.get(&endpoint)
    }

    /// The identity of the longest prefix that holds the address.
    fn prefix(&self, address: IpAddr) -> Option<Identity> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        let nets = lengths.iter().rev().filter_map(|length| IpNet::new(address, *length).ok());
        nets.filter_map(|net| self.prefixes.get(&net.trunc())).next().copied()
    }
}
