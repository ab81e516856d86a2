//! What all objects together mean: the [`Snapshot`] for the proxy and the [`Wanted`] state of the kernel.
//!
//! ```text
//! pods ──▶ identities ──┐
//!                       ├─▶ rules that select an identity ──▶ EndpointPolicy ──▶ KernelPolicy
//! policies ──▶ rules ───┘   (peers resolved by a cache        (union of their    (entries by key)
//!                            of distinct selectors)            allowances)
//! ```
//!
//! [`resolve`] is pure. [`Resolver`] keeps what lasts between two calls: the numbers and the revision.

mod endpoints;
mod kernel;
mod selectors;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_model::{
    endpoint::PodName,
    identity::Identity,
    labels::LabelSet,
    policy::{Policy, PortRule, Rule, RuleEntry},
    resolved::{Direction, DirectionPolicy, EndpointPolicy, L4Rule, Peers, RuleOrigin},
    snapshot::{Pod, Snapshot},
    wanted::{AddressOwner, KernelPolicy, Wanted, WantedEndpoint},
};

use self::selectors::SelectorCache;
pub use self::{
    endpoints::{Endpoint, collect},
    kernel::kernel_policy,
};
use crate::{identities::IdentityTable, manifests::Object, problem::Problem, store::Store};

/// Who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Pods with another `spec.nodeName` are not of this node; `None` takes every pod for one of this node.
    pub node: Option<String>,
    /// The node's name in flow records.
    pub node_name: String,
}

/// The outcome of one resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// For the proxy.
    pub snapshot: Arc<Snapshot>,
    /// For the kernel.
    pub wanted: Arc<Wanted>,
    /// Conflicts between objects that are each well-formed.
    pub problems: Vec<Problem>,
}

/// Resolves again and again, with stable numbers and a revision that grows only when something changed.
pub struct Resolver {
    options: Options,
    table: IdentityTable,
    world: World,
}

impl Resolver {
    /// A resolver that has resolved nothing yet: its world is empty, at revision 0.
    pub fn new(options: Options, table: IdentityTable) -> Self {
        Self { options, table, world: World::default() }
    }

    /// Resolves the objects in force. `true`: the world changed and has a new revision.
    pub fn update(&mut self, store: &Store) -> bool {
        let (endpoints, mut problems) = collect(store, &self.options);
        let labels = endpoints.iter().map(|endpoint| (endpoint.name.clone(), endpoint.labels.clone())).collect();
        let without = self.table.assign(&labels);
        problems.extend(without.iter().map(|pod| out_of_numbers(store, pod)));
        let policies = store.objects().filter_map(|(_, stored)| match &*stored.object {
            Object::Policy(policy) => Some(policy),
            _ => None,
        });
        let (snapshot, wanted) =
            resolve(policies, &endpoints, &self.table, &self.options, self.world.snapshot.revision);
        self.world.problems = problems;
        let same_wanted =
            self.world.wanted.addresses == wanted.addresses && self.world.wanted.endpoints == wanted.endpoints;
        if snapshot.revision > 0 && snapshot == *self.world.snapshot && same_wanted {
            return false;
        }
        let revision = self.world.snapshot.revision + 1;
        self.world.snapshot = Arc::new(Snapshot { revision, ..snapshot });
        self.world.wanted = Arc::new(Wanted { revision, ..wanted });
        true
    }

    /// The world as of the last update.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The numbers, to be saved before the kernel learns them.
    pub fn table(&mut self) -> &mut IdentityTable {
        &mut self.table
    }
}

fn out_of_numbers(store: &Store, pod: &PodName) -> Problem {
    let reason = "no identity number is left for its labels, so it has no policy; use fewer distinct label sets";
    endpoints::problem_of_pod(store, pod, "metadata.labels", reason.into())
}

/// Resolves `policies` for `endpoints`, all of which shall have numbers in `table`; one that has none is left out.
pub fn resolve<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    endpoints: &[Endpoint],
    table: &IdentityTable,
    options: &Options,
    revision: u64,
) -> (Snapshot, Wanted) {
    let identities: BTreeMap<Identity, &LabelSet> = table.identities().collect();
    let rules = select(policies, &identities);
    let mut shared = SharedPolicies::default();
    let mut snapshot = Snapshot {
        revision,
        node: options.node_name.clone(),
        identities: identities.iter().map(|(identity, labels)| (*identity, (*labels).clone())).collect(),
        ..Snapshot::default()
    };
    let mut wanted = Wanted { revision, ..Wanted::default() };
    for endpoint in endpoints {
        let Some(assigned) = table.get(&endpoint.name) else { continue };
        let policy = shared.index(rules.for_identity(assigned.identity), &rules);
        for address in &endpoint.addresses {
            let number = endpoint.local.then_some(assigned.endpoint);
            wanted.addresses.insert(*address, AddressOwner { identity: assigned.identity, endpoint: number });
        }
        if endpoint.local {
            let wanted_endpoint = WantedEndpoint {
                name: endpoint.name.clone(),
                identity: assigned.identity,
                addresses: endpoint.addresses.iter().copied().collect(),
                policy: shared.kernel[policy].clone(),
            };
            wanted.endpoints.insert(assigned.endpoint, wanted_endpoint);
        }
        snapshot.pods.push(Pod {
            endpoint: assigned.endpoint,
            name: endpoint.name.clone(),
            identity: assigned.identity,
            addresses: endpoint.addresses.clone(),
            local: endpoint.local,
            policy,
        });
    }
    snapshot.policies = shared.policies;
    (snapshot, wanted)
}

