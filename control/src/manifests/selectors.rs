//! Label selectors, and how the place where one stands scopes it to a namespace.

use weir_model::{
    labels::{NAMESPACE_LABEL_PREFIX, POD_NAMESPACE, SERVICE_ACCOUNT, SOURCE_K8S, SOURCE_RESERVED},
    selector::{Operator, Requirement, Selector, SelectorKey},
};

use super::{
    context::Context,
    language, names,
    node::{Issues, Node},
};
use crate::label_filter::is_relevant;

/// Sources that labels of pods never have.
const OTHER_SOURCES: [&str; 9] =
    ["cidr", "cidrgroup", "fqdn", "node", "container", "unspec", "gen", "cni", "directory"];
/// Names of reserved identities; a selector of another could match nobody.
const RESERVED: [&str; 10] = [
    "host",
    "world",
    "world-ipv4",
    "world-ipv6",
    "unmanaged",
    "health",
    "init",
    "remote-node",
    "kube-apiserver",
    "ingress",
];
/// The prefix of the labels that only the control plane gives.
const OWN_POLICY_LABELS: &str = "io.cilium.k8s.policy.";
/// A key with a source other than `k8s` may be this long; the others have Kubernetes' bounds.
const MAX_KEY: usize = 512;

/// Where the selectors of an object apply.
#[derive(Clone, Copy)]
pub(super) enum Scope<'a> {
    /// A namespaced policy in this namespace.
    Namespace(&'a str),
    /// A CiliumClusterwideNetworkPolicy.
    Cluster {
        /// Its subjects are pods whose labels are not known yet, so its peers need not have a namespace either.
        init: bool,
    },
}

/// How a label key is written.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// With a source or without, which then is any.
    Sources,
    /// Without a source, as Kubernetes has it; with this prefix it is that of a pod's label.
    Kubernetes(&'static str),
}

/// Reads `endpointSelector`. Whatever it says of namespaces, a namespaced policy speaks of its own namespace only.
pub(super) fn subject(node: &Node<'_>, scope: Scope<'_>, issues: &mut Issues) -> Selector {
    let (mut labels, expressions) = requirements(node, Keys::Sources, issues);
    if let Scope::Namespace(namespace) = scope {
        let before = labels.len();
        labels.retain(|label| !(names_namespace(&label.key) && label.operator != is(namespace)));
        if labels.len() < before {
            let note = format!("names another namespace, which is overridden by the policy's own, {namespace}");
            issues.note(node.path_of("matchLabels"), note);
        }
        labels.push(own_namespace(is(namespace)));
    }
    let selector = canonical(labels.into_iter().chain(expressions));
    if let Some(key) = positive(&selector).find(|key| is_reserved(key) || !identifies(key)) {
        issues.gap(
            node.path(),
            format!("it asks for {key}, which is part of no pod's identity; the rule applies to nothing"),
        );
    }
    selector
}

