//! Section 1.4 of the semantics (absent, empty and `{}` are three things) and 1.12 (merging), as verdicts.

use weir_control::store::Store;
use weir_model::{identity::Identity, resolved::Direction, wanted::KernelPolicy};

use crate::support::{Judged, Judged::*, judge, pod, policy, resolver, store};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Pods: `a/s` (the subject), `a/p` and `b/p`; and these policies.
fn world(policies: &str) -> (KernelPolicy, [Identity; 3]) {
    let namespaces = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {env: test}}}\n";
    let pods = pod("a", "s", "role: s", "10.0.0.1")
        + &pod("a", "p", "role: p", "10.0.0.2")
        + &pod("b", "p", "role: p", "10.0.0.3");
    let store: Store = store(&[("pods.yaml", &(pods + namespaces)), ("policies.yaml", policies)]);
    assert_eq!(store.problems(), [], "{policies}");
    let mut resolver = resolver(None);
    assert!(resolver.update(&store));
    let snapshot = &resolver.world().snapshot;
    let identity = |namespace: &str, name: &str| {
        let pod = snapshot.pods.iter().find(|pod| pod.name.namespace == namespace && pod.name.name == name);
        pod.expect("the pod").identity
    };
    let subject =
        resolver.world().wanted.endpoints.values().find(|endpoint| endpoint.name.name == "s").expect("the subject");
    ((*subject.policy).clone(), [identity("a", "p"), identity("b", "p"), Identity::WORLD_IPV4])
}

/// Rows: a rule, and the verdicts on TCP 80 from a pod of the same namespace, one of another, and the world; then on TCP 81
/// from the first.
#[test]
fn absent_empty_and_braces_are_three_things() {
    let spec = |entry: &str| format!("{{endpointSelector: {{}}, ingress: [{entry}]}}");
    let rows: Vec<(&str, String, [Judged; 4])> = vec![
        ("no policy selects it", "{endpointSelector: {matchLabels: {role: x}}, ingress: [{}]}".into(), [Allow; 4]),
        ("the other direction only", "{endpointSelector: {}, egress: [{}]}".into(), [Allow; 4]),
        ("ports, no peers", spec("{toPorts: [{ports: [{port: '80'}]}]}"), [Allow, Allow, Allow, Deny]),
        (
            "ports, null peers",
            spec("{fromEndpoints: null, toPorts: [{ports: [{port: '80'}]}]}"),
            [Allow, Allow, Allow, Deny],
        ),
        ("fromEndpoints: []", spec("{fromEndpoints: []}"), [Deny; 4]),
        ("fromEndpoints: [] with ports", spec("{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}"), [Deny; 4]),
        ("fromEndpoints: [{}]", spec("{fromEndpoints: [{}]}"), [Allow, Deny, Deny, Allow]),
        ("- {}", spec("{}"), [Deny; 4]),
        ("toPorts: [] alone", spec("{toPorts: []}"), [Deny; 4]),
        ("toPorts: [] with peers", spec("{fromEndpoints: [{}], toPorts: []}"), [Allow, Deny, Deny, Allow]),
        ("toPorts: [{}]", spec("{toPorts: [{}]}"), [Deny; 4]),
        ("toPorts: [{}] with peers", spec("{fromEndpoints: [{}], toPorts: [{}]}"), [Deny; 4]),
        ("toPorts: [{ports: []}]", spec("{fromEndpoints: [{}], toPorts: [{ports: []}]}"), [Deny; 4]),
        (
            "http: []",
            spec("{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: []}}]}"),
            [Allow, Allow, Allow, Deny],
        ),
        (
            "rules: {}",
            spec("{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {}}]}"),
            [Allow, Allow, Allow, Deny],
        ),
        (
            "http: [{}]",
            spec("{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}"),
            [Redirect, Redirect, Redirect, Deny],
        ),
        (
            "port 0",
            spec("{fromEndpoints: [{}], toPorts: [{ports: [{port: '0', protocol: TCP}]}]}"),
            [Allow, Deny, Deny, Allow],
        ),
        ("port 0 of UDP", spec("{toPorts: [{ports: [{port: '0', protocol: UDP}]}]}"), [Deny; 4]),
        (
            "another namespace by its name",
            spec("{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': b}}]}"),
            [Deny, Allow, Deny, Deny],
        ),
        (
            "another namespace by its labels",
            spec("{fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.env: test}}]}"),
            [Deny, Allow, Deny, Deny],
        ),
        (
            "every namespace, never the world",
            spec(
                "{fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.namespace.labels.env, operator: DoesNotExist}]}]}",
            ),
            [Allow, Deny, Deny, Allow],
        ),
        (
            "a reserved label",
            spec("{fromEndpoints: [{matchLabels: {'reserved:world-ipv4': ''}}]}"),
            [Deny, Deny, Allow, Deny],
        ),
        (
            "no reserved label",
            spec("{fromEndpoints: [{matchExpressions: [{key: 'reserved:host', operator: DoesNotExist}]}]}"),
            [Allow, Allow, Deny, Allow],
        ),
    ];
    for (what, spec, expected) in rows {
        verdicts(what, &policy("x", &spec), expected);
    }
    // Cluster-wide: `{}` means pods of all namespaces, still not the world.
    let cluster = |spec: &str| policy("x", spec).replace("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy");
    verdicts("CCNP fromEndpoints: [{}]", &cluster(&spec("{fromEndpoints: [{}]}")), [Allow, Allow, Deny, Allow]);
    verdicts("CCNP deny all", &cluster(&spec("{}")), [Deny; 4]);
}

