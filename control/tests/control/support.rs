//! What the tests share: stores made of text, and a reader of the kernel's entries.

use std::sync::Arc;

use weir_control::{
    identities::{Floor, IdentityTable},
    manifests::RuleCheck,
    resolve::{Options, Resolver},
    store::Store,
};
use weir_model::{
    identity::Identity,
    policy::HttpRule,
    resolved::Direction,
    wanted::{EntryKey, KernelPolicy},
};

/// A check that refuses an unbalanced parenthesis in a path.
pub(crate) fn check() -> Arc<RuleCheck> {
    Arc::new(|rule: &HttpRule| match &rule.path {
        Some(path) if path.contains('(') => Err(("path".into(), "is no regular expression".into())),
        _ => Ok(()),
    })
}

pub(crate) fn store(files: &[(&str, &str)]) -> Store {
    let mut store = Store::new(check());
    for (name, contents) in files {
        store.apply_file(name, contents.as_bytes());
    }
    store
}

pub(crate) fn resolver(node: Option<&str>) -> Resolver {
    let options = Options { node: node.map(str::to_owned), node_name: "node-1".into() };
    Resolver::new(options, IdentityTable::new(Floor::default()))
}

/// A pod with one address, as YAML.
pub(crate) fn pod(namespace: &str, name: &str, labels: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
         status: {{podIP: \"{address}\"}}\n"
    )
}

/// A CiliumNetworkPolicy in namespace `a` with this spec, in flow style.
pub(crate) fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: a}}\nspec: {spec}\n"
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Deny,
    Allow,
    Redirect,
}

/// What the kernel does with the entries: the longest match with the peer's identity and the longest for everybody; of the
/// two, redirect outranks allow.
pub(crate) fn judge(policy: &KernelPolicy, direction: Direction, peer: Identity, protocol: u8, port: u16) -> Judged {
    let enforced = match direction {
        Direction::Ingress => policy.enforce_ingress,
        Direction::Egress => policy.enforce_egress,
    };
    if !enforced {
        return Judged::Allow;
    }
    let longest = |peer| {
        [(protocol, port), (protocol, 0), (0, 0)]
            .into_iter()
            .find_map(|(protocol, port)| policy.entries.get(&EntryKey { direction, peer, protocol, port }))
    };
    match (longest(peer), longest(Identity::UNKNOWN)) {
        (None, None) => Judged::Deny,
        (specific, everybody) if specific.into_iter().chain(everybody).any(|entry| entry.redirect) => Judged::Redirect,
        _ => Judged::Allow,
    }
}
