//! Numbers: label set → [`Identity`], pod → [`EndpointId`], the same over restarts.
//!
//! An identity lives as long as a pod has its labels (it is counted); a number that became free is given again only when no
//! fresh one is left, so that whatever still carries it (a packet's mark, a map entry not yet removed) does not come to mean
//! another label set.

mod labels;
mod numbers;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    labels::LabelSet,
};

pub use self::labels::identity_labels;
use self::numbers::Numbers;

/// The numbers of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The pod's own.
    pub endpoint: EndpointId,
    /// Its label set's.
    pub identity: Identity,
}

/// The first numbers that may be given when there is no usable state file: all below may still be in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// For identities.
    pub identity: Identity,
    /// For endpoints.
    pub endpoint: EndpointId,
}

impl Default for Floor {
    fn default() -> Self {
        Self { identity: Identity::FIRST_ALLOCATED, endpoint: EndpointId(1) }
    }
}

/// Who has which number. [`IdentityTable::load`] and [`IdentityTable::save`] keep it in a file.
#[derive(Clone, Debug)]
pub struct IdentityTable {
    identities: BTreeMap<LabelSet, Counted>,
    labels: BTreeMap<Identity, LabelSet>,
    pods: BTreeMap<PodName, Assigned>,
    identity_numbers: Numbers,
    endpoint_numbers: Numbers,
    /// Whether the state file is behind.
    unsaved: bool,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    identity: Identity,
    references: usize,
}

impl IdentityTable {
    /// An empty table that begins to number at `floor`.
    pub fn new(floor: Floor) -> Self {
        let (first, last) = (Identity::FIRST_ALLOCATED.0, Identity::LAST_ALLOCATED.0);
        Self {
            identities: BTreeMap::new(),
            labels: BTreeMap::new(),
            pods: BTreeMap::new(),
            identity_numbers: Numbers::new(first, last, floor.identity.0),
            endpoint_numbers: Numbers::new(1, u32::MAX, floor.endpoint.0),
            unsaved: true,
        }
    }

    /// Makes `pods` the pods that have numbers. A pod and a label set that stay keep theirs. Returned are the pods for which no
    /// number was left.
    ///
    /// The first call after a load shall name all pods, or those it leaves out lose their numbers.
    pub fn assign(&mut self, pods: &BTreeMap<PodName, LabelSet>) -> Vec<PodName> {
        // New label sets are counted before old ones are dropped, so that a set that moves from pod to pod keeps its number.
        let mut dropped = Vec::new();
        let mut without = Vec::new();
        for (pod, labels) in pods {
            let old = self.pods.get(pod).copied();
            if old.is_some_and(|old| self.labels.get(&old.identity) == Some(labels)) {
                continue;
            }
            dropped.extend(old.map(|old| old.identity));
            if !self.number(pod, labels) {
                without.push(pod.clone());
            }
        }
        let gone: Vec<PodName> = self.pods.keys().filter(|pod| !pods.contains_key(*pod)).cloned().collect();
        for pod in gone {
            dropped.extend(self.pods.get(&pod).map(|old| old.identity));
            self.forget(&pod);
        }
        for identity in dropped {
            self.release(identity);
        }
        // Those that came too early may have what was given back just now.
        without.retain(|pod| !pods.get(pod).is_some_and(|labels| self.number(pod, labels)));
        self.check_invariants();
        without
    }

    /// The numbers of a pod.
    pub fn get(&self, pod: &PodName) -> Option<Assigned> {
        self.pods.get(pod).copied()
    }

    /// Whether the state file does not know these numbers yet.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Every identity in use with its labels, by number.
    pub fn identities(&self) -> impl Iterator<Item = (Identity, &LabelSet)> {
        self.labels.iter().map(|(identity, labels)| (*identity, labels))
    }

    /// Gives `pod` the number of `labels`, and an endpoint number if it has none; without either it is forgotten.
    fn number(&mut self, pod: &PodName, labels: &LabelSet) -> bool {
        self.unsaved = true;
        let Some(identity) = self.acquire(labels) else {
            self.forget(pod);
            return false;
        };
        let old = self.pods.get(pod).map(|old| old.endpoint);
        let Some(endpoint) = old.or_else(|| self.endpoint_numbers.take().map(EndpointId)) else {
            self.release(identity);
            return false;
        };
        self.pods.insert(pod.clone(), Assigned { endpoint, identity });
        true
    }

    /// Takes a pod's endpoint number back; its identity is released apart.
    fn forget(&mut self, pod: &PodName) {
        if let Some(old) = self.pods.remove(pod) {
            self.endpoint_numbers.release(old.endpoint.0);
            self.unsaved = true;
        }
    }

    fn acquire(&mut self, labels: &LabelSet) -> Option<Identity> {
        if let Some(counted) = self.identities.get_mut(labels) {
            counted.references += 1;
            return Some(counted.identity);
        }
        let identity = Identity(self.identity_numbers.take()?);
        self.identities.insert(labels.clone(), Counted { identity, references: 1 });
        self.labels.insert(identity, labels.clone());
        Some(identity)
    }

    fn release(&mut self, identity: Identity) {
        let Some(labels) = self.labels.get(&identity) else { return };
        let Some(counted) = self.identities.get_mut(labels) else { return };
        counted.references -= 1;
        if counted.references == 0 {
            self.identities.remove(labels);
            self.labels.remove(&identity);
            self.identity_numbers.release(identity.0);
        }
    }

    fn check_invariants(&self) {
        debug_assert_eq!(self.identities.len(), self.labels.len());
        let references: usize = self.identities.values().map(|counted| counted.references).sum();
        debug_assert_eq!(references, self.pods.len());
        debug_assert!(self.pods.values().all(|pod| self.labels.contains_key(&pod.identity)));
    }
}