/// Rows: two policies, and the verdicts as above.
#[test]
fn several_policies_are_a_union() {
    let http = "{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}";
    let http_p = "{fromEndpoints: [{matchLabels: {role: p}}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}";
    let plain = "{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}";
    let rows = [
        ("allow and nothing", plain, "{}", [Allow, Allow, Allow, Deny]),
        ("plain and http, everybody", plain, http, [Redirect, Redirect, Redirect, Deny]),
        ("plain for everybody, http for one", plain, http_p, [Redirect, Allow, Allow, Deny]),
        ("L3 only and http", "{fromEndpoints: [{}]}", http, [Redirect, Redirect, Redirect, Allow]),
        ("L3 only for one, http for the same", "{fromEndpoints: [{}]}", http_p, [Redirect, Deny, Deny, Allow]),
        ("any protocol and http", "{toPorts: [{ports: [{port: '80'}]}]}", http_p, [Redirect, Allow, Allow, Deny]),
    ];
    for (what, first, second, expected) in rows {
        let spec = |entry: &str| format!("{{endpointSelector: {{matchLabels: {{role: s}}}}, ingress: [{entry}]}}");
        verdicts(what, &(policy("x", &spec(first)) + &policy("w", &spec(second))), expected);
        verdicts(what, &(policy("x", &spec(second)) + &policy("w", &spec(first))), expected);
    }
}

#[test]
fn any_protocol_means_tcp_udp_and_sctp() {
    let (kernel, [peer, ..]) =
        world(&policy("x", "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '53'}]}]}]}"));
    let expected = [(TCP, Allow), (UDP, Allow), (132, Allow), (1, Deny), (58, Deny)];
    for (protocol, verdict) in expected {
        assert_eq!(judge(&kernel, Direction::Ingress, peer, protocol, 53), verdict, "{protocol}");
    }
    let (kernel, [peer, ..]) = world(&policy("x", "{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}"));
    assert_eq!(judge(&kernel, Direction::Ingress, peer, 1, 0), Allow, "an L3-only rule allows ICMP as well");
}

fn verdicts(what: &str, policies: &str, expected: [Judged; 4]) {
    let (kernel, [near, far, outside]) = world(policies);
    let judge = |peer, port| judge(&kernel, Direction::Ingress, peer, TCP, port);
    assert_eq!([judge(near, 80), judge(far, 80), judge(outside, 80), judge(near, 81)], expected, "{what}");
}
