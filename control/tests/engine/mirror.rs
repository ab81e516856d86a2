//! What a proxy and a kernel would hold that did as they were told, and what they make of a connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use weir_control::engine::{Engine, Event, Options};
use weir_control::identities::{Floor, IdentityTable};
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    people::People,
    policy::Mode,
    resolved::{Direction, EndpointPolicy, Peers, SelectorId},
    snapshot::{Snapshot, SnapshotChange},
    wanted::{
        AddressOwner, Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict, PolicyChange,
        PolicyId, WantedChange, WantedEndpoint,
    },
};

/// An engine with those who listen to it.
pub(crate) struct Mirror {
    pub(crate) engine: Engine,
    pub(crate) snapshot: Snapshot,
    pub(crate) people: People,
    pub(crate) policies: BTreeMap<PolicyId, KernelPolicy>,
    pub(crate) endpoints: BTreeMap<EndpointId, WantedEndpoint>,
    pub(crate) addresses: BTreeMap<IpNet, AddressOwner>,
    /// Whether the whole is looked at after each step.
    pub(crate) checks: bool,
}

impl Mirror {
    /// An engine of node `n1`.
    pub(crate) fn new() -> Self {
        let options = Options { node: Some("n1".into()) };
        Self {
            engine: Engine::new(options, IdentityTable::new(Floor::default())),
            snapshot: Snapshot::default(),
            people: People::default(),
            policies: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            addresses: BTreeMap::new(),
            checks: true,
        }
    }

    /// Applies events as one step, and checks that what is told is sound.
    pub(crate) fn step(&mut self, events: &[Event]) {
        let is_first = self.snapshot.revision == 0;
        let Some((snapshot, wanted)) = self.engine.apply(events) else {
            assert!(!is_first, "the first step tells something");
            return;
        };
        assert_eq!((snapshot.revision, wanted.revision), (self.snapshot.revision + 1, self.snapshot.revision + 1));
        self.check_meanings(&snapshot);
        self.people.apply(&snapshot);
        self.snapshot.apply(&snapshot);
        self.apply(wanted);
        if self.checks {
            self.check();
        }
    }

    /// A number that means somebody is nobody's before it means somebody else.
    fn check_meanings(&self, change: &SnapshotChange) {
        for (identity, known) in &change.identities {
            match (self.snapshot.identities.get(identity), known) {
                (Some(before), Some(now)) => assert_eq!(before.labels, now.labels, "{identity}"),
                (None, None) => panic!("{identity} goes and was not there"),
                _ => {}
            }
        }
        for (endpoint, pod) in &change.pods {
            if let (Some(before), Some(now)) = (self.snapshot.pods.get(endpoint), pod) {
                assert_eq!(before.name, now.name, "{endpoint}");
            }
        }
    }

    fn apply(&mut self, change: WantedChange) {
        // What a patch is about has no address before `put`, and none after `remove`.
        let before: BTreeSet<Identity> = self.addresses.values().map(|owner| owner.identity).collect();
        for (net, owner) in change.addresses {
            let old = match owner {
                Some(owner) => self.addresses.insert(net, owner),
                None => self.addresses.remove(&net),
            };
            assert_ne!(old, owner, "{net} changes nothing");
        }
        let after: BTreeSet<Identity> = self.addresses.values().map(|owner| owner.identity).collect();
        for (id, change) in change.policies {
            match change {
                PolicyChange::Set(policy) => drop(self.policies.insert(id, (*policy).clone())),
                PolicyChange::Gone => assert!(self.policies.remove(&id).is_some(), "{id:?} goes and was not there"),
                PolicyChange::Patch { put, remove } => {
                    let entries = &mut self.policies.get_mut(&id).expect("a policy to be patched").entries;
                    for (key, verdict) in put {
                        assert!(!before.contains(&key.peer), "{key:?} comes too late");
                        assert_eq!(entries.insert(key, verdict), None, "{key:?} is there");
                    }
                    for key in remove {
                        assert!(!after.contains(&key.peer), "{key:?} goes too early");
                        assert!(entries.remove(&key).is_some(), "{key:?} is not there");
                    }
                }
            }
        }
        for (id, endpoint) in change.endpoints {
            match endpoint {
                Some(endpoint) => drop(self.endpoints.insert(id, endpoint)),
                None => assert!(self.endpoints.remove(&id).is_some(), "{id} goes and was not there"),
            }
        }
    }

