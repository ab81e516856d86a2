//! What is read and not enforced: it is listed, and it allows nothing.

use weir_model::policy::{HttpRule, PeerSelector, Policy};

use crate::{accepted, clusterwide, support::policy, with_spec};

/// What is left of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// No peers.
    NoPeers,
    /// One element of `toPorts`, without ports.
    NoPorts,
    /// One element of `toPorts`, with its ports, without rules.
    Plain,
    /// One element of `toPorts`, with one HTTP rule that no request matches.
    NoRequest,
    /// A peer that the engine knows to mean nobody yet, or fewer than it says.
    Kept,
}

fn left(policy: &Policy) -> Left {
    let rule = &policy.rules[0];
    let entry = rule.egress.first().or(rule.ingress.first()).expect("an entry");
    if entry.peers.as_ref().is_some_and(Vec::is_empty) {
        return Left::NoPeers;
    }
    match entry.ports.as_deref() {
        Some([ports]) if ports.ports.is_empty() => Left::NoPorts,
        Some([ports]) => match ports.http.as_deref().map(Vec::as_slice) {
            None => Left::Plain,
            Some([HttpRule { method: Some(method), path: None, .. }]) if method.is_empty() => Left::NoRequest,
            other => panic!("{other:?}"),
        },
        None => Left::Kept,
        other => panic!("{other:?}"),
    }
}

/// Rows: an egress entry, the field of the gap below it, a part of its effect, what is left.
#[test]
fn what_is_not_enforced_allows_nothing_and_is_listed() {
    use Left::{Kept, NoPeers, NoPorts, NoRequest, Plain};
    let tcp = |rest: &str| format!("{{toPorts: [{{ports: [{{port: '80', protocol: TCP}}], {rest}}}]}}");
    let rows: [(String, &str, &str, Left); 25] = [
        (
            "{toEntities: [all], authentication: {mode: required}}".into(),
            ".authentication.mode",
            "allows nothing",
            NoPeers,
        ),
        (
            "{toEntities: [all], authentication: {mode: test-always-fail}}".into(),
            ".authentication.mode",
            "nothing",
            NoPeers,
        ),
        ("{toGroups: [{aws: {region: r}}]}".into(), ".toGroups[0]", "matches nobody", NoPeers),
        ("{toNodes: [{}]}".into(), ".toNodes[0]", "matches nobody", Kept),
        ("{toFQDNs: [{matchName: a.b}]}".into(), ".toFQDNs[0]", "matches nobody", Kept),
        ("{toFQDNs: [{matchPattern: '*.b'}]}".into(), ".toFQDNs[0]", "does not learn addresses from DNS", Kept),
        ("{toEntities: [remote-node]}".into(), ".toEntities[0]", "matches nobody", Kept),
        ("{toEntities: [kube-apiserver]}".into(), ".toEntities[0]", "matches nobody", Kept),
        ("{toEntities: [cluster]}".into(), ".toEntities[0]", "means pods and this node", Kept),
        ("{toEntities: [cluster-mesh]}".into(), ".toEntities[0]", "means pods and this node", Kept),
        (
            "{toEndpoints: [{matchLabels: {'reserved:remote-node': ''}}]}".into(),
            ".toEndpoints[0]",
            "matches nobody",
            Kept,
        ),
        (
            "{toEndpoints: [{matchLabels: {'reserved:world': ''}}]}".into(),
            ".toEndpoints[0]",
            "use the entity world",
            Kept,
        ),
        (
            "{toEndpoints: [{matchExpressions: [{key: 'reserved:host', operator: DoesNotExist}]}]}".into(),
            ".toEndpoints[0]",
            "means pods alone",
            Kept,
        ),
        (tcp("serverNames: ['a.b', '*.c', '**.d', '*', 'x*y.z']"), ".toPorts[0].serverNames", "allow nothing", NoPorts),
        (tcp("terminatingTLS: {secret: {name: s}}"), ".toPorts[0].terminatingTLS", "allow nothing", NoPorts),
        (
            tcp("originatingTLS: {secret: {name: s}}, rules: {http: [{}]}"),
            ".toPorts[0].originatingTLS",
            "allow nothing",
            NoPorts,
        ),
        (
            tcp("listener: {envoyConfig: {kind: CiliumEnvoyConfig, name: e}, name: l, priority: 100}"),
            ".toPorts[0].listener",
            "allow nothing",
            NoPorts,
        ),
        (tcp("rules: {kafka: [{}]}"), ".toPorts[0].rules.kafka", "allow nothing", NoPorts),
        (
            tcp("rules: {kafka: [{role: Consume, topic: a.B_c-1}, {apiKey: Fetch, apiVersion: '0'}]}"),
            ".toPorts[0].rules.kafka",
            "allow nothing",
            NoPorts,
        ),
        (tcp("rules: {l7proto: r2d2, l7: [{cmd: READ}]}"), ".toPorts[0].rules.l7proto", "allow nothing", NoPorts),
        (tcp("rules: {l7proto: r2d2}"), ".toPorts[0].rules.l7proto", "allow nothing", NoPorts),
        (tcp("rules: {dns: [{matchName: a.b}]}"), ".toPorts[0].rules.dns", "allow nothing", NoPorts),
        (
            tcp("rules: {dns: [{matchPattern: '*'}, {matchPattern: '*.b'}]}"),
            ".toPorts[0].rules.dns",
            "nothing",
            NoPorts,
        ),
        (tcp("rules: {dns: [{matchPattern: '*'}]}"), ".toPorts[0].rules.dns", "names are not shown", Plain),
        (
            tcp("rules: {http: [{path: /a, headerMatches: [{name: X, value: v, secret: {name: s}}]}]}"),
            ".toPorts[0].rules.http[0].headerMatches[0].secret",
            "the rule matches no request",
            NoRequest,
        ),
    ];
    for (entry, field, effect, expected) in rows {
        let read = with_spec(&format!("{{endpointSelector: {{}}, egress: [{entry}]}}"));
        let [gap] = read.gaps.as_slice() else { panic!("{entry}: {:?}", read.gaps) };
        assert_eq!(gap.field, format!("spec.egress[0]{field}"), "{entry}");
        assert!(gap.effect.contains(effect), "{entry}: {}", gap.effect);
        assert_eq!(left(&read), expected, "{entry}");
        assert!(read.rules[0].default_deny.egress, "{entry}: default deny as written");
    }
}

