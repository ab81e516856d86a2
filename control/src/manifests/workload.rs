//! Namespaces and pods, reduced to what makes an endpoint and its identity.
//!
//! Unlike a policy, these may carry any other field: they are ordinary manifests that say much that weir has no part in.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;
use weir_model::{endpoint::PodName, policy::Protocol};

use super::{
    ObjectKey, names,
    node::{Issues, Node},
};

/// The label that every Namespace has: its name. The API server sees to it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, which its pods take over; `kubernetes.io/metadata.name` is always there.
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
    /// The named ports of its containers, and of its init containers that keep running (`restartPolicy: Always`).
    pub ports: Vec<ContainerPort>,
}

/// An element of `containers[].ports` with a name. One name may stand for several ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// In lower case.
    pub name: String,
    /// `containerPort`.
    pub number: u16,
    /// [`Protocol::Tcp`], [`Protocol::Udp`] or [`Protocol::Sctp`].
    pub protocol: Protocol,
}

impl Pod {
    /// Whether the pod has addresses of its own that traffic can be judged by.
    pub fn is_endpoint(&self) -> bool {
        !self.host_network && !self.finished && !self.addresses.is_empty()
    }
}

pub(super) fn namespace(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<Namespace> {
    let mut labels = labels(root, issues);
    labels.insert(NAMESPACE_NAME.into(), key.name.clone());
    Some(Namespace { name: key.name.clone(), labels })
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
        ports: ports(root, issues),
    })
}

fn ports(root: &Node<'_>, issues: &mut Issues) -> Vec<ContainerPort> {
    let Some(spec) = root.child("spec") else { return Vec::new() };
    let mut found = Vec::new();
    for (list, is_init) in [("containers", false), ("initContainers", true)] {
        for container in spec.child(list).map(|list| list.elements(issues)).unwrap_or_default() {
            let restart = container.child("restartPolicy");
            let keeps_running = restart.is_some_and(|policy| policy.value().as_str() == Some("Always"));
            if is_init && !keeps_running {
                continue;
            }
            let elements = container.child("ports").map(|ports| ports.elements(issues)).unwrap_or_default();
            found.extend(elements.iter().filter_map(|port| container_port(port, issues)));
        }
    }
    found
}

/// `None` for a port without a name, which no policy can refer to.
fn container_port(node: &Node<'_>, issues: &mut Issues) -> Option<ContainerPort> {
    let name = node.child("name")?;
    let text = name.text(issues).filter(|text| !text.is_empty())?;
    if !names::is_service_name(text) {
        issues.problem(name.path(), "is no port name; use at most 15 letters, digits and single '-', with a letter");
    }
    let number = node.child("containerPort").map(|port| port.value().clone()).unwrap_or_default();
    let number = number.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    if number.is_none() {
        issues.problem(node.path_of("containerPort"), "is not a port; use a number from 1 to 65535");
    }
    let protocol = match node.child("protocol").as_ref().map(Node::value) {
        None => Protocol::Tcp,
        Some(Value::String(name)) if name == "TCP" => Protocol::Tcp,
        Some(Value::String(name)) if name == "UDP" => Protocol::Udp,
        Some(Value::String(name)) if name == "SCTP" => Protocol::Sctp,
        Some(_) => {
            issues.problem(node.path_of("protocol"), "is no protocol; use TCP, UDP or SCTP, in capitals");
            return None;
        }
    };
    Some(ContainerPort { name: text.to_ascii_lowercase(), number: number?, protocol })
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

/// `metadata.labels`, within the bounds that Kubernetes sets.
pub(super) fn labels(root: &Node<'_>, issues: &mut Issues) -> BTreeMap<String, String> {
    let Some(node) = root.child("metadata").and_then(|metadata| metadata.child("labels")) else {
        return BTreeMap::new();
    };
    let mut labels = BTreeMap::new();
    for (key, value) in node.members(issues) {
        let Some(text) = value.text(issues) else { continue };
        if !names::is_label_key(key) {
            issues.problem(value.path(), names::BAD_LABEL_KEY);
        } else if !names::is_label_value(text) {
            issues.problem(value.path(), format!("{} {}", names::quote(text), names::BAD_LABEL_VALUE));
        } else {
            labels.insert(key.to_owned(), text.to_owned());
        }
    }
    labels
}
