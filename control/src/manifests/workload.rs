//! Namespaces and pods, reduced to what makes an endpoint and its identity.
//!
//! Unlike a policy, these may carry any other field: they are ordinary manifests that say much that weir has no part in.

use std::{collections::BTreeMap, net::IpAddr};

use weir_model::endpoint::PodName;

use super::{
    ObjectKey,
    node::{Issues, Node},
};

/// A Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, which its pods take over.
    pub labels: BTreeMap<String, String>,
}

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace and name.
    pub name: PodName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `spec.nodeName`, if set.
    pub node: Option<String>,
    /// `spec.serviceAccountName`, if set.
    pub service_account: Option<String>,
    /// It shares its node's network: its addresses are the node's, and it is no endpoint.
    pub host_network: bool,
    /// It has run to its end: its addresses are no longer its own.
    pub finished: bool,
    /// `status.podIPs`, or else `status.podIP`.
    pub addresses: Vec<IpAddr>,
}

impl Pod {
    /// Whether the pod has addresses of its own that traffic can be judged by.
    pub fn is_endpoint(&self) -> bool {
        !self.host_network && !self.finished && !self.addresses.is_empty()
    }
}

pub(super) fn namespace(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<Namespace> {
    Some(Namespace { name: key.name.clone(), labels: labels(root, issues) })
}

pub(super) fn pod(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<Pod> {
    let text = |node: Option<Node<'_>>, issues: &mut Issues| {
        let text = node.and_then(|node| node.text(issues));
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let spec = |name: &str| root.child("spec").and_then(|spec| spec.child(name));
    let status = |name: &str| root.child("status").and_then(|status| status.child(name));
    let host_network = spec("hostNetwork").is_some_and(|node| {
        node.value().as_bool().unwrap_or_else(|| {
            issues.problem(node.path(), "must be true or false");
            false
        })
    });
    let phase = text(status("phase"), issues);
    Some(Pod {
        name: PodName { namespace: key.namespace.clone(), name: key.name.clone() },
        labels: labels(root, issues),
        node: text(spec("nodeName"), issues),
        service_account: text(spec("serviceAccountName"), issues),
        host_network,
        finished: matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
        addresses: addresses(status("podIPs"), status("podIP"), issues),
    })
}

fn addresses(list: Option<Node<'_>>, single: Option<Node<'_>>, issues: &mut Issues) -> Vec<IpAddr> {
    let mut nodes = Vec::new();
    for element in list.map(|list| list.elements(issues)).unwrap_or_default() {
        match element.child("ip") {
            Some(ip) => nodes.push(ip),
            None => issues.problem(element.path_of("ip"), "is missing; write `- ip: <address>`"),
        }
    }
    if nodes.is_empty() {
        nodes.extend(single);
    }
    let mut addresses = Vec::new();
    for node in nodes {
        let Some(text) = node.text(issues) else { continue };
        match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(ip) if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() => {
                issues.problem(
                    node.path(),
                    format!("{text} cannot be a pod's address; use the address of its interface"),
                );
            }
            Ok(ip) if addresses.contains(&ip) => {}
            Ok(ip) => addresses.push(ip),
            Err(_) => issues.problem(node.path(), format!("{text:?} is no IP address")),
        }
    }
    addresses
}

fn labels(root: &Node<'_>, issues: &mut Issues) -> BTreeMap<String, String> {
    let Some(node) = root.child("metadata").and_then(|metadata| metadata.child("labels")) else {
        return BTreeMap::new();
    };
    let members = node.members(issues);
    members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.text(issues)?.to_owned()))).collect()
}
