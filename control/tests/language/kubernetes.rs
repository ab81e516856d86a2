//! NetworkPolicy of Kubernetes.

use weir_model::policy::{DefaultDeny, Mode, Port, RuleEntry, Subject};

use crate::{accepted, parsed};

fn object(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: x, namespace: a}}, spec: {spec}}}"
    )
}

/// Rows: a spec, number of entries to the subject and from it, default deny to the subject and from it.
#[test]
fn directions_are_denied_by_default_as_policy_types_says() {
    let rows = [
        ("{podSelector: {}}", 0, 0, true, false),
        ("{podSelector: {}, policyTypes: []}", 0, 0, true, false),
        ("{podSelector: {}, policyTypes: [Ingress]}", 0, 0, true, false),
        ("{podSelector: {}, policyTypes: [Egress]}", 0, 0, false, true),
        ("{podSelector: {}, policyTypes: [Ingress, Egress]}", 0, 0, true, true),
        ("{podSelector: {}, ingress: []}", 0, 0, true, false),
        ("{podSelector: {}, ingress: [{}]}", 1, 0, true, false),
        ("{podSelector: {}, egress: []}", 0, 0, true, false),
        ("{podSelector: {}, egress: [{}]}", 0, 1, true, true),
        ("{podSelector: {}, egress: [{}], policyTypes: [Egress]}", 0, 1, false, true),
        ("{podSelector: {}, egress: [{}], policyTypes: [Ingress]}", 0, 0, true, false),
        ("{podSelector: {}, ingress: [{}], policyTypes: [Egress]}", 0, 0, false, true),
        ("{}", 0, 0, true, false),
        ("null", 0, 0, true, false),
    ];
    for (spec, ingress_entries, egress_entries, ingress, egress) in rows {
        let read = accepted(&object(spec));
        let rule = &read.rules[0];
        assert_eq!((rule.ingress.len(), rule.egress.len()), (ingress_entries, egress_entries), "{spec}");
        assert_eq!(rule.default_deny, DefaultDeny { ingress, egress }, "{spec}");
        assert_eq!((read.rules.len(), read.gaps.len()), (1, 0));
    }
    let ignored = parsed(&object("{podSelector: {}, egress: [{}], policyTypes: [Ingress]}"));
    assert_eq!(ignored.notes[0].field, "spec.egress");
    assert!(ignored.notes[0].reason.contains("policyTypes does not list Egress"));
}

fn entry(entry: &str) -> RuleEntry {
    accepted(&object(&format!("{{podSelector: {{}}, ingress: [{entry}]}}"))).rules.remove(0).ingress.remove(0)
}

/// Rows: peers, and how they are read.
#[test]
fn peers_are_of_the_own_namespace_unless_they_name_namespaces() {
    let own = "k8s:io.kubernetes.pod.namespace=a";
    let any = "k8s:io.kubernetes.pod.namespace";
    let env = "k8s:io.cilium.k8s.namespace.labels.env";
    let name = "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name";
    let rows: [(&str, &[String]); 13] = [
        ("{}", &["entity all".into()]),
        ("{from: []}", &["entity all".into()]),
        ("{from: null}", &["entity all".into()]),
        ("{from: [{podSelector: {}}]}", &[format!("pods {own}")]),
        ("{from: [{podSelector: {matchLabels: {app: w}}}]}", &[format!("pods k8s:app=w,{own}")]),
        ("{from: [{namespaceSelector: {}}]}", &[format!("pods {any}")]),
        ("{from: [{namespaceSelector: {matchLabels: {env: p}}}]}", &[format!("pods {env}=p,{any}")]),
        (
            "{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: p}}}]}",
            &[format!("pods {name}=p,{any}")],
        ),
        (
            "{from: [{namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [p]}]}}]}",
            &[format!("pods {env} notin (p),{any}")],
        ),
        (
            "{from: [{namespaceSelector: {matchLabels: {env: p}}, podSelector: {matchLabels: {app: w}}}]}",
            &[format!("pods k8s:app=w,{env}=p,{any}")],
        ),
        (
            "{from: [{namespaceSelector: {}, podSelector: {}}, {podSelector: {}}]}",
            &[format!("pods {any}"), format!("pods {own}")],
        ),
        ("{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}", &["cidr 10.0.0.0/8".into()]),
        (
            "{from: [{ipBlock: {cidr: 'fd00::/8', except: ['fd00:1::/32']}}]}",
            &["cidr fd00::/8 except fd00:1::/32".into()],
        ),
    ];
    for (text, expected) in rows {
        let mut peers: Vec<String> = entry(text).peers.expect("peers").iter().map(ToString::to_string).collect();
        let sorted = |text: &mut String| {
            let mut parts: Vec<&str> = text.trim_start_matches("pods ").split(',').collect();
            parts.sort_unstable();
            *text = parts.join(",");
        };
        let mut expected = expected.to_vec();
        peers.iter_mut().for_each(sorted);
        expected.iter_mut().for_each(sorted);
        assert_eq!(peers, expected, "{text}");
    }
    let read = accepted(&object("{podSelector: {matchLabels: {app: w}}}"));
    let Subject::Pods(subject) = &read.rules[0].subject else { panic!("pods") };
    assert_eq!(subject.to_string(), "k8s:app=w,k8s:io.kubernetes.pod.namespace=a");
    let egress = accepted(&object("{egress: [{to: [{podSelector: {}}]}]}"));
    assert_eq!(egress.rules[0].egress[0].peers.as_ref().map(Vec::len), Some(1));
}