#[test]
fn what_is_enforced_is_no_gap() {
    let rows = [
        "{toEntities: [all, world, world-ipv4, world-ipv6, host, init, none, health, ingress, unmanaged]}",
        "{toEntities: [all], authentication: {mode: disabled}}",
        "{toServices: [{k8sService: {serviceName: s}}]}",
        "{toCIDRSet: [{cidrGroupRef: g}]}",
        "{toPorts: [{ports: [{port: '80', protocol: TCP}], serverNames: [], rules: {kafka: []}}]}",
        "{toPorts: [{ports: [{port: http, protocol: TCP}], rules: {http: [{headerMatches: [{name: X}]}]}}]}",
        "{icmps: [{fields: [{type: 8}]}]}",
        "{toGroups: []}",
    ];
    for entry in rows {
        assert_eq!(with_spec(&format!("{{endpointSelector: {{}}, egress: [{entry}]}}")).gaps, [], "{entry}");
    }
}

/// A restriction of one element leaves the others, and the places of all.
#[test]
fn the_rest_of_an_entry_counts() {
    let read = with_spec(
        "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '1', protocol: TCP}], serverNames: [a]}, {ports: [{port: \
         '2'}]}]}, {fromEntities: [remote-node, world]}]}",
    );
    let ports = read.rules[0].ingress[0].ports.as_ref().expect("toPorts");
    assert_eq!(ports.iter().map(|rule| rule.ports.len()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(read.rules[0].ingress[1].peers.as_ref().map(Vec::len), Some(2));
    assert_eq!(read.gaps.len(), 2);
}

/// Where L7 rules may not block, protocols that are not judged pass, as Cilium's wildcard lets them.
#[test]
fn without_default_deny_l7_rules_block_nothing() {
    for rules in ["{kafka: [{topic: t}]}", "{dns: [{matchName: a.b}]}", "{l7proto: x}"] {
        let read = with_spec(&format!(
            "{{endpointSelector: {{}}, enableDefaultDeny: {{egress: false}}, egress: [{{toPorts: [{{ports: [{{port: '80', \
             protocol: TCP}}], rules: {rules}}}]}}]}}"
        ));
        assert_eq!((left(&read), read.gaps.len()), (Left::Plain, 1), "{rules}");
    }
    let read = with_spec(
        "{endpointSelector: {}, enableDefaultDeny: {egress: false}, egress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], \
         serverNames: [a]}]}]}",
    );
    assert_eq!(left(&read), Left::NoPorts, "a server name is no L7 rule");
}

#[test]
fn rules_about_nodes_have_no_effect_yet() {
    let spec = "{nodeSelector: {matchLabels: {pool: p}}, ingress: [{fromEntities: [world]}]}";
    let read = accepted(&clusterwide(&policy("x", spec)));
    assert_eq!(read.gaps.len(), 1);
    assert_eq!(read.gaps[0].field, "spec.nodeSelector");
    assert!(read.gaps[0].effect.contains("the rule has no effect"), "{}", read.gaps[0].effect);
    assert!(matches!(read.rules[0].ingress[0].peers.as_deref(), Some([PeerSelector::Entity(_)])));
}

#[test]
fn an_observed_policy_denies_nothing() {
    let spec = "{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}], ingressDeny: [{fromEntities: [world]}], egressDeny: \
                [{toEntities: [world]}]}";
    let text = policy("x", spec).replace("name: x,", "name: x, annotations: {weir.io/mode: observe},");
    let read = accepted(&text);
    let rule = &read.rules[0];
    assert_eq!((rule.ingress.len(), rule.ingress_deny.len(), rule.egress_deny.len()), (1, 0, 0));
    assert!(!rule.default_deny.ingress && !rule.default_deny.egress);
    assert_eq!(read.gaps.len(), 1);
    assert!(read.gaps[0].effect.contains("weir.io/mode: audit"));
}
