//! Agent and proxy come and go, by order and by accident: what was decided stays decided, and nothing is left at the end.

mod agent;
mod end;
mod load;
mod proxy;
mod start;

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output, Stdio},
    sync::mpsc,
};

use weir_abi::LAYOUT;
use weir_lab::{Lab, Wiring, wait_until};

use crate::{
    site::{Member, SOON, Site, http_ingress},
    traffic::{Seen, connect, exchange, server},
};

const GET: &str = "GET /a HTTP/1.1\r\nhost: web\r\n\r\n";

/// Ingress of `app: web` from `app: client`: L7 on port 80, as far as `http` allows, and all of port 8080.
fn l7_and_l4(http: &[&str]) -> String {
    let http = http_ingress("web", "client", http);
    let l4 = "        - ports:\n            - port: \"8080\"\n              protocol: TCP\n";
    format!("{http}{l4}")
}

/// A node with `client`, `other` (whom nothing allows) and `web` (L7 on 80, L4 on 8080), agent and proxy apart.
struct Apart {
    site: Site,
    client: Member,
    other: Member,
    web: Member,
    seen: mpsc::Receiver<Seen>,
    _seen_plain: mpsc::Receiver<Seen>,
}

impl Apart {
    fn new() -> Self {
        let mut site = Site::new();
        let client = site.pod("client", 11, Wiring::Routed);
        let other = site.pod("other", 12, Wiring::Routed);
        let web = site.pod("web", 10, Wiring::Routed);
        site.write("policy.yaml", &l7_and_l4(&["{path: /a}"]));
        site.start_agent();
        site.start_proxy();
        site.in_force();
        let seen = server(web.netns(), web.at(false, 80));
        let _seen_plain = server(web.netns(), web.at(false, 8080));
        Self { site, client, other, web, seen, _seen_plain }
    }

    /// Kills the agent as a crash would.
    fn kill_agent(&mut self) {
        self.site.agent.take().expect("an agent runs").kill();
    }

    fn kill_proxy(&mut self) {
        self.site.proxy.take().expect("a proxy runs").kill();
    }

    fn status(&self, path: &str) -> u16 {
        let mut stream = connect(self.client.netns(), self.web.at(false, 80)).expect("connect");
        exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n")).0
    }

    /// L3/L4 policy is in force, whoever runs.
    fn assert_l4(&self) {
        let mut stream = connect(self.client.netns(), self.web.at(false, 8080)).expect("the allowed port is open");
        assert_eq!(exchange(&mut stream, GET).0, 200);
        assert!(connect(self.other.netns(), self.web.at(false, 8080)).is_err(), "a denied pod connected");
        assert!(connect(self.other.netns(), self.web.at(false, 80)).is_err(), "a denied pod connected");
    }

    fn assert_l7_closed(&self) {
        assert!(connect(self.client.netns(), self.web.at(false, 80)).is_err(), "an L7 port is open without a proxy");
        assert!(self.seen.try_recv().is_err(), "a request passed without a proxy");
    }
}

fn bpftool(args: &[&str]) -> serde_json::Value {
    let output = Command::new("bpftool").arg("-j").args(args).output().expect("run bpftool");
    serde_json::from_slice(&output.stdout).expect("bpftool prints JSON")
}

/// The kernel's number of each pinned link: one per device and hook.
fn links(lab: &Lab) -> Vec<(String, u64)> {
    let pinned = fs::read_dir(lab.bpf_dir().join(LAYOUT).join("links")).expect("links are pinned").flatten();
    let (mut links, mut programs) = (Vec::new(), BTreeSet::new());
    for pin in pinned {
        let link = bpftool(&["link", "show", "pinned", &pin.path().to_string_lossy()]);
        links.push((pin.file_name().to_string_lossy().into_owned(), link["id"].as_u64().expect("an id")));
        programs.insert(link["prog_id"].as_u64());
    }
    links.sort();
    let all = bpftool(&["link", "show"]);
    let own = all.as_array().expect("a list").iter().filter(|link| programs.contains(&link["prog_id"].as_u64()));
    assert_eq!(own.count(), links.len(), "a program is attached by a link that is not pinned");
    // The socket lookup's is put beside the old one, which then goes; there is no moment without.
    links.retain(|(pin, _)| pin != "netns-lookup");
    links
}

/// Asserts that nothing of weir is left on the node.
fn assert_nothing_left(lab: &Lab) {
    assert!(!lab.bpf_dir().exists(), "pins are left in {}", lab.bpf_dir().display());
    let run_dir = lab.dir().join("run");
    assert!(!run_dir.exists(), "files are left: {:?}", fs::read_dir(run_dir).map(|d| d.flatten().collect::<Vec<_>>()));
    for family in ["-4", "-6"] {
        let ip = |args: &[&str]| {
            let output = lab.node().command("ip").arg(family).args(args).output().expect("run ip");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(!ip(&["rule"]).contains("0x1000"), "a rule is left: {}", ip(&["rule"]));
        // `ip` finds no table where there is no route in it.
        assert_eq!(ip(&["route", "show", "table", "4096"]), "", "a route is left");
        assert!(!ip(&["link"]).contains("weir"), "a device is left: {}", ip(&["link"]));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that shall end by itself, at once.
fn output(mut command: Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run weir");
    let ended = wait_until("the command to end", SOON, || child.try_wait().map_err(|e| e.to_string()));
    if ended.is_err() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("read its output");
    assert!(ended.is_ok(), "{command:?} does not end: {}", stderr(&output));
    output
}