/// Rows: a list of ports, and how it is read.
#[test]
fn ports_are_tcp_unless_they_say_otherwise() {
    let rows: [(&str, &[&str]); 8] = [
        ("[{}]", &["*/TCP"]),
        ("[{protocol: UDP}]", &["*/UDP"]),
        ("[{port: 80}]", &["80/TCP"]),
        ("[{port: 53, protocol: UDP}, {port: 53}]", &["53/UDP", "53/TCP"]),
        ("[{port: 9, protocol: SCTP}]", &["9/SCTP"]),
        ("[{port: 32000, endPort: 32768}]", &["32000-32768/TCP"]),
        ("[{port: 80, endPort: 80}]", &["80/TCP"]),
        ("[{port: http}]", &["http/TCP"]),
    ];
    for (list, expected) in rows {
        let ports = entry(&format!("{{ports: {list}}}")).ports.expect("ports");
        let shown = ports.iter().flat_map(|rule| &rule.ports).map(|spec| match &spec.port {
            Port::Numbers(range) => format!("{range}/{}", spec.protocol),
            Port::Named(name) => format!("{name}/{}", spec.protocol),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{list}");
    }
    for all in ["{}", "{ports: []}", "{ports: null}", "{from: [{podSelector: {}}]}"] {
        assert_eq!(entry(all).ports, None, "{all}");
    }
}

/// Rows: a spec, the field, and a part of the reason.
#[test]
fn a_spec_is_refused_with_field_and_reason() {
    let rows = [
        ("{endpointSelector: {}}", "spec.endpointSelector", "use podSelector"),
        ("{podSelector: {}, policyTypes: [ingress]}", "spec.policyTypes[0]", "use Ingress or Egress"),
        ("{podSelector: {matchLabels: {'k8s:app': w}}}", "spec.podSelector.matchLabels.k8s:app", "is no label key"),
        ("{podSelector: {}, ingress: [{to: []}]}", "spec.ingress[0].to", "use from"),
        ("{podSelector: {}, egress: [{from: []}]}", "spec.egress[0].from", "use to"),
        ("{podSelector: {}, ingress: [{from: [{}]}]}", "spec.ingress[0].from[0]", "names nobody"),
        ("{podSelector: {}, ingress: [{from: [{ipBlock: {}}]}]}", "spec.ingress[0].from[0].ipBlock.cidr", "is missing"),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}",
            "spec.ingress[0].from[0].ipBlock.cidr",
            "write 10.0.0.1/32",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}",
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "not inside of 10.0.0.0/8",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
            "spec.ingress[0].from[0].ipBlock",
            "stands beside a selector",
        ),
        ("{podSelector: {}, ingress: [{ports: [{port: '80'}]}]}", "spec.ingress[0].ports[0].port", "without quotes"),
        ("{podSelector: {}, ingress: [{ports: [{port: 0}]}]}", "spec.ingress[0].ports[0].port", "from 1 to 65535"),
        (
            "{podSelector: {}, ingress: [{ports: [{protocol: tcp}]}]}",
            "spec.ingress[0].ports[0].protocol",
            "in capitals",
        ),
        (
            "{podSelector: {}, ingress: [{ports: [{protocol: ICMP}]}]}",
            "spec.ingress[0].ports[0].protocol",
            "TCP, UDP or SCTP",
        ),
        (
            "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 79}]}]}",
            "spec.ingress[0].ports[0].endPort",
            "from 80",
        ),
        (
            "{podSelector: {}, ingress: [{ports: [{port: a, endPort: 79}]}]}",
            "spec.ingress[0].ports[0].endPort",
            "needs the number",
        ),
        (
            "{podSelector: {}, ingress: [{ports: [{endPort: 79}]}]}",
            "spec.ingress[0].ports[0].endPort",
            "needs the number",
        ),
    ];
    for (spec, field, reason) in rows {
        let parsed = parsed(&object(spec));
        let [problem] = parsed.problems.as_slice() else { panic!("{spec}: {:?}", parsed.problems) };
        assert_eq!((problem.field.as_str(), problem.object.as_str()), (field, "NetworkPolicy/a/x"), "{spec}");
        assert!(problem.reason.contains(reason), "{spec}: {}", problem.reason);
    }
}

#[test]
fn a_network_policy_has_a_mode_too() {
    let text = object("{podSelector: {}}").replace("name: x,", "name: x, annotations: {weir.io/mode: observe},");
    let read = accepted(&text);
    assert_eq!((read.mode, read.rules[0].default_deny), (Mode::Observe, DefaultDeny::default()));
}
