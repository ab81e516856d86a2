//! Objects and their mistakes.

use std::net::IpAddr;

use proptest::prelude::*;
use weir_control::manifests::{Kind, Object, Parsed, Reading, is_manifest, parse, parse_selector};
use weir_model::policy::{HeaderAction, HeaderMatch, Mismatch, Policy, PortSpec, Protocol};

use crate::support::{check, policy};

fn parsed(text: &str) -> Parsed {
    parse("f.yaml", text.as_bytes(), &*check())
}

fn accepted(text: &str) -> Policy {
    let parsed = parsed(text);
    assert_eq!(parsed.problems, [], "{text}");
    match parsed.objects.into_iter().next().map(|accepted| accepted.object) {
        Some(Object::Policy(policy)) => policy,
        other => panic!("no policy: {other:?}"),
    }
}

/// Each row is a spec and what is wrong with it: (field, a part of the reason).
#[test]
fn a_spec_is_refused_with_field_and_reason() {
    let ingress = |entry: &str| format!("{{endpointSelector: {{}}, ingress: [{entry}]}}");
    let egress = |entry: &str| format!("{{endpointSelector: {{}}, egress: [{entry}]}}");
    let ports = |element: &str| ingress(&format!("{{toPorts: [{element}]}}"));
    let http = |rule: &str| ports(&format!("{{ports: [{{port: '80', protocol: TCP}}], rules: {{http: [{rule}]}}}}"));
    let many = vec!["{port: '1'}"; 41].join(",");
    let rows: Vec<(String, &str, &str)> = vec![
        // Structure.
        ("{ingress: [{}]}".into(), "spec.endpointSelector", "is missing"),
        ("{endpointSelector: null, ingress: [{}]}".into(), "spec.endpointSelector", "is missing"),
        ("{endpointSelector: [], ingress: [{}]}".into(), "spec.endpointSelector", "must be a mapping"),
        ("{endpointSelector: {}}".into(), "spec", "neither ingress nor egress"),
        ("{endpointSelector: {}, ingress: []}".into(), "spec", "neither ingress nor egress"),
        ("{endpointSelector: {}, ingress: {}}".into(), "spec.ingress", "must be a list"),
        ("[]".into(), "spec", "must be a mapping"),
        (ingress("null"), "spec.ingress[0]", "must be a mapping"),
        (ingress("{fromEndpoints: [null]}"), "spec.ingress[0].fromEndpoints[0]", "must be a mapping"),
        // Known, not supported yet.
        ("{nodeSelector: {}, ingress: [{}]}".into(), "spec.nodeSelector", "not supported yet"),
        ("{endpointSelector: {}, ingress: [{}], ingressDeny: []}".into(), "spec.ingressDeny", "not supported yet"),
        ("{endpointSelector: {}, egressDeny: [{}]}".into(), "spec.egressDeny", "not supported yet"),
        (
            "{endpointSelector: {}, ingress: [{}], enableDefaultDeny: {}}".into(),
            "spec.enableDefaultDeny",
            "not supported",
        ),
        ("{endpointSelector: {}, ingress: [{}], log: {value: x}}".into(), "spec.log", "not supported yet"),
        (ingress("{fromCIDR: []}"), "spec.ingress[0].fromCIDR", "not supported yet"),
        (ingress("{fromCIDRSet: [{}]}"), "spec.ingress[0].fromCIDRSet", "not supported yet"),
        (ingress("{fromEntities: [all]}"), "spec.ingress[0].fromEntities", "not supported yet"),
        (ingress("{fromRequires: [{}]}"), "spec.ingress[0].fromRequires", "not supported yet"),
        (ingress("{fromGroups: [{}]}"), "spec.ingress[0].fromGroups", "not supported yet"),
        (ingress("{fromNodes: [{}]}"), "spec.ingress[0].fromNodes", "not supported yet"),
        (ingress("{icmps: [{}]}"), "spec.ingress[0].icmps", "not supported yet"),
        (ingress("{authentication: {mode: required}}"), "spec.ingress[0].authentication", "not supported yet"),
        (egress("{toCIDR: ['10.0.0.0/8']}"), "spec.egress[0].toCIDR", "not supported yet"),
        (egress("{toFQDNs: [{matchName: a}]}"), "spec.egress[0].toFQDNs", "not supported yet"),
        (egress("{toServices: [{}]}"), "spec.egress[0].toServices", "not supported yet"),
        (egress("{toEntities: [world]}"), "spec.egress[0].toEntities", "not supported yet"),
        (ports("{terminatingTLS: {}}"), "spec.ingress[0].toPorts[0].terminatingTLS", "not supported yet"),
        (ports("{originatingTLS: {}}"), "spec.ingress[0].toPorts[0].originatingTLS", "not supported yet"),
        (ports("{serverNames: [a]}"), "spec.ingress[0].toPorts[0].serverNames", "not supported yet"),
        (ports("{listener: {}}"), "spec.ingress[0].toPorts[0].listener", "not supported yet"),
        (ports("{rules: {kafka: []}}"), "spec.ingress[0].toPorts[0].rules.kafka", "not supported yet"),
        (ports("{rules: {dns: [{}]}}"), "spec.ingress[0].toPorts[0].rules.dns", "not supported yet"),
        (ports("{rules: {l7proto: x}}"), "spec.ingress[0].toPorts[0].rules.l7proto", "not supported yet"),
        (ports("{rules: {l7: []}}"), "spec.ingress[0].toPorts[0].rules.l7", "not supported yet"),
        (
            ports("{ports: [{port: '1', endPort: 9}]}"),
            "spec.ingress[0].toPorts[0].ports[0].endPort",
            "not supported yet",
        ),
        // Unknown.
        ("{endpointSelectors: {}, endpointSelector: {}, ingress: [{}]}".into(), "spec.endpointSelectors", "unknown"),
        (ingress("{toEndpoints: [{}]}"), "spec.ingress[0].toEndpoints", "unknown"),
        (egress("{fromEndpoints: [{}]}"), "spec.egress[0].fromEndpoints", "unknown"),
        (ingress("{fromendpoints: [{}]}"), "spec.ingress[0].fromendpoints", "did you mean fromEndpoints?"),
        (ports("{rules: {HTTP: []}}"), "spec.ingress[0].toPorts[0].rules.HTTP", "did you mean http?"),
        (http("{paths: /}"), "spec.ingress[0].toPorts[0].rules.http[0].paths", "unknown"),
        (ingress("{fromEndpoints: [{labels: {}}]}"), "spec.ingress[0].fromEndpoints[0].labels", "unknown"),
        // Ports.
        (ports(&format!("{{ports: [{many}]}}")), "spec.ingress[0].toPorts[0].ports", "has 41 ports"),
        (ports("{ports: [{}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "is missing"),
        (ports("{ports: [{port: ''}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "not a port"),
        (ports("{ports: [{port: 65536}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "not a port"),
        (ports("{ports: [{port: -1}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "not a port"),
        (ports("{ports: [{port: 80.5}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "not a port"),
        (ports("{ports: [{port: true}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "must be a string"),
        (ports("{ports: [{port: '0x50'}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "named ports are not"),
        (ports("{ports: [{port: http}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "named ports are not"),
        (ports("{ports: [{port: '1', protocol: tcp}]}"), "spec.ingress[0].toPorts[0].ports[0].protocol", "in capitals"),
        (
            ports("{ports: [{port: '1', protocol: ESP}]}"),
            "spec.ingress[0].toPorts[0].ports[0].protocol",
            "not supported",
        ),
        // L7.
        (
            ports("{ports: [{port: '80'}], rules: {http: [{}]}}"),
            "spec.ingress[0].toPorts[0].ports[0].protocol",
            "need `protocol: TCP`",
        ),
        (
            ports("{ports: [{port: '80', protocol: UDP}], rules: {http: [{}]}}"),
            "spec.ingress[0].toPorts[0].ports[0].protocol",
            "need `protocol: TCP`",
        ),
        (
            ports("{ports: [{port: '0', protocol: TCP}], rules: {http: [{}]}}"),
            "spec.ingress[0].toPorts[0].ports[0].port",
            "all ports",
        ),
        (http("{}, {path: '('}"), "spec.ingress[0].toPorts[0].rules.http[1].path", "no regular expression"),
        (http("{path: 1}"), "spec.ingress[0].toPorts[0].rules.http[0].path", "must be a string"),
        (http("{headers: ['X-A:']}"), "spec.ingress[0].toPorts[0].rules.http[0].headers[0]", "no header name"),
        (http("{headers: ['X-A:b']}"), "spec.ingress[0].toPorts[0].rules.http[0].headers[0]", "no header name"),
        (http("{headers: [' b']}"), "spec.ingress[0].toPorts[0].rules.http[0].headers[0]", "no header name"),
        // Selectors.
        (
            "{endpointSelector: {matchLabels: {a: 1}}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchLabels.a",
            "string",
        ),
        (
            "{endpointSelector: {matchLabels: {a: 'x y'}}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchLabels.a",
            "value",
        ),
        (
            "{endpointSelector: {matchLabels: {'cidr:10.0.0.0/8': ''}}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchLabels.cidr:10.0.0.0/8",
            "not supported yet",
        ),
        (
            "{endpointSelector: {matchLabels: {'foo:bar': ''}}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchLabels.foo:bar",
            "unknown",
        ),
        (
            "{endpointSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchExpressions[0].operator",
            "use In, NotIn",
        ),
        (
            "{endpointSelector: {matchExpressions: [{key: a, operator: NotIn}]}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchExpressions[0].values",
            "at least one",
        ),
        (
            "{endpointSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchExpressions[0].values",
            "left out",
        ),
        (
            "{endpointSelector: {matchExpressions: [{operator: Exists}]}, ingress: [{}]}".into(),
            "spec.endpointSelector.matchExpressions[0].key",
            "is missing",
        ),
    ];
    for (spec, field, reason) in rows {
        let parsed = parsed(&policy("x", &spec));
        assert_eq!(parsed.problems.len(), 1, "{spec}: {:?}", parsed.problems);
        let problem = &parsed.problems[0];
        assert_eq!((problem.field.as_str(), problem.object.as_str()), (field, "CiliumNetworkPolicy/a/x"), "{spec}");
        assert!(problem.reason.contains(reason), "{spec}: {}", problem.reason);
        assert!(parsed.objects.is_empty() && parsed.rejected.len() == 1, "{spec}");
        assert_eq!(parsed.reading, Reading::Whole, "{spec}");
    }
}

#[test]
fn every_mistake_of_an_object_is_reported_and_its_neighbours_count() {
    let text = format!(
        "{}{}{}",
        policy("good", "{endpointSelector: {}, ingress: [{}]}"),
        policy("bad", "{endpointSelector: {}, ingress: [{fromCIDR: [x]}, {fromEntities: [y]}], egress: [{Foo: 1}]}"),
        policy("fine", "{endpointSelector: {}, egress: [{}], description: d, labels: [{key: a}]}"),
    );
    let parsed = parsed(&text);
    let fields: Vec<_> = parsed.problems.iter().map(|problem| (problem.document, problem.field.as_str())).collect();
    assert_eq!(
        fields,
        [(2, "spec.ingress[0].fromCIDR"), (2, "spec.ingress[1].fromEntities"), (2, "spec.egress[0].Foo")]
    );
    let names: Vec<_> = parsed.objects.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(names, ["CiliumNetworkPolicy/a/good", "CiliumNetworkPolicy/a/fine"]);
    assert_eq!(
        parsed.problems[0].to_string(),
        "f.yaml document 2: CiliumNetworkPolicy/a/bad: spec.ingress[0].fromCIDR: fromCIDR is not supported yet; name the \
         peers by their labels (fromEndpoints, toEndpoints), or leave the peers out to allow any"
    );
}

#[test]
fn ports_headers_and_empty_strings_are_read_as_cilium_reads_them() {
    let read = accepted(&policy(
        "x",
        "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}, {port: 81, protocol: TCP}, \
         {port: '0120', protocol: TCP}], rules: {http: [{method: GET, path: '', host: h, headers: ['X-Key: a b', 'X-Only', \
         'X-Twice:: v', 'X-None ']}]}}, {ports: [{port: '0', protocol: ''}, {port: '53', protocol: UDP}, {port: 9, \
         protocol: ANY}]}]}]}",
    ));
    let rules = read.rules[0].ingress[0].ports.as_ref().expect("toPorts");
    let tcp = |port| PortSpec { port, protocol: Protocol::Tcp };
    assert_eq!(rules[0].ports, [tcp(80), tcp(81), tcp(80)]);
    let any = |port| PortSpec { port, protocol: Protocol::Any };
    assert_eq!(rules[1].ports, [any(0), PortSpec { port: 53, protocol: Protocol::Udp }, any(9)]);
    let http = &rules[0].http.as_ref().expect("http")[0];
    assert_eq!((http.method.as_deref(), http.path.as_deref(), http.host.as_deref()), (Some("GET"), None, Some("h")));
    let header = |name: &str, value: Option<&str>| HeaderMatch { name: name.into(), value: value.map(str::to_owned) };
    let expected = [
        header("X-Key", Some("a b")),
        header("X-Only", None),
        header("X-Twice", Some("v")),
        header("X-None", Some("")),
    ];
    assert_eq!(http.headers, expected);
}

/// Each row is an element of `headerMatches`, and what it is read as.
#[test]
fn header_matches_are_read_with_what_a_mismatch_does() {
    let rows = [
        ("{name: X-Key, value: a b}", "X-Key", Some("a b"), Mismatch::Fail),
        ("{name: X-Key, value: v, mismatch: ''}", "X-Key", Some("v"), Mismatch::Fail),
        ("{name: X-Key}", "X-Key", None, Mismatch::Fail),
        ("{name: X-Key, value: '', secret: null}", "X-Key", None, Mismatch::Fail),
        ("{name: X-Key, mismatch: LOG}", "X-Key", None, Mismatch::Log),
        ("{name: X-Key, value: v, mismatch: LOG}", "X-Key", Some("v"), Mismatch::Log),
        ("{name: X-Key, value: v, mismatch: ADD}", "X-Key", Some("v"), Mismatch::Add),
        ("{name: X-Key, value: v, mismatch: DELETE}", "X-Key", Some("v"), Mismatch::Delete),
        ("{name: X-Key, value: v, mismatch: REPLACE}", "X-Key", Some("v"), Mismatch::Replace),
    ];
    for (element, name, value, mismatch) in rows {
        let read = accepted(&policy(
            "x",
            &format!(
                "{{endpointSelector: {{}}, ingress: [{{toPorts: [{{ports: [{{port: '80', protocol: TCP}}], rules: {{http: \
                 [{{headers: [X-Other], headerMatches: [{element}]}}]}}}}]}}]}}"
            ),
        ));
        let ports = &read.rules[0].ingress[0].ports.as_ref().expect("toPorts")[0];
        let rule = &ports.http.as_ref().expect("http")[0];
        let header = HeaderMatch { name: name.into(), value: value.map(str::to_owned) };
        assert_eq!(rule.header_matches, [HeaderAction { header, mismatch }], "{element}");
        assert_eq!(rule.headers.len(), 1, "{element}");
    }
}

/// Each row is an element of `headerMatches`, the field below it that is wrong, and a part of the reason.
#[test]
fn a_header_match_is_refused_with_field_and_remedy() {
    let rows = [
        ("{}", ".name", "is missing; write the header's name"),
        ("[]", "", "must be a mapping"),
        ("{name: ''}", ".name", "is missing"),
        ("{name: 1}", ".name", "must be a string"),
        ("{name: 'X-Key:'}", ".name", "without colon"),
        ("{name: ':path', value: /a, mismatch: REPLACE}", ".name", "is no header name"),
        ("{name: X-Key, value: 1}", ".value", "put it in quotes"),
        ("{name: X-Key, mismatch: ADD}", ".value", "ADD compares"),
        ("{name: X-Key, mismatch: DELETE}", ".value", "DELETE compares"),
        ("{name: X-Key, value: '', mismatch: REPLACE}", ".value", "REPLACE compares"),
        ("{name: X-Key, value: v, mismatch: log}", ".mismatch", "use LOG, ADD, DELETE or REPLACE, in capitals"),
        ("{name: X-Key, value: v, mismatch: FAIL}", ".mismatch", "is no action"),
        ("{name: X-Key, secret: {name: s}}", ".secret", "write what the header must be as value"),
        ("{name: X-Key, values: v}", ".values", "unknown"),
    ];
    for (element, field, reason) in rows {
        let text = policy(
            "x",
            &format!(
                "{{endpointSelector: {{}}, ingress: [{{toPorts: [{{ports: [{{port: '80', protocol: TCP}}], rules: {{http: \
                 [{{headerMatches: [{element}]}}]}}}}]}}]}}"
            ),
        );
        let parsed = parsed(&text);
        assert!(parsed.objects.is_empty(), "{element}");
        let problem = parsed.problems[0].to_string();
        let field = format!("spec.ingress[0].toPorts[0].rules.http[0].headerMatches[0]{field}: ");
        assert!(problem.contains(&field) && problem.contains(reason), "{element}: {problem}");
    }
}

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
        let show = |policy: &Policy| {
            let rule = &policy.rules[0];
            (rule.subject.to_string(), rule.ingress[0].peers.as_ref().expect("peers")[0].to_string())
        };
        assert_eq!(show(&accepted(&policy("x", &spec))), (subject, peer), "{selector}");
        let cluster = policy("x", &spec).replace("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy");
        assert_eq!(show(&accepted(&cluster)).1, cluster_peer, "{selector}");
    }
    let spec = "{endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: b}}, ingress: [{}]}";
    assert_eq!(parsed(&policy("x", spec)).notes.len(), 1, "an overridden namespace is noted");
}

#[test]
fn whole_objects_are_told_apart() {
    /// Text, keys accepted, the problem's field and reason, number of notes, reading.
    type Row = (&'static str, &'static [&'static str], Option<(&'static str, &'static str)>, usize, Reading);
    let rows: [Row; 13] = [
        ("", &[], None, 0, Reading::Whole),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: s}\n", &[], None, 1, Reading::Whole),
        ("apiVersion: v1\n", &[], Some(("kind", "is missing")), 0, Reading::SomeUnnamed),
        ("hello", &[], Some(("kind", "is missing")), 0, Reading::SomeUnnamed),
        ("{kind: Pod, apiVersion: v1}", &[], Some(("metadata.name", "is missing")), 0, Reading::SomeUnnamed),
        (
            "{kind: Pod, apiVersion: v1, metadata: {name: A/b}}",
            &[],
            Some(("metadata.name", "name")),
            0,
            Reading::SomeUnnamed,
        ),
        (
            "{kind: Pod, apiVersion: v1, metadata: {name: y}}",
            &[],
            Some(("metadata.name", "the boolean true; put it in quotes")),
            0,
            Reading::SomeUnnamed,
        ),
        (
            "{kind: Pod, apiVersion: v2, metadata: {name: a}}",
            &[],
            Some(("apiVersion", "reads Pod as v1")),
            0,
            Reading::Whole,
        ),
        ("{kind: Pod, apiVersion: v1, metadata: {name: a}}", &["Pod/default/a"], None, 0, Reading::Whole),
        (
            "{kind: Namespace, apiVersion: v1, metadata: {name: a, namespace: x}}",
            &["Namespace/a"],
            None,
            0,
            Reading::Whole,
        ),
        ("kind: Pod\nbad", &[], Some(("", "line 2")), 0, Reading::Broken),
        (
            "kind: List\napiVersion: v1\nitems:\n- {kind: Namespace, apiVersion: v1, metadata: {name: a}}\n- {kind: Secret}\n",
            &["Namespace/a"],
            None,
            1,
            Reading::Whole,
        ),
        (
            "{kind: CiliumNetworkPolicy, apiVersion: cilium.io/v2, metadata: {name: a}}",
            &[],
            Some(("spec", "is missing")),
            0,
            Reading::Whole,
        ),
    ];
    for (text, keys, problem, notes, reading) in rows {
        let parsed = parsed(text);
        let found: Vec<_> = parsed.objects.iter().map(|object| object.key.to_string()).collect();
        assert_eq!(
            (found, parsed.notes.len(), parsed.reading),
            (keys.iter().map(ToString::to_string).collect(), notes, reading),
            "{text}"
        );
        match (problem, parsed.problems.as_slice()) {
            (None, []) => {}
            (Some((field, reason)), [only]) => {
                assert_eq!(only.field, field, "{text}");
                assert!(only.reason.contains(reason), "{text}: {}", only.reason);
            }
            (_, found) => panic!("{text}: {found:?}"),
        }
    }
    let latin1 = parse("f.yaml", b"kind: \xe9", &*check());
    assert_eq!((latin1.reading, latin1.problems.len()), (Reading::Broken, 1));
}

#[test]
fn spec_and_specs_are_both_applied() {
    let text = "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, ingress: \
                [{}]}, specs: [{endpointSelector: {}, egress: [{}]}, {endpointSelector: {}, ingress: [{}, {}]}]}";
    let policy = accepted(text);
    assert_eq!(policy.name.namespace, "default");
    let sizes: Vec<_> = policy.rules.iter().map(|rule| (rule.ingress.len(), rule.egress.len())).collect();
    assert_eq!(sizes, [(1, 0), (0, 1), (2, 0)]);
}

#[test]
fn pods_are_endpoints_when_they_have_an_address_of_their_own() {
    let addresses = |text: &[&str]| text.iter().map(|ip| ip.parse().expect("address")).collect::<Vec<IpAddr>>();
    let rows: [(&str, &[&str], bool); 9] = [
        ("status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], podIP: 10.0.0.1}", &["10.0.0.1", "fd00::1"], true),
        ("status: {podIP: 10.0.0.2}", &["10.0.0.2"], true),
        ("status: {podIPs: [], podIP: 10.0.0.2}", &["10.0.0.2"], true),
        ("status: {podIPs: [{ip: '::ffff:10.0.0.3'}, {ip: 10.0.0.3}]}", &["10.0.0.3"], true),
        ("status: {}", &[], false),
        ("{spec: {hostNetwork: true}, status: {podIP: 10.0.0.2}", &["10.0.0.2"], false),
        ("status: {podIP: 10.0.0.2, phase: Succeeded}", &["10.0.0.2"], false),
        ("status: {podIP: 10.0.0.2, phase: Failed}", &["10.0.0.2"], false),
        ("status: {podIP: 10.0.0.2, phase: Running}", &["10.0.0.2"], true),
    ];
    for (rest, expected, endpoint) in rows {
        let rest = rest.trim_start_matches('{');
        let text = format!("{{kind: Pod, apiVersion: v1, metadata: {{name: p, labels: {{a: b}}}}, {rest}}}");
        let parsed = parsed(&text);
        let [accepted] = parsed.objects.as_slice() else { panic!("{text}: {:?}", parsed.problems) };
        assert_eq!(accepted.key.kind, Kind::Pod);
        let Object::Pod(pod) = &accepted.object else { panic!("no pod") };
        assert_eq!((&pod.addresses, pod.is_endpoint()), (&addresses(expected), endpoint), "{rest}");
    }
    for bad in
        ["{podIP: 127.0.0.1}", "{podIP: '::'}", "{podIP: x}", "{podIP: 5}", "{podIPs: [{}]}", "{podIPs: 10.0.0.1}"]
    {
        let text = format!("{{kind: Pod, apiVersion: v1, metadata: {{name: p}}, status: {bad}}}");
        assert_eq!(parsed(&text).problems.len(), 1, "{bad}");
    }
}

#[test]
fn file_names_say_whether_a_file_is_read() {
    for name in ["a.yaml", "a.yml", "a.json", "a.b.yaml"] {
        assert!(is_manifest(name), "{name}");
    }
    for name in ["a", "a.txt", ".a.yaml", "a.yaml~", "#a.yaml#", "a.yaml.swp", ".a.yaml.swp", "a.YAML", "..data", ""] {
        assert!(!is_manifest(name), "{name}");
    }
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

proptest! {
    /// Half-written and garbled files are problems, never panics; what is refused is never accepted as well.
    #[test]
    fn a_garbled_file_is_a_problem_at_worst(at in 0.0..1.0_f64, length in 0..12_usize, insert in "[-\\[\\]{}:&*!'\"|> a0\n\t]{0,6}") {
        let whole = policy(
            "x",
            "{endpointSelector: {matchLabels: {a: b}}, ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', \
             protocol: TCP}], rules: {http: [{path: /a, headers: ['A: b']}]}}]}]}",
        ) + &crate::support::pod("a", "p", "a: b", "10.0.0.1");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let start = (at * whole.len() as f64) as usize;
        let end = (start + length).min(whole.len());
        let text = format!("{}{insert}{}", &whole[..start], &whole[end..]);
        for text in [text.as_str(), &whole[..start]] {
            let parsed = parsed(text);
            let both = parsed.objects.iter().filter(|object| parsed.rejected.contains(&object.key)).count();
            prop_assert_eq!(both, 0, "{}", text);
            prop_assert!(parsed.reading == Reading::Whole || !parsed.problems.is_empty());
        }
    }
}
