//! The agent's snapshot, compiled: addresses to pods, policies to matchers. One value per revision, shared by all workers.
//!
//! A revision is made of the one before and of what changes: the maps are persistent, so it costs what it changes. And
//! compiling is what takes time. So a direction of a policy is compiled once, for all endpoints that have it and for as
//! long as it is the same.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use rpds::HashTrieMapSync;
use weir_model::{
    endpoint::EndpointId,
    people::People,
    resolved::{Direction, EndpointPolicy},
    snapshot::{Snapshot, SnapshotChange},
    wanted::PolicyId,
};

use self::ports::Content;
pub use self::{ports::Ports, touched::Touched};

mod ports;
mod touched;

/// The compiled snapshot. The default is an empty one, at revision 0.
#[derive(Clone, Default)]
pub struct World {
    revision: u64,
    people: People,
    /// The addresses of this node's pods.
    enforced: HashTrieMapSync<IpAddr, (EndpointId, PolicyId)>,
    policies: HashTrieMapSync<PolicyId, Policy>,
    /// Every direction of the policies.
    compiled: HashTrieMapSync<Content, Arc<Ports>>,
    problems: Arc<Vec<String>>,
}

/// An endpoint's compiled policy.
#[derive(Clone)]
pub struct Policy {
    /// To the endpoint.
    pub ingress: Arc<Ports>,
    /// From the endpoint.
    pub egress: Arc<Ports>,
}

/// That of a pod whose policy is not known.
static CLOSED: LazyLock<Policy> = LazyLock::new(|| {
    let closed = Arc::new(Ports::closed());
    Policy { ingress: Arc::clone(&closed), egress: closed }
});

impl World {
    /// Compiles a snapshot. A port whose rules do not compile denies everything and is named in [`World::problems`].
    pub fn compile(snapshot: &Snapshot) -> Self {
        Self::default().replaced(snapshot)
    }

    /// As [`World::compile`], but what this world has compiled already is shared with the new one.
    pub fn replaced(&self, snapshot: &Snapshot) -> Self {
        let mut world = Self { compiled: self.compiled.clone(), ..Self::default() };
        world.apply(&SnapshotChange::from(snapshot));
        world
    }

    /// The next revision.
    pub fn next(&self, change: &SnapshotChange) -> Self {
        let mut world = self.clone();
        world.apply(change);
        world
    }

    fn apply(&mut self, change: &SnapshotChange) {
        self.revision = change.revision;
        for (id, policy) in &change.policies {
            match policy {
                Some(policy) => {
                    let policy = self.policy_of(policy);
                    self.policies.insert_mut(*id, policy);
                }
                None => drop(self.policies.remove_mut(id)),
            }
        }
        if !change.policies.is_empty() {
            let ports = || self.policies.values().flat_map(|policy| [&policy.ingress, &policy.egress]);
            let used: std::collections::HashSet<*const Ports> = ports().map(Arc::as_ptr).collect();
            let unused = self.compiled.iter().filter(|(_, ports)| !used.contains(&Arc::as_ptr(ports)));
            for content in unused.map(|(content, _)| content.clone()).collect::<Vec<_>>() {
                self.compiled.remove_mut(&content);
            }
            self.problems = Arc::new(self.compiled.values().flat_map(|ports| ports.problems()).cloned().collect());
        }
        // An address that moves from one pod to another is given up before it is taken.
        for (id, pod) in change.pods.keys().filter_map(|id| Some((*id, self.people.pod(*id)?))) {
            for address in &pod.addresses {
                if self.enforced.get(address).is_some_and(|(owner, _)| *owner == id) {
                    self.enforced.remove_mut(address);
                }
            }
        }
        for (id, pod) in change.pods.iter().filter_map(|(id, pod)| Some((*id, pod.as_ref()?))) {
            if let Some(policy) = pod.policy {
                for address in &pod.addresses {
                    self.enforced.insert_mut(*address, (id, policy));
                }
            }
        }
        self.people.apply(change);
    }

    /// A policy, compiled, as far as it was not yet.
    fn policy_of(&mut self, policy: &Arc<EndpointPolicy>) -> Policy {
        let mut ports = |direction| {
            let content = Content::new(policy, direction);
            let ports = self.compiled.get(&content).cloned();
            ports.unwrap_or_else(|| {
                let ports = Arc::new(Ports::compile(content.rules()));
                self.compiled.insert_mut(content, Arc::clone(&ports));
                ports
            })
        };
        Policy { ingress: ports(Direction::Ingress), egress: ports(Direction::Egress) }
    }

    /// The snapshot's revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What could not be compiled.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The policy of the pod with this address, if it is one of this node.
    pub fn policy(&self, address: IpAddr) -> Option<&Policy> {
        let (_, policy) = self.enforced.get(&address)?;
        Some(self.policies.get(policy).unwrap_or(&CLOSED))
    }

    /// Who is behind an address.
    pub fn people(&self) -> &People {
        &self.people
    }
}

#[cfg(test)]
pub(crate) mod tests;
