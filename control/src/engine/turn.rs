//! From what an event touched to what the proxy and the kernel are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use weir_model::{
    endpoint::PodName,
    identity::Identity,
    labels::LabelSet,
    snapshot::SnapshotChange,
    wanted::{PolicyChange, PolicyId, WantedChange, WantedEndpoint},
};

use super::{
    Engine, Local,
    cache::Turn,
    matcher::reserved_labels,
    pods::Touched,
    policies::{Parts, PolicyKey},
    rules::{Edited, Slot},
};
use crate::manifests::ContainerPort;

/// What an event does to policies of endpoints.
#[derive(Default)]
pub(super) struct PolicyWork {
    /// To be written whole.
    set: BTreeSet<PolicyId>,
    /// Of these, those that say something else to the proxy.
    shown: BTreeSet<PolicyId>,
    /// They may be without endpoints.
    released: BTreeSet<PolicyId>,
    gone: BTreeSet<PolicyId>,
}

impl Engine {
    /// Gives this node's pods the policies of the rules that select them now.
    pub(super) fn assign(&mut self, touched: &mut Touched, edited: &Edited, work: &mut PolicyWork) {
        for (identity, local) in &mut self.locals {
            let mut changed = false;
            for slot in &edited.removed {
                changed |= local.rules.remove(slot);
            }
            for slot in &edited.changed {
                let Some(rule) = self.rules.get(*slot) else { continue };
                let selected = labels_of(&self.cache.table, *identity).is_some_and(|labels| rule.selects(&labels));
                // A rule that selects them as before may name other ports of theirs.
                changed |= selected | local.rules.remove(slot);
                local.rules.extend(selected.then_some(*slot));
            }
            if changed {
                touched.pods.extend(local.pods.iter().cloned());
            }
        }
        for (name, old) in &touched.gone {
            self.unplace(name, old.placed);
            self.release(old.policy, work);
        }
        for name in &touched.pods {
            let Some(known) = self.pods.get(name) else { continue };
            let (placed, old_policy) = (known.placed, known.policy);
            let place = known.is_local.then_some(known.assigned.identity);
            if placed != place {
                self.unplace(name, placed);
                self.place(name, place);
            }
            let policy = place.map(|identity| self.acquire(name, identity, work));
            self.release(old_policy, work);
            if let Some(known) = self.pods.get_mut(name) {
                (known.placed, known.policy) = (place, policy);
            }
        }
    }

    fn place(&mut self, name: &Arc<PodName>, identity: Option<Identity>) {
        let Some(identity) = identity else { return };
        let rules = &self.rules;
        let table = &self.cache.table;
        let local = self.locals.entry(identity).or_insert_with(|| {
            let rules = labels_of(table, identity).map(|labels| rules.of_subject(&labels));
            Local { pods: BTreeSet::new(), rules: rules.unwrap_or_default() }
        });
        local.pods.insert(Arc::clone(name));
    }

    fn unplace(&mut self, name: &Arc<PodName>, identity: Option<Identity>) {
        let Some(identity) = identity else { return };
        let Some(local) = self.locals.get_mut(&identity) else { return };
        local.pods.remove(name);
        if local.pods.is_empty() {
            self.locals.remove(&identity);
        }
    }

    /// The policy of a pod of this node.
    fn acquire(&mut self, name: &PodName, identity: Identity, work: &mut PolicyWork) -> PolicyId {
        let rules: Vec<Slot> = self.locals.get(&identity).into_iter().flat_map(|local| &local.rules).copied().collect();
        let templates = rules.iter().filter_map(|slot| self.rules.get(*slot)).flat_map(|rule| &rule.ingress.templates);
        let names: BTreeSet<&String> = templates.filter_map(|template| Some(&template.named.as_ref()?.0)).collect();
        let own = self.pods.get(name).map_or(&[][..], |known| &known.ports);
        let ports: Vec<ContainerPort> = own.iter().filter(|port| names.contains(&port.name)).cloned().collect();
        let key = PolicyKey { rules, ports, is_init: identity == Identity::INIT };
        let (policies, mut parts) = self.policies();
        let (id, is_new) = policies.acquire(key, &mut parts);
        if is_new {
            work.set.insert(id);
            work.shown.insert(id);
        }
        id
    }

    fn release(&mut self, policy: Option<PolicyId>, work: &mut PolicyWork) {
        if let Some(id) = policy {
            self.policies.release(id);
            work.released.insert(id);
        }
    }

    fn policies(&mut self) -> (&mut super::Policies, Parts<'_>) {
        let parts = Parts {
            cache: &mut self.cache,
            rules: &mut self.rules,
            referents: &self.referents,
            named: &self.pods.named,
        };
        (&mut self.policies, parts)
    }

    /// Makes the policies anew that read what was edited; `stale` are those whose entries are others though they say the same.
    pub(super) fn revise(
        &mut self,
        touched: &Touched,
        edited: &Edited,
        stale: BTreeSet<PolicyId>,
        work: &mut PolicyWork,
    ) {
        let (policies, mut parts) = self.policies();
        for id in &work.released {
            if policies.drop_unused(*id, &mut parts) {
                work.gone.insert(*id);
            }
        }
        let naming = policies.naming(&touched.port_names);
        for id in naming.into_iter().chain(edited.users.iter().copied()) {
            if policies.rebuild(id, &mut parts) {
                work.set.insert(id);
                work.shown.insert(id);
            }
        }
        work.set.extend(stale);
        work.set.retain(|id| !work.gone.contains(id));
        work.shown.retain(|id| !work.gone.contains(id));
    }

