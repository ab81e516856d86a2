//! The pods that have addresses, with the labels that identify them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use weir_model::{endpoint::PodName, labels::LabelSet};

use super::Options;
use crate::{
    identities::identity_labels,
    manifests::{Kind, Namespace, Object, ObjectKey},
    problem::Problem,
    store::Store,
};

/// A pod with an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: PodName,
    /// The labels that policies see.
    pub labels: LabelSet,
    /// Its addresses, without those that another pod has.
    pub addresses: Vec<IpAddr>,
    /// Whether it runs on this node.
    pub local: bool,
}

/// All endpoints by name. An address that two pods claim belongs to the first by name; the other loses it.
pub fn collect(store: &Store, options: &Options) -> (Vec<Endpoint>, Vec<Problem>) {
    let mut owners: BTreeMap<IpAddr, PodName> = BTreeMap::new();
    let mut endpoints = Vec::new();
    let mut problems = Vec::new();
    // Keys of pods are ordered by namespace and name.
    for (_, stored) in store.objects() {
        let Object::Pod(pod) = &*stored.object else { continue };
        if !pod.is_endpoint() {
            continue;
        }
        let mut addresses = Vec::new();
        for address in &pod.addresses {
            match owners.entry(*address) {
                Entry::Vacant(free) => {
                    free.insert(pod.name.clone());
                    addresses.push(*address);
                }
                Entry::Occupied(owner) => {
                    let owner = owner.get();
                    let reason =
                        format!("{address} is already the address of pod {owner}; remove the pod that is stale");
                    problems.push(problem_of_pod(store, &pod.name, "status.podIPs", reason));
                }
            }
        }
        if !addresses.is_empty() {
            let labels = identity_labels(pod, namespace(store, &pod.name.namespace));
            let local = match (&options.node, &pod.node) {
                (Some(ours), Some(node)) => ours == node,
                _ => true,
            };
            endpoints.push(Endpoint { name: pod.name.clone(), labels, addresses, local });
        }
    }
    (endpoints, problems)
}

/// A problem that names where the pod was written.
pub(super) fn problem_of_pod(store: &Store, pod: &PodName, field: &str, reason: String) -> Problem {
    let key = ObjectKey { kind: Kind::Pod, namespace: pod.namespace.clone(), name: pod.name.clone() };
    let stored = store.get(&key);
    Problem {
        file: stored.map(|stored| stored.file.clone()).unwrap_or_default(),
        document: stored.map_or(0, |stored| stored.document),
        object: key.to_string(),
        field: field.into(),
        reason,
    }
}

fn namespace<'a>(store: &'a Store, name: &str) -> Option<&'a Namespace> {
    let key = ObjectKey { kind: Kind::Namespace, namespace: String::new(), name: name.into() };
    match &*store.get(&key)?.object {
        Object::Namespace(namespace) => Some(namespace),
        _ => None,
    }
}
