//! Random policies, as the objects that a user would write.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{APPS, NAMESPACES, OUTSIDE_NETS};

/// Objects of one scenario: one to four policies of the three kinds.
pub(crate) fn policies(rng: &mut Rng) -> Vec<Value> {
    (0..rng.usize(1..=4)).map(|number| policy(rng, &format!("p{number}"))).collect()
}

fn policy(rng: &mut Rng, name: &str) -> Value {
    let namespace = pick(rng, &NAMESPACES);
    match rng.u8(0..10) {
        0..3 => json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": kubernetes_spec(rng),
        }),
        3..5 => json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
            "metadata": {"name": name}, "spec": cilium_spec(rng),
        }),
        _ => json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": cilium_spec(rng),
        }),
    }
}

fn cilium_spec(rng: &mut Rng) -> Value {
    let mut spec = Map::new();
    spec.insert("endpointSelector".into(), subject(rng));
    let lists = [
        ("ingress", "from", false, 6),
        ("ingressDeny", "from", true, 2),
        ("egress", "to", false, 4),
        ("egressDeny", "to", true, 2),
    ];
    for (list, side, deny, of_ten) in lists {
        if rng.u8(0..10) < of_ten {
            let entries = (0..rng.usize(1..=3)).map(|_| cilium_entry(rng, side, deny)).collect::<Vec<_>>();
            spec.insert(list.into(), entries.into());
        }
    }
    if spec.len() == 1 {
        spec.insert("ingress".into(), json!([{}]));
    }
    if rng.u8(0..10) == 0 {
        spec.insert("enableDefaultDeny".into(), json!({"ingress": rng.bool(), "egress": rng.bool()}));
    }
    Value::Object(spec)
}

fn cilium_entry(rng: &mut Rng, side: &str, deny: bool) -> Value {
    let mut entry = Map::new();
    match rng.u8(0..12) {
        0..5 => {
            let selectors: Vec<Value> = (0..rng.usize(0..=2)).map(|_| peer(rng)).collect();
            entry.insert(format!("{side}Endpoints"), selectors.into());
        }
        5..7 => {
            // The others cannot be denied: weir does not know all whom they mean.
            let entities = ["all", "world", "host", "none", "cluster", "remote-node"];
            entry.insert(format!("{side}Entities"), json!([pick(rng, if deny { &entities[..4] } else { &entities })]));
        }
        7 => {
            entry.insert(format!("{side}CIDR"), json!([pick(rng, &OUTSIDE_NETS)]));
        }
        8..10 => {
            let (cidr, except) = *rng.choice(CIDR_SETS).expect("there are some");
            let except: Vec<&str> = except.iter().copied().filter(|_| rng.u8(0..4) > 0).collect();
            entry.insert(format!("{side}CIDRSet"), json!([{"cidr": cidr, "except": except}]));
        }
        _ => {}
    }
    if rng.u8(0..3) > 0 || entry.is_empty() {
        let rules: Vec<Value> = (0..rng.usize(1..=2)).map(|_| json!({"ports": cilium_ports(rng)})).collect();
        entry.insert("toPorts".into(), rules.into());
    }
    if !deny && rng.u8(0..15) == 0 {
        entry.clear();
    }
    Value::Object(entry)
}

const CIDR_SETS: &[(&str, &[&str])] = &[
    ("198.18.200.0/24", &["198.18.200.128/25"]),
    ("198.18.0.0/15", &["198.18.200.0/25", "198.18.200.200/32"]),
    ("0.0.0.0/0", &["198.18.200.0/24"]),
    ("2001:db8:200::/64", &["2001:db8:200::80/121"]),
    ("::/0", &["2001:db8:200::1/128"]),
];

fn cilium_ports(rng: &mut Rng) -> Vec<Value> {
    let port = |rng: &mut Rng| {
        let protocol = pick(rng, &["TCP", "UDP", "ANY"]);
        match rng.u8(0..10) {
            0..5 => json!({"port": pick(rng, &["80", "81"]), "protocol": protocol}),
            5 => json!({"port": "0", "protocol": protocol}),
            6 => json!({"port": "79", "endPort": rng.u16(80..=81), "protocol": protocol}),
            7 => json!({"port": "81", "endPort": 90, "protocol": protocol}),
            8 => json!({"port": "web", "protocol": "TCP"}),
            _ => json!({"port": "names", "protocol": "UDP"}),
        }
    };
    (0..rng.usize(1..=2)).map(|_| port(rng)).collect()
}

