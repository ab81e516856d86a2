//! The commands that explain: what is in force, on whom, by which rule.

use std::process::Command;

use serde_json::Value;
use weir_lab::{runs_as_root, wait_until};

use crate::{
    redirect::{HTTP_A, endpoints, get, one_way},
    site::{SOON, Site, policy},
    traffic::{connect, server},
};

/// What a command prints as JSON.
fn json(mut command: Command) -> Value {
    let output = command.output().expect("run weir");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn ask(site: &Site, words: &[&str]) -> Value {
    let mut command = site.lab.node().command(crate::site::WEIR);
    command.args(words).args(["-o", "json", "--run-dir"]).arg(site.run_dir());
    json(command)
}

fn dump(site: &Site, map: &str) -> Value {
    let mut command = site.lab.node().command(crate::site::WEIR);
    command.args(["map", "dump", map, "-o", "json", "--bpf-dir"]).arg(site.lab.bpf_dir());
    json(command)
}

fn find<'a>(list: &'a Value, field: &str, wanted: &Value) -> &'a Value {
    let found = list.as_array().expect("a list").iter().find(|one| one[field] == *wanted);
    found.unwrap_or_else(|| panic!("no {field} {wanted} in {list:#}"))
}

#[test]
fn a_denial_can_be_followed_from_its_record_to_the_rule_and_the_entry() {
    if !runs_as_root() {
        return;
    }
    let requests = one_way("web", "web", "ingress", &format!("{{{}, {HTTP_A}}}", endpoints("fromEndpoints", "client")));
    let (site, client, web) = Site::pair(&requests);
    let _server = server(web.netns(), web.at(false, 80));
    assert_eq!(get(&mut connect(client.netns(), web.at(false, 80)).expect("open"), "/a"), 200);
    let record = &site.recorded(1, &["--verdict", "redirected", "--from-pod", "client"])[0];
    assert_eq!(record["flow"]["ingress_allowed_by"][0]["name"], "web", "{record}");

    let endpoint = &ask(&site, &["endpoint", "get", "default/web"])[0];
    assert_eq!(endpoint["pod"]["name"], "web", "{endpoint}");
    let entry = find(&endpoint["entries"], "ports", &serde_json::json!([80, 80]));
    assert_eq!((&entry["enforced"]["verdict"], &entry["protocol"]), (&"Redirect".into(), &6.into()), "{entry}");
    assert_eq!(entry["enforced"]["rule"]["policy"]["name"], "web", "{entry}");
    let peer = &entry["peer"];

    let identity = ask(&site, &["identity", "list"]);
    let labels = find(&identity, "identity", peer)["labels"].to_string();
    assert!(labels.contains("k8s:app=client"), "the peer is the client: {labels}");
    let selectors = ask(&site, &["policy", "selectors"]);
    let uses = |one: &Value| one["identities"].as_array().is_some_and(|all| all.contains(peer));
    assert!(selectors.as_array().expect("a list").iter().any(uses), "a selector matches the client: {selectors:#}");

    let policies = ask(&site, &["policy", "list"]);
    let shown = &policies[0];
    assert_eq!(
        (&shown["name"]["name"], &shown["valid"], &shown["in_force"]),
        (&"web".into(), &true.into(), &true.into())
    );
    assert_eq!(shown["endpoints"][0]["name"], "web", "whom it selects");

    // The kernel's own words, without the agent.
    let in_kernel = dump(&site, "policy");
    let same = find(&in_kernel, "peer", peer);
    assert_eq!((&same["verdict"], &same["rule"]), (&"redirect".into(), &entry["enforced"]["rule_id"]), "{in_kernel:#}");
    let address = find(&dump(&site, "addresses"), "prefix", &format!("{}/32", client.v4).into())["identity"].clone();
    assert_eq!(address, *peer);
    assert_eq!(find(&dump(&site, "endpoints"), "endpoint", &endpoint["endpoint"])["slot"], same["slot"]);
}

#[test]
fn what_is_refused_or_not_enforced_is_said_where_one_looks() {
    if !runs_as_root() {
        return;
    }
    let (site, _client, _web) = Site::pair(&one_way("web", "web", "ingress", "{}"));
    let names = one_way("names", "client", "egress", "{toFQDNs: [{matchName: example.com}]}");
    site.apply("names.yaml", &names);
    site.write("bad.yaml", &policy("bad", "  endpointSelector: {}\n  ingress: [{fromNobody: []}]\n"));
    let rejected = || site.status().is_some_and(|status| status.rejected.len() == 1);
    wait_until("the rejection", SOON, rejected).expect("status names what is rejected");
    let status = site.status().expect("it answers");
    assert_eq!(status.gaps.len(), 1, "{:?}", status.gaps);
    assert!(status.gaps[0].field.contains("toFQDNs"), "{}", status.gaps[0]);

    let policies = ask(&site, &["policy", "list"]);
    let of = |name: &str| {
        let all = policies.as_array().expect("a list");
        all.iter().find(|policy| policy["name"]["name"] == name).unwrap_or_else(|| panic!("no {name}: {policies:#}"))
    };
    assert_eq!((&of("bad")["valid"], &of("bad")["in_force"]), (&false.into(), &false.into()));
    assert!(of("bad")["problems"][0].as_str().is_some_and(|text| text.contains("fromNobody")), "{:#}", of("bad"));
    assert_eq!(of("names")["gaps"].as_array().map(Vec::len), Some(1), "{:#}", of("names"));
    // The last good version stays, and is shown to be an older one.
    site.write("policy.yaml", &policy("web", "  endpointSelector: {}\n  ingress: [{fromNobody: []}]\n"));
    wait_until("two rejections", SOON, || site.status().is_some_and(|status| status.rejected.len() == 2)).expect("two");
    let web = &ask(&site, &["policy", "get", "default/web"])[0];
    assert_eq!((&web["valid"], &web["in_force"]), (&false.into(), &true.into()), "{web:#}");
    assert!(web["understood"]["rules"][0]["ingress"].is_array(), "what is in force is shown: {web:#}");
}

#[test]
fn a_refusal_names_its_rule_where_that_is_wanted() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, weir_lab::Wiring::Routed);
    let web = site.pod("web", 10, weir_lab::Wiring::Routed);
    site.write("policy.yaml", &one_way("web", "web", "ingress", &format!("{{{HTTP_A}}}")));
    site.run_with(&["--explain-denials"]);
    let _server = server(web.netns(), web.at(false, 80));
    let mut curl = client.netns().command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "5", "--dump-header", "-", "--output", "/dev/null"]);
    let output = curl.arg(format!("http://{}/b", web.at(false, 80))).output().expect("run curl");
    let head = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert!(head.contains("x-weir-policy: default; ingress"), "{head}");
}
