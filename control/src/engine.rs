//! What all objects together mean, kept up to date: a [`SnapshotChange`] for the proxy and a [`WantedChange`] for the kernel.
//!
//! ```text
//! pods, namespaces ──▶ pods ──▶ numbers ──┐
//! groups, services ──▶ referents ─────────┼─▶ cache: identities × selectors ──┐
//! policies ──────────▶ rules ─────────────┘   (members, users)                ├─▶ policies of endpoints ──▶ entries
//!                        └── whose subject an endpoint's identity is ─────────┘
//! ```
//!
//! An event touches what it selects: a new identity is tried against the few selectors it may match, and adds its entries
//! to the policies that use those; an edited rule makes the policies anew that read it; nothing else is looked at. The
//! entries about a peer are a pure function of the policy's rules and of the selectors that match the peer.
//!
//! Invariants: what has changed one event at a time is what it would be from scratch, but for numbers; an entry about an
//! identity is there before an address stands for it, and goes after the last address; a number that an event frees means
//! nobody else before the next.

mod book;
mod cache;
mod entries;
mod index;
mod known;
mod matcher;
mod pods;
mod policies;
mod problems;
mod rules;
mod turn;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ipnet::IpNet;
use weir_model::{
    endpoint::PodName,
    identity::Identity,
    policy::{Policy, PolicyName},
    resolved::SelectorId,
    snapshot::SnapshotChange,
    wanted::{AddressOwner, KernelPolicy, PolicyId, WantedChange},
};

pub use self::book::{RuleBook, RuleText};
use self::{
    cache::Cache,
    matcher::Referents,
    pods::{Pods, Touched},
    policies::Policies,
    rules::{Edited, Rules, Slot},
    turn::PolicyWork,
};
use crate::{
    identities::IdentityTable,
    manifests::{Kind, Object, ObjectKey},
    store::{Changes, Store},
};

/// Who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Pods with another `spec.nodeName` are not of this node; `None` takes every pod for one of this node.
    pub node: Option<String>,
}

/// What became of an object: its content, or `None` if it is gone.
pub type Event = (ObjectKey, Option<Arc<Object>>);

/// The state of the world, and what of it the kernel and the proxy were told.
pub struct Engine {
    revision: u64,
    pods: Pods,
    referents: Referents,
    rules: Rules,
    cache: Cache,
    policies: Policies,
    book: RuleBook,
    /// The identities of this node's pods.
    locals: HashMap<Identity, Local>,
    addresses: HashMap<IpNet, AddressOwner>,
}

#[derive(Default)]
struct Local {
    pods: BTreeSet<Arc<PodName>>,
    rules: BTreeSet<Slot>,
}

