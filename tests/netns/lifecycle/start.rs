//! Starts that are refused, and say why; and two nodes side by side.

use weir_lab::{Wiring, runs_as_root};

use super::{GET, links, output, stderr};
use crate::{
    site::{Site, WEIR, http_ingress},
    traffic::{connect, exchange, server},
};

#[test]
fn what_is_missing_is_named_in_one_line() {
    if !runs_as_root() {
        return;
    }
    let site = Site::new();
    site.pod("web", 10, Wiring::Routed);
    // The node's namespace is entered before the capability is gone.
    let without = |capabilities: &str, command: &str, more: &[&str]| {
        let mut weir = site.lab.node().command("setpriv");
        weir.args(["--bounding-set", capabilities, "--inh-caps", capabilities, "--", WEIR, command]);
        weir.arg("--run-dir").arg(site.run_dir()).arg("--bpf-dir").arg(site.lab.bpf_dir());
        if command != "proxy" {
            weir.arg("--manifests").arg(site.lab.dir().join("manifests"));
        }
        weir.args(more);
        output(weir)
    };
    for (capability, command, name) in [
        ("-bpf", "run", "CAP_BPF"),
        ("-perfmon", "agent", "CAP_PERFMON"),
        ("-net_admin", "agent", "CAP_NET_ADMIN"),
        ("-net_admin", "proxy", "CAP_NET_ADMIN"),
    ] {
        let refused = without(capability, command, &["--log", "error"]);
        let text = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{command} without {name}: {text}");
        assert_eq!(text.lines().count(), 1, "one line: {text}");
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(stderr(&without("-bpf,-perfmon", "run", &["--log", "error"])).lines().count(), 2, "one line each");
    assert!(!site.lab.bpf_dir().exists(), "a start that was refused left something");

    let mut nowhere = site.weir("agent");
    nowhere.arg("--manifests").arg(site.lab.dir().join("nowhere"));
    let refused = output(nowhere);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("/nowhere: No such file"), "{}", stderr(&refused));
}

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair(&http_ingress("web", "client", &["{path: /a}"]));
    let _seen = server(web.netns(), web.at(false, 80));
    let before = links(&site.lab);
    let manifests = site.lab.dir().join("manifests");
    let (own, elsewhere) = (site.run_dir(), site.lab.dir().join("elsewhere"));
    let belongs = "belongs to an agent that runs";
    for command in ["run", "agent"] {
        for (run_dir, admin, reason) in [
            (&own, "127.0.0.1:9962", "listen on 127.0.0.1:9962 for metrics"),
            (&own, "127.0.0.1:0", belongs),
            // Another run directory, but the same maps.
            (&elsewhere, "127.0.0.1:0", belongs),
        ] {
            let mut weir = site.lab.node().command(WEIR);
            weir.arg(command).arg("--run-dir").arg(run_dir).arg("--bpf-dir").arg(site.lab.bpf_dir());
            let refused = output({
                weir.args(["--admin", admin]).arg("--manifests").arg(&manifests);
                weir
            });
            assert_eq!(refused.status.code(), Some(1), "a second one runs");
            assert!(stderr(&refused).contains(reason), "{}", stderr(&refused));
        }
    }
    assert_eq!(links(&site.lab), before);
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut stream, GET).0, 200);
    site.in_force();
}

#[test]
fn two_nodes_do_not_disturb_each_other() {
    if !runs_as_root() {
        return;
    }
    let build = |peer: &str| {
        let (site, client, web) = Site::pair(&http_ingress("web", peer, &["{path: /a}"]));
        let seen = server(web.netns(), web.at(false, 80));
        (site, client, web, seen)
    };
    // The same addresses on both nodes, and opposite policies.
    let (first, client, web, _seen) = build("client");
    let (second, other_client, other_web, _other_seen) = build("nobody");
    let allowed = || connect(client.netns(), web.at(false, 80)).map(|mut stream| exchange(&mut stream, GET).0);
    let denied = || connect(other_client.netns(), other_web.at(false, 80)).is_err();
    assert_eq!(allowed().ok(), Some(200));
    assert!(denied());
    assert_eq!(first.flows(&["--verdict", "dropped"]).len(), 0, "drops of the other node");
    drop(second);
    assert_eq!(allowed().ok(), Some(200));
    let (_third, other_client, other_web, _seen) = build("nobody");
    drop(first);
    assert!(connect(other_client.netns(), other_web.at(false, 80)).is_err());
}