    /// Everything that is referred to is there and is what is meant.
    fn check(&self) {
        let reserved = |identity: Identity| identity < Identity::FIRST_ALLOCATED;
        let known = |identity: Identity| reserved(identity) || self.snapshot.identities.contains_key(&identity);
        for (id, policy) in &self.policies {
            let whole = self.engine.kernel_policy(*id).expect("a policy");
            assert_eq!(*policy, whole, "patches make what a whole would be");
            assert!(policy.entries.keys().all(|key| known(key.peer)));
            assert!(self.snapshot.policies.contains_key(id));
        }
        let used: BTreeSet<PolicyId> = self.snapshot.pods.values().filter_map(|pod| pod.policy).collect();
        assert!(used.iter().all(|id| self.policies.contains_key(id) && self.snapshot.policies.contains_key(id)));
        assert_eq!(self.policies.len(), self.snapshot.policies.len());
        assert!(self.endpoints.values().all(|endpoint| known(endpoint.identity)));
        assert!(self.addresses.values().all(|owner| known(owner.identity)));
        let texts: BTreeSet<SelectorId> = self.engine.selectors().map(|selector| selector.id).collect();
        for known in self.snapshot.identities.values() {
            assert!(known.selectors.is_sorted() && known.selectors.iter().all(|id| texts.contains(id)));
        }
    }

    /// Everything in words instead of numbers, to be compared.
    pub(crate) fn words(&self) -> BTreeMap<String, String> {
        let selectors: BTreeMap<SelectorId, String> = self.engine.selectors().map(|s| (s.id, s.text)).collect();
        let identity = |identity: Identity| match self.snapshot.identities.get(&identity) {
            Some(known) if identity >= Identity::FIRST_ALLOCATED => known.labels.to_string(),
            _ => identity.to_string(),
        };
        let said = |policy: &EndpointPolicy| {
            let mut rules = Vec::new();
            for direction in [Direction::Ingress, Direction::Egress] {
                for rule in &policy.direction(direction).rules {
                    let peers = match &rule.peers {
                        Peers::Any => vec!["anybody".to_owned()],
                        Peers::Selected(ids) => {
                            ids.iter().map(|id| selectors[id].clone()).collect::<BTreeSet<_>>().into_iter().collect()
                        }
                    };
                    rules.push(format!(
                        "{:?} {peers:?} {:?}",
                        (&rule.origin, rule.protocol, rule.ports),
                        (&rule.http, rule.id)
                    ));
                }
            }
            rules.sort();
            let defaults = [&policy.ingress, &policy.egress].map(|half| (half.default_deny, half.audit_default_deny));
            format!("{defaults:?} {rules:#?}")
        };
        let mut words = BTreeMap::new();
        for pod in self.snapshot.pods.values() {
            let proxy = pod.policy.map(|id| said(&self.snapshot.policies[&id]));
            let entries = pod.policy.map(|id| {
                let policy = &self.policies[&id];
                let entries: BTreeSet<String> = policy
                    .entries
                    .iter()
                    .map(|(key, verdict)| {
                        format!(
                            "{} {} {:?} {verdict:?}",
                            key.direction,
                            identity(key.peer),
                            (key.protocol, key.port, key.port_bits)
                        )
                    })
                    .collect();
                format!("{:?} {:?} {entries:#?}", policy.ingress, policy.egress)
            });
            let who = identity(pod.identity);
            words.insert(format!("pod {}", pod.name), format!("{who} {:?} {proxy:?} {entries:?}", pod.addresses));
        }
        for endpoint in self.endpoints.values() {
            let who = identity(endpoint.identity);
            words.insert(format!("endpoint {}", endpoint.name), format!("{who} {:?}", endpoint.addresses));
        }
        for (net, owner) in &self.addresses {
            let endpoint = owner.endpoint.map(|id| self.endpoints[&id].name.to_string());
            words.insert(format!("address {net}"), format!("{} {endpoint:?}", identity(owner.identity)));
        }
        for (number, known) in &self.snapshot.identities {
            let matching: BTreeSet<&String> = known.selectors.iter().map(|id| &selectors[id]).collect();
            words.insert(format!("identity {}", identity(*number)), format!("{matching:?}"));
        }
        for (prefix, number) in &self.snapshot.prefixes {
            words.insert(format!("prefix {prefix}"), identity(*number));
        }
        for selector in self.engine.selectors() {
            let members: BTreeSet<String> = selector.members.iter().map(|member| identity(*member)).collect();
            words.insert(format!("selector {}", selector.text), format!("{} {members:?}", selector.users));
        }
        words
    }

