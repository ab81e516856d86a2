//! A snapshot, compiled: addresses to pods, policies to matchers. Built once per revision, shared by all workers.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use weir_filters::http::PortRules;
use weir_model::{
    people::People,
    resolved::{DirectionPolicy, EndpointPolicy},
    snapshot::Snapshot,
};

/// The compiled snapshot.
pub struct World {
    revision: u64,
    people: People,
    policies: HashMap<IpAddr, Arc<Policy>>,
    problems: Vec<String>,
}

/// An endpoint's compiled policy; `None` is a direction that nothing enforces.
pub struct Policy {
    /// To the endpoint.
    pub ingress: Option<Ports>,
    /// From the endpoint.
    pub egress: Option<Ports>,
}

/// The compiled rules of one direction, by destination port. `None` where they do not compile: deny everything.
pub struct Ports {
    named: HashMap<u16, Option<Arc<PortRules>>>,
    others: Option<Arc<PortRules>>,
}

impl Ports {
    fn compile(policy: &DirectionPolicy, problems: &mut Vec<String>) -> Self {
        let mut compile = |port| {
            let compiled = PortRules::compile(policy, port);
            compiled.map(Arc::new).inspect_err(|e| problems.push(format!("port {port} denies every request: {e}"))).ok()
        };
        let others = compile(0);
        let ports = policy.rules.iter().map(|rule| rule.port).filter(|port| *port != 0);
        Self { named: ports.map(|port| (port, compile(port))).collect(), others }
    }

    /// The rules for connections to `port`.
    pub fn rules(&self, port: u16) -> Option<&Arc<PortRules>> {
        self.named.get(&port).unwrap_or(&self.others).as_ref()
    }
}

impl World {
    /// Compiles a snapshot. A port whose rules do not compile denies everything and is named in [`World::problems`].
    pub fn compile(snapshot: &Snapshot) -> Self {
        let mut problems = Vec::new();
        let compiled: Vec<Arc<Policy>> =
            snapshot.policies.iter().map(|policy| Arc::new(compile_policy(policy, &mut problems))).collect();
        let mut policies = HashMap::new();
        for pod in snapshot.pods.iter().filter(|pod| pod.local) {
            if let Some(policy) = compiled.get(pod.policy) {
                policies.extend(pod.addresses.iter().map(|address| (*address, Arc::clone(policy))));
            }
        }
        Self { revision: snapshot.revision, people: People::of(snapshot), policies, problems }
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
    pub fn policy(&self, address: IpAddr) -> Option<&Arc<Policy>> {
        self.policies.get(&address)
    }

    /// Who is behind an address.
    pub fn people(&self) -> &People {
        &self.people
    }
}

fn compile_policy(policy: &EndpointPolicy, problems: &mut Vec<String>) -> Policy {
    Policy {
        ingress: policy.ingress.as_ref().map(|direction| Ports::compile(direction, problems)),
        egress: policy.egress.as_ref().map(|direction| Ports::compile(direction, problems)),
    }
}
