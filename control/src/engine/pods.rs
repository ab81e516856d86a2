//! The pods with addresses of their own: who has which address, who is of this node, which ports have names.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use weir_model::{
    endpoint::PodName,
    identity::Identity,
    labels::LabelSet,
    snapshot,
    wanted::{AddressOwner, PolicyId},
};

use super::rules::NamedPorts;
use crate::{
    identities::{Assigned, IdentityTable, identity_labels, with_namespace},
    manifests::{ContainerPort, Namespace, Pod},
};

#[derive(Default)]
pub(super) struct Pods {
    /// The node whose pods are endpoints; `None` takes every pod for one.
    node: Option<String>,
    all: BTreeMap<Arc<PodName>, Known>,
    namespaces: BTreeMap<String, Namespace>,
    addresses: HashMap<IpAddr, Arc<PodName>>,
    /// Addresses that several pods claim. The first by name has it.
    contested: BTreeMap<IpAddr, BTreeSet<Arc<PodName>>>,
    pub(super) named: NamedPorts,
    /// Pods whose labels have no number.
    pub(super) waiting: BTreeMap<Arc<PodName>, LabelSet>,
}

pub(super) struct Known {
    pub(super) assigned: Assigned,
    /// All that it claims.
    addresses: Box<[IpAddr]>,
    pub(super) is_local: bool,
    pub(super) ports: Box<[ContainerPort]>,
    /// The identity by which it is known to be of this node.
    pub(super) placed: Option<Identity>,
    /// If it is local.
    pub(super) policy: Option<PolicyId>,
    /// What the proxy knows of it.
    pub(super) shown: Option<Arc<snapshot::Pod>>,
}

/// What an event touched.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) pods: BTreeSet<Arc<PodName>>,
    /// With what was known of them.
    pub(super) gone: Vec<(Arc<PodName>, Known)>,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) identities: BTreeSet<Identity>,
    pub(super) port_names: BTreeSet<String>,
}

impl Pods {
    pub(super) fn new(node: Option<String>) -> Self {
        Self { node, ..Self::default() }
    }

    /// Takes what a Namespace says now: its pods have its labels.
    pub(super) fn take_namespace(
        &mut self,
        name: &str,
        namespace: Option<&Namespace>,
        table: &mut IdentityTable,
        touched: &mut Touched,
    ) {
        match namespace {
            Some(namespace) => drop(self.namespaces.insert(name.to_owned(), namespace.clone())),
            None => drop(self.namespaces.remove(name)),
        }
        let first = PodName { namespace: name.to_owned(), name: String::new() };
        let inside = self.all.range::<PodName, _>(&first..).take_while(|(pod, _)| pod.namespace == name);
        let pods: Vec<Arc<PodName>> = inside.map(|(pod, _)| Arc::clone(pod)).collect();
        for pod in pods {
            let Some(known) = self.all.get(&pod) else { continue };
            let (identity, is_local) = (known.assigned.identity, known.is_local);
            let labels = self.waiting.get(&pod).or_else(|| table.labels(identity).map(|labels| &**labels));
            let Some(labels) = labels.map(|labels| with_namespace(labels, namespace)) else { continue };
            self.number(&pod, labels, is_local, table, touched);
        }
    }

    /// Takes what a Pod says now.
    pub(super) fn take(&mut self, name: &PodName, pod: Option<&Pod>, table: &mut IdentityTable, touched: &mut Touched) {
        let Some(pod) = pod.filter(|pod| pod.is_endpoint()) else { return self.remove(name, table, touched) };
        let labels = identity_labels(pod, self.namespaces.get(&name.namespace));
        let known_name = self.all.get_key_value(name).map(|(name, _)| Arc::clone(name));
        let name = known_name.unwrap_or_else(|| Arc::new(name.clone()));
        let is_local = match (&self.node, &pod.node) {
            (Some(ours), Some(node)) => ours == node,
            _ => true,
        };
        let Some(assigned) = self.number(&name, labels, is_local, table, touched) else {
            return self.remove(&name, table, touched);
        };
        let mut ports = pod.ports.clone();
        ports.sort();
        ports.dedup();
        let mut addresses = pod.addresses.clone();
        addresses.sort();
        addresses.dedup();
        let old = self.all.remove(&name);
        let (old_addresses, old_ports) = old.as_ref().map_or((&[][..], &[][..]), |old| (&old.addresses, &old.ports));
        self.claim(&name, old_addresses, &addresses, touched);
        if *old_ports != ports[..] {
            self.count_ports(old_ports, &ports, touched);
        }
        let (placed, policy, shown) = old.map_or((None, None, None), |old| (old.placed, old.policy, old.shown));
        let addresses = addresses.into();
        let known = Known { assigned, addresses, is_local, ports: ports.into(), placed, policy, shown };
        touched.pods.insert(Arc::clone(&name));
        self.all.insert(name, known);
    }

