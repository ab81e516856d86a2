//! The order of a plan's actions: whatever the old state and the new, every packet is judged by all of the one until the
//! epoch is written, and by all of the other from then on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use proptest::prelude::*;
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    resolved::{Direction, RuleId},
    wanted::{
        AddressOwner, Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict, PolicyChange,
        PolicyId, WantedChange, WantedEndpoint,
    },
};
use weir_sockmap::{
    book::{Book, Touched},
    judge::{Judgement, Question},
    plan::{Action, Plan, plan, too_large},
    state::State,
};

/// Everything that is wanted at one time.
#[derive(Clone, Debug, Default)]
struct World {
    policies: BTreeMap<PolicyId, KernelPolicy>,
    endpoints: BTreeMap<EndpointId, (PolicyId, u32)>,
    addresses: BTreeMap<IpNet, AddressOwner>,
}

const NETS: [&str; 8] = [
    "198.18.0.1/32",
    "198.18.0.2/32",
    "198.18.0.3/32",
    "198.18.0.0/24",
    "198.18.0.0/30",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8::1/128",
];

/// A few addresses inside and outside of all these.
const PEOPLE: [&str; 6] = ["198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.9", "192.0.2.1", "2001:db8::1"];

fn verdict() -> impl Strategy<Value = KernelVerdict> {
    use KernelVerdict::{Allow, Deny, None, Redirect};
    prop_oneof![Just(None), Just(Allow), Just(Redirect), Just(Deny)]
}

fn entry() -> impl Strategy<Value = (EntryKey, EntryVerdict)> {
    let kind = prop_oneof![Just((0, 0, 0)), Just((6, 0, 0)), Just((6, 80, 16)), Just((6, 80, 12)), Just((17, 80, 16))];
    let peer = prop_oneof![Just(0_u32), 300..305_u32, Just(9)];
    (any::<bool>(), peer, kind, verdict(), verdict(), any::<bool>()).prop_map(
        |(to, peer, (protocol, port, port_bits), enforced, audited, observe)| {
            let direction = if to { Direction::Ingress } else { Direction::Egress };
            let key = EntryKey { direction, peer: Identity(peer), protocol, port, port_bits };
            let decided = |verdict| Decided { verdict, rule: RuleId(peer + 1) };
            (key, EntryVerdict { enforced: decided(enforced), audited: decided(audited), observe })
        },
    )
}

fn policy() -> impl Strategy<Value = KernelPolicy> {
    let flags = || {
        (any::<bool>(), any::<bool>()).prop_map(|(default_deny, audit)| DirectionFlags {
            default_deny,
            audit_default_deny: default_deny || audit,
            has_entries: true,
        })
    };
    (flags(), flags(), prop::collection::vec(entry(), 0..8)).prop_map(|(ingress, egress, entries)| KernelPolicy {
        ingress,
        egress,
        entries: entries.into_iter().collect(),
    })
}

fn world() -> impl Strategy<Value = World> {
    let policies = prop::collection::btree_map((1..4_u32).prop_map(PolicyId), policy(), 1..4);
    let endpoints = prop::collection::btree_map(1..4_u32, (0..4_usize, prop_oneof![Just(5_u32), 300..305_u32]), 0..4);
    let others = prop::collection::btree_map(0..NETS.len(), 300..305_u32, 0..6);
    (policies, endpoints, others).prop_map(|(policies, endpoints, others)| {
        let mut world = World { policies, ..World::default() };
        for (net, identity) in others {
            let owner = AddressOwner { identity: Identity(identity), endpoint: None };
            world.addresses.insert(NETS[net].parse().expect("a prefix"), owner);
        }
        for (number, (policy, identity)) in endpoints {
            let id = EndpointId(number);
            let ids: Vec<_> = world.policies.keys().copied().collect();
            world.endpoints.insert(id, (ids[policy % ids.len()], identity));
            let owner = AddressOwner { identity: Identity(identity), endpoint: Some(id) };
            world.addresses.insert(NETS[number as usize - 1].parse().expect("a prefix"), owner);
        }
        // A policy without users is gone.
        let used: BTreeSet<_> = world.endpoints.values().map(|(policy, _)| *policy).collect();
        world.policies.retain(|id, _| used.contains(id));
        world
    })
}

impl World {
    fn identities(&self) -> BTreeSet<Identity> {
        self.addresses.values().map(|owner| owner.identity).chain([Identity(9), Identity(10), Identity(0)]).collect()
    }

    fn endpoint(&self, id: EndpointId) -> Option<WantedEndpoint> {
        let (policy, identity) = *self.endpoints.get(&id)?;
        let name = PodName { namespace: "default".into(), name: format!("pod{id}") };
        Some(WantedEndpoint { name, identity: Identity(identity), addresses: BTreeSet::new(), policy })
    }

