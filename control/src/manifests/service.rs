//! Services and EndpointSlices, reduced to what `toServices` refers to.
//!
//! As with pods, these may carry any other field.

use std::net::IpAddr;

use weir_model::{
    labels::{LabelKey, LabelSet, POD_NAMESPACE, SOURCE_K8S},
    selector::{Operator, Requirement, Selector, SelectorKey},
};

use super::{
    ObjectKey, names,
    node::{Issues, Node},
    workload,
};

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels, with source `k8s`.
    pub labels: LabelSet,
    /// The pods behind it, of its own namespace; `None` for a service without a selector, whose addresses are those of its
    /// EndpointSlices.
    pub selector: Option<Selector>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its namespace, and its Service's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Service that it belongs to (label `kubernetes.io/service-name`); `None` if none is named.
    pub service: Option<String>,
    /// The addresses that serve: without those whose conditions say otherwise, and without names.
    pub addresses: Vec<IpAddr>,
}

pub(super) fn service(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<Service> {
    let labels = workload::labels(root, issues);
    let selector = root.child("spec").and_then(|spec| spec.child("selector"));
    let members = selector.map(|selector| selector.members(issues)).unwrap_or_default();
    let mut requirements = Vec::new();
    for (name, value) in members {
        let Some(text) = value.text(issues) else { continue };
        if !names::is_label_key(name) || !names::is_label_value(text) {
            issues.problem(value.path(), "is no label; use a key and a value as pods can have them");
        }
        requirements.push(is(name, text));
    }
    if !requirements.is_empty() {
        requirements.push(is(POD_NAMESPACE, &key.namespace));
        requirements.sort();
    }
    Some(Service {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        labels: labels.into_iter().map(|(key, value)| (LabelKey::k8s(key), value)).collect(),
        selector: (!requirements.is_empty()).then_some(Selector { requirements }),
    })
}

fn is(key: &str, value: &str) -> Requirement {
    let key = SelectorKey { source: Some(SOURCE_K8S.into()), key: key.into() };
    Requirement { key, operator: Operator::In(vec![value.into()]) }
}

pub(super) fn endpoint_slice(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<EndpointSlice> {
    let mut slice = EndpointSlice {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        service: workload::labels(root, issues).remove(SERVICE_NAME),
        addresses: Vec::new(),
    };
    if root.child("addressType").is_some_and(|kind| kind.value() == "FQDN") {
        issues.note("addressType", "is FQDN; weir resolves no names, so no address stands for this slice");
        return Some(slice);
    }
    for endpoint in root.child("endpoints").map(|list| list.elements(issues)).unwrap_or_default() {
        let condition = |name: &str| endpoint.child("conditions")?.child(name)?.value().as_bool();
        if condition("ready") == Some(false) && condition("serving") != Some(true) {
            continue;
        }
        for node in endpoint.child("addresses").map(|list| list.elements(issues)).unwrap_or_default() {
            let Some(text) = node.text(issues) else { continue };
            match text.parse::<IpAddr>() {
                Ok(address) => slice.addresses.push(address.to_canonical()),
                Err(_) => issues.problem(node.path(), format!("{} is no IP address", names::quote(text))),
            }
        }
    }
    slice.addresses.sort_unstable();
    slice.addresses.dedup();
    Some(slice)
}
