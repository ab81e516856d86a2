//! Policies of endpoints: one for all that the same rules select and whose named ports are the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use weir_model::{
    identity::Identity,
    policy::{Mode, PeerSelector, PortRange, Protocol},
    resolved::{Direction, DirectionPolicy, EndpointPolicy, L4Rule, Peers, SelectorId},
    selector::Selector,
    wanted::{DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, PolicyId},
};

use super::{
    cache::Cache,
    entries::Entries,
    matcher::Referents,
    rules::{NamedPorts, Rules, Slot, Template},
};
use crate::manifests::ContainerPort;

/// What a policy depends on, but for what the rules say.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PolicyKey {
    pub(super) rules: Vec<Slot>,
    /// Those of the endpoint's named ports that rules about its ingress name.
    pub(super) ports: Vec<ContainerPort>,
    /// The endpoint is denied by default, whatever the rules.
    pub(super) is_init: bool,
}

/// A policy that endpoints have.
pub(super) struct Shared {
    key: PolicyKey,
    pub(super) users: usize,
    pub(super) policy: Arc<EndpointPolicy>,
    /// The rules by what selects their peers, as indices: of ingress, then of egress.
    halves: [Lookup; 2],
    /// Selectors made for this policy, out of a peer and what rules require.
    derived: Vec<SelectorId>,
    /// The names of ports that rules about its egress name.
    names: BTreeSet<String>,
}

#[derive(Default)]
struct Lookup {
    everybody: Vec<u32>,
    selected: HashMap<SelectorId, Vec<u32>>,
}

/// The policies of this node's endpoints.
#[derive(Default)]
pub(super) struct Policies {
    all: BTreeMap<PolicyId, Shared>,
    by_key: HashMap<PolicyKey, PolicyId>,
    next: u32,
}

/// What policies are made of.
pub(super) struct Parts<'a> {
    pub(super) cache: &'a mut Cache,
    pub(super) rules: &'a mut Rules,
    pub(super) referents: &'a Referents,
    pub(super) named: &'a NamedPorts,
}

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

impl Policies {
    /// The policy with this key, counted once more, and whether it is new.
    pub(super) fn acquire(&mut self, key: PolicyKey, parts: &mut Parts<'_>) -> (PolicyId, bool) {
        if let Some(id) = self.by_key.get(&key) {
            if let Some(shared) = self.all.get_mut(id) {
                shared.users += 1;
            }
            return (*id, false);
        }
        self.next += 1;
        let id = PolicyId(self.next);
        key.rules.iter().for_each(|slot| parts.rules.note_use(*slot, id, true));
        self.by_key.insert(key.clone(), id);
        let mut shared = Shared {
            key,
            users: 1,
            policy: Arc::default(),
            halves: Default::default(),
            derived: Vec::new(),
            names: BTreeSet::new(),
        };
        shared.build(id, parts);
        self.all.insert(id, shared);
        (id, true)
    }

    /// Counts a policy once less.
    pub(super) fn release(&mut self, id: PolicyId) {
        if let Some(shared) = self.all.get_mut(&id) {
            shared.users = shared.users.saturating_sub(1);
        }
    }

    /// Forgets a policy that no endpoint has; `false` if one has it.
    pub(super) fn drop_unused(&mut self, id: PolicyId, parts: &mut Parts<'_>) -> bool {
        if self.all.get(&id).is_none_or(|shared| shared.users > 0) {
            return false;
        }
        let Some(shared) = self.all.remove(&id) else { return false };
        self.by_key.remove(&shared.key);
        shared.key.rules.iter().for_each(|slot| parts.rules.note_use(*slot, id, false));
        shared.selectors().for_each(|selector| parts.cache.note_use(selector, id, false));
        shared.derived.iter().for_each(|selector| parts.cache.release(*selector));
        true
    }

    /// Reads a policy's rules anew; returns whether it says something else now.
    pub(super) fn rebuild(&mut self, id: PolicyId, parts: &mut Parts<'_>) -> bool {
        let Some(shared) = self.all.get_mut(&id) else { return false };
        shared.key.rules.iter().for_each(|slot| parts.rules.note_use(*slot, id, true));
        let before = Arc::clone(&shared.policy);
        shared.build(id, parts);
        before != shared.policy
    }