    /// What changes from `old`, single entries where that may be.
    fn since(&self, old: &Self) -> WantedChange {
        let mut change = WantedChange::default();
        for id in old.policies.keys().filter(|id| !self.policies.contains_key(id)) {
            change.policies.insert(*id, PolicyChange::Gone);
        }
        for (id, policy) in self.policies.iter().filter(|(id, policy)| old.policies.get(id) != Some(policy)) {
            let patch = old.policies.get(id).and_then(|before| self.patch(old, before, policy));
            change.policies.insert(*id, patch.unwrap_or_else(|| PolicyChange::Set(Arc::new(policy.clone()))));
        }
        for id in self.endpoints.keys().chain(old.endpoints.keys()) {
            if self.endpoint(*id) != old.endpoint(*id) {
                change.endpoints.insert(*id, self.endpoint(*id));
            }
        }
        for net in self.addresses.keys().chain(old.addresses.keys()) {
            if self.addresses.get(net) != old.addresses.get(net) {
                change.addresses.insert(*net, self.addresses.get(net).copied());
            }
        }
        change
    }

    fn patch(&self, old: &Self, before: &KernelPolicy, after: &KernelPolicy) -> Option<PolicyChange> {
        let (was, is) = (old.identities(), self.identities());
        let put: Vec<_> =
            after.entries.iter().filter(|(key, verdict)| before.entries.get(key) != Some(verdict)).collect();
        let remove: Vec<_> = before.entries.keys().filter(|key| !after.entries.contains_key(key)).collect();
        let same = (before.ingress, before.egress) == (after.ingress, after.egress);
        let unseen =
            put.iter().all(|(key, _)| !was.contains(&key.peer)) && remove.iter().all(|key| !is.contains(&key.peer));
        (same && unseen).then(|| PolicyChange::Patch {
            put: put.into_iter().map(|(key, verdict)| (*key, *verdict)).collect(),
            remove: remove.into_iter().copied().collect(),
        })
    }
}

