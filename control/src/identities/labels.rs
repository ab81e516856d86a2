//! The labels that make a pod's identity.

use weir_model::labels::{LabelKey, LabelSet, NAMESPACE_LABEL_PREFIX, POD_NAMESPACE, SERVICE_ACCOUNT};

use crate::manifests::{Namespace, Pod};

/// The prefix of all labels that only the control plane gives; a pod that carried one could pose as another.
const OWN_POLICY_LABELS: &str = "io.cilium.k8s.policy.";

/// The labels that policies can select `pod` by: its own that matter (Cilium's default filter), its namespace and that
/// namespace's labels, and its service account.
pub fn identity_labels(pod: &Pod, namespace: Option<&Namespace>) -> LabelSet {
    let is_ours = |key: &str| {
        key == POD_NAMESPACE || key.starts_with(NAMESPACE_LABEL_PREFIX) || key.starts_with(OWN_POLICY_LABELS)
    };
    let mut labels: Vec<(LabelKey, String)> = pod
        .labels
        .iter()
        .filter(|(key, _)| !is_ours(key) && is_relevant(key))
        .map(|(key, value)| (LabelKey::k8s(key), value.clone()))
        .collect();
    labels.push((LabelKey::k8s(POD_NAMESPACE), pod.name.namespace.clone()));
    labels.extend(namespace_labels(namespace));
    labels.extend(pod.service_account.iter().map(|account| (LabelKey::k8s(SERVICE_ACCOUNT), account.clone())));
    labels.into()
}

/// What `labels`, of a pod, are when its namespace has become `namespace`.
pub fn with_namespace(labels: &LabelSet, namespace: Option<&Namespace>) -> LabelSet {
    let own = labels.iter().filter(|(key, _)| !key.key.starts_with(NAMESPACE_LABEL_PREFIX));
    own.map(|(key, value)| (key.clone(), value.to_owned())).chain(namespace_labels(namespace)).collect()
}

fn namespace_labels(namespace: Option<&Namespace>) -> impl Iterator<Item = (LabelKey, String)> {
    let labels = namespace.into_iter().flat_map(|namespace| &namespace.labels);
    labels.map(|(key, value)| (LabelKey::k8s(format!("{NAMESPACE_LABEL_PREFIX}{key}")), value.clone()))
}

enum Pattern {
    /// Keys that begin so.
    Prefix(&'static str),
    /// Keys that begin so, matched to their end.
    PrefixToEnd(&'static str),
    /// Keys that contain this, matched from their beginning to its last occurrence.
    Contains(&'static str),
}

/// Cilium's `labelsfilter/filter.go`, defaults for keys of source k8s.
const INCLUDED: &[Pattern] = &[Pattern::Prefix("app.kubernetes.io")];
const EXCLUDED: &[Pattern] = &[
    Pattern::Prefix("io.kubernetes"),
    Pattern::Prefix("kubernetes.io"),
    Pattern::Prefix("statefulset.kubernetes.io/pod-name"),
    Pattern::Prefix("apps.kubernetes.io/pod-index"),
    Pattern::Prefix("batch.kubernetes.io/job-completion-index"),
    Pattern::Prefix("batch.kubernetes.io/controller-uid"),
    Pattern::Contains("beta.kubernetes.io"),
    Pattern::Prefix("k8s.io"),
    Pattern::Prefix("pod-template-generation"),
    Pattern::Prefix("pod-template-hash"),
    Pattern::Prefix("controller-revision-hash"),
    Pattern::Prefix("controller-uid"),
    Pattern::PrefixToEnd("annotation"),
    Pattern::Prefix("etcd_node"),
    Pattern::Prefix("topology.kubernetes.io"),
];

impl Pattern {
    fn matched(&self, key: &str) -> Option<usize> {
        match self {
            Self::Prefix(prefix) => key.starts_with(prefix).then_some(prefix.len()),
            Self::PrefixToEnd(prefix) => key.starts_with(prefix).then_some(key.len()),
            Self::Contains(part) => key.rfind(part).map(|at| at + part.len()),
        }
    }
}

/// A key matters unless it is excluded, and the longest inclusion beats the shortest exclusion.
fn is_relevant(key: &str) -> bool {
    let included = INCLUDED.iter().filter_map(|pattern| pattern.matched(key)).max();
    let excluded = EXCLUDED.iter().filter_map(|pattern| pattern.matched(key)).min();
    excluded.is_none() || included > excluded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_filter_keeps_what_an_application_is_known_by() {
        let rows = [
            ("app", true),
            ("org", true),
            ("app.kubernetes.io/name", true),
            ("app.kubernetes.io/beta.kubernetes.io", false),
            ("pod-template-hash", false),
            ("controller-revision-hash", false),
            ("batch.kubernetes.io/controller-uid", false),
            ("batch.kubernetes.io/job-name", true),
            ("statefulset.kubernetes.io/pod-name", false),
            ("kubernetes.io/os", false),
            ("beta.kubernetes.io/arch", false),
            ("x.beta.kubernetes.io", false),
            ("annotationfoo", false),
            ("k8s.io/cluster", false),
            ("k8s-app", true),
            ("topology.kubernetes.io/zone", false),
        ];
        for (key, expected) in rows {
            assert_eq!(is_relevant(key), expected, "{key}");
        }
    }
}