/// A selector that policies name, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorView {
    /// Its number.
    pub id: SelectorId,
    /// What it says.
    pub text: String,
    /// How many allowances and denials name it.
    pub users: usize,
    /// The identities that it matches.
    pub members: Vec<Identity>,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(options: Options, table: IdentityTable) -> Self {
        Self {
            revision: 0,
            pods: Pods::new(options.node),
            referents: Referents::default(),
            rules: Rules::default(),
            cache: Cache::new(table),
            policies: Policies::default(),
            book: RuleBook::default(),
            locals: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Takes what has changed in the store. The first call yields everything, later ones nothing if nothing came of it.
    pub fn update(&mut self, store: &Store, changes: &Changes) -> Option<(SnapshotChange, WantedChange)> {
        let content = |key: &ObjectKey| (key.clone(), store.get(key).map(|stored| Arc::clone(&stored.object)));
        let events: Vec<Event> = changes.removed.iter().chain(&changes.changed).map(content).collect();
        self.apply(&events)
    }

    /// Takes events, as one step.
    pub fn apply(&mut self, events: &[Event]) -> Option<(SnapshotChange, WantedChange)> {
        let mut touched = Touched::default();
        let is_first = self.revision == 0;
        self.take_pods(events, &mut touched);
        if is_first {
            let pods = &self.pods;
            self.cache.table.retain(|name| pods.get(name).is_some());
        }
        let referring = if self.take_referents(events) { self.cache.refer(&self.referents) } else { Vec::new() };
        let mut edited = Edited::default();
        for (key, object) in events.iter().filter(|(key, _)| is_policy(key.kind)) {
            let mut parts = rules::Parts { cache: &mut self.cache, book: &mut self.book, referents: &self.referents };
            self.rules.take(key, object.as_ref(), &mut parts, &mut edited);
        }
        let turn = self.cache.settle(std::mem::take(&mut touched.identities));
        let stale = self.cache.refill(&referring);
        let mut work = PolicyWork::default();
        self.assign(&mut touched, &edited, &mut work);
        self.revise(&touched, &edited, stale, &mut work);
        let (mut snapshot, mut wanted) = self.tell(touched, &turn, &work);
        self.cache.sweep();
        let is_empty = snapshot == SnapshotChange::default() && wanted == WantedChange::default();
        if is_empty && !is_first {
            return None;
        }
        self.revision += 1;
        (snapshot.revision, wanted.revision) = (self.revision, self.revision);
        Some((snapshot, wanted))
    }

    fn take_pods(&mut self, events: &[Event], touched: &mut Touched) {
        let table = &mut self.cache.table;
        self.pods.retry(table, touched);
        for (key, object) in events.iter().filter(|(key, _)| key.kind == Kind::Namespace) {
            let namespace = object.as_deref().and_then(|object| match object {
                Object::Namespace(namespace) => Some(namespace),
                _ => None,
            });
            self.pods.take_namespace(&key.name, namespace, table, touched);
        }
        for (key, object) in events.iter().filter(|(key, _)| key.kind == Kind::Pod) {
            let pod = object.as_deref().and_then(|object| match object {
                Object::Pod(pod) => Some(pod),
                _ => None,
            });
            let name = PodName { namespace: key.namespace.clone(), name: key.name.clone() };
            self.pods.take(&name, pod, table, touched);
        }
    }

    /// `true` if one of them is there, or was.
    fn take_referents(&mut self, events: &[Event]) -> bool {
        let Referents { groups, services, .. } = &mut self.referents;
        let mut any = false;
        for (key, object) in events {
            match (key.kind, object.as_deref()) {
                (Kind::Service, Some(Object::Service(service))) => drop(services.insert(key.clone(), service.clone())),
                (Kind::Service, _) => drop(services.remove(key)),
                (Kind::CiliumCIDRGroup, Some(Object::CidrGroup(group))) => {
                    drop(groups.insert(key.clone(), group.clone()))
                }
                (Kind::CiliumCIDRGroup, _) => drop(groups.remove(key)),
                (Kind::EndpointSlice, _) => {}
                _ => continue,
            }
            any = true;
        }
        for (key, object) in events.iter().filter(|(key, _)| key.kind == Kind::EndpointSlice) {
            let slice = object.as_deref().and_then(|object| match object {
                Object::EndpointSlice(slice) => Some(slice),
                _ => None,
            });
            self.referents.take_slice(key, slice);
        }
        any
    }

    /// What the rules are called in the kernel and in records.
    pub fn book(&self) -> &RuleBook {
        &self.book
    }

    /// The numbers, to be saved before the kernel learns them.
    pub fn table(&mut self) -> &mut IdentityTable {
        &mut self.cache.table
    }

    /// A policy in force.
    pub fn policy(&self, name: &PolicyName) -> Option<&Policy> {
        self.rules.policy(&ObjectKey::of_policy(name))
    }

    /// The pods of this node that a policy selects, by name.
    pub fn selected_by(&self, name: &PolicyName) -> Vec<PodName> {
        let slots = self.rules.slots(&ObjectKey::of_policy(name));
        let selected = self.locals.values().filter(|local| slots.iter().any(|slot| local.rules.contains(slot)));
        let mut pods: Vec<PodName> = selected.flat_map(|local| &local.pods).map(|pod| (**pod).clone()).collect();
        pods.sort();
        pods
    }

    /// All entries of a policy of endpoints.
    pub fn kernel_policy(&self, id: PolicyId) -> Option<KernelPolicy> {
        self.policies.get(id).map(|shared| shared.kernel(&self.cache))
    }

    /// The selectors that policies name.
    pub fn selectors(&self) -> impl Iterator<Item = SelectorView> + '_ {
        self.cache.all().map(|(id, cached)| SelectorView {
            id,
            text: cached.selector.to_string(),
            users: cached.users,
            members: cached.members.iter().copied().collect(),
        })
    }
}

fn is_policy(kind: Kind) -> bool {
    !matches!(kind, Kind::Namespace | Kind::Pod | Kind::Service | Kind::EndpointSlice | Kind::CiliumCIDRGroup)
}
