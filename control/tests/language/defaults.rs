//! Default deny, modes, and what is said of the whole rule.

use weir_model::policy::{DefaultDeny, Mode, Subject};

use crate::{accepted, clusterwide, ingress, support::policy, with_spec};

/// Rows: what a rule has beside its selector, and whether it denies by default: to the subject, from it.
#[test]
fn a_direction_with_entries_is_denied_by_default_unless_it_says_otherwise() {
    let rows = [
        ("ingress: [{}]", true, false),
        ("egress: [{}]", false, true),
        ("ingress: [{}], egress: [{}]", true, true),
        ("ingress: [], egress: [{}]", false, true),
        ("ingress: null, egress: [{}]", false, true),
        ("ingressDeny: [{}]", true, false),
        ("egressDeny: [{}]", false, true),
        ("ingress: [{fromEndpoints: []}]", true, false),
        ("ingress: [{}], enableDefaultDeny: {}", true, false),
        ("ingress: [{}], enableDefaultDeny: null", true, false),
        ("ingress: [{}], enableDefaultDeny: {ingress: true}", true, false),
        ("ingress: [{}], enableDefaultDeny: {ingress: false}", false, false),
        ("ingress: [{}], enableDefaultDeny: {ingress: null}", true, false),
        ("ingress: [{}], enableDefaultDeny: {egress: true}", true, true),
        ("ingress: [{}], egress: [{}], enableDefaultDeny: {egress: false}", true, false),
        ("ingressDeny: [{fromEntities: [world]}], enableDefaultDeny: {ingress: false, egress: false}", false, false),
    ];
    for (rest, ingress, egress) in rows {
        let rule = &with_spec(&format!("{{endpointSelector: {{}}, {rest}}}")).rules[0];
        assert_eq!(rule.default_deny, DefaultDeny { ingress, egress }, "{rest}");
    }
}

/// Rows of an entry: absent, empty and an empty member are three things.
#[test]
fn absent_lists_are_not_empty_lists() {
    let rows = [
        ("{}", None, None),
        ("{fromEndpoints: null}", None, None),
        ("{fromEndpoints: []}", Some(0), None),
        ("{fromEndpoints: [{}]}", Some(1), None),
        ("{toPorts: []}", None, Some(0)),
        ("{toPorts: [{ports: [{port: '80'}]}]}", None, Some(1)),
        ("{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}", Some(0), Some(1)),
        ("{fromCIDR: [], fromEntities: []}", Some(0), None),
    ];
    for (entry, peers, ports) in rows {
        let read = ingress(entry);
        assert_eq!((read.peers.map(|list| list.len()), read.ports.map(|list| list.len())), (peers, ports), "{entry}");
    }
}

#[test]
fn an_annotation_says_what_verdicts_do() {
    let text = policy("x", "{endpointSelector: {}, ingress: [{}]}");
    assert_eq!(accepted(&text).mode, Mode::Enforce);
    let rows = [("enforce", Mode::Enforce), ("audit", Mode::Audit), ("observe", Mode::Observe)];
    for (name, mode) in rows {
        let text = text.replace("name: x,", &format!("name: x, annotations: {{other: '', weir.io/mode: {name}}},"));
        for text in [clusterwide(&text), text] {
            let read = accepted(&text);
            assert_eq!((read.mode, read.rules[0].default_deny.ingress), (mode, mode != Mode::Observe), "{name}");
        }
    }
}

#[test]
fn a_rule_has_one_subject_and_a_text_for_its_records() {
    let read = with_spec("{endpointSelector: {}, ingress: [{}], log: {value: 'printable: ~32 characters ééé'}}");
    assert_eq!(read.rules[0].log.as_deref(), Some("printable: ~32 characters ééé"));
    for none in ["{}", "null", "{value: ''}"] {
        assert_eq!(with_spec(&format!("{{endpointSelector: {{}}, ingress: [{{}}], log: {none}}}")).rules[0].log, None);
    }
    let all = accepted(&clusterwide(&policy("x", "{endpointSelector: {}, ingress: [{}]}")));
    assert!(matches!(&all.rules[0].subject, Subject::Pods(all) if all.requirements.is_empty()));
    assert_eq!(all.name.to_string(), "CiliumClusterwideNetworkPolicy/x");
    let nodes = accepted(&clusterwide(&policy("x", "{nodeSelector: {matchLabels: {a: b}}, ingress: [{}]}")));
    assert!(matches!(&nodes.rules[0].subject, Subject::Nodes(nodes) if nodes.to_string() == "any:a=b"));
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
