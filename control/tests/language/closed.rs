//! What weir cannot enforce allows exactly as much as if it were not written, and default deny is as written.

use proptest::prelude::*;
use weir_control::{
    manifests::{Object, ReadOptions, parse},
    reference::{Party, Question, World, evaluate},
};
use weir_model::{endpoint::PodName, policy::HttpRule};

use crate::support::{check, pod, policy};

/// A piece of a policy, and what stands for it where what is not enforced allows nothing.
type Piece = (String, String);

fn same(text: &str) -> Piece {
    (text.into(), text.into())
}

fn pieces(all: &[(&str, Option<&str>)]) -> impl Strategy<Value = Piece> + use<> {
    let all: Vec<Piece> =
        all.iter().map(|(text, closed)| ((*text).into(), closed.unwrap_or(text).to_string())).collect();
    prop::sample::select(all)
}

/// Peers; those of one entry are of one kind.
fn peers() -> impl Strategy<Value = Piece> {
    pieces(&[
        ("", None),
        ("toEndpoints: [{}]", None),
        ("toEndpoints: []", None),
        ("toEndpoints: [{matchLabels: {app: v}}]", None),
        ("toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: b}}]", None),
        ("toEntities: [world]", None),
        ("toEntities: [all]", None),
        ("toEntities: [host, none]", None),
        ("toCIDR: [192.0.2.0/24]", None),
        ("toCIDRSet: [{cidr: 192.0.0.0/16, except: [192.0.2.0/24]}]", None),
        ("toFQDNs: [{matchName: a.b}, {matchPattern: '*'}]", Some("toEndpoints: []")),
        ("toNodes: [{}]", Some("toEndpoints: []")),
        ("toGroups: [{aws: {region: r}}]", Some("toEndpoints: []")),
        ("toEntities: [kube-apiserver, remote-node]", Some("toEntities: []")),
        ("toEntities: [kube-apiserver, world]", Some("toEntities: [world]")),
        ("toEndpoints: [{matchLabels: {'reserved:world': ''}}]", Some("toEndpoints: []")),
        (
            "toEndpoints: [{matchLabels: {pod-template-hash: x}}, {matchLabels: {app: v}}]",
            Some("toEndpoints: [{matchLabels: {app: v}}]"),
        ),
    ])
}

/// An element of `toPorts`.
fn ports() -> impl Strategy<Value = Piece> {
    let tcp = "ports: [{port: '80', protocol: TCP}]";
    let element = |rest: &str| format!("{{{tcp}, {rest}}}");
    let closed = "{ports: []}";
    let all: Vec<Piece> = vec![
        same("{}"),
        same("{ports: [{port: '80'}]}"),
        same("{ports: [{port: '53', protocol: UDP}, {port: '79', endPort: 81, protocol: TCP}]}"),
        same(&element("rules: {http: [{method: GET}]}")),
        same(&element("rules: {http: []}")),
        (element("rules: {dns: [{matchPattern: '*'}]}"), format!("{{{tcp}}}")),
        (element("rules: {dns: [{matchName: a.b}]}"), closed.into()),
        (element("rules: {kafka: [{role: produce}]}"), closed.into()),
        (element("rules: {l7proto: x, l7: [{a: b}]}"), closed.into()),
        (element("serverNames: [a.b]"), closed.into()),
        (element("terminatingTLS: {secret: {name: s}}"), closed.into()),
        (element("originatingTLS: {secret: {name: s}}, rules: {http: [{}]}"), closed.into()),
        (element("listener: {envoyConfig: {name: e}, name: l}"), closed.into()),
        (
            element("rules: {http: [{headerMatches: [{name: X, secret: {name: s}}]}, {method: PUT}]}"),
            element("rules: {http: [{method: PUT}]}"),
        ),
    ];
    prop::sample::select(all)
}

