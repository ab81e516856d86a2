//! Section 1.4 of the semantics (absent, empty and `{}` are three things) and 1.12 (merging), as verdicts.

use weir_control::reference::{self, Party, Question, Verdict, Verdict::*};
use weir_model::{endpoint::PodName, resolved::Direction};

use crate::support::{pod, policy, store};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;

/// Pods `a/s` (the subject), `a/p` and `b/p`, with these policies.
fn world(policies: &str) -> reference::World {
    let namespaces = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {env: test}}}\n";
    let pods = pod("a", "s", "role: s", "10.0.0.1")
        + &pod("a", "p", "role: p", "10.0.0.2")
        + &pod("b", "p", "role: p", "10.0.0.3");
    let store = store(&[("pods.yaml", &(pods + namespaces)), ("policies.yaml", policies)]);
    assert_eq!(store.problems(), [], "{policies}");
    reference::World::of(store.objects().map(|(_, stored)| &*stored.object))
}

fn the_pod(namespace: &str, name: &str) -> Party {
    Party::Pod(PodName { namespace: namespace.into(), name: name.into() })
}

/// What happens to connections of these kinds from `from` to the subject.
fn to_subject(world: &reference::World, from: &Party, rows: &[(u8, u16)]) -> Vec<Verdict> {
    let to = the_pod("a", "s");
    let ask = |(protocol, port): &(u8, u16)| {
        let question = Question { from, to: &to, protocol: *protocol, port: *port, request: None };
        let answer = reference::evaluate(world, question);
        let side = answer.sides.iter().find(|side| side.direction == Direction::Ingress);
        side.expect("the subject's ingress").enforced.verdict
    };
    rows.iter().map(ask).collect()
}

/// Rows: a rule, and the verdicts on TCP 80 from a pod of the same namespace, one of another, and the world; then on TCP 81
/// from the first.
#[test]
fn absent_empty_and_braces_are_three_things() {
    let spec = |entry: &str| format!("{{endpointSelector: {{}}, ingress: [{entry}]}}");
    let rows: Vec<(&str, String, [Verdict; 4])> = vec![
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
    let world_of = |spec| world(&policy("x", spec));
    let rows = [(TCP, 53), (UDP, 53), (SCTP, 53), (ICMP, 0), (TCP, 54)];
    let any = world_of("{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '53'}]}]}]}");
    assert_eq!(to_subject(&any, &the_pod("a", "p"), &rows), [Allow, Allow, Allow, Deny, Deny]);
    let l3 = world_of("{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}");
    assert_eq!(to_subject(&l3, &the_pod("a", "p"), &rows), [Allow; 5], "an L3-only rule allows ICMP as well");
}

fn verdicts(what: &str, policies: &str, expected: [Verdict; 4]) {
    let world = world(policies);
    let (near, far) = (the_pod("a", "p"), the_pod("b", "p"));
    let outside = Party::Address([192, 0, 2, 1].into());
    let first = to_subject(&world, &near, &[(TCP, 80), (TCP, 81)]);
    let others = [&far, &outside].map(|from| to_subject(&world, from, &[(TCP, 80)])[0]);
    assert_eq!([first[0], others[0], others[1], first[1]], expected, "{what}");
}