fn subject(rng: &mut Rng) -> Value {
    match rng.u8(0..4) {
        0 => json!({}),
        1 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [pick(rng, &APPS)]}]}),
        _ => json!({"matchLabels": {"app": pick(rng, &APPS)}}),
    }
}

fn peer(rng: &mut Rng) -> Value {
    let namespace = pick(rng, &NAMESPACES);
    match rng.u8(0..8) {
        0 => json!({}),
        1 => json!({"matchLabels": {"k8s:io.kubernetes.pod.namespace": namespace}}),
        2 => json!({"matchLabels": {"app": pick(rng, &APPS), "k8s:io.kubernetes.pod.namespace": namespace}}),
        3 => json!({"matchLabels": {"io.cilium.k8s.namespace.labels.team": namespace}}),
        4 => json!({"matchExpressions": [{"key": "k8s:io.kubernetes.pod.namespace", "operator": "Exists"}]}),
        5 => json!({"matchExpressions": [
            {"key": "app", "operator": "In", "values": [pick(rng, &APPS), pick(rng, &APPS)]},
            {"key": "k8s:io.kubernetes.pod.namespace", "operator": "NotIn", "values": [namespace]},
        ]}),
        6 => json!({"matchLabels": {"reserved:host": ""}}),
        _ => json!({"matchLabels": {"app": pick(rng, &APPS)}}),
    }
}

fn kubernetes_spec(rng: &mut Rng) -> Value {
    let mut spec = Map::new();
    spec.insert("podSelector".into(), subject(rng));
    let types = rng.choice([&["Ingress"][..], &["Egress"], &["Ingress", "Egress"]]).expect("there are some");
    spec.insert("policyTypes".into(), json!(types));
    for (list, side) in [("ingress", "from"), ("egress", "to")] {
        if rng.u8(0..3) > 0 {
            let entries: Vec<Value> = (0..rng.usize(0..=2)).map(|_| kubernetes_entry(rng, side)).collect();
            spec.insert(list.into(), entries.into());
        }
    }
    Value::Object(spec)
}

fn kubernetes_entry(rng: &mut Rng, side: &str) -> Value {
    let mut entry = Map::new();
    if rng.u8(0..5) > 0 {
        let peers: Vec<Value> = (0..rng.usize(0..=2)).map(|_| kubernetes_peer(rng)).collect();
        entry.insert(side.into(), peers.into());
    }
    if rng.bool() {
        let port = |rng: &mut Rng| {
            let protocol = pick(rng, &["TCP", "UDP"]);
            match rng.u8(0..6) {
                0 => json!({"protocol": protocol}),
                1 => json!({"port": 79, "endPort": 80, "protocol": protocol}),
                2 => json!({"port": "web", "protocol": "TCP"}),
                3 => json!({"port": 80}),
                _ => json!({"port": rng.u16(80..=81), "protocol": protocol}),
            }
        };
        let ports: Vec<Value> = (0..rng.usize(1..=2)).map(|_| port(rng)).collect();
        entry.insert("ports".into(), ports.into());
    }
    Value::Object(entry)
}

fn kubernetes_peer(rng: &mut Rng) -> Value {
    let pods = subject(rng);
    let namespaces = match rng.u8(0..3) {
        0 => json!({}),
        _ => json!({"matchLabels": {"team": pick(rng, &NAMESPACES)}}),
    };
    match rng.u8(0..5) {
        0 => json!({"podSelector": pods}),
        1 => json!({"namespaceSelector": namespaces}),
        2 => json!({"namespaceSelector": namespaces, "podSelector": pods}),
        _ => {
            let (cidr, except) = *rng.choice(CIDR_SETS).expect("there are some");
            json!({"ipBlock": {"cidr": cidr, "except": except}})
        }
    }
}

pub(crate) fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(0..from.len())]
}
