//! `weir policy check`: verdicts without an agent, and their reasons.

use std::{fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;

const MANIFESTS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: front, labels: {app: shop}}
status: {podIP: 198.18.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: stock, namespace: back, labels: {app: stock}}
status: {podIP: 198.18.0.2}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: stock, namespace: back}
spec:
  endpointSelector: {matchLabels: {app: stock}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: shop, io.kubernetes.pod.namespace: front}}]
    toPorts:
    - ports: [{port: '80', protocol: TCP}]
      rules: {http: [{method: GET, path: '/items/[0-9]+'}]}
  ingressDeny:
  - fromCIDR: [198.19.0.0/16]
";

/// Exit code, and what is printed as JSON.
fn check(args: &[&str]) -> (Option<i32>, Value) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("all.yaml");
    fs::write(&file, MANIFESTS).expect("write the manifests");
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    weir.args(["policy", "check", "-o", "json", "-f"]).arg(file).args(args);
    let output = weir.output().expect("run weir");
    let text = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn a_call_is_judged_and_its_verdict_is_explained() {
    let shop = ["--from", "front/shop", "--to", "back/stock"];
    let rows: [(&[&str], &str, i32); 7] = [
        (&["--dport", "80"], "redirect", 0),
        (&["--dport", "80", "--http", "GET /items/7"], "redirect", 0),
        (&["--dport", "80", "--http", "GET /items/x"], "denyRequest", 1),
        (&["--dport", "80", "--http", "PUT /items/7"], "denyRequest", 1),
        (&["--dport", "81"], "deny", 1),
        (&["--dport", "80/UDP"], "deny", 1),
        (&["--dport", "icmp/8"], "deny", 1),
    ];
    for (args, verdict, code) in rows {
        let (exit, answer) = check(&[&shop[..], args].concat());
        assert_eq!((&answer["verdict"], exit), (&verdict.into(), Some(code)), "{args:?}: {answer:#}");
    }
    let (_, answer) = check(&[&shop[..], &["--dport", "80", "--http", "PUT /items/x"]].concat());
    let nearest = &answer["sides"][1]["enforced"]["because"]["nearest"];
    assert!(nearest["rule"].as_str().is_some_and(|rule| rule.contains("back/stock")), "{answer:#}");
    assert_eq!((&nearest["wants"]["method"], &nearest["wants"]["path"]), (&"GET".into(), &"/items/[0-9]+".into()));
}

#[test]
fn ends_may_be_labels_addresses_and_the_node() {
    let to = ["--to", "back/stock", "--dport", "80"];
    let rows = [
        ("app=shop,io.kubernetes.pod.namespace=front", "redirect"),
        ("app=shop", "deny"),
        ("198.18.0.1", "redirect"),
        ("198.19.0.1", "deny"),
        ("host", "allow"),
    ];
    for (from, verdict) in rows {
        let (_, answer) = check(&[&["--from", from], &to[..]].concat());
        assert_eq!(answer["verdict"], verdict, "{from}: {answer:#}");
    }
    let (_, answer) = check(&[&["--from", "198.19.0.1"], &to[..]].concat());
    let rules = answer["sides"][0]["enforced"]["because"]["rules"].to_string();
    assert!(rules.contains("ingressDeny[0]"), "the rule that denies is named: {answer:#}");
}