    /// Those whose rules about egress name one of these ports.
    pub(super) fn naming(&self, names: &BTreeSet<String>) -> Vec<PolicyId> {
        let all = self.all.iter().filter(|(_, shared)| !shared.names.is_disjoint(names));
        all.map(|(id, _)| *id).collect()
    }

    pub(super) fn get(&self, id: PolicyId) -> Option<&Shared> {
        self.all.get(&id)
    }
}

impl Shared {
    fn selectors(&self) -> impl Iterator<Item = SelectorId> + '_ {
        self.halves.iter().flat_map(|half| half.selected.keys().copied())
    }

    fn build(&mut self, id: PolicyId, parts: &mut Parts<'_>) {
        let mut reader = Reader { key: &self.key, parts: &mut *parts, derived: Vec::new(), names: BTreeSet::new() };
        let policy = EndpointPolicy {
            ingress: reader.direction(Direction::Ingress),
            egress: reader.direction(Direction::Egress),
        };
        let Reader { derived, names, .. } = reader;
        let old: BTreeSet<SelectorId> = self.selectors().collect();
        let given_up = std::mem::replace(&mut self.derived, derived);
        given_up.iter().for_each(|selector| parts.cache.release(*selector));
        self.names = names;
        self.halves = [Lookup::of(&policy.ingress), Lookup::of(&policy.egress)];
        if policy != *self.policy {
            self.policy = Arc::new(policy);
        }
        let new: BTreeSet<SelectorId> = self.selectors().collect();
        old.difference(&new).for_each(|selector| parts.cache.note_use(*selector, id, false));
        new.difference(&old).for_each(|selector| parts.cache.note_use(*selector, id, true));
    }

    /// The entries about one identity.
    pub(super) fn about(&self, identity: Identity, selectors: &[SelectorId]) -> Vec<(EntryKey, EntryVerdict)> {
        let mut entries = Vec::new();
        for (direction, half) in DIRECTIONS.into_iter().zip(&self.halves) {
            let groups = selectors.iter().filter_map(|selector| half.selected.get(selector));
            entries.extend(self.entries(direction, groups).about(direction, identity));
        }
        entries
    }

    fn entries<'a>(&self, direction: Direction, groups: impl Iterator<Item = &'a Vec<u32>>) -> Entries {
        let mut indices: Vec<u32> = groups.flatten().copied().collect();
        indices.sort_unstable();
        indices.dedup();
        let rules = &self.policy.direction(direction).rules;
        Entries::of(indices.into_iter().filter_map(|index| rules.get(index as usize)))
    }

    /// All entries.
    pub(super) fn kernel(&self, cache: &Cache) -> KernelPolicy {
        let mut entries: Vec<(EntryKey, EntryVerdict)> = Vec::new();
        for (direction, half) in DIRECTIONS.into_iter().zip(&self.halves) {
            let everybody = self.entries(direction, std::iter::once(&half.everybody));
            entries.extend(everybody.about(direction, Identity::UNKNOWN));
            // Whom the same selectors match has the same entries.
            let selected: Vec<(SelectorId, &Vec<u32>)> = half.selected.iter().map(|(id, rules)| (*id, rules)).collect();
            let mut matches: Vec<(Identity, u32)> = Vec::new();
            for (at, (selector, _)) in (0..).zip(&selected) {
                let members = cache.get(*selector).into_iter().flat_map(|cached| &cached.members);
                matches.extend(members.map(|identity| (*identity, at)));
            }
            matches.sort_unstable();
            let mut known: HashMap<Vec<u32>, Entries> = HashMap::new();
            let mut groups: Vec<u32> = Vec::new();
            for same in matches.chunk_by(|(a, _), (b, _)| a == b) {
                groups.clear();
                groups.extend(same.iter().map(|(_, group)| *group));
                let of_group = |group: &u32| selected.get(*group as usize).map(|(_, rules)| *rules);
                let peer = match known.get(&groups) {
                    Some(peer) => peer,
                    None => {
                        let peer = self.entries(direction, groups.iter().filter_map(of_group));
                        known.entry(groups.clone()).or_insert(peer)
                    }
                };
                entries.extend(peer.about(direction, same[0].0));
            }
        }
        let flags = |policy: &DirectionPolicy| DirectionFlags {
            default_deny: policy.default_deny,
            audit_default_deny: policy.audit_default_deny,
            // Somebody whom a rule speaks of may come later.
            has_entries: !policy.rules.is_empty(),
        };
        KernelPolicy {
            ingress: flags(&self.policy.ingress),
            egress: flags(&self.policy.egress),
            entries: entries.into_iter().collect(),
        }
    }
}

