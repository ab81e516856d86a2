//! NetworkPolicy of Kubernetes, read as a policy with one rule.
//!
//! What differs: an empty rule, and a rule without peers, means everybody; a selector's keys are Kubernetes' own; which
//! directions deny by default is said by `policyTypes` alone. `ipBlock` means what is neither pod nor node, as a CIDR does.

use std::sync::Arc;

use serde_json::Value;
use weir_model::{
    labels::NAMESPACE_LABEL_PREFIX,
    policy::{
        CidrPeer, DefaultDeny, Entity, PeerSelector, Policy, PolicyKind, PolicyName, Port, PortRange, PortRule,
        PortSpec, Protocol, Rule, RuleEntry, Subject,
    },
    selector::{Operator, Selector},
};

use super::{
    ObjectKey, cidr,
    language::{self, Shape},
    names,
    node::{Issues, Node},
    policy,
    selectors::{self, Keys},
};

/// What differs between the two directions.
struct Side {
    list: &'static str,
    policy_type: &'static str,
    peers: &'static str,
    shape: &'static Shape,
}

const INGRESS: Side =
    Side { list: "ingress", policy_type: "Ingress", peers: "from", shape: &language::KUBERNETES_INGRESS };
const EGRESS: Side = Side { list: "egress", policy_type: "Egress", peers: "to", shape: &language::KUBERNETES_EGRESS };

