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
            format!("k8s:io.kubernetes.pod.namespace=b,{pods}"),
        ),
        (
            "{matchLabels: {io.kubernetes.pod.namespace: b}}",
            own.into(),
            "any:io.kubernetes.pod.namespace=b".into(),
            format!("any:io.kubernetes.pod.namespace=b,{pods}"),
        ),
        (
            "{matchExpressions: [{key: 'any:io.kubernetes.pod.namespace', operator: Exists}]}",
            format!("any:io.kubernetes.pod.namespace,{own}"),
            "any:io.kubernetes.pod.namespace".into(),
            format!("any:io.kubernetes.pod.namespace,{pods}"),
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

/// Rows: a spec in namespace `a`, the field of the note, and a part of it.
#[test]
fn what_a_selector_cannot_mean_is_noted() {
    let rows = [
        (
            "{endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: b}}, ingress: [{}]}",
            "spec.endpointSelector.matchLabels",
            "names another namespace, which is overridden by the policy's own, a",
        ),
        (
            "{endpointSelector: {matchLabels: {'container:x': z}}, ingress: [{}]}",
            "spec.endpointSelector",
            "asks for container:x, which no pod has, so the rule applies to nothing",
        ),
        (
            "{endpointSelector: {matchLabels: {'reserved:health': ''}}, ingress: [{}]}",
            "spec.endpointSelector",
            "asks for reserved:health",
        ),
        (
            "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {'cidr:10.0.0.0/8': ''}}]}]}",
            "spec.ingress[0].fromEndpoints[0]",
            "pods have no labels of that source, so it matches nobody",
        ),
    ];
    for (spec, field, text) in rows {
        let parsed = parsed(&policy("x", spec));
        let [note] = parsed.notes.as_slice() else { panic!("{spec}: {:?}", parsed.notes) };
        assert_eq!((note.field.as_str(), parsed.problems.len()), (field, 0), "{spec}");
        assert!(note.reason.contains(text), "{spec}: {}", note.reason);
    }
    let absent =
        "{endpointSelector: {matchExpressions: [{key: 'container:x', operator: DoesNotExist}]}, ingress: [{}]}";
    assert_eq!(parsed(&policy("x", absent)).notes, [], "what no pod has, all pods lack");
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
    assert_eq!(read.gaps, []);
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
