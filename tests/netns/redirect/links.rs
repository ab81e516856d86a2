//! Pods that come and go while weir runs.

use std::fs;

use weir_lab::{Wiring, runs_as_root, wait_until};

use super::{get, remove};
use crate::{
    site::{SOON, Site, http_ingress, pod_manifest},
    traffic::{connect, server},
};

/// The pinned links of a device.
fn pins(site: &Site, device: &str) -> usize {
    let entries = fs::read_dir(site.lab.bpf_dir().join(weir_abi::LAYOUT).join("links")).into_iter().flatten();
    let of_device = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains(&format!("-{device}-"));
    entries.filter_map(Result::ok).filter(of_device).count()
}

#[test]
fn a_pod_is_judged_whether_its_manifest_or_its_link_comes_first() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let web = site.pod("web", 10, Wiring::Routed);
    site.write("policy.yaml", &http_ingress("web", "client", &["{path: /a}"]));
    site.run();
    let _seen = server(web.netns(), web.at(false, 80));
    let (v4, v6) = ("198.18.0.11".parse().expect("an address"), "2001:db8::b".parse().expect("an address"));
    for manifest_first in [true, false] {
        if manifest_first {
            site.write("pod-client.yaml", &pod_manifest("client", &[v4, v6]));
            let missing = || site.status().is_some_and(|s| s.problems.iter().any(|p| p.contains("client")));
            wait_until("the pod without a link to be a problem", SOON, missing).expect("status says so");
        }
        let client = site.pod("client", 11, Wiring::Routed);
        site.in_force();
        wait_until("the programs on its link", SOON, || pins(&site, "lxc-client") == 2).expect("two pins");
        let mut stream = wait_until("the pod to be known", SOON, || connect(client.netns(), web.at(false, 80)).ok());
        let stream = stream.as_mut().expect("connect");
        assert_eq!((get(stream, "/a"), get(stream, "/b")), (200, 403), "manifest first: {manifest_first}");
        remove(&site, "client", client.pod);
        wait_until("the pins to be gone", SOON, || pins(&site, "lxc-client") == 0).expect("no pin is left");
    }
}

#[test]
fn a_pod_that_inherits_an_address_inherits_no_rights() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let web = site.pod("web", 10, Wiring::Routed);
    let client = site.pod("client", 11, Wiring::Routed);
    site.write("policy.yaml", &http_ingress("web", "client", &["{path: /a}"]));
    site.write(
        "plain.yaml",
        &super::one_way(
            "plain",
            "web",
            "ingress",
            &format!("{{{}, {}}}", super::endpoints("fromEndpoints", "client"), super::port(81, "TCP")),
        ),
    );
    site.run();
    for v6 in [false, true] {
        for number in [80, 81] {
            let _seen = server(web.netns(), web.at(v6, number));
            let mut stream = connect(client.netns(), web.at(v6, number)).expect("connect");
            assert_eq!(get(&mut stream, "/a"), 200);
        }
    }
    remove(&site, "client", client.pod);
    // The same addresses, another label. From its first packet on it is not `client`.
    let heir = site.pod("heir", 11, Wiring::Routed);
    let known = || {
        let tried = [80, 81].map(|number| connect(heir.netns(), web.at(false, number)).is_ok());
        assert_eq!(tried, [false, false], "judged as the pod that had the address before");
        site.status().is_some_and(|s| s.endpoints.iter().any(|e| e.pod.name == "heir" && e.device.is_some()))
    };
    wait_until("the new pod to be known", SOON, known).expect("it is known");
    for (v6, number) in [(false, 80), (true, 80), (false, 81), (true, 81)] {
        assert!(connect(heir.netns(), web.at(v6, number)).is_err(), "connected against the policy");
    }
    let drops = site.recorded(1, &["--verdict", "dropped", "--from-pod", "heir"]);
    assert_eq!(drops[0]["flow"]["drop_reason_desc"], "POLICY_DENIED", "{}", drops[0]);
}
