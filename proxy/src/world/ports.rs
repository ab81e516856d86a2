//! One direction of a policy, compiled: its rules by destination port.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{Hash, Hasher},
    sync::Arc,
};

use weir_filters::http::PortRules;
use weir_model::{
    policy::Mode,
    resolved::{Direction, DirectionPolicy, EndpointPolicy, L4Rule},
};

/// The compiled rules of one direction, by destination port. `None` where they do not compile: deny everything.
pub struct Ports {
    /// Where a stretch of ports with the same rules begins, in ascending order, from 0 on.
    stretches: Vec<(u16, Option<Arc<PortRules>>)>,
    /// One for each stretch that is `None`.
    problems: Vec<String>,
}

impl Ports {
    /// Denies everything.
    pub(super) fn closed() -> Self {
        Self { stretches: vec![(0, None)], problems: Vec::new() }
    }

    pub(super) fn compile(policy: &DirectionPolicy) -> Self {
        let rules = || policy.rules.iter().enumerate().filter(|(_, rule)| rule.mode != Mode::Observe);
        let ends = |rule: &L4Rule| [Some(rule.ports.first), rule.ports.last.checked_add(1)];
        let begins: BTreeSet<u16> = rules().flat_map(|(_, rule)| ends(rule)).flatten().chain([0]).collect();
        let (mut known, mut problems) = (HashMap::new(), Vec::new());
        let mut compile = |port| {
            let same: Vec<usize> =
                rules().filter(|(_, rule)| rule.covers_tcp(port)).map(|(number, _)| number).collect();
            let compiled = known.entry(same).or_insert_with(|| PortRules::compile(policy, port).map(Arc::new));
            if let Err(error) = compiled {
                problems.push(format!("port {port} denies every request: {error}"));
            }
            (port, compiled.as_ref().ok().cloned())
        };
        let stretches = begins.into_iter().map(&mut compile).collect();
        Self { stretches, problems }
    }

    /// The rules for connections to `port`.
    pub fn rules(&self, port: u16) -> Option<&Arc<PortRules>> {
        let after = self.stretches.partition_point(|(first, _)| *first <= port);
        self.stretches[..after].last()?.1.as_ref()
    }

    /// What could not be compiled.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// One direction of a policy, as a key: equal if the rules are.
#[derive(Clone)]
pub(super) struct Content {
    policy: Arc<EndpointPolicy>,
    direction: Direction,
}

impl Content {
    pub(super) fn new(policy: &Arc<EndpointPolicy>, direction: Direction) -> Self {
        Self { policy: Arc::clone(policy), direction }
    }

    pub(super) fn rules(&self) -> &DirectionPolicy {
        self.policy.direction(self.direction)
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.rules() == other.rules()
    }
}

impl Eq for Content {}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules().hash(state);
    }
}