    /// The difference to what was told before.
    pub(super) fn tell(&mut self, touched: Touched, turn: &Turn, work: &PolicyWork) -> (SnapshotChange, WantedChange) {
        let mut snapshot = SnapshotChange { identities: self.cache.show(), ..SnapshotChange::default() };
        let mut wanted = WantedChange { policies: self.policy_changes(turn, work), ..WantedChange::default() };
        for id in &work.shown {
            let policy = self.policies.get(*id).map(|shared| Arc::clone(&shared.policy));
            snapshot.policies.insert(*id, policy);
        }
        snapshot.policies.extend(work.gone.iter().map(|id| (*id, None)));
        self.tell_pods(&touched, &mut snapshot, &mut wanted);

        let mut nets: BTreeSet<IpNet> = touched.addresses.into_iter().map(IpNet::from).collect();
        for gone in &turn.gone {
            if let Some(prefix) = gone.prefix {
                nets.insert(prefix);
                snapshot.prefixes.insert(prefix, None);
            }
        }
        for identity in &turn.new {
            if let Some(prefix) = self.cache.table.prefix(*identity) {
                nets.insert(prefix);
                snapshot.prefixes.insert(prefix, Some(*identity));
            }
        }
        for net in nets {
            let owner = self.owner(net);
            let before = match owner {
                Some(owner) => self.addresses.insert(net, owner),
                None => self.addresses.remove(&net),
            };
            if before != owner {
                wanted.addresses.insert(net, owner);
            }
        }
        (snapshot, wanted)
    }

    fn tell_pods(&mut self, touched: &Touched, snapshot: &mut SnapshotChange, wanted: &mut WantedChange) {
        for (_, old) in &touched.gone {
            let Some(shown) = &old.shown else { continue };
            snapshot.pods.insert(old.assigned.endpoint, None);
            if shown.policy.is_some() {
                wanted.endpoints.insert(old.assigned.endpoint, None);
            }
        }
        for name in &touched.pods {
            let now = self.pods.show(name);
            let Some(known) = self.pods.get_mut(name) else { continue };
            if known.shown.as_deref() == now.as_ref() {
                continue;
            }
            let endpoint = known.assigned.endpoint;
            let before = std::mem::replace(&mut known.shown, now.map(Arc::new));
            snapshot.pods.insert(endpoint, known.shown.clone());
            let local = known.shown.as_ref().and_then(|pod| {
                Some(WantedEndpoint {
                    name: pod.name.clone(),
                    identity: pod.identity,
                    addresses: pod.addresses.iter().copied().collect(),
                    policy: pod.policy?,
                })
            });
            if local.is_some() || before.is_some_and(|pod| pod.policy.is_some()) {
                wanted.endpoints.insert(endpoint, local);
            }
        }
    }

    /// Who is behind a prefix: a pod before whoever has a prefix of that length.
    fn owner(&self, net: IpNet) -> Option<super::AddressOwner> {
        let address: Option<IpAddr> = (net.prefix_len() == net.max_prefix_len()).then(|| net.addr());
        address.and_then(|address| self.pods.owner(&address)).or_else(|| {
            let identity = self.cache.table.prefix_identity(&net)?;
            Some(super::AddressOwner { identity, endpoint: None })
        })
    }

    fn policy_changes(&self, turn: &Turn, work: &PolicyWork) -> BTreeMap<PolicyId, PolicyChange> {
        let mut changes: BTreeMap<PolicyId, PolicyChange> =
            work.gone.iter().map(|id| (*id, PolicyChange::Gone)).collect();
        let set = work
            .set
            .iter()
            .filter_map(|id| Some((*id, PolicyChange::Set(Arc::new(self.policies.get(*id)?.kernel(&self.cache))))));
        changes.extend(set);
        let came = turn.new.iter().map(|identity| (*identity, self.cache.selectors_of(*identity), true));
        let went = turn.gone.iter().map(|gone| (gone.identity, &gone.selectors[..], false));
        for (identity, selectors, is_new) in came.chain(went) {
            let users = selectors.iter().filter_map(|id| self.cache.get(*id)).flat_map(|cached| &cached.policies);
            for id in users.collect::<BTreeSet<_>>() {
                if work.set.contains(id) || work.gone.contains(id) {
                    continue;
                }
                let Some(shared) = self.policies.get(*id) else { continue };
                let entries = shared.about(identity, selectors);
                if entries.is_empty() {
                    continue;
                }
                let change =
                    changes.entry(*id).or_insert_with(|| PolicyChange::Patch { put: Vec::new(), remove: Vec::new() });
                match change {
                    PolicyChange::Patch { put, .. } if is_new => put.extend(entries),
                    PolicyChange::Patch { remove, .. } => remove.extend(entries.into_iter().map(|(key, _)| key)),
                    PolicyChange::Set(_) | PolicyChange::Gone => {}
                }
            }
        }
        changes
    }
}

/// The labels of a pods' identity.
fn labels_of(table: &crate::identities::IdentityTable, identity: Identity) -> Option<Arc<LabelSet>> {
    match identity {
        Identity::INIT => Some(Arc::new(reserved_labels(identity))),
        _ => table.labels(identity).map(Arc::clone),
    }
}
