//! Section 1.4 of the semantics (absent, empty and `{}` are three things) and 1.12 (merging), as verdicts.

use std::sync::Arc;

use weir_control::reference::{self, Party, Question, Verdict, Verdict::*};
use weir_model::{endpoint::PodName, identity::Identity, resolved::Direction, wanted::KernelVerdict};

use crate::{
    mirror::{Mirror, judge},
    support::{pod, policy, store},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;

/// The same objects, as both read them.
struct World {
    reference: reference::World,
    mirror: Mirror,
}

/// Pods `a/s` (the subject, whose port 8080 is named `web`), `a/p` and `b/p` (whose port 8081 is), with these policies.
fn world(policies: &str) -> World {
    let namespaces = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {env: test}}}\n";
    let port = |pod: String, number: u16| {
        pod + &format!("spec: {{containers: [{{name: c, ports: [{{name: web, containerPort: {number}}}]}}]}}\n")
    };
    let pods = port(pod("a", "s", "role: s", "10.0.0.1"), 8080)
        + &pod("a", "p", "role: p", "10.0.0.2")
        + &port(pod("b", "p", "role: p", "10.0.0.3"), 8081);
    let store = store(&[("pods.yaml", &(pods + namespaces)), ("policies.yaml", policies)]);
    assert_eq!(store.problems(), [], "{policies}");
    let mut mirror = Mirror::new();
    let events: Vec<_> = store.objects().map(|(key, stored)| (key.clone(), Some(Arc::clone(&stored.object)))).collect();
    mirror.step(&events);
    World { reference: reference::World::of(store.objects().map(|(_, stored)| &*stored.object)), mirror }
}

/// `namespace/pod`, `host`, or an address.
fn party(text: &str) -> Party {
    match text.split_once('/') {
        Some((namespace, name)) => Party::Pod(PodName { namespace: namespace.into(), name: name.into() }),
        None if text == "host" => Party::Host,
        None => Party::Address(text.parse().expect("an address")),
    }
}

/// What the subject's policies make of a connection: enforced, and audited. The engine and the reference must agree.
fn ask(world: &World, from: &str, to: &str, (protocol, port): (u8, u16)) -> (Verdict, Verdict) {
    let question = Question { from: &party(from), to: &party(to), protocol, port, request: None };
    let answer = reference::evaluate(&world.reference, question);
    let (direction, peer) = if to == "a/s" { (Direction::Ingress, from) } else { (Direction::Egress, to) };
    let side = answer.sides.iter().find(|side| side.direction == direction).expect("the subject's side");
    let said = (side.enforced.verdict, side.audited.verdict);
    let pods = &world.mirror.endpoints;
    let identity = match party(peer) {
        Party::Pod(name) => pods.values().find(|pod| pod.name == name).expect("the pod").identity,
        Party::Address(address) => world.mirror.identity(address),
        Party::Host => Identity::HOST,
    };
    // The kernel lets the node's own connections to its pods pass without a look.
    if identity != Identity::HOST || direction == Direction::Egress {
        let subject = pods.values().find(|pod| pod.name.to_string() == "a/s").expect("the subject");
        let policy = &world.mirror.policies[&subject.policy];
        let (enforced, audited, _) = judge(policy, direction, identity, protocol, port);
        let found = [enforced, audited].map(|decided| match decided.verdict {
            KernelVerdict::Allow | KernelVerdict::None => Allow,
            KernelVerdict::Redirect => Redirect,
            KernelVerdict::Deny => Deny,
        });
        assert_eq!((found[0], found[1]), said, "{from} {to} {protocol} {port}: {:?}", side.enforced.because);
    }
    said
}

/// What happens to connections of these kinds from `from` to the subject.
fn to_subject(world: &World, from: &str, rows: &[(u8, u16)]) -> Vec<Verdict> {
    rows.iter().map(|kind| ask(world, from, "a/s", *kind).0).collect()
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
    assert_eq!(to_subject(&any, "a/p", &rows), [Allow, Allow, Allow, Deny, Deny]);
    let l3 = world_of("{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}");
    assert_eq!(to_subject(&l3, "a/p", &rows), [Allow; 5], "an L3-only rule allows ICMP as well");
}

fn verdicts(what: &str, policies: &str, expected: [Verdict; 4]) {
    let world = world(policies);
    let first = to_subject(&world, "a/p", &[(TCP, 80), (TCP, 81)]);
    let others = ["b/p", "192.0.2.1"].map(|from| to_subject(&world, from, &[(TCP, 80)])[0]);
    assert_eq!([first[0], others[0], others[1], first[1]], expected, "{what}");
}