/// Reads an element of `fromEndpoints` or `toEndpoints`.
///
/// A selector with a `reserved:` key is left alone. Otherwise a namespaced policy means pods of its own namespace unless the
/// selector speaks of namespaces itself, and a cluster-wide one means pods of any namespace unless it names one, never host or
/// world.
pub(super) fn peer(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Selector {
    let (mut labels, expressions) = requirements(node, Keys::Sources, issues);
    let any = |wanted: &dyn Fn(&SelectorKey) -> bool| labels.iter().chain(&expressions).any(|r| wanted(&r.key));
    let speaks_of_namespaces =
        any(&|key| names_namespace(key) || (is_k8s_or_any(key) && key.key.starts_with(NAMESPACE_LABEL_PREFIX)));
    match context.scope {
        _ if any(&is_reserved) => {}
        Scope::Cluster { .. } if any(&names_namespace) => {}
        Scope::Cluster { init: false } => labels.push(own_namespace(Operator::Exists)),
        Scope::Cluster { init: true } => {}
        Scope::Namespace(_) if speaks_of_namespaces => {}
        Scope::Namespace(namespace) => labels.push(own_namespace(is(namespace))),
    }
    let selector = canonical(labels.into_iter().chain(expressions));
    unenforced_peer(&selector, node, context, issues);
    selector
}

/// What of a peer selector means something else to Cilium.
fn unenforced_peer(selector: &Selector, node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) {
    if let Some(key) = positive(selector).find(|key| !is_reserved(key) && !identifies(key)) {
        let effect =
            format!("it asks for {key}, which is part of no pod's identity, so it matches nobody; use another label");
        context.gap(issues, node.path(), &effect);
    }
    let reserved = positive(selector).find_map(|key| match (is_reserved(key), key.key.as_str()) {
        (true, "world") => {
            Some("reserved:world is nobody's label where addresses are IPv4 and IPv6, use the entity world")
        }
        (true, "remote-node" | "kube-apiserver") => Some(
            "weir does not know other nodes and API servers yet, so it matches nobody; name their addresses as CIDRs",
        ),
        _ => None,
    });
    if let Some(effect) = reserved {
        context.gap(issues, node.path(), effect);
    }
    // Without anything that a peer must have, Cilium takes the world and the nodes for matching, too.
    if positive(selector).next().is_none() && !matches!(context.scope, Scope::Cluster { init: true }) {
        let effect =
            "it names only what a peer must not have, and means pods alone; the world and nodes are named as entities";
        context.gap(issues, node.path(), effect);
    }
}

/// Reads an element of `fromNodes` or `toNodes`: other nodes.
pub(super) fn node_peer(node: &Node<'_>, issues: &mut Issues) -> Selector {
    let (labels, expressions) = requirements(node, Keys::Sources, issues);
    let key = SelectorKey { source: Some(SOURCE_RESERVED.into()), key: "remote-node".into() };
    let other = Requirement { key, operator: Operator::Exists };
    canonical(labels.into_iter().chain(expressions).chain([other]))
}

/// Reads a selector of what has no namespace, or of what is looked for in all of them: nodes, groups, services.
pub(super) fn unscoped(node: &Node<'_>, issues: &mut Issues) -> Selector {
    let (labels, expressions) = requirements(node, Keys::Sources, issues);
    canonical(labels.into_iter().chain(expressions))
}

/// Whether a selector asks for the label of a reserved identity.
pub(super) fn names_reserved(selector: &Selector, name: &str) -> bool {
    positive(selector).any(|key| is_reserved(key) && key.key == name)
}

/// The keys that a label set must have.
fn positive(selector: &Selector) -> impl Iterator<Item = &SelectorKey> {
    let positive = |r: &&Requirement| matches!(r.operator, Operator::In(_) | Operator::Exists);
    selector.requirements.iter().filter(positive).map(|requirement| &requirement.key)
}

/// The requirements of matchLabels and those of matchExpressions.
pub(super) fn requirements(node: &Node<'_>, keys: Keys, issues: &mut Issues) -> (Vec<Requirement>, Vec<Requirement>) {
    node.check_fields(&language::SELECTOR, issues);
    let mut labels = Vec::new();
    if let Some(map) = node.child("matchLabels") {
        for (name, value) in map.members(issues) {
            let Some(text) = label_value(&value, issues) else { continue };
            labels.extend(key(name, keys, &value, issues).map(|key| Requirement { key, operator: is(&text) }));
        }
    }
    let mut expressions = Vec::new();
    if let Some(list) = node.child("matchExpressions") {
        expressions.extend(list.elements(issues).iter().filter_map(|node| expression(node, keys, issues)));
    }
    (labels, expressions)
}

fn expression(node: &Node<'_>, keys: Keys, issues: &mut Issues) -> Option<Requirement> {
    node.check_fields(&language::EXPRESSION, issues);
    let Some(name) = node.child("key") else {
        issues.problem(node.path_of("key"), "is missing; say which label the expression speaks of");
        return None;
    };
    let key = key(name.text(issues)?, keys, &name, issues)?;
    let values: Vec<String> = match node.child("values") {
        Some(list) => list.elements(issues).iter().filter_map(|value| label_value(value, issues)).collect(),
        None => Vec::new(),
    };
    let operator = node.child("operator").and_then(|operator| operator.value().as_str()).unwrap_or_default();
    let operator = match (operator, values.is_empty()) {
        ("In", false) => Operator::In(values),
        ("NotIn", false) => Operator::NotIn(values),
        ("Exists", true) => Operator::Exists,
        ("DoesNotExist", true) => Operator::DoesNotExist,
        ("In" | "NotIn", true) => {
            issues.problem(node.path_of("values"), format!("is empty; {operator} needs at least one value"));
            return None;
        }
        ("Exists" | "DoesNotExist", false) => {
            issues.problem(node.path_of("values"), format!("must be left out; {operator} takes no values"));
            return None;
        }
        _ => {
            let reason = format!("is {operator:?}; use In, NotIn, Exists or DoesNotExist");
            issues.problem(node.path_of("operator"), reason);
            return None;
        }
    };
    Some(Requirement { key, operator })
}

fn key(text: &str, keys: Keys, node: &Node<'_>, issues: &mut Issues) -> Option<SelectorKey> {
    let key = match keys {
        Keys::Sources => SelectorKey::parse(text),
        Keys::Kubernetes(prefix) => SelectorKey { source: Some(SOURCE_K8S.into()), key: format!("{prefix}{text}") },
    };
    let reason = match (keys, key.source.as_deref()) {
        _ if key.key.is_empty() => "has an empty label key; name the label".to_owned(),
        (Keys::Kubernetes(_), _) if !names::is_label_key(text) => names::BAD_LABEL_KEY.to_owned(),
        (_, None | Some(SOURCE_K8S)) if !names::is_label_key(&key.key) => names::BAD_LABEL_KEY.to_owned(),
        (_, None | Some(SOURCE_K8S)) => return Some(key),
        (_, Some(SOURCE_RESERVED)) if RESERVED.contains(&key.key.as_str()) => return Some(key),
        (_, Some(SOURCE_RESERVED)) => {
            format!("{} is no reserved label; use one of {}", names::quote(&key.key), RESERVED.join(", "))
        }
        (_, Some(_)) if key.key.len() > MAX_KEY => format!("is longer than {MAX_KEY} bytes; no label has such a key"),
        (_, Some(source)) if OTHER_SOURCES.contains(&source) => return Some(key),
        (_, Some(source)) => {
            format!("label source {} is unknown; use k8s:, any: or reserved:, or no prefix", names::quote(source))
        }
    };
    issues.problem(node.path(), reason);
    None
}

/// A label value as Kubernetes allows it; another could not match any pod.
fn label_value(node: &Node<'_>, issues: &mut Issues) -> Option<String> {
    let text = node.text(issues)?;
    if !names::is_label_value(text) {
        issues.problem(node.path(), format!("{} {}", names::quote(text), names::BAD_LABEL_VALUE));
        return None;
    }
    Some(text.into())
}

/// Equal selectors shall be equal values, however they were written: the selector cache goes by value.
pub(super) fn canonical(requirements: impl Iterator<Item = Requirement>) -> Selector {
    let mut requirements: Vec<_> = requirements.collect();
    requirements.sort();
    requirements.dedup();
    Selector { requirements }
}

pub(super) fn is(value: &str) -> Operator {
    Operator::In(vec![value.into()])
}

pub(super) fn own_namespace(operator: Operator) -> Requirement {
    Requirement { key: SelectorKey { source: Some(SOURCE_K8S.into()), key: POD_NAMESPACE.into() }, operator }
}

fn names_namespace(key: &SelectorKey) -> bool {
    is_k8s_or_any(key) && key.key == POD_NAMESPACE
}

fn is_k8s_or_any(key: &SelectorKey) -> bool {
    matches!(key.source.as_deref(), None | Some(SOURCE_K8S))
}

fn is_reserved(key: &SelectorKey) -> bool {
    key.source.as_deref() == Some(SOURCE_RESERVED)
}

/// Whether pods with different values of the label are told apart.
fn identifies(key: &SelectorKey) -> bool {
    let text = key.key.as_str();
    let given = [POD_NAMESPACE, SERVICE_ACCOUNT].contains(&text) || text.starts_with(NAMESPACE_LABEL_PREFIX);
    is_k8s_or_any(key) && (given || (!text.starts_with(OWN_POLICY_LABELS) && is_relevant(text)))
}
