//! A snapshot, compiled: addresses to pods, policies to matchers. Built once per revision, shared by all workers.
//!
//! Most of a revision is what the one before was, and compiling is what takes time. So a direction of a policy is compiled
//! once, for all endpoints that have it and for as long as it is the same.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use weir_filters::http::PortRules;
use weir_model::{people::People, resolved::DirectionPolicy, snapshot::Snapshot};

/// The compiled snapshot. The default is an empty one, at revision 0.
pub struct World {
    revision: u64,
    people: People,
    policies: HashMap<IpAddr, Policy>,
    /// Every direction of the snapshot's policies, for the next revision.
    compiled: HashMap<DirectionPolicy, Arc<Ports>>,
    problems: Vec<String>,
}

/// An endpoint's compiled policy; `None` is a direction that nothing enforces.
#[derive(Clone)]
pub struct Policy {
    /// To the endpoint.
    pub ingress: Option<Arc<Ports>>,
    /// From the endpoint.
    pub egress: Option<Arc<Ports>>,
}

/// The compiled rules of one direction, by destination port. `None` where they do not compile: deny everything.
pub struct Ports {
    named: HashMap<u16, Option<Arc<PortRules>>>,
    others: Option<Arc<PortRules>>,
    /// One for each `None`.
    problems: Vec<String>,
}

impl Ports {
    fn compile(policy: &DirectionPolicy) -> Self {
        let mut problems = Vec::new();
        let mut compile = |port| {
            let compiled = PortRules::compile(policy, port);
            compiled.map(Arc::new).inspect_err(|e| problems.push(format!("port {port} denies every request: {e}"))).ok()
        };
        let others = compile(0);
        let ports: BTreeSet<u16> = policy.rules.iter().map(|rule| rule.port).filter(|port| *port != 0).collect();
        let named = ports.into_iter().map(|port| (port, compile(port))).collect();
        Self { named, others, problems }
    }

    /// The rules for connections to `port`.
    pub fn rules(&self, port: u16) -> Option<&Arc<PortRules>> {
        self.named.get(&port).unwrap_or(&self.others).as_ref()
    }
}

impl World {
    /// Compiles a snapshot. A port whose rules do not compile denies everything and is named in [`World::problems`].
    pub fn compile(snapshot: &Snapshot) -> Self {
        Self::default().next(snapshot)
    }

    /// As [`World::compile`], but what this world has compiled already is shared with the new one.
    pub fn next(&self, snapshot: &Snapshot) -> Self {
        let mut world = Self { revision: snapshot.revision, people: People::of(snapshot), ..Self::default() };
        let mut ports = |direction: &Option<DirectionPolicy>| Some(world.ports(direction.as_ref()?, self));
        let compiled: Vec<Policy> = snapshot
            .policies
            .iter()
            .map(|policy| Policy { ingress: ports(&policy.ingress), egress: ports(&policy.egress) })
            .collect();
        for pod in snapshot.pods.iter().filter(|pod| pod.local) {
            if let Some(policy) = compiled.get(pod.policy) {
                world.policies.extend(pod.addresses.iter().map(|address| (*address, policy.clone())));
            }
        }
        world
    }

    /// Those of this world, or those of the previous one, or new ones.
    fn ports(&mut self, direction: &DirectionPolicy, previous: &Self) -> Arc<Ports> {
        match self.compiled.entry(direction.clone()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => {
                let kept = previous.compiled.get(direction).cloned();
                let ports = kept.unwrap_or_else(|| Arc::new(Ports::compile(direction)));
                self.problems.extend_from_slice(&ports.problems);
                Arc::clone(new.insert(ports))
            }
        }
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
        self.policies.get(&address)
    }

    /// Who is behind an address.
    pub fn people(&self) -> &People {
        &self.people
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            revision: 0,
            people: People::of(&Snapshot::default()),
            policies: HashMap::new(),
            compiled: HashMap::new(),
            problems: Vec::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
