//! Garbled and mutated input.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use weir_control::manifests::{ReadOptions, Reading, parse};

use crate::{
    parsed,
    support::{check, pod, policy},
};

/// Objects that together have every field of the language, as few as can stand beside each other.
fn everything() -> Vec<Value> {
    let object = |kind: &str, specs: Value| json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": {"name": "x"}, "specs": specs});
    let tcp = json!([{"port": "80", "endPort": 81, "protocol": "TCP"}]);
    let tls =
        json!({"secret": {"name": "a", "namespace": "b"}, "trustedCA": "c", "certificate": "d", "privateKey": "e"});
    let selector =
        json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]});
    let ports = json!([
        {"ports": tcp, "rules": {"http": [{"method": "GET", "path": "/", "host": "h", "headers": ["A: b"], "headerMatches": [
            {"name": "X", "value": "v", "mismatch": "ADD"}, {"name": "Y", "secret": {"name": "s", "namespace": "n"}},
        ]}]}},
        {"ports": tcp, "rules": {"kafka": [
            {"role": "produce", "topic": "t", "clientID": "c"}, {"apiKey": "fetch", "apiVersion": "1"},
        ]}},
        {"ports": tcp, "rules": {"l7proto": "p", "l7": [{"k": "v"}]}},
        {"ports": [{"port": "53"}], "rules": {"dns": [{"matchName": "a.b"}, {"matchPattern": "*"}]}},
        {"ports": tcp, "terminatingTLS": tls, "originatingTLS": tls, "serverNames": ["a.b"]},
        {"ports": tcp, "listener": {
            "envoyConfig": {"kind": "CiliumEnvoyConfig", "name": "e"}, "name": "l", "priority": 1,
        }},
    ]);
    let icmps = json!([{"fields": [{"family": "IPv4", "type": 8}]}]);
    let sets = json!([
        {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}, {"cidrGroupRef": "g"}, {"cidrGroupSelector": selector},
    ]);
    let services = json!([
        {"k8sService": {"serviceName": "s", "namespace": "n"}},
        {"k8sServiceSelector": {"selector": selector, "namespace": "n"}},
    ]);
    let aws = json!([{"aws": {
        "labels": {"a": "b"}, "securityGroupsIds": ["i"], "securityGroupsNames": ["n"], "region": "r",
        "managedPrefixList": {"ids": ["i"], "names": ["n"], "ownerIDs": ["o"]},
    }}]);
    let rule = json!({
        "endpointSelector": selector, "description": "d", "labels": [{"key": "k", "value": "v", "source": "s"}],
        "log": {"value": "l"}, "enableDefaultDeny": {"ingress": true, "egress": true},
        "egress": [
            {"toEndpoints": [selector], "toPorts": ports}, {"toCIDR": ["10.0.0.0/8"], "icmps": icmps}, {"toCIDRSet": sets},
            {"toEntities": ["world"], "authentication": {"mode": "required"}}, {"toServices": services}, {"toGroups": aws},
            {"toNodes": [selector]}, {"toFQDNs": [{"matchName": "a.b"}, {"matchPattern": "*.b"}]},
        ],
        "egressDeny": [
            {"toEndpoints": [selector], "toPorts": [{"ports": tcp}]}, {"toCIDR": ["10.0.0.0/8"], "icmps": icmps},
            {"toCIDRSet": sets}, {"toEntities": ["world"]}, {"toServices": services},
        ],
        "ingress": [
            {"fromEndpoints": [selector], "toPorts": [{"ports": tcp}]}, {"fromCIDR": ["10.0.0.0/8"], "icmps": icmps},
            {"fromCIDRSet": sets}, {"fromEntities": ["world"], "authentication": {"mode": "required"}},
            {"fromGroups": aws}, {"fromNodes": [selector]},
        ],
        "ingressDeny": [
            {"fromEndpoints": [selector], "toPorts": [{"ports": tcp}]}, {"fromCIDR": ["10.0.0.0/8"], "icmps": icmps},
            {"fromCIDRSet": sets}, {"fromEntities": ["world"]},
        ],
    });
    let kubernetes = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": {
            "podSelector": selector, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [
                    {"podSelector": selector, "namespaceSelector": selector},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                ],
                "ports": [{"port": 80, "endPort": 90, "protocol": "TCP"}],
            }],
            "egress": [{"to": [{"podSelector": selector}], "ports": [{"port": "http"}]}],
        },
    });
    let group = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup", "metadata": {"name": "x"},
        "spec": {"externalCIDRs": ["10.0.0.0/8"]},
    });
    let nodes = json!([{"nodeSelector": selector, "ingress": [{"fromEntities": ["world"]}]}]);
    vec![
        object("CiliumNetworkPolicy", json!([rule])),
        object("CiliumClusterwideNetworkPolicy", json!([rule])),
        object("CiliumClusterwideNetworkPolicy", nodes),
        kubernetes,
        group,
    ]
}

