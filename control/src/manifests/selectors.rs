//! Label selectors, and how the place where one stands scopes it to a namespace.

use weir_model::{
    labels::{NAMESPACE_LABEL_PREFIX, POD_NAMESPACE, SOURCE_K8S, SOURCE_RESERVED},
    selector::{Operator, Requirement, Selector, SelectorKey},
};

use super::{
    language, names,
    node::{Issues, Node},
};

/// Where the selectors of an object apply.
#[derive(Clone, Copy)]
pub(super) enum Scope<'a> {
    /// A CiliumNetworkPolicy in this namespace.
    Namespace(&'a str),
    /// A CiliumClusterwideNetworkPolicy.
    Cluster,
}

/// Reads `endpointSelector`. Whatever it says of namespaces, a namespaced policy speaks of its own namespace only.
pub(super) fn subject(node: &Node<'_>, scope: Scope<'_>, issues: &mut Issues) -> Selector {
    let (mut labels, expressions) = requirements(node, issues);
    if let Scope::Namespace(namespace) = scope {
        let before = labels.len();
        labels.retain(|label| !(names_namespace(&label.key) && label.operator != is(namespace)));
        if labels.len() < before {
            let note = format!("names another namespace, which is overridden by the policy's own, {namespace}");
            issues.note(node.path_of("matchLabels"), note);
        }
        labels.push(own_namespace(is(namespace)));
    }
    canonical(labels.into_iter().chain(expressions))
}

/// Reads an element of `fromEndpoints` or `toEndpoints`.
///
/// A selector with a `reserved:` key is left alone. Otherwise a namespaced policy means pods of its own namespace unless the
/// selector speaks of namespaces itself, and a cluster-wide one means pods of any namespace, never host or world.
pub(super) fn peer(node: &Node<'_>, scope: Scope<'_>, issues: &mut Issues) -> Selector {
    let (mut labels, expressions) = requirements(node, issues);
    let any = |wanted: &dyn Fn(&SelectorKey) -> bool| labels.iter().chain(&expressions).any(|r| wanted(&r.key));
    let reserved = any(&|key| key.source.as_deref() == Some(SOURCE_RESERVED));
    let speaks_of_namespaces =
        any(&|key| names_namespace(key) || (is_k8s_or_any(key) && key.key.starts_with(NAMESPACE_LABEL_PREFIX)));
    match scope {
        _ if reserved => {}
        Scope::Cluster => labels.push(own_namespace(Operator::Exists)),
        Scope::Namespace(_) if speaks_of_namespaces => {}
        Scope::Namespace(namespace) => labels.push(own_namespace(is(namespace))),
    }
    canonical(labels.into_iter().chain(expressions))
}

/// Reads the one-line selector syntax of kubectl: `app=web,tier in (a,b),!canary,env!=prod`.
///
/// # Errors
/// Says which part cannot be read.
pub fn parse_selector(text: &str) -> Result<Selector, String> {
    let requirements: Result<Vec<_>, _> = split_outside_parentheses(text).into_iter().map(parse_term).collect();
    Ok(canonical(requirements?.into_iter()))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
    .collect()
}

fn parse_term(term: &str) -> Result<Requirement, String> {
    let unreadable =
        || format!("{term:?} is not a label selector; write key=value, key!=value, key in (a,b), key or !key");
    let one = |value: &str| vec![value.trim().to_owned()];
    let set = |list: &str| -> Option<Vec<String>> {
        let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(list.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let (key, operator) = if let Some(key) = term.strip_prefix('!') {
        (key, Operator::DoesNotExist)
    } else if let Some((key, list)) = term.split_once(" notin ") {
        (key, Operator::NotIn(set(list).ok_or_else(unreadable)?))
    } else if let Some((key, list)) = term.split_once(" in ") {
        (key, Operator::In(set(list).ok_or_else(unreadable)?))
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, Operator::NotIn(one(value)))
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (key, Operator::In(one(value)))
    } else {
        (term, Operator::Exists)
    };
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) || key.contains(['(', ')', '=', '!']) {
        return Err(unreadable());
    }
    Ok(Requirement { key: SelectorKey::parse(key), operator })
}

/// The requirements of matchLabels and those of matchExpressions.
fn requirements(node: &Node<'_>, issues: &mut Issues) -> (Vec<Requirement>, Vec<Requirement>) {
    node.check_fields(&language::SELECTOR, issues);
    let mut labels = Vec::new();
    if let Some(map) = node.child("matchLabels") {
        for (name, value) in map.members(issues) {
            let Some(text) = label_value(&value, issues) else { continue };
            labels.extend(key(name, &value, issues).map(|key| Requirement { key, operator: is(&text) }));
        }
    }
    let mut expressions = Vec::new();
    if let Some(list) = node.child("matchExpressions") {
        expressions.extend(list.elements(issues).iter().filter_map(|node| expression(node, issues)));
    }
    (labels, expressions)
}

fn expression(node: &Node<'_>, issues: &mut Issues) -> Option<Requirement> {
    node.check_fields(&language::EXPRESSION, issues);
    let Some(name) = node.child("key") else {
        issues.problem(node.path_of("key"), "is missing; say which label the expression speaks of");
        return None;
    };
    let key = key(name.text(issues)?, &name, issues)?;
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

fn key(text: &str, node: &Node<'_>, issues: &mut Issues) -> Option<SelectorKey> {
    let key = SelectorKey::parse(text);
    let reason = match key.source.as_deref() {
        _ if key.key.is_empty() => "has an empty label key; name the label".to_owned(),
        None | Some(SOURCE_K8S | SOURCE_RESERVED) => return Some(key),
        Some(
            source @ ("cidr" | "cidrgroup" | "fqdn" | "node" | "container" | "unspec" | "gen" | "cni" | "directory"),
        ) => {
            format!("labels of source {source} are not supported yet; use labels of pods (k8s: or no prefix)")
        }
        Some(source) => format!("label source {source:?} is unknown; use k8s:, any: or reserved:, or no prefix"),
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
fn canonical(requirements: impl Iterator<Item = Requirement>) -> Selector {
    let mut requirements: Vec<_> = requirements.collect();
    requirements.sort();
    requirements.dedup();
    Selector { requirements }
}

fn is(value: &str) -> Operator {
    Operator::In(vec![value.into()])
}

fn own_namespace(operator: Operator) -> Requirement {
    Requirement { key: SelectorKey { source: Some(SOURCE_K8S.into()), key: POD_NAMESPACE.into() }, operator }
}

fn names_namespace(key: &SelectorKey) -> bool {
    is_k8s_or_any(key) && key.key == POD_NAMESPACE
}

fn is_k8s_or_any(key: &SelectorKey) -> bool {
    matches!(key.source.as_deref(), None | Some(SOURCE_K8S))
}
