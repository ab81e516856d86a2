//! What Cilium refuses, and what weir refuses besides: field and reason.

mod peers;
mod ports;

use weir_control::manifests::{Accepted, Object, ReadOptions, Reading, parse};

use crate::{
    clusterwide, parsed,
    support::{check, policy},
};

/// A spec, the field that is wrong, and a part of the reason.
type Row<'a> = (&'a str, &'a str, &'a str);

fn refused(text: &str, field: &str, reason: &str) {
    let parsed = parsed(text);
    let [problem] = parsed.problems.as_slice() else { panic!("{text}: {:?}", parsed.problems) };
    assert_eq!(problem.field, field, "{text}: {}", problem.reason);
    assert!(problem.object.ends_with("/x"), "{text}: {}", problem.object);
    assert!(problem.reason.contains(reason), "{text}: {}", problem.reason);
    assert!(parsed.objects.is_empty() && parsed.rejected.len() == 1, "{text}");
    assert_eq!(parsed.reading, Reading::Whole, "{text}");
}

/// Each row is refused as an entry of this list, at this field of the entry.
fn refused_entries(list: &str, rows: &[Row<'_>]) {
    for (entry, field, reason) in rows {
        let text = policy("x", &format!("{{endpointSelector: {{}}, {list}: [{entry}]}}"));
        refused(&text, &format!("spec.{list}[0]{field}"), reason);
    }
}

#[test]
fn rules() {
    let rows: [Row<'_>; 26] = [
        ("{ingress: [{}]}", "spec.endpointSelector", "for all pods of the namespace"),
        ("{endpointSelector: null, ingress: [{}]}", "spec.endpointSelector", "is missing"),
        ("{endpointSelector: [], ingress: [{}]}", "spec.endpointSelector", "must be a mapping"),
        ("{endpointSelector: {}, nodeSelector: {}, ingress: [{}]}", "spec.nodeSelector", "one of the two"),
        ("{nodeSelector: {}, ingress: [{}]}", "spec.nodeSelector", "CiliumClusterwideNetworkPolicy only"),
        ("{endpointSelector: {}}", "spec", "has no entry in ingress, ingressDeny, egress or egressDeny"),
        ("{endpointSelector: {}, ingress: []}", "spec", "to deny all of a direction write `ingress: [{}]`"),
        ("{endpointSelector: {}, enableDefaultDeny: {ingress: true}}", "spec", "has no entry"),
        ("{endpointSelector: {}, ingress: {}}", "spec", "has no entry"),
        ("[]", "spec", "must be a mapping"),
        ("{endpointSelector: {}, ingress: [null]}", "spec.ingress[0]", "must be a mapping, not empty"),
        ("{endpointSelector: {}, ingress: [{}], enableDefaultDeny: true}", "spec.enableDefaultDeny", "a mapping"),
        (
            "{endpointSelector: {}, ingress: [{}], enableDefaultDeny: {ingress: 'false'}}",
            "spec.enableDefaultDeny.ingress",
            "must be true or false, not the text \"false\"",
        ),
        (
            "{endpointSelector: {}, ingress: [{}], enableDefaultDeny: {Egress: true}}",
            "spec.enableDefaultDeny.Egress",
            "egress?",
        ),
        ("{endpointSelector: {}, ingress: [{}], log: x}", "spec.log", "must be a mapping"),
        (
            "{endpointSelector: {}, ingress: [{}], log: {value: 123456789012345678901234567890123}}",
            "spec.log.value",
            "must be a string",
        ),
        (
            "{endpointSelector: {}, ingress: [{}], log: {value: '123456789.123456789.123456789.123'}}",
            "spec.log.value",
            "at most 32 printable",
        ),
        ("{endpointSelector: {}, ingress: [{}], log: {value: \"a\\tb\"}}", "spec.log.value", "printable"),
        ("{endpointSelector: {}, ingress: [{}], labels: {a: b}}", "spec.labels", "must be a list"),
        ("{endpointSelector: {}, ingress: [{}], labels: [{value: b}]}", "spec.labels[0].key", "is missing"),
        ("{endpointSelector: {}, ingress: [{}], description: 1}", "spec.description", "put it in quotes"),
        ("{endpointSelectors: {}, endpointSelector: {}, ingress: [{}]}", "spec.endpointSelectors", "unknown"),
        ("{podSelector: {}, endpointSelector: {}, ingress: [{}]}", "spec.podSelector", "use endpointSelector"),
        ("{endpointSelector: {}, Ingress: [], egress: [{}]}", "spec.Ingress", "did you mean ingress?"),
        (
            "{endpointSelector: {}, ingress: [{}], authentication: {mode: required}}",
            "spec.authentication",
            "write it into the entries",
        ),
        (
            "{endpointSelector: {}, ingress: [{}], policyTypes: [Ingress]}",
            "spec.policyTypes",
            "a rule takes endpointSelector",
        ),
    ];
    for (spec, field, reason) in rows {
        if spec.contains("ingress: {}") {
            // Two mistakes: it is no list, and so there is no entry.
            assert_eq!(parsed(&policy("x", spec)).problems[0].field, "spec.ingress");
            continue;
        }
        refused(&policy("x", spec), field, reason);
    }
    let rows: [Row<'_>; 3] = [
        ("{ingress: [{}]}", "spec.endpointSelector", "for all pods"),
        ("{nodeSelector: {}, endpointSelector: {}, ingress: [{}]}", "spec.nodeSelector", "one of the two"),
        ("{nodeSelector: {}, ingressDeny: [{}]}", "spec.nodeSelector", "nothing would be denied"),
    ];
    for (spec, field, reason) in rows {
        refused(&clusterwide(&policy("x", spec)), field, reason);
    }
}

#[test]
fn annotations() {
    let rows = [
        ("{weir.io/mode: warn}", "metadata.annotations.weir.io/mode", "\"warn\"; use enforce, audit or observe"),
        ("{weir.io/mode: ''}", "metadata.annotations.weir.io/mode", "use enforce, audit or observe"),
        ("{weir.io/mode: true}", "metadata.annotations.weir.io/mode", "must be a string"),
        ("{weir.io/Mode: audit}", "metadata.annotations.weir.io/Mode", "only annotation of a policy is weir.io/mode"),
    ];
    for (annotations, field, reason) in rows {
        let text = policy("x", "{endpointSelector: {}, ingress: [{}]}")
            .replace("name: x,", &format!("name: x, annotations: {annotations},"));
        refused(&text, field, reason);
        refused(&clusterwide(&text), field, reason);
    }
}

#[test]
fn selectors() {
    let long = format!("{{matchLabels: {{a: {}}}}}", "x".repeat(64));
    let rows: [Row<'_>; 15] = [
        ("{matchLabels: {a: 1}}", ".matchLabels.a", "must be a string"),
        ("{matchLabels: {a: 'x y'}}", ".matchLabels.a", "cannot be a label's value"),
        (&long, ".matchLabels.a", "at most 63"),
        ("{matchLabels: []}", ".matchLabels", "must be a mapping"),
        ("{matchLabels: {'': a}}", ".matchLabels.", "empty label key"),
        ("{matchLabels: {'a b': a}}", ".matchLabels.a b", "is no label key"),
        ("{matchLabels: {'k8s:a/b/c': a}}", ".matchLabels.k8s:a/b/c", "is no label key"),
        ("{matchLabels: {'foo:bar': ''}}", ".matchLabels.foo:bar", "label source \"foo\" is unknown"),
        ("{matchLabels: {'reserved:all': ''}}", ".matchLabels.reserved:all", "is no reserved label"),
        ("{matchExpressions: [{key: a, operator: in, values: [b]}]}", ".matchExpressions[0].operator", "use In, NotIn"),
        ("{matchExpressions: [{key: a, operator: NotIn}]}", ".matchExpressions[0].values", "at least one"),
        ("{matchExpressions: [{key: a, operator: In, values: []}]}", ".matchExpressions[0].values", "at least one"),
        ("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}", ".matchExpressions[0].values", "left out"),
        ("{matchExpressions: [{operator: Exists}]}", ".matchExpressions[0].key", "is missing"),
        (
            "{matchExpressions: [{key: a, operator: Exists, value: b}]}",
            ".matchExpressions[0].value",
            "did you mean values?",
        ),
    ];
    for (selector, field, reason) in rows {
        let text = policy("x", &format!("{{endpointSelector: {selector}, ingress: [{{}}]}}"));
        refused(&text, &format!("spec.endpointSelector{field}"), reason);
        refused_entries(
            "egress",
            &[(&format!("{{toEndpoints: [{selector}]}}"), &format!(".toEndpoints[0]{field}"), reason)],
        );
    }
}

/// The message as a whole, once.
#[test]
fn a_message_names_file_document_object_field_and_remedy() {
    let text = policy(
        "x",
        "{endpointSelector: {}, egress: [{toFQDNs: [{matchName: a}], toPorts: [{ports: [{port: 80, protocol: \
        tcp}]}]}]}",
    );
    assert_eq!(
        parsed(&text).problems[0].to_string(),
        "f.yaml document 1: CiliumNetworkPolicy/a/x: spec.egress[0].toPorts[0].ports[0].protocol: \"tcp\" is no protocol; did \
         you mean TCP?"
    );
}

/// Rows: an entry with `fromRequires`, and how many peers it names then.
#[test]
fn requires_is_read_when_it_is_asked_for() {
    let rows = [
        ("fromEndpoints: [{}]", 1),
        ("fromEndpoints: []", 0),
        ("fromEntities: [all, host]", 2),
        ("toPorts: [{ports: [{port: '80'}]}]", 0),
        ("icmps: []", 0),
    ];
    for (rest, peers) in rows {
        let entry = format!("{{fromRequires: [{{matchLabels: {{a: b}}}}], {rest}}}");
        let text = policy("x", &format!("{{endpointSelector: {{}}, ingress: [{entry}]}}"));
        refused_entries("ingress", &[(&entry, ".fromRequires", "as Cilium does since 1.19")]);
        let parsed = parse("f.yaml", text.as_bytes(), ReadOptions { requires: true }, &*check());
        let [Accepted { object: Object::Policy(read), .. }] = parsed.objects.as_slice() else { panic!("{parsed:?}") };
        let entry = &read.rules[0].ingress[0];
        assert_eq!((entry.requires.len(), entry.peers.as_ref().map(Vec::len)), (1, Some(peers)), "{rest}");
        assert_eq!(entry.requires[0].to_string(), "any:a=b,k8s:io.kubernetes.pod.namespace=a");
    }
    let empty = policy("x", "{endpointSelector: {}, ingress: [{fromRequires: []}]}");
    assert_eq!(parsed(&empty).problems, [], "an empty list requires nothing");
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let entries = vec!["{x: 1}"; 1000].join(",");
    let parsed = parsed(&policy("x", &format!("{{endpointSelector: {{}}, ingress: [{entries}]}}")));
    assert_eq!(parsed.problems.len(), 50);
    assert!(parsed.problems[49].reason.contains("not listed"));
    let entries = vec!["{}"; 70_000].join(",");
    let parsed = crate::parsed(&policy("x", &format!("{{endpointSelector: {{}}, ingress: [{entries}]}}")));
    assert!(parsed.problems[0].reason.contains("at most 65535"), "{}", parsed.problems[0].reason);
}
