//! Selectors: scoping, sources, and the syntax of one line.

use weir_control::manifests::parse_selector;
use weir_model::policy::{PeerSelector, Policy, Subject};

use crate::{accepted, clusterwide, parsed, support::policy};

/// Rows: the selector, then how it reads as a subject and as a peer in namespace `a`, and as a peer cluster-wide.
#[test]
fn selectors_are_scoped_by_where_they_stand() {
    let own = "k8s:io.kubernetes.pod.namespace=a";
    let pods = "k8s:io.kubernetes.pod.namespace";
    let rows = [
        ("{}", own.to_owned(), own.to_owned(), pods.to_owned()),
        (
            "{matchLabels: {app: w}}",
            format!("any:app=w,{own}"),
            format!("any:app=w,{own}"),
            format!("any:app=w,{pods}"),
        ),
        (
            "{matchLabels: {'k8s:io.kubernetes.pod.namespace': b}}",
            own.into(),
            "k8s:io.kubernetes.pod.namespace=b".into(),
            "k8s:io.kubernetes.pod.namespace=b".into(),
        ),
        (
            "{matchLabels: {io.kubernetes.pod.namespace: b}}",
            own.into(),
            "any:io.kubernetes.pod.namespace=b".into(),
            "any:io.kubernetes.pod.namespace=b".into(),
        ),
        (
            "{matchExpressions: [{key: 'any:io.kubernetes.pod.namespace', operator: Exists}]}",
            format!("any:io.kubernetes.pod.namespace,{own}"),
            "any:io.kubernetes.pod.namespace".into(),
            "any:io.kubernetes.pod.namespace".into(),
        ),
        (
            "{matchLabels: {io.cilium.k8s.namespace.labels.env: x}}",
            format!("any:io.cilium.k8s.namespace.labels.env=x,{own}"),
            "any:io.cilium.k8s.namespace.labels.env=x".into(),
            format!("any:io.cilium.k8s.namespace.labels.env=x,{pods}"),
        ),
        (
            "{matchLabels: {'reserved:host': ''}}",
            format!("{own},reserved:host="),
            "reserved:host=".into(),
            "reserved:host=".into(),
        ),
    ];
    for (selector, subject, peer, cluster_peer) in rows {
        let spec = format!("{{endpointSelector: {selector}, ingress: [{{fromEndpoints: [{selector}]}}]}}");
        let show = |policy: &Policy| match (&policy.rules[0].subject, policy.rules[0].ingress[0].peers.as_deref()) {
            (Subject::Pods(subject), Some([PeerSelector::Endpoints(peer)])) => (subject.to_string(), peer.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(show(&accepted(&policy("x", &spec))), (subject, peer), "{selector}");
        assert_eq!(show(&accepted(&clusterwide(&policy("x", &spec)))).1, cluster_peer, "{selector}");
    }
}

#[test]
fn a_subject_of_another_namespace_is_noted() {
    let spec = "{endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: b}}, ingress: [{}]}";
    let parsed = parsed(&policy("x", spec));
    let [note] = parsed.notes.as_slice() else { panic!("{:?}", parsed.notes) };
    assert_eq!(note.field, "spec.endpointSelector.matchLabels");
    assert_eq!(note.reason, "names another namespace, which is overridden by the policy's own, a");
}

/// A label that is part of no pod's identity matches nobody, silently in Cilium.
#[test]
fn a_label_that_identifies_nobody_is_a_gap() {
    let rows = [
        ("container:x", true),
        ("cidr:10.0.0.0/8", true),
        ("pod-template-hash", true),
        ("k8s:statefulset.kubernetes.io/pod-name", true),
        ("io.cilium.k8s.policy.cluster", true),
        ("io.cilium.k8s.policy.serviceaccount", false),
        ("io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name", false),
        ("app.kubernetes.io/name", false),
        ("app", false),
    ];
    for (key, gap) in rows {
        let spec = format!("{{endpointSelector: {{matchLabels: {{'{key}': z}}}}, ingress: [{{}}]}}");
        let gaps = accepted(&policy("x", &spec)).gaps;
        assert_eq!(
            gaps.iter().map(|gap| gap.field.as_str()).collect::<Vec<_>>(),
            vec!["spec.endpointSelector"; gap.into()]
        );
        let spec =
            format!("{{endpointSelector: {{}}, ingress: [{{fromEndpoints: [{{matchLabels: {{'{key}': z}}}}]}}]}}");
        assert_eq!(accepted(&policy("x", &spec)).gaps.len(), usize::from(gap), "{key}");
        let denied = parsed(&policy("x", &spec.replace("ingress:", "ingressDeny:")));
        assert_eq!(denied.problems.len(), usize::from(gap), "{key}: a denial of nobody is refused");
        let absent = "{endpointSelector: {matchExpressions: [{key: '{key}', operator: DoesNotExist}]}, ingress: [{}]}";
        assert_eq!(accepted(&policy("x", &absent.replace("{key}", key))).gaps, [], "what no pod has, all pods lack");
    }
    let health = accepted(&policy("x", "{endpointSelector: {matchLabels: {'reserved:health': ''}}, ingress: [{}]}"));
    assert!(health.gaps[0].effect.contains("the rule applies to nothing"));
}

/// Every source of labels may be named; a key without one is of any.
#[test]
fn sources_of_labels() {
    let sources = ["cidr", "cidrgroup", "fqdn", "node", "container", "unspec", "gen", "cni", "directory", "k8s", "any"];
    for source in sources {
        let spec = format!(
            "{{endpointSelector: {{matchExpressions: [{{key: '{source}:x', operator: DoesNotExist}}]}}, ingress: [{{}}]}}"
        );
        let Subject::Pods(subject) = &accepted(&policy("x", &spec)).rules[0].subject else { panic!("pods") };
        assert!(subject.to_string().contains(&format!("!{source}:x")), "{subject}");
    }
}

/// Peers of pods that are not identified yet need not have a namespace.
#[test]
fn peers_of_init_pods_are_not_scoped() {
    let spec = "{endpointSelector: {matchLabels: {'reserved:init': ''}}, egress: [{toEndpoints: [{}]}]}";
    let read = accepted(&clusterwide(&policy("x", spec)));
    let Some([PeerSelector::Endpoints(peer)]) = read.rules[0].egress[0].peers.as_deref() else { panic!("{read:?}") };
    assert_eq!(peer.requirements, []);
    assert_eq!(read.gaps.len(), 1, "weir identifies every pod that it knows");
}

#[test]
fn one_line_selectors_read_as_kubectl_reads_them() {
    let rows = [
        ("", ""),
        ("app=web", "any:app=web"),
        ("app==web , tier in (a, b)", "any:app=web,any:tier in (a,b)"),
        ("k8s:app!=web", "k8s:app notin (web)"),
        ("app notin (a,b),!canary,reserved:host", "any:app notin (a,b),any:canary,reserved:host"),
    ];
    for (text, expected) in rows {
        let shown = parse_selector(text).map(|selector| selector.to_string().replace('!', ""));
        assert_eq!(shown.as_deref(), Ok(expected), "{text}");
    }
    for bad in ["=a", "a in b", "a b", "!", "a in (b"] {
        assert!(parse_selector(bad).is_err(), "{bad}");
    }
}
