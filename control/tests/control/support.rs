//! What the tests share: stores made of text, and a reader of the kernel's entries.

use std::sync::Arc;

use weir_control::{manifests::RuleCheck, store::Store};
use weir_model::policy::HttpRule;

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
