//! What real traffic does not try: modes, HTTP rules that nobody asks for, ICMP, SCTP, and ranges of any size.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::truth::generate::pick;

/// Gives a policy a mode, and entries of Cilium's kinds more to speak of.
pub(super) fn policy(rng: &mut Rng, policy: &mut Value) {
    let mode = pick(rng, &["enforce", "enforce", "enforce", "audit", "observe"]);
    policy["metadata"]["annotations"] = json!({"weir.io/mode": mode});
    if policy["kind"] == "NetworkPolicy" {
        return;
    }
    for (list, deny) in [("ingress", false), ("ingressDeny", true), ("egress", false), ("egressDeny", true)] {
        let entries = policy["spec"].get_mut(list).and_then(Value::as_array_mut);
        entries.into_iter().flatten().for_each(|entry| self::entry(rng, entry, deny));
    }
}

fn entry(rng: &mut Rng, entry: &mut Value, deny: bool) {
    let Some(mut rules) = entry.get("toPorts").and_then(Value::as_array).cloned() else { return };
    let entry = entry.as_object_mut().expect("an entry is an object");
    if rng.u8(0..8) == 0 {
        let types = [("IPv4", 8), ("IPv4", 13), ("IPv6", 128), ("IPv6", 139)];
        let fields: Vec<Value> = (0..rng.usize(1..=2))
            .map(|_| types[rng.usize(0..types.len())])
            .map(|(family, kind)| json!({"family": family, "type": kind}))
            .collect();
        entry.remove("toPorts");
        entry.insert("icmps".into(), json!([{"fields": fields}]));
        return;
    }
    for rule in &mut rules {
        let ports = rule["ports"].as_array_mut().expect("generated with ports");
        for port in ports.iter_mut() {
            if rng.u8(0..4) > 0 {
                continue;
            }
            let first = rng.u16(1..);
            let last = if rng.bool() { rng.u16(first..) } else { first.saturating_add(rng.u16(0..8)) };
            let protocol = pick(rng, &["TCP", "UDP", "SCTP", "ANY"]);
            *port = json!({"port": first.to_string(), "endPort": last, "protocol": protocol});
        }
        if !deny && rng.u8(0..3) == 0 {
            // HTTP wants ports of TCP, and not all.
            ports.retain(|port| port["port"] != "0" && port["port"] != "names");
            ports.iter_mut().for_each(|port| port["protocol"] = "TCP".into());
            ports.push(json!({"port": "80", "protocol": "TCP"}));
            rule["rules"] = json!({"http": [{"method": "GET"}]});
        }
    }
    entry.insert("toPorts".into(), rules.into());
}