/// What every one says to every other.
fn verdicts(state: &State) -> Vec<Judgement> {
    let addr = |text: &str| match text.parse().expect("an address") {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut all = Vec::new();
    for (source, destination) in PEOPLE.iter().flat_map(|a| PEOPLE.iter().map(move |b| (*a, *b))) {
        for (protocol, port) in
            [(6, Some(80)), (6, Some(81)), (6, Some(443)), (17, Some(80)), (17, None), (47, Some(0))]
        {
            let (source, destination) = (addr(source), addr(destination));
            all.push(state.judge(&Question { source, destination, protocol, port }));
        }
    }
    all
}

/// A kernel that does what it is told.
#[derive(Default)]
struct Kernel {
    state: State,
    later: Vec<Action>,
}

impl Kernel {
    fn finish(&mut self) {
        let before = verdicts(&self.state);
        for action in std::mem::take(&mut self.later) {
            self.state.apply(&action);
            assert_eq!(verdicts(&self.state), before, "{action:?} changes a verdict after the epoch");
        }
    }

    /// Does as many of the plan's actions as `steps`.
    fn execute(&mut self, plan: Plan, steps: usize) {
        let (old, mut flipped) = (verdicts(&self.state), false);
        let complete = steps > plan.now.len();
        for action in plan.now.iter().take(steps) {
            assert!(!flipped, "{action:?} after the epoch");
            self.state.apply(action);
            flipped = matches!(action, Action::Flip(_));
            if !flipped {
                assert_eq!(verdicts(&self.state), old, "{action:?} changes a verdict before the epoch");
            }
        }
        if complete {
            self.later = plan.later;
        }
    }
}

fn scratch(world: &World) -> Kernel {
    let (mut kernel, mut book) = (Kernel::default(), Book::default());
    let touched = book.take(&kernel.state, &world.since(&World::default()));
    let plan = plan(&book, &kernel.state, &touched);
    kernel.execute(plan, usize::MAX);
    kernel.finish();
    kernel
}

proptest! {
    #[test]
    fn a_change_is_in_force_at_once(worlds in prop::collection::vec(world(), 1..6)) {
        let (mut kernel, mut book, mut old) = (Kernel::default(), Book::default(), World::default());
        for world in worlds {
            kernel.finish();
            let touched = book.take(&kernel.state, &world.since(&old));
            let plan = plan(&book, &kernel.state, &touched);
            kernel.execute(plan, usize::MAX);
            let fresh = scratch(&world);
            prop_assert_eq!(verdicts(&kernel.state), verdicts(&fresh.state));
            kernel.finish();
            prop_assert_eq!(kernel.state.policy_entries, fresh.state.policy_entries, "entries are left");
            prop_assert_eq!(kernel.state.addresses.len(), fresh.state.addresses.len(), "addresses are left");
            prop_assert_eq!(kernel.state.endpoints.len(), fresh.state.endpoints.len(), "endpoints are left");
            // And once it is there, nothing is left to do.
            let again = weir_sockmap::plan::plan(&book, &kernel.state, &touched);
            prop_assert_eq!(again, Plan::default());
            old = world;
        }
    }

    #[test]
    fn a_restart_takes_over_what_is_there(
        first in world(), second in world(), third in world(), steps in 0..40_usize, finished in any::<bool>(),
    ) {
        let (mut kernel, mut book) = (Kernel::default(), Book::default());
        for (world, old, steps) in [(&first, &World::default(), usize::MAX), (&second, &first, steps)] {
            kernel.finish();
            let touched = book.take(&kernel.state, &world.since(old));
            let plan = plan(&book, &kernel.state, &touched);
            kernel.execute(plan, steps);
        }
        if !finished {
            kernel.later.clear();
        }
        let mut book = Book::default();
        kernel.finish();
        let touched = book.take(&kernel.state, &third.since(&World::default()));
        let plan = plan(&book, &kernel.state, &touched);
        kernel.execute(plan, usize::MAX);
        kernel.finish();
        let fresh = scratch(&third);
        prop_assert_eq!(verdicts(&kernel.state), verdicts(&fresh.state));
        prop_assert_eq!(kernel.state.policy_entries, fresh.state.policy_entries);
        prop_assert_eq!(kernel.state.addresses.len(), fresh.state.addresses.len());
    }
}

#[test]
fn a_restart_with_the_same_policies_writes_nothing() {
    let key = |port| EntryKey { direction: Direction::Ingress, peer: Identity(300), protocol: 6, port, port_bits: 16 };
    let flags = DirectionFlags { default_deny: true, audit_default_deny: true, has_entries: true };
    let policy = |port| KernelPolicy {
        ingress: flags,
        entries: [(key(port), EntryVerdict::default())].into(),
        ..Default::default()
    };
    let owner = AddressOwner { identity: Identity(300), endpoint: Some(EndpointId(1)) };
    let world = World {
        policies: [(PolicyId(1), policy(80)), (PolicyId(2), policy(81))].into(),
        endpoints: [(EndpointId(1), (PolicyId(1), 300)), (EndpointId(2), (PolicyId(2), 300))].into(),
        addresses: [("198.18.0.1/32".parse().expect("a prefix"), owner)].into(),
    };
    let kernel = scratch(&world);
    let mut book = Book::default();
    let touched = book.take(&kernel.state, &world.since(&World::default()));
    assert_eq!(plan(&book, &kernel.state, &touched), Plan::default());
}

#[test]
fn a_policy_that_does_not_fit_locks_its_pods_and_no_others() {
    let entries = |count: u16| {
        let key =
            |port| EntryKey { direction: Direction::Ingress, peer: Identity(0), protocol: 6, port, port_bits: 16 };
        let allow = Decided { verdict: KernelVerdict::Allow, rule: RuleId(1) };
        (0..count).map(|port| (key(port), EntryVerdict { enforced: allow, ..EntryVerdict::default() })).collect()
    };
    let policy = |count| KernelPolicy { entries: entries(count), ..KernelPolicy::default() };
    let mut world = World {
        policies: [(PolicyId(1), policy(6)), (PolicyId(2), policy(6))].into(),
        endpoints: [(EndpointId(1), (PolicyId(1), 300)), (EndpointId(2), (PolicyId(2), 300))].into(),
        ..World::default()
    };
    let (state, mut book) = (State::default(), Book::default());
    let mut touched: Touched = book.take(&state, &world.since(&World::default()));
    let refused = too_large(&book, &state, &touched, 10);
    assert_eq!(refused, [PolicyId(2)]);
    touched.extend(book.refuse(PolicyId(2), true));
    assert_eq!(book.endpoint(2), Some(weir_sockmap::book::LOCKED));
    assert_ne!(book.endpoint(1), Some(weir_sockmap::book::LOCKED));
    let mut kernel = Kernel { state, later: Vec::new() };
    let made = plan(&book, &kernel.state, &touched);
    kernel.execute(made, usize::MAX);
    assert_eq!(kernel.state.policy_entries, 6);
    // The other policy goes: there is room.
    let old = world.clone();
    world.policies.remove(&PolicyId(1));
    world.endpoints.remove(&EndpointId(1));
    kernel.finish();
    let touched = book.take(&kernel.state, &world.since(&old));
    let made = plan(&book, &kernel.state, &touched);
    kernel.execute(made, usize::MAX);
    kernel.finish();
    let touched = book.refuse(PolicyId(2), false);
    assert_eq!(too_large(&book, &kernel.state, &touched, 10), []);
    let made = plan(&book, &kernel.state, &touched);
    kernel.execute(made, usize::MAX);
    assert_eq!(kernel.state.policy_entries, 6);
    assert_eq!(kernel.state.endpoint(2), book.endpoint(2));
}

#[test]
fn a_pod_whose_policy_nobody_has_told_is_locked() {
    let world = World { endpoints: [(EndpointId(1), (PolicyId(7), 300))].into(), ..World::default() };
    let (state, mut book) = (State::default(), Book::default());
    let mut change = world.since(&World::default());
    change.policies.insert(PolicyId(7), PolicyChange::Patch { put: Vec::new(), remove: Vec::new() });
    book.take(&state, &change);
    assert_eq!(book.endpoint(1), Some(weir_sockmap::book::LOCKED));
}