    fn remove(&mut self, name: &PodName, table: &mut IdentityTable, touched: &mut Touched) {
        table.forget(name);
        self.waiting.remove(name);
        let Some((name, old)) = self.all.remove_entry(name) else { return };
        self.claim(&name, &old.addresses, &[], touched);
        self.count_ports(&old.ports, &[], touched);
        touched.pods.remove(&name);
        touched.gone.push((name, old));
    }

    /// Gives a pod the number of its labels.
    fn number(
        &mut self,
        name: &Arc<PodName>,
        labels: LabelSet,
        is_local: bool,
        table: &mut IdentityTable,
        touched: &mut Touched,
    ) -> Option<Assigned> {
        let assigned = table.number(name, labels.clone(), is_local)?;
        if assigned.identity == Identity::INIT {
            self.waiting.insert(Arc::clone(name), labels);
        } else {
            self.waiting.remove(name);
        }
        touched.identities.insert(assigned.identity);
        if let Some(known) = self.all.get_mut(name)
            && known.assigned != assigned
        {
            known.assigned = assigned;
            touched.addresses.extend(known.addresses.iter().copied());
            touched.pods.insert(Arc::clone(name));
        }
        Some(assigned)
    }

    /// Tries again for the pods whose labels have no number.
    pub(super) fn retry(&mut self, table: &mut IdentityTable, touched: &mut Touched) {
        for (name, labels) in std::mem::take(&mut self.waiting) {
            let is_local = self.get(&name).is_some_and(|known| known.is_local);
            self.number(&name, labels, is_local, table, touched);
        }
    }

    fn claim(&mut self, name: &Arc<PodName>, old: &[IpAddr], new: &[IpAddr], touched: &mut Touched) {
        for address in old.iter().filter(|address| !new.contains(address)) {
            touched.addresses.insert(*address);
            touched.pods.extend(self.contested.get(address).into_iter().flatten().cloned());
            if let Some(claims) = self.contested.get_mut(address) {
                claims.remove(name);
                if let Some(first) = claims.first() {
                    self.addresses.insert(*address, Arc::clone(first));
                }
                if claims.len() < 2 {
                    self.contested.remove(address);
                }
            } else {
                self.addresses.remove(address);
            }
        }
        for address in new {
            touched.addresses.insert(*address);
            if old.contains(address) {
                continue;
            }
            match self.addresses.entry(*address) {
                Entry::Vacant(free) => drop(free.insert(Arc::clone(name))),
                Entry::Occupied(mut taken) => {
                    let claims =
                        self.contested.entry(*address).or_insert_with(|| BTreeSet::from([taken.get().clone()]));
                    claims.insert(Arc::clone(name));
                    touched.pods.extend(claims.iter().cloned());
                    if let Some(first) = claims.first() {
                        taken.insert(Arc::clone(first));
                    }
                }
            }
        }
    }

    fn count_ports(&mut self, old: &[ContainerPort], new: &[ContainerPort], touched: &mut Touched) {
        for port in new {
            let count =
                self.named.entry(port.name.clone()).or_default().entry((port.protocol, port.number)).or_default();
            *count += 1;
            if *count == 1 {
                touched.port_names.insert(port.name.clone());
            }
        }
        for port in old {
            let Some(numbers) = self.named.get_mut(&port.name) else { continue };
            let Some(count) = numbers.get_mut(&(port.protocol, port.number)) else { continue };
            *count -= 1;
            if *count == 0 {
                numbers.remove(&(port.protocol, port.number));
                touched.port_names.insert(port.name.clone());
            }
            if numbers.is_empty() {
                self.named.remove(&port.name);
            }
        }
    }

    pub(super) fn get(&self, name: &PodName) -> Option<&Known> {
        self.all.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &PodName) -> Option<&mut Known> {
        self.all.get_mut(name)
    }

    /// Who has an address.
    pub(super) fn owner(&self, address: &IpAddr) -> Option<AddressOwner> {
        let known = self.all.get(self.addresses.get(address)?)?;
        let Assigned { endpoint, identity } = known.assigned;
        Some(AddressOwner { identity, endpoint: known.is_local.then_some(endpoint) })
    }

    /// What the proxy shall know of a pod; nothing if it has no address for itself.
    pub(super) fn show(&self, name: &PodName) -> Option<snapshot::Pod> {
        let known = self.all.get(name)?;
        let is_own = |address: &&IpAddr| self.addresses.get(*address).is_some_and(|owner| **owner == *name);
        let addresses: Vec<IpAddr> = known.addresses.iter().filter(is_own).copied().collect();
        let identity = known.assigned.identity;
        (!addresses.is_empty()).then(|| snapshot::Pod { name: name.clone(), identity, addresses, policy: known.policy })
    }

    /// Pods that claim an address of another: the address, who has it, and who has it not.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = (IpAddr, &PodName, &PodName)> {
        self.contested.iter().flat_map(|(address, claims)| {
            let first = claims.first();
            first.into_iter().flat_map(|first| claims.iter().skip(1).map(|loser| (*address, &**first, &**loser)))
        })
    }
}
