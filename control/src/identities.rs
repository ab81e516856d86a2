//! Numbers: label set or prefix → [`Identity`], pod → [`EndpointId`], the same over restarts.
//!
//! An identity lives as long as something has its labels, or names its prefix (it is counted); a number that became free
//! is given again only when no fresh one is left, and never within the same event, so that whatever still carries it (a
//! packet's mark, a map entry not yet removed) does not come to mean somebody else.

mod labels;
mod numbers;
mod scope;
mod state;

use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    labels::LabelSet,
};

pub use self::labels::{identity_labels, with_namespace};
use self::{
    numbers::Numbers,
    scope::Scope,
    state::{Journal, Line},
};

/// The numbers of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The pod's own.
    pub endpoint: EndpointId,
    /// Its label set's; [`Identity::INIT`] if none was left.
    pub identity: Identity,
}

/// The first numbers that may be given when there is no usable state file: all below may still be in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// For identities of label sets.
    pub identity: Identity,
    /// For identities of prefixes.
    pub prefix: Identity,
    /// For endpoints.
    pub endpoint: EndpointId,
}

impl Default for Floor {
    fn default() -> Self {
        Self { identity: Identity::FIRST_ALLOCATED, prefix: Identity::FIRST_LOCAL, endpoint: EndpointId(1) }
    }
}

/// Who has which number. [`IdentityTable::load`] and [`IdentityTable::save`] keep it in a file.
#[derive(Clone, Debug)]
pub struct IdentityTable {
    labels: Scope<Arc<LabelSet>>,
    prefixes: Scope<IpNet>,
    pods: BTreeMap<PodName, Numbered>,
    endpoint_numbers: Numbers,
    journal: Journal,
}

#[derive(Clone, Copy, Debug)]
struct Numbered {
    assigned: Assigned,
    /// Of this node: only then its number is in the kernel, and is kept over restarts.
    is_local: bool,
}

impl IdentityTable {
    /// An empty table that begins to number at `floor`.
    pub fn new(floor: Floor) -> Self {
        Self {
            labels: Scope::new(Identity::FIRST_ALLOCATED, Identity::LAST_ALLOCATED, floor.identity),
            prefixes: Scope::new(Identity::FIRST_LOCAL, Identity::LAST_LOCAL, floor.prefix),
            pods: BTreeMap::new(),
            endpoint_numbers: Numbers::new(1, u32::MAX, floor.endpoint.0),
            journal: Journal::default(),
        }
    }

    /// The numbers of a pod with these labels: its endpoint number stays, and a label set that has a number keeps it. `None`
    /// if no endpoint number is left.
    pub fn number(&mut self, pod: &PodName, labels: LabelSet, is_local: bool) -> Option<Assigned> {
        let old = self.pods.get(pod).copied();
        if let Some(Numbered { assigned, is_local: was_local }) = old
            && is_local == was_local
            && self.labels.get(assigned.identity).is_some_and(|known| **known == labels)
        {
            return Some(assigned);
        }
        let endpoint = match old {
            Some(old) => old.assigned.endpoint,
            None => EndpointId(self.endpoint_numbers.take()?),
        };
        if is_local && old.is_none_or(|old| !old.is_local) {
            self.journal.unsaved.push(Line::Pod(endpoint, pod.clone()));
        }
        let labels = Arc::new(labels);
        let is_new = self.labels.find(&labels).is_none();
        // The new labels are counted before the old ones are dropped.
        let identity = self.labels.acquire(Arc::clone(&labels)).unwrap_or(Identity::INIT);
        if is_new && identity != Identity::INIT {
            self.journal.unsaved.push(Line::Labels(identity, labels));
        }
        if let Some(old) = old {
            self.labels.release(old.assigned.identity);
        }
        let assigned = Assigned { endpoint, identity };
        self.pods.insert(pod.clone(), Numbered { assigned, is_local });
        Some(assigned)
    }

    /// Takes the numbers of a pod back.
    pub fn forget(&mut self, pod: &PodName) {
        if let Some(Numbered { assigned, .. }) = self.pods.remove(pod) {
            self.endpoint_numbers.release(assigned.endpoint.0);
            self.labels.release(assigned.identity);
        }
    }

    /// Forgets the pods that are not named: after a load, those that went while nobody watched.
    pub fn retain(&mut self, is_there: impl Fn(&PodName) -> bool) {
        let gone: Vec<PodName> = self.pods.keys().filter(|pod| !is_there(pod)).cloned().collect();
        for pod in gone {
            self.forget(&pod);
        }
    }

    /// The number of a prefix, counted once more; `None` if none is left.
    pub fn name_prefix(&mut self, prefix: IpNet) -> Option<Identity> {
        let is_new = self.prefixes.find(&prefix).is_none();
        let identity = self.prefixes.acquire(prefix)?;
        self.journal.unsaved.extend(is_new.then_some(Line::Prefix(identity, prefix)));
        Some(identity)
    }

    /// Counts a prefix once less.
    pub fn release_prefix(&mut self, prefix: &IpNet) {
        if let Some(identity) = self.prefixes.find(prefix) {
            self.prefixes.release(identity);
        }
    }

    /// Ends an event: the identities that nothing has any more lose their numbers, and are returned.
    pub fn settle(&mut self) -> Vec<Identity> {
        let mut gone = self.labels.settle();
        gone.extend(self.prefixes.settle());
        gone
    }

    /// The numbers of a pod. After a load, its identity is unknown until the pod is numbered.
    pub fn get(&self, pod: &PodName) -> Option<Assigned> {
        self.pods.get(pod).map(|numbered| numbered.assigned)
    }

    /// The labels of a pods' identity.
    pub fn labels(&self, identity: Identity) -> Option<&Arc<LabelSet>> {
        self.labels.get(identity)
    }

    /// The prefix of an identity.
    pub fn prefix(&self, identity: Identity) -> Option<IpNet> {
        self.prefixes.get(identity).copied()
    }

    /// The identity of a prefix.
    pub fn prefix_identity(&self, prefix: &IpNet) -> Option<Identity> {
        self.prefixes.find(prefix)
    }
}