    /// The identity behind an address, as the kernel finds it.
    pub(crate) fn identity(&self, address: IpAddr) -> Identity {
        let covering = self.addresses.iter().filter(|(net, _)| net.contains(&address));
        let longest = covering.max_by_key(|(net, _)| net.prefix_len()).map(|(_, owner)| owner.identity);
        let world = if address.is_ipv4() { Identity::WORLD_IPV4 } else { Identity::WORLD_IPV6 };
        let found = longest.unwrap_or(world);
        assert_eq!(self.people.pod_or_world(address).identity, found, "the proxy finds {address} as the kernel does");
        found
    }

    /// Whether the proxy lets a request with this method pass.
    pub(crate) fn passes(
        &self,
        id: PolicyId,
        direction: Direction,
        peer: Identity,
        port: u16,
        method: &str,
        modes: &[Mode],
    ) -> bool {
        let selectors = self.people.selectors(peer);
        let rules = &self.snapshot.policies[&id].direction(direction).rules;
        let about = rules.iter().filter(|rule| {
            !rule.deny && modes.contains(&rule.mode) && rule.covers_tcp(port) && rule.peers.contains(&selectors)
        });
        let mut about = about.peekable();
        about.peek().is_none()
            || about.any(|rule| match &rule.http {
                None => true,
                Some(http) => http.iter().any(|rule| rule.method.as_deref().is_none_or(|wanted| wanted == method)),
            })
    }
}

/// What the kernel makes of a packet: two look-ups, the longest prefix of each, the stronger of both.
pub(crate) fn judge(
    policy: &KernelPolicy,
    direction: Direction,
    peer: Identity,
    protocol: u8,
    port: u16,
) -> (Decided, Decided, bool) {
    let DirectionFlags { default_deny, audit_default_deny, has_entries } = match direction {
        Direction::Ingress => policy.ingress,
        Direction::Egress => policy.egress,
    };
    let longest = |peer: Identity| {
        let ports = (0..=16_u8).rev().map(|bits| {
            let mask = u16::try_from((0xffff_0000_u32 >> bits) & 0xffff).expect("16 bits");
            EntryKey { direction, peer, protocol, port: port & mask, port_bits: bits }
        });
        let any = EntryKey { direction, peer, protocol: 0, port: 0, port_bits: 0 };
        ports.chain([any]).find_map(|key| policy.entries.get(&key)).copied().unwrap_or_default()
    };
    let found = if has_entries { [longest(peer), longest(Identity::UNKNOWN)] } else { [EntryVerdict::default(); 2] };
    let plane = |plane: fn(&EntryVerdict) -> Decided, default_deny: bool| {
        let decided = found.iter().map(plane).max_by_key(|decided| decided.verdict).unwrap_or_default();
        match decided.verdict {
            KernelVerdict::None if default_deny => Decided { verdict: KernelVerdict::Deny, ..decided },
            KernelVerdict::None => Decided { verdict: KernelVerdict::Allow, ..decided },
            _ => decided,
        }
    };
    (
        plane(|entry| entry.enforced, default_deny),
        plane(|entry| entry.audited, audit_default_deny),
        found.iter().any(|entry| entry.observe),
    )
}
