//! The labels that make a pod's identity.

use weir_model::labels::{LabelKey, LabelSet, NAMESPACE_LABEL_PREFIX, POD_NAMESPACE, SERVICE_ACCOUNT};

use crate::{
    label_filter::is_relevant,
    manifests::{Namespace, Pod},
};

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