/// Connections of which all have the same verdict.
type Row<'a> = (&'a [&'a str], (u8, u16), Verdict);

fn ingress(what: &str, spec: &str, rows: &[Row<'_>]) {
    let world = world(&policy("x", &format!("{{endpointSelector: {{matchLabels: {{role: s}}}}, {spec}}}")));
    for (peers, kind, expected) in rows {
        for peer in *peers {
            assert_eq!(ask(&world, peer, "a/s", *kind).0, *expected, "{what}: {peer} {kind:?}");
        }
    }
}

fn egress(what: &str, spec: &str, rows: &[Row<'_>]) {
    let world = world(&policy("x", &format!("{{endpointSelector: {{matchLabels: {{role: s}}}}, {spec}}}")));
    for (peers, kind, expected) in rows {
        for peer in *peers {
            assert_eq!(ask(&world, "a/s", peer, *kind).0, *expected, "{what}: {peer} {kind:?}");
        }
    }
}

/// 1.8, 1.13; 9, cases 2 and 3.
#[test]
fn prefixes_and_the_world_never_mean_pods_and_denials_win() {
    let web = (TCP, 80);
    let all = &["a/p", "b/p", "192.0.2.1", "2001:db8::1"];
    ingress(
        "0.0.0.0/0",
        "ingress: [{fromCIDR: [0.0.0.0/0]}]",
        &[(&["a/p", "b/p", "2001:db8::1"], web, Deny), (&["192.0.2.1", "10.0.0.9", "host"], web, Allow)],
    );
    ingress(
        "a prefix with an exception",
        "ingress: [{fromCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.128/25]}]}]",
        &[
            (&["192.0.2.1", "192.0.2.127"], web, Allow),
            (&["192.0.2.128", "192.0.2.255", "198.51.100.1", "a/p"], web, Deny),
        ],
    );
    ingress(
        "a pod's own prefix",
        "ingress: [{fromCIDR: [10.0.0.2/32, 10.0.0.4/32]}]",
        &[(&["a/p"], web, Deny), (&["10.0.0.4"], web, Allow)],
    );
    ingress(
        "world",
        "ingress: [{fromEntities: [world]}]",
        &[(&["a/p", "b/p"], web, Deny), (&["192.0.2.1", "2001:db8::1", "host"], web, Allow)],
    );
    ingress(
        "world beside a prefix",
        "ingress: [{fromEntities: [world]}, {fromCIDR: [192.0.2.0/24], toPorts: [{ports: [{port: '80'}]}]}]",
        &[(&["192.0.2.1", "198.51.100.1"], (TCP, 81), Allow)],
    );
    ingress(
        "cluster",
        "ingress: [{fromEntities: [cluster]}]",
        &[(&["a/p", "b/p", "host"], web, Allow), (&["192.0.2.1"], web, Deny)],
    );
    ingress("all", "ingress: [{fromEntities: [all]}]", &[(all, web, Allow)]);
    ingress("none", "ingress: [{fromEntities: [none]}]", &[(all, web, Deny)]);
    ingress(
        "a denied prefix inside an allowed one and around one",
        "ingress: [{fromCIDR: [192.0.0.0/16, 192.0.2.7/32]}], ingressDeny: [{fromCIDR: [192.0.2.0/24]}]",
        &[(&["192.0.3.1"], web, Allow), (&["192.0.2.1", "192.0.2.7"], web, Deny)],
    );
    ingress(
        "a broad denial and a narrow allowance",
        "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}], ingressDeny: [{fromEndpoints: [{matchExpressions: [{key: 'k8s:io.kubernetes.pod.namespace', operator: Exists}]}]}]",
        &[(&["a/p", "b/p"], web, Deny), (&["host"], web, Allow)],
    );
    ingress(
        "a denied port inside an allowed range",
        "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', endPort: 90, protocol: TCP}]}]}], ingressDeny: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '85', protocol: TCP}]}]}]",
        &[
            (&["a/p"], (TCP, 84), Allow),
            (&["a/p"], (TCP, 85), Deny),
            (&["a/p"], (TCP, 86), Allow),
            (&["a/p"], (TCP, 91), Deny),
            (&["a/p"], (UDP, 84), Deny),
        ],
    );
    ingress(
        "a denial for everybody and requests for one",
        "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}], ingressDeny: [{toPorts: [{ports: [{port: '80'}]}]}]",
        &[(all, web, Deny)],
    );
    ingress("a denial alone denies the rest, too", "ingressDeny: [{fromEndpoints: [{}]}]", &[(all, web, Deny)]);
    egress(
        "the node is no pod and no prefix",
        "egress: [{toCIDR: [0.0.0.0/0]}, {toEndpoints: [{}]}]",
        &[(&["host", "b/p"], web, Deny), (&["192.0.2.1", "a/p"], web, Allow)],
    );
    egress("the node", "egress: [{toEntities: [host]}]", &[(&["host"], web, Allow), (all, web, Deny)]);
}

/// 1.10, and 9, cases 6 and 7.
#[test]
fn ports_ranges_names_and_types() {
    let one = &["a/p"];
    ingress(
        "ranges that overlap",
        "ingress: [{toPorts: [{ports: [{port: '1000', endPort: 2000, protocol: TCP}, {port: '1500', endPort: 3000, protocol: ANY}]}]}]",
        &[
            (one, (TCP, 999), Deny),
            (one, (TCP, 1000), Allow),
            (one, (UDP, 1499), Deny),
            (one, (UDP, 1500), Allow),
            (one, (SCTP, 3000), Allow),
            (one, (TCP, 3001), Deny),
        ],
    );
    ingress(
        "requests inside a range",
        "ingress: [{toPorts: [{ports: [{port: '1', endPort: 1023, protocol: TCP}]}]}, {toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}]",
        &[(one, (TCP, 79), Allow), (one, (TCP, 80), Redirect), (&["host"], (TCP, 80), Allow)],
    );
    ingress(
        "a name means the subject's port",
        "ingress: [{toPorts: [{ports: [{port: web, protocol: TCP}]}]}]",
        &[(one, (TCP, 8080), Allow), (one, (TCP, 8081), Deny), (one, (UDP, 8080), Deny)],
    );
    egress(
        "a name means anybody's port",
        "egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: web}]}]}]",
        &[
            (one, (TCP, 8080), Allow),
            (one, (TCP, 8081), Allow),
            (one, (UDP, 8081), Deny),
            (one, (TCP, 80), Deny),
            (&["b/p"], (TCP, 8081), Deny),
        ],
    );
    ingress("a name that nobody has", "ingress: [{toPorts: [{ports: [{port: dns}]}]}]", &[(one, (TCP, 53), Deny)]);
    ingress(
        "types of ICMP",
        "ingress: [{fromEndpoints: [{}], icmps: [{fields: [{type: 8, family: IPv4}]}]}]",
        &[
            (one, (ICMP, 8), Allow),
            (one, (ICMP, 0), Deny),
            (one, (58, 8), Deny),
            (one, (TCP, 8), Deny),
            (&["b/p"], (ICMP, 8), Deny),
        ],
    );
    ingress(
        "a policy of ports drops ICMP",
        "ingress: [{toPorts: [{ports: [{port: '80'}]}]}]",
        &[(one, (ICMP, 8), Deny)],
    );
}

/// 1.9, and 1.12, cases 14 to 18.
#[test]
fn without_default_deny_only_denials_deny() {
    let one = &["a/p"];
    let off = "enableDefaultDeny: {ingress: false}";
    let http = "{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}";
    ingress("requests", &format!("{off}, ingress: [{http}]"), &[(one, (TCP, 80), Redirect), (one, (TCP, 81), Allow)]);
    ingress(
        "denials",
        &format!("{off}, ingressDeny: [{{toPorts: [{{ports: [{{port: '80'}}]}}]}}]"),
        &[(one, (TCP, 80), Deny), (one, (TCP, 81), Allow)],
    );
    let spec = |spec: &str| format!("{{endpointSelector: {{}}, {spec}}}");
    let both =
        world(&(policy("x", &spec(&format!("{off}, ingress: [{http}]"))) + &policy("z", &spec("ingress: [{}]"))));
    assert_eq!(ask(&both, "a/p", "a/s", (TCP, 81)).0, Deny, "one policy with default deny suffices");
    assert_eq!(ask(&both, "a/p", "a/s", (TCP, 80)).0, Redirect);
}

/// weir's own modes.
#[test]
fn an_audited_policy_denies_nothing_and_an_observing_one_says_nothing() {
    let mode = |mode: &str, name: &str, spec: &str| {
        let annotated = format!("annotations: {{weir.io/mode: {mode}}}, namespace: a}}");
        policy(name, &format!("{{endpointSelector: {{matchLabels: {{role: s}}}}, {spec}}}"))
            .replace("namespace: a}", &annotated)
    };
    let http = "{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}";
    let audited = world(&mode("audit", "x", &format!("ingress: [{http}]")));
    assert_eq!(ask(&audited, "a/p", "a/s", (TCP, 80)), (Allow, Redirect));
    assert_eq!(ask(&audited, "a/p", "a/s", (TCP, 81)), (Allow, Deny));
    let enforced = policy("z", "{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}");
    let beside = world(&(mode("audit", "x", "ingressDeny: [{toPorts: [{ports: [{port: '80'}]}]}]") + &enforced));
    assert_eq!(ask(&beside, "a/p", "a/s", (TCP, 80)), (Allow, Deny));
    assert_eq!(ask(&beside, "a/p", "a/s", (TCP, 81)), (Allow, Allow));
    assert_eq!(ask(&beside, "b/p", "a/s", (TCP, 81)), (Deny, Deny), "an audit allows nothing that is denied");
    let observed = world(&(mode("observe", "x", &format!("ingress: [{http}]")) + &enforced));
    assert_eq!(ask(&observed, "a/p", "a/s", (TCP, 80)), (Allow, Allow));
    assert_eq!(ask(&observed, "b/p", "a/s", (TCP, 80)), (Deny, Deny));
    let subject = observed.mirror.endpoints.values().find(|pod| pod.name.name == "s").expect("the subject");
    let policy = &observed.mirror.policies[&subject.policy];
    let shown = |port| judge(policy, Direction::Ingress, observed.mirror.identity([10, 0, 0, 2].into()), TCP, port).2;
    assert_eq!((shown(80), shown(81)), (true, false));
}