fn entry() -> impl Strategy<Value = Piece> {
    let ports = prop::option::of(prop::collection::vec(ports(), 0..3));
    let icmps = pieces(&[
        ("", None),
        ("icmps: []", None),
        ("icmps: [{fields: [{type: 8}]}]", None),
        ("icmps: [{}]", Some("toEndpoints: []")),
    ]);
    let authentication = pieces(&[
        ("", None),
        ("", None),
        ("authentication: {mode: disabled}", None),
        ("authentication: {mode: required}", Some("!")),
        ("authentication: {mode: test-always-fail}", Some("!")),
    ]);
    (peers(), ports, icmps, authentication).prop_map(|(peers, ports, icmps, authentication)| {
        let list = |side: fn(&Piece) -> &String| {
            let list = ports.as_ref()?;
            Some(format!("toPorts: [{}]", list.iter().map(|piece| side(piece).as_str()).collect::<Vec<_>>().join(", ")))
        };
        let has_ports = ports.as_ref().is_some_and(|list| !list.is_empty());
        let icmps = if has_ports { same("") } else { icmps };
        let join = |parts: [&str; 4]| {
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            format!("{{{}}}", parts.join(", "))
        };
        let written = join([&peers.0, &list(|piece| &piece.0).unwrap_or_default(), &icmps.0, &authentication.0]);
        let nothing = authentication.1 == "!" || icmps.1 == "toEndpoints: []";
        let closed = if nothing {
            "{toEndpoints: []}".into()
        } else {
            join([&peers.1, &list(|piece| &piece.1).unwrap_or_default(), &icmps.1, &authentication.1])
        };
        (written, closed)
    })
}

fn world(egress: &str, deny: &str) -> World {
    let pods = [("a", "w", "10.0.0.1"), ("a", "v", "10.0.0.2"), ("b", "v", "10.0.0.3")];
    let mut text = policy("x", &format!("{{endpointSelector: {{}}, egress: [{egress}], egressDeny: [{deny}]}}"));
    text.extend(pods.map(|(namespace, app, address)| pod(namespace, app, &format!("app: {app}"), address)));
    let parsed = parse("f.yaml", text.as_bytes(), ReadOptions::default(), &*check());
    assert_eq!(parsed.problems, [], "{text}");
    let objects: Vec<Object> = parsed.objects.into_iter().map(|accepted| accepted.object).collect();
    World::of(&objects)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_gap_allows_what_its_absence_would(
        entries in prop::collection::vec(entry(), 1..4),
        deny in prop::sample::select(vec!["", "{toEntities: [world]}", "{toPorts: [{ports: [{port: '80'}]}]}"]),
    ) {
        let side = |side: fn(&Piece) -> &String| entries.iter().map(|entry| side(entry).as_str()).collect::<Vec<_>>().join(", ");
        let (written, closed) = (world(&side(|entry| &entry.0), deny), world(&side(|entry| &entry.1), deny));
        let pod = |namespace: &str, name: &str| Party::Pod(PodName { namespace: namespace.into(), name: name.into() });
        let from = pod("a", "w");
        let peers = [pod("a", "v"), pod("b", "v"), Party::Host, Party::Address([192, 0, 2, 7].into()), Party::Address([192, 0, 3, 7].into())];
        for to in &peers {
            for (protocol, port) in [(6, 80), (6, 81), (17, 53), (17, 80), (1, 8), (1, 0), (132, 80)] {
                for method in ["GET", "PUT", "HEAD"] {
                    let request = |rule: &HttpRule| match &rule.method {
                        Some(wanted) if wanted != method => vec!["method"],
                        _ => vec![],
                    };
                    let question = Question { from: &from, to, protocol, port, request: Some(&request) };
                    let (written, closed) = (evaluate(&written, question).enforced(), evaluate(&closed, question).enforced());
                    prop_assert_eq!(written, closed, "{:?} {}/{} {}", to, port, protocol, method);
                }
            }
        }
    }
}