impl Lookup {
    fn of(policy: &DirectionPolicy) -> Self {
        let mut lookup = Self::default();
        for (index, rule) in (0..).zip(&policy.rules) {
            match &rule.peers {
                Peers::Any => lookup.everybody.push(index),
                Peers::Selected(selectors) => {
                    selectors.iter().for_each(|id| lookup.selected.entry(*id).or_default().push(index));
                }
            }
        }
        lookup
    }
}

/// Reads the rules of one policy.
struct Reader<'a, 'b> {
    key: &'a PolicyKey,
    parts: &'a mut Parts<'b>,
    derived: Vec<SelectorId>,
    names: BTreeSet<String>,
}

impl Reader<'_, '_> {
    fn direction(&mut self, direction: Direction) -> DirectionPolicy {
        let Parts { cache, rules, referents, named } = &mut *self.parts;
        let selected: Vec<_> = self.key.rules.iter().filter_map(|slot| rules.get(*slot)).collect();
        let denies = |modes: &[Mode]| {
            selected.iter().any(|rule| modes.contains(&rule.mode) && rule.half(direction).denies_by_default)
        };
        let mut policy = DirectionPolicy {
            default_deny: self.key.is_init || denies(&[Mode::Enforce]),
            audit_default_deny: self.key.is_init || denies(&[Mode::Enforce, Mode::Audit]),
            rules: Vec::new(),
        };
        let requires = [Mode::Enforce, Mode::Audit, Mode::Observe].map(|mode| {
            // What is not enforced narrows nothing that is.
            let narrowing = selected.iter().filter(|other| other.mode == Mode::Enforce || other.mode == mode);
            let halves: Vec<_> = narrowing.map(|other| other.half(direction)).collect();
            [false, true].map(|deny| {
                let required = halves.iter().flat_map(|half| &half.requires[usize::from(deny)]);
                required.flat_map(|selector| selector.requirements.iter().cloned()).collect::<BTreeSet<_>>()
            })
        });
        for rule in &selected {
            for template in &rule.half(direction).templates {
                let mut ready = template.rule.clone();
                let requires = &requires[rule.mode as usize][usize::from(ready.deny)];
                if !requires.is_empty()
                    && let Peers::Selected(selectors) = &ready.peers
                {
                    let narrow =
                        |id: &SelectorId| match cache.get(*id).map(|cached| Arc::clone(&cached.selector)).as_deref() {
                            Some(PeerSelector::Endpoints(selector)) => {
                                let all: BTreeSet<_> = selector.requirements.iter().chain(requires).cloned().collect();
                                let all = Selector { requirements: all.into_iter().collect() };
                                let id = cache.acquire(&PeerSelector::Endpoints(all), referents);
                                self.derived.push(id);
                                id
                            }
                            _ => *id,
                        };
                    let narrowed: BTreeSet<SelectorId> = selectors.iter().map(narrow).collect();
                    ready.peers = Peers::Selected(narrowed.into_iter().collect());
                }
                expand(template, ready, direction, &self.key.ports, named, &mut policy.rules);
                if direction == Direction::Egress {
                    self.names.extend(template.named.iter().map(|(name, _)| name.clone()));
                }
            }
        }
        policy
    }
}

/// A rule about a named port is one rule for each port with the name: the endpoint's own, or, about egress, anybody's.
fn expand(
    template: &Template,
    ready: L4Rule,
    direction: Direction,
    own: &[ContainerPort],
    named: &NamedPorts,
    out: &mut Vec<L4Rule>,
) {
    let Some((name, asked)) = &template.named else { return out.push(ready) };
    let ports: BTreeSet<(Protocol, u16)> = match direction {
        Direction::Ingress => {
            own.iter().filter(|port| port.name == *name).map(|port| (port.protocol, port.number)).collect()
        }
        Direction::Egress => named.get(name).into_iter().flat_map(BTreeMap::keys).copied().collect(),
    };
    for (protocol, number) in ports {
        if protocol.numbers().all(|number| asked.covers(number)) {
            out.push(L4Rule { protocol: Some(protocol), ports: PortRange::one(number), ..ready.clone() });
        }
    }
}