/// Reads a NetworkPolicy; `None`, or any problem among the issues, refuses it.
pub(super) fn policy(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<Policy> {
    root.check_fields(&language::NETWORK_POLICY, issues);
    let mode = policy::mode(root, issues)?;
    // Kubernetes takes an object without a spec for one with an empty spec.
    let empty = Value::Object(serde_json::Map::new());
    let spec = root.child("spec").unwrap_or_else(|| Node::root(&empty));
    spec.check_fields(&language::NETWORK_POLICY_SPEC, issues);
    let pods = spec.child("podSelector").map(|node| selector(&node, "", issues)).unwrap_or_default();
    let types = types(&spec, issues);
    let mut reader = Reader { namespace: &key.namespace, issues };
    let mut rule = Rule {
        subject: Subject::Pods(reader.own(pods)),
        ingress: reader.entries(&spec, &INGRESS),
        ingress_deny: Vec::new(),
        egress: reader.entries(&spec, &EGRESS),
        egress_deny: Vec::new(),
        default_deny: DefaultDeny { ingress: true, egress: !spec_is_empty(&spec, EGRESS.list) },
        log: None,
    };
    if let Some(types) = types {
        let has = |side: &Side| types.contains(&side.policy_type);
        rule.default_deny = DefaultDeny { ingress: has(&INGRESS), egress: has(&EGRESS) };
    }
    for (side, entries, enforced) in
        [(INGRESS, &mut rule.ingress, rule.default_deny.ingress), (EGRESS, &mut rule.egress, rule.default_deny.egress)]
    {
        if !enforced && !entries.is_empty() {
            let note = format!("is ignored, as in Kubernetes, since policyTypes does not list {}", side.policy_type);
            issues.note(spec.path_of(side.list), note);
            entries.clear();
        }
    }
    policy::observe(mode, &mut rule);
    let name = PolicyName { kind: PolicyKind::NetworkPolicy, namespace: key.namespace.clone(), name: key.name.clone() };
    Some(Policy { name: Arc::new(name), mode, rules: vec![rule], gaps: issues.take_gaps() })
}

fn spec_is_empty(spec: &Node<'_>, list: &str) -> bool {
    spec.child(list).is_none_or(|list| list.value().as_array().is_some_and(Vec::is_empty))
}

/// `policyTypes`; an empty list is none.
fn types(spec: &Node<'_>, issues: &mut Issues) -> Option<Vec<&'static str>> {
    let list = spec.child("policyTypes")?;
    let mut types = Vec::new();
    for element in list.elements(issues) {
        match element.text(issues) {
            Some("Ingress") => types.push(INGRESS.policy_type),
            Some("Egress") => types.push(EGRESS.policy_type),
            Some(other) => {
                issues.problem(element.path(), format!("is {}; use Ingress or Egress", names::quote(other)));
            }
            None => {}
        }
    }
    (!types.is_empty()).then_some(types)
}

/// Reads a label selector of Kubernetes, for pods' labels with this prefix.
fn selector(node: &Node<'_>, prefix: &'static str, issues: &mut Issues) -> Selector {
    let (labels, expressions) = selectors::requirements(node, Keys::Kubernetes(prefix), issues);
    selectors::canonical(labels.into_iter().chain(expressions))
}

struct Reader<'a> {
    namespace: &'a str,
    issues: &'a mut Issues,
}

impl Reader<'_> {
    /// The pods of the policy's own namespace that `selector` means.
    fn own(&self, mut selector: Selector) -> Selector {
        selector.requirements.push(selectors::own_namespace(selectors::is(self.namespace)));
        selectors::canonical(selector.requirements.into_iter())
    }

    fn entries(&mut self, spec: &Node<'_>, side: &Side) -> Vec<RuleEntry> {
        let Some(list) = spec.child(side.list) else { return Vec::new() };
        list.elements(self.issues).iter().map(|node| self.entry(node, side)).collect()
    }

    fn entry(&mut self, node: &Node<'_>, side: &Side) -> RuleEntry {
        node.check_fields(side.shape, self.issues);
        let elements = node.child(side.peers).map(|list| list.elements(self.issues)).unwrap_or_default();
        let peers = match elements.as_slice() {
            [] => vec![PeerSelector::Entity(Entity::All)],
            elements => elements.iter().filter_map(|node| self.peer(node)).collect(),
        };
        let ports = node.child("ports").map(|list| list.elements(self.issues)).unwrap_or_default();
        let rule = |spec| PortRule { ports: vec![spec], http: None };
        let ports: Vec<_> = ports.iter().filter_map(|node| self.port(node)).map(rule).collect();
        RuleEntry { peers: Some(peers), ports: (!ports.is_empty()).then_some(ports), ..RuleEntry::default() }
    }

    fn peer(&mut self, node: &Node<'_>) -> Option<PeerSelector> {
        node.check_fields(&language::KUBERNETES_PEER, self.issues);
        let pods = node.child("podSelector").map(|node| selector(&node, "", self.issues));
        let namespaces =
            node.child("namespaceSelector").map(|node| selector(&node, NAMESPACE_LABEL_PREFIX, self.issues));
        let selector = match (pods, namespaces, node.child("ipBlock")) {
            (None, None, Some(block)) => return self.ip_block(&block),
            (Some(pods), None, None) => self.own(pods),
            (pods, Some(namespaces), None) => {
                let any = selectors::own_namespace(Operator::Exists);
                let pods = pods.unwrap_or_default().requirements.into_iter();
                selectors::canonical(pods.chain(namespaces.requirements).chain([any]))
            }
            (None, None, None) => {
                let reason =
                    "names nobody; write podSelector, namespaceSelector or ipBlock, or no element at all for everybody";
                self.issues.problem(node.path(), reason);
                return None;
            }
            (_, _, Some(block)) => {
                self.issues.problem(block.path(), "stands beside a selector; write two elements");
                return None;
            }
        };
        Some(PeerSelector::Endpoints(selector))
    }

    fn ip_block(&mut self, node: &Node<'_>) -> Option<PeerSelector> {
        node.check_fields(&language::IP_BLOCK, self.issues);
        let Some(prefix) = node.child("cidr") else {
            self.issues.problem(node.path_of("cidr"), "is missing; write a prefix, as in 10.0.0.0/8");
            return None;
        };
        let cidr = cidr::prefix(&prefix, self.issues)?;
        let mut except = Vec::new();
        for element in node.child("except").map(|list| list.elements(self.issues)).unwrap_or_default() {
            except.extend(cidr::prefix(&element, self.issues).map(|net| (element, net)));
        }
        cidr::check_except(cidr, &except, self.issues);
        let except = except.into_iter().map(|(_, net)| net).collect();
        Some(PeerSelector::Cidr(CidrPeer { cidr, except }))
    }

    fn port(&mut self, node: &Node<'_>) -> Option<PortSpec> {
        node.check_fields(&language::KUBERNETES_PORT, self.issues);
        let protocol = match node.child("protocol") {
            None => Protocol::Tcp,
            Some(protocol) => match protocol.text(self.issues)? {
                "TCP" => Protocol::Tcp,
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                other => {
                    let reason = format!("is {}; use TCP, UDP or SCTP, in capitals", names::quote(other));
                    self.issues.problem(protocol.path(), reason);
                    return None;
                }
            },
        };
        let last = node.child("endPort");
        let port = match node.child("port") {
            None => Port::Numbers(PortRange::ALL),
            Some(port) => match port.value() {
                Value::String(name) if names::is_service_name(name) => Port::Named(name.to_ascii_lowercase()),
                Value::Number(_) => Port::Numbers(self.range(&port, last.as_ref())?),
                _ => {
                    let reason =
                        "is not a port; use a number from 1 to 65535 without quotes, or the name of a container port";
                    self.issues.problem(port.path(), reason);
                    return None;
                }
            },
        };
        if let Some(last) = last
            && (node.child("port").is_none() || matches!(port, Port::Named(_)))
        {
            self.issues.problem(last.path(), "needs the number of the first port as port");
        }
        Some(PortSpec { port, protocol })
    }

    fn range(&mut self, first: &Node<'_>, last: Option<&Node<'_>>) -> Option<PortRange> {
        let mut number = |node: &Node<'_>, least: u16| {
            let number = node.value().as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n >= least);
            if number.is_none() {
                self.issues.problem(node.path(), format!("is not a port; use a number from {least} to 65535"));
            }
            number
        };
        let first = number(first, 1)?;
        let last = last.map_or(Some(first), |last| number(last, first))?;
        Some(PortRange { first, last })
    }
}
