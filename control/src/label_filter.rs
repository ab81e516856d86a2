//! Which of a pod's own labels make its identity: those that an application is known by, not those that every pod has another
//! value of. A policy that asks for another label matches nobody.

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

/// Whether a label of a pod with this key is part of its identity: unless it is excluded, and the longest inclusion beats the
/// shortest exclusion.
pub(crate) fn is_relevant(key: &str) -> bool {
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