/// Endpoints that the same rules select have the same policy.
#[derive(Default)]
struct SharedPolicies {
    by_rules: BTreeMap<Vec<usize>, usize>,
    policies: Vec<EndpointPolicy>,
    kernel: Vec<Arc<KernelPolicy>>,
}

impl SharedPolicies {
    fn index(&mut self, selected: &[usize], rules: &SelectedRules) -> usize {
        if let Some(index) = self.by_rules.get(selected) {
            return *index;
        }
        let policy = EndpointPolicy {
            ingress: union(selected.iter().map(|rule| &rules.rules[*rule].ingress)),
            egress: union(selected.iter().map(|rule| &rules.rules[*rule].egress)),
        };
        let index = self.policies.len();
        self.kernel.push(Arc::new(kernel_policy(&policy)));
        self.policies.push(policy);
        self.by_rules.insert(selected.to_vec(), index);
        index
    }
}

/// A direction is enforced as soon as one rule has entries for it, whatever these allow.
fn union<'a>(directions: impl Iterator<Item = &'a Option<Vec<L4Rule>>>) -> Option<DirectionPolicy> {
    let mut union: Option<DirectionPolicy> = None;
    for allowed in directions.flatten() {
        union.get_or_insert_default().rules.extend(allowed.iter().cloned());
    }
    union
}

/// Every rule, resolved once, and who is selected by which.
struct SelectedRules {
    rules: Vec<ResolvedRule>,
    by_identity: BTreeMap<Identity, Vec<usize>>,
}

/// What a rule allows; `None` for a direction without entries.
struct ResolvedRule {
    ingress: Option<Vec<L4Rule>>,
    egress: Option<Vec<L4Rule>>,
}

impl SelectedRules {
    fn for_identity(&self, identity: Identity) -> &[usize] {
        self.by_identity.get(&identity).map_or(&[], Vec::as_slice)
    }
}

fn select<'a>(policies: impl Iterator<Item = &'a Policy>, identities: &BTreeMap<Identity, &LabelSet>) -> SelectedRules {
    let mut cache = SelectorCache::new(identities);
    let mut selected = SelectedRules { rules: Vec::new(), by_identity: BTreeMap::new() };
    for policy in policies {
        for (index, rule) in policy.rules.iter().enumerate() {
            let subjects = cache.pods(&rule.subject);
            if subjects.is_empty() {
                continue;
            }
            for subject in subjects.iter() {
                selected.by_identity.entry(*subject).or_default().push(selected.rules.len());
            }
            selected.rules.push(resolve_rule(policy, index, rule, &mut cache));
        }
    }
    selected
}

fn resolve_rule(policy: &Policy, index: usize, rule: &Rule, cache: &mut SelectorCache<'_>) -> ResolvedRule {
    let mut direction = |direction: Direction, entries: &[RuleEntry]| {
        if entries.is_empty() {
            return None;
        }
        let origin = |entry| RuleOrigin {
            policy: policy.name.clone(),
            rule: saturate(index),
            direction,
            entry: saturate(entry),
            port: None,
        };
        let resolved = entries.iter().enumerate().flat_map(|(at, entry)| resolve_entry(entry, &origin(at), cache));
        Some(resolved.collect())
    };
    ResolvedRule {
        ingress: direction(Direction::Ingress, &rule.ingress),
        egress: direction(Direction::Egress, &rule.egress),
    }
}

/// The table of [`RuleEntry`], as code.
fn resolve_entry(entry: &RuleEntry, origin: &RuleOrigin, cache: &mut SelectorCache<'_>) -> Vec<L4Rule> {
    let ports = entry.ports.as_deref().unwrap_or_default();
    let peers = match &entry.peers {
        None if ports.is_empty() => return Vec::new(),
        None => Peers::Any,
        Some(selectors) => {
            let peers = cache.peers(selectors);
            if peers.is_empty() {
                return Vec::new();
            }
            Peers::Identities(peers)
        }
    };
    if ports.is_empty() {
        return vec![L4Rule { peers, protocol: None, port: 0, http: None, origin: origin.clone() }];
    }
    let rule = |(index, port_rule): (usize, &PortRule)| {
        let (http, peers) = (port_rule.http.clone(), peers.clone());
        let origin = RuleOrigin { port: Some(saturate(index)), ..origin.clone() };
        let ports: BTreeSet<_> = port_rule.ports.iter().copied().collect();
        ports.into_iter().map(move |port| L4Rule {
            peers: peers.clone(),
            protocol: Some(port.protocol),
            port: port.port,
            http: http.clone(),
            origin: origin.clone(),
        })
    };
    ports.iter().enumerate().flat_map(rule).collect()
}

/// An index for an explanation; no object that etcd would store reaches the limit.
fn saturate(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
