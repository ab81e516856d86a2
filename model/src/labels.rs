//! Labels with a source, and sets of them.
//!
//! A label is `source:key=value`, for instance `k8s:app=web`. An endpoint's identity is the number of its label set.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Source of the labels that come from Kubernetes.
pub const SOURCE_K8S: &str = "k8s";
/// Source of weir's and Cilium's own labels, as in `reserved:host`.
pub const SOURCE_RESERVED: &str = "reserved";
/// Key of the label that holds a pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Prefix of the labels that a pod takes over from its Namespace object.
pub const NAMESPACE_LABEL_PREFIX: &str = "io.cilium.k8s.namespace.labels.";
/// Key of the label that holds a pod's service account.
pub const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";

/// Where a label comes from, and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LabelKey {
    /// For instance `k8s` or `reserved`.
    pub source: String,
    /// The key without its source.
    pub key: String,
}

impl LabelKey {
    /// A key of source `k8s`.
    pub fn k8s(key: impl Into<String>) -> Self {
        Self { source: SOURCE_K8S.into(), key: key.into() }
    }

    /// A key of source `reserved`.
    pub fn reserved(key: impl Into<String>) -> Self {
        Self { source: SOURCE_RESERVED.into(), key: key.into() }
    }
}

/// A set of labels, ordered by source and key; the order is part of what makes an identity stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<(LabelKey, String)>", into = "Vec<(LabelKey, String)>")]
pub struct LabelSet(Box<[(LabelKey, String)]>);

impl LabelSet {
    /// The value of `key` in the given source.
    pub fn get(&self, source: &str, key: &str) -> Option<&str> {
        let wanted = (source, key);
        let found = self.0.binary_search_by(|(known, _)| (known.source.as_str(), known.key.as_str()).cmp(&wanted));
        found.ok().and_then(|at| self.0.get(at)).map(|(_, value)| value.as_str())
    }

    /// The values of `key` in every source, as a selector key `any:key` sees them.
    pub fn get_any<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(label, _)| label.key == key).map(|(_, value)| value.as_str())
    }

    /// Adds a label; an older value of the same source and key is replaced.
    pub fn insert(&mut self, key: LabelKey, value: impl Into<String>) {
        let mut labels = std::mem::take(&mut self.0).into_vec();
        labels.push((key, value.into()));
        *self = labels.into();
    }

    /// All labels in order.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelKey, &str)> {
        self.0.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each label as `source:key=value`, the form that Hubble prints.
    pub fn to_strings(&self) -> Vec<String> {
        self.iter().map(|(key, value)| format_label(key, value)).collect()
    }
}

fn format_label(key: &LabelKey, value: &str) -> String {
    if value.is_empty() { format!("{}:{}", key.source, key.key) } else { format!("{}:{}={value}", key.source, key.key) }
}

impl From<Vec<(LabelKey, String)>> for LabelSet {
    /// Of several labels with the same source and key, the last counts.
    fn from(mut labels: Vec<(LabelKey, String)>) -> Self {
        labels.reverse();
        labels.sort_by(|(a, _), (b, _)| a.cmp(b));
        labels.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self(labels.into())
    }
}

impl From<LabelSet> for Vec<(LabelKey, String)> {
    fn from(labels: LabelSet) -> Self {
        labels.0.into_vec()
    }
}

impl FromIterator<(LabelKey, String)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (LabelKey, String)>>(labels: I) -> Self {
        labels.into_iter().collect::<Vec<_>>().into()
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_strings().join(","))
    }
}