type Visit<'a> = &'a mut dyn FnMut(&mut Map<String, Value>, &[String]);

/// Calls `visit` with every mapping of the language in `value`, and its path.
fn mappings(value: &mut Value, path: &mut Vec<String>, visit: Visit<'_>) {
    // Labels and the rules of a parser have keys of their users'.
    let free = ["metadata", "matchLabels", "labels", "l7"];
    match value {
        Value::Object(map) => {
            visit(map, path);
            for (key, child) in map.iter_mut() {
                // A rule's `labels` are a list of mappings, which have fields.
                if free.contains(&key.as_str()) && !(key == "labels" && child.is_array()) {
                    continue;
                }
                path.push(key.clone());
                mappings(child, path, visit);
                path.pop();
            }
        }
        Value::Array(list) => {
            for child in list {
                mappings(child, path, visit);
            }
        }
        _ => {}
    }
}

fn places(object: &Value) -> usize {
    let mut count = 0;
    mappings(&mut object.clone(), &mut Vec::new(), &mut |_, _| count += 1);
    count
}

#[test]
fn every_field_of_the_language_is_read() {
    for object in everything() {
        let parsed = parsed(&object.to_string());
        assert_eq!(parsed.problems, [], "{object}");
        assert_eq!(parsed.objects.len(), 1);
    }
}

/// Wherever a field that is not of the language is added, it is reported.
#[test]
fn no_mapping_takes_another_field() {
    for object in everything() {
        for place in 0..places(&object) {
            let (mut mutant, mut at, mut where_to) = (object.clone(), 0, Vec::new());
            mappings(&mut mutant, &mut Vec::new(), &mut |map, path| {
                if at == place {
                    map.insert("weirdField".into(), json!({}));
                    where_to = path.to_vec();
                }
                at += 1;
            });
            let problems = parsed(&mutant.to_string()).problems;
            assert!(problems.iter().any(|p| p.field.ends_with("weirdField")), "{where_to:?}: {problems:?}");
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[-a-z0-9.:*/ ]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["10.0.0.0/8", "fd00::/8", "TCP", "Ingress", "world", "80", "required", "*"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A key with another letter is reported; a value of another kind never makes a panic.
    #[test]
    fn mutants_are_reported_and_never_panic(
        which in 0..5_usize,
        place in any::<prop::sample::Index>(),
        key in any::<prop::sample::Index>(),
        letter in any::<prop::sample::Index>(),
        value in json_value(),
    ) {
        let object = everything().remove(which);
        let place = place.index(places(&object));
        let mutate = |change: &mut dyn FnMut(&mut Map<String, Value>, String)| {
            let (mut mutant, mut at) = (object.clone(), 0);
            mappings(&mut mutant, &mut Vec::new(), &mut |map, _| {
                if at == place && !map.is_empty() {
                    let key = map.keys().nth(key.index(map.len())).cloned().unwrap_or_default();
                    change(map, key);
                }
                at += 1;
            });
            parsed(&mutant.to_string())
        };
        let renamed = mutate(&mut |map, key| {
            let at = letter.index(key.len());
            let other = format!("{}Z{}", &key[..at], &key[at + 1..]);
            if let Some(value) = map.remove(&key) {
                map.insert(other, value);
            }
        });
        prop_assert!(!renamed.problems.is_empty() || !renamed.notes.is_empty());
        mutate(&mut |map, key| drop(map.insert(key, value.clone())));
    }

    /// Bytes of any kind, and texts of the characters that mean something to YAML.
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[-{}\\[\\]:,&*!|>'\"%@`#? a-c\n\t]{0,200}") {
        for contents in [bytes.as_slice(), text.as_bytes()] {
            let parsed = parse("f.yaml", contents, ReadOptions::default(), &*check());
            prop_assert!(parsed.objects.is_empty());
        }
    }

    /// Half-written and garbled files are problems, never panics; what is refused is never accepted as well.
    #[test]
    fn a_garbled_file_is_a_problem_at_worst(at in 0.0..1.0_f64, length in 0..12_usize, insert in "[-\\[\\]{}:&*!'\"|> a0\n\t]{0,6}") {
        let whole = policy(
            "x",
            "{endpointSelector: {matchLabels: {a: b}}, ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', \
             protocol: TCP}], rules: {http: [{path: /a, headers: ['A: b']}]}}]}]}",
        ) + &pod("a", "p", "a: b", "10.0.0.1");
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
