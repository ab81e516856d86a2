//! Whole objects: which are read, which are not, and what becomes of their neighbours.

use std::net::IpAddr;

use weir_control::manifests::{Kind, Object, ReadOptions, Reading, is_manifest, parse};
use weir_model::policy::Protocol;

use crate::{
    parsed,
    support::{check, policy},
};

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
        [(2, "spec.ingress[0].fromCIDR[0]"), (2, "spec.ingress[1].fromEntities[0]"), (2, "spec.egress[0].Foo")]
    );
    let names: Vec<_> = parsed.objects.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(names, ["CiliumNetworkPolicy/a/good", "CiliumNetworkPolicy/a/fine"]);
}

#[test]
fn whole_objects_are_told_apart() {
    /// Text, keys accepted, the problem's field and reason, number of notes, reading.
    type Row = (&'static str, &'static [&'static str], Option<(&'static str, &'static str)>, usize, Reading);
    let rows: [Row; 14] = [
        ("", &[], None, 0, Reading::Whole),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: s}\n", &[], None, 1, Reading::Whole),
        ("apiVersion: v1\n", &[], Some(("kind", "is missing")), 0, Reading::SomeUnnamed),
        ("hello", &[], Some(("kind", "is missing")), 0, Reading::SomeUnnamed),
        (
            "{kind: CiliumNetworkPolcy, apiVersion: cilium.io/v2, metadata: {name: a}}",
            &[],
            Some(("kind", "did you mean CiliumNetworkPolicy?")),
            0,
            Reading::SomeUnnamed,
        ),
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
    let latin1 = parse("f.yaml", b"kind: \xe9", ReadOptions::default(), &*check());
    assert_eq!((latin1.reading, latin1.problems.len()), (Reading::Broken, 1));
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
fn named_container_ports_are_read() {
    let text = "{kind: Pod, apiVersion: v1, metadata: {name: p}, spec: {containers: [{ports: [{name: HTTP, containerPort: 80}, \
                {containerPort: 81}, {name: dns, containerPort: 53, protocol: UDP}]}, {}], initContainers: [{ports: [{name: \
                once, containerPort: 1}]}, {restartPolicy: Always, ports: [{name: mesh, containerPort: 2, protocol: SCTP}]}]}}";
    let Object::Pod(pod) = &parsed(text).objects[0].object else { panic!("no pod") };
    let ports: Vec<_> = pod.ports.iter().map(|port| (port.name.as_str(), port.number, port.protocol)).collect();
    assert_eq!(ports, [("http", 80, Protocol::Tcp), ("dns", 53, Protocol::Udp), ("mesh", 2, Protocol::Sctp)]);
    let rows = [
        ("{name: a--b, containerPort: 1}", "name", "is no port name"),
        ("{name: a, containerPort: 0}", "containerPort", "1 to 65535"),
        ("{name: a}", "containerPort", "1 to 65535"),
        ("{name: a, containerPort: 1, protocol: tcp}", "protocol", "in capitals"),
    ];
    for (port, field, reason) in rows {
        let text = format!(
            "{{kind: Pod, apiVersion: v1, metadata: {{name: p}}, spec: {{containers: [{{ports: [{port}]}}]}}}}"
        );
        let parsed = parsed(&text);
        let [problem] = parsed.problems.as_slice() else { panic!("{port}: {:?}", parsed.problems) };
        assert_eq!(problem.field, format!("spec.containers[0].ports[0].{field}"));
        assert!(problem.reason.contains(reason), "{port}: {}", problem.reason);
    }
}

#[test]
fn labels_have_the_bounds_of_kubernetes() {
    let namespace =
        |labels: &str| format!("{{kind: Namespace, apiVersion: v1, metadata: {{name: ns, labels: {labels}}}}}");
    let parsed_namespace = parsed(&namespace("{env: prod, example.com/a: ''}"));
    let Object::Namespace(read) = &parsed_namespace.objects[0].object else { panic!("no namespace") };
    assert_eq!(read.labels["kubernetes.io/metadata.name"], "ns", "as the API server sets it");
    assert_eq!(read.labels.len(), 3);
    let long = format!("{{a: {}}}", "x".repeat(64));
    for bad in ["{'a b': c}", "{a: 'b c'}", "{a: 1}", &long] {
        let parsed = parsed(&namespace(bad));
        assert_eq!((parsed.problems.len(), parsed.rejected.len()), (1, 1), "{bad}");
    }
}

/// Kinds of other APIs: ignored, unless they restrict traffic.
#[test]
fn objects_of_other_apis_are_noted_and_policies_are_problems() {
    let rows = [
        ("serving.knative.dev/v1", "Service", None),
        ("example.com/v1", "Pod", Some("weir reads Pod as v1")),
        ("core/v1", "Service", Some("weir reads Service as v1")),
        ("cilium.oi/v2", "CiliumNetworkPolicy", Some("weir reads CiliumNetworkPolicy as cilium.io/v2")),
        ("v1", "NetworkPolicy", Some("weir reads NetworkPolicy as networking.k8s.io/v1")),
        ("v1", "ConfigMap", None),
        ("projectcalico.org/v3", "NetworkPolicy", Some("is a policy of projectcalico.org/v3")),
        ("projectcalico.org/v3", "GlobalNetworkPolicy", Some("which weir does not enforce")),
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", Some("write it as NetworkPolicy")),
        ("security.istio.io/v1", "AuthorizationPolicy", Some("which weir does not enforce")),
        ("cilium.io/v2alpha1", "CiliumNetworkPolicy", Some("weir reads CiliumNetworkPolicy as cilium.io/v2")),
        ("networking.k8s.io/v1beta1", "NetworkPolicy", Some("weir reads NetworkPolicy as networking.k8s.io/v1")),
    ];
    for (version, kind, problem) in rows {
        let text = format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: x}}, spec: {{}}}}");
        let parsed = parsed(&text);
        let own = parsed.problems.iter().any(|found| problem.is_some_and(|reason| found.reason.contains(reason)));
        assert_eq!((own, parsed.objects.len()), (problem.is_some(), 0), "{text}: {:?}", parsed.problems);
        assert_eq!(parsed.notes.len(), usize::from(problem.is_none()), "{text}");
        assert_eq!(parsed.reading, Reading::Whole);
        let keeps_last_good = problem.is_some_and(|reason| reason.contains("weir reads"));
        assert_eq!(parsed.rejected.len(), usize::from(keeps_last_good), "{text}");
    }
}

#[test]
fn a_field_that_is_written_twice_is_a_mistake() {
    for twice in [
        "{endpointSelector: {}, ingress: [{}], ingress: []}",
        "{endpointSelector: {matchLabels: {a: b, a: c}}, ingress: [{}]}",
    ] {
        let parsed = parsed(&policy("x", twice));
        assert_eq!((parsed.problems.len(), parsed.objects.len(), parsed.reading), (1, 0, Reading::Broken), "{twice}");
    }
}
