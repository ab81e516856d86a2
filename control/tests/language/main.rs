//! The policy language and the store of objects: what is read, how, and what is refused, without privileges.

mod closed;
mod defaults;
mod gaps;
mod http;
mod kubernetes;
mod mutations;
mod objects;
mod peers;
mod ports;
mod refused;
mod selectors;
mod store;
#[path = "../control/support.rs"]
mod support;

use weir_control::manifests::{Object, Parsed, ReadOptions, parse};
use weir_model::policy::{Policy, RuleEntry};

use crate::support::{check, policy};

fn parsed(text: &str) -> Parsed {
    parse("f.yaml", text.as_bytes(), ReadOptions::default(), &*check())
}

/// The policy of a text that has nothing wrong.
fn accepted(text: &str) -> Policy {
    let parsed = parsed(text);
    assert_eq!(parsed.problems, [], "{text}");
    match parsed.objects.into_iter().next().map(|accepted| accepted.object) {
        Some(Object::Policy(policy)) => policy,
        other => panic!("no policy: {other:?}"),
    }
}

/// The policy with this spec.
fn with_spec(spec: &str) -> Policy {
    accepted(&policy("x", spec))
}

/// An `ingress` entry as it is read.
fn ingress(entry: &str) -> RuleEntry {
    with_spec(&format!("{{endpointSelector: {{}}, ingress: [{entry}]}}")).rules.remove(0).ingress.remove(0)
}

/// An `egress` entry as it is read.
fn egress(entry: &str) -> RuleEntry {
    with_spec(&format!("{{endpointSelector: {{}}, egress: [{entry}]}}")).rules.remove(0).egress.remove(0)
}

/// The same text as a clusterwide policy.
fn clusterwide(text: &str) -> String {
    text.replace("kind: CiliumNetworkPolicy", "kind: CiliumClusterwideNetworkPolicy")
}
