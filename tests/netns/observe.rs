//! What happened is told: one record per request, connection and drop, in Hubble's words; and the numbers agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    process::Command,
    sync::mpsc,
};

use serde_json::{Value, json};
use weir_lab::{Netns, Process, Wiring, runs_as_root, wait_until};

use crate::{
    site::{Member, SOON, Site, http_ingress},
    traffic::{Seen, connect, exchange, server},
};

/// Where `weir run` and `weir agent` serve metrics.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9962);
/// Where `weir proxy` does.
const PROXY_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9964);

/// `client` may `GET /a…` from `web` on port 80 and all on 8080; `other` nothing.
struct Scene {
    site: Site,
    client: Member,
    other: Member,
    web: Member,
    _seen: [mpsc::Receiver<Seen>; 2],
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self::build();
        scene.site.run();
        scene
    }

    /// All of it but weir.
    fn build() -> Self {
        let site = Site::new();
        let client = site.pod("client", 11, Wiring::Routed);
        let other = site.pod("other", 12, Wiring::Routed);
        let web = site.pod("web", 10, Wiring::Routed);
        let l4 = "        - ports:\n            - port: \"8080\"\n              protocol: TCP\n";
        let http = http_ingress("web", "client", &["{method: GET, path: \"/a.*\"}"]);
        site.write("policy.yaml", &format!("{http}{l4}"));
        let seen = [80, 8080].map(|port| server(web.netns(), web.at(false, port)));
        Self { site, client, other, web, _seen: seen }
    }

    /// Three allowed and two denied requests on one connection, one connection to the L4 port, one that is dropped.
    /// Returns the client's port of the first.
    fn play(&self) -> u16 {
        let mut stream = connect(self.client.netns(), self.web.at(false, 80)).expect("connect");
        let answers = ["/a1", "/b", "/a2", "/c", "/a3"].map(|path| exchange(&mut stream, &get(path)).0);
        assert_eq!(answers, [200, 403, 200, 403, 200]);
        let port = stream.local_addr().expect("an address").port();
        let mut plain = connect(self.client.netns(), self.web.at(false, 8080)).expect("connect");
        assert_eq!(exchange(&mut plain, &get("/b")).0, 200);
        assert!(connect(self.other.netns(), self.web.at(false, 80)).is_err(), "a denied pod connected");
        port
    }

    /// The records that match; they are waited for, as the kernel's come a moment after the packet.
    fn flows(&self, expected: usize, filter: &[&str]) -> Vec<Value> {
        let mut last = Vec::new();
        let all = || {
            last = self.site.flows(filter);
            last.len() == expected
        };
        let waited = wait_until("the records", SOON, all);
        assert!(waited.is_ok(), "{} records with {filter:?}, not {expected}: {last:#?}", last.len());
        last
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n")
}

/// Asks an admin port of the node.
fn admin(node: &Netns, at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = connect(node, at).expect("connect to the admin port");
    exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n"))
}

/// A record with what differs from run to run replaced, after a look at its form.
fn settled(mut response: Value) -> Value {
    for time in ["/time", "/flow/time"] {
        let time = response.pointer_mut(time).expect("a time");
        let text = time.as_str().expect("a time is a string").to_owned();
        // 2026-11-21T13:01:28.123456789Z
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let (date, fraction) = shape.split_at(19);
        assert_eq!(date, "0000-00-00T00:00:00", "{text}");
        assert!(["Z", ".000Z", ".000000Z", ".000000000Z"].contains(&fraction), "{text}");
        *time = json!("TIME");
    }
    if let Some(latency) = response.pointer_mut("/flow/l7/latency_ns") {
        let ns: u64 = latency.as_str().expect("a uint64 is a string").parse().expect("a number");
        assert!((1..10_000_000_000).contains(&ns), "{ns} ns");
        *latency = json!("NS");
    }
    response
}

fn endpoint(scene: &Scene, name: &str) -> Value {
    let status = scene.site.status().expect("the agent answers");
    let endpoint = status.endpoints.iter().find(|e| e.pod.name == name).expect("an endpoint");
    json!({
        "ID": endpoint.endpoint.0,
        "identity": endpoint.identity.0,
        "namespace": "default",
        "labels": endpoint.labels,
        "pod_name": name,
    })
}

fn decided() -> Value {
    json!([{
        "name": "http-ingress",
        "namespace": "default",
        "labels": [
            "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
            "k8s:io.cilium.k8s.policy.name=http-ingress",
            "k8s:io.cilium.k8s.policy.namespace=default",
        ],
        "kind": "CiliumNetworkPolicy",
    }])
}

#[test]
fn each_request_connection_and_drop_is_one_record_in_hubbles_form() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    let port = scene.play();
    let flows = scene.flows(8, &[]);
    let requests = scene.flows(5, &["--protocol", "http"]);
    let statuses: Vec<_> = requests.iter().map(|r| r["flow"]["l7"]["http"]["code"].as_u64()).collect();
    assert_eq!(statuses, [200, 403, 200, 403, 200].map(Some), "in order of time");
    let (client, other, web) = (endpoint(&scene, "client"), endpoint(&scene, "other"), endpoint(&scene, "web"));
    assert!(client["labels"].as_array().expect("labels").contains(&json!("k8s:app=client")), "{client}");
    let ip =
        |last: u8| json!({"source": format!("198.18.0.{last}"), "destination": "198.18.0.10", "ipVersion": "IPv4"});
    let request = |path: &str, code: u16| {
        json!({"flow": {
            "time": "TIME",
            "verdict": if code == 200 { "FORWARDED" } else { "DROPPED" },
            "IP": ip(11),
            "l4": {"TCP": {"source_port": port, "destination_port": 80}},
            "source": client,
            "destination": web,
            "Type": "L7",
            "node_name": "n1",
            "l7": {"type": "REQUEST", "http": {
                "code": code, "method": "GET", "url": format!("http://web{path}"), "protocol": "HTTP/1.1",
            }},
            "event_type": {"type": 129},
            "traffic_direction": "INGRESS",
            "is_reply": false,
            "Summary": format!("HTTP/1.1 GET http://web{path}"),
        }, "node_name": "n1", "time": "TIME"})
    };
    let mut allowed = request("/a1", 200);
    allowed["flow"]["ingress_allowed_by"] = decided();
    allowed["flow"]["l7"]["latency_ns"] = json!("NS");
    assert_eq!(settled(requests[0].clone()), allowed);
    assert_eq!(settled(requests[1].clone()), request("/b", 403));

    let redirected = scene.flows(1, &["--verdict", "redirected"]);
    let connection = json!({"flow": {
        "time": "TIME",
        "verdict": "REDIRECTED",
        "IP": ip(11),
        "l4": {"TCP": {"source_port": port, "destination_port": 80, "flags": {"SYN": true}}},
        "source": client,
        "destination": web,
        "Type": "L3_L4",
        "node_name": "n1",
        "event_type": {"type": 5},
        "traffic_direction": "INGRESS",
        "is_reply": false,
        "ingress_allowed_by": decided(),
        "Summary": "TCP Flags: SYN",
    }, "node_name": "n1", "time": "TIME"});
    assert_eq!(settled(redirected[0].clone()), connection);

    let plain = scene.flows(1, &["--port", "8080"]);
    assert_eq!(plain[0]["flow"]["verdict"], "FORWARDED");
    assert_eq!(plain[0]["flow"]["ingress_allowed_by"], decided());

    let dropped = scene.flows(1, &["--from-pod", "other"]);
    let mut drop = settled(dropped[0].clone());
    let source_port = drop["flow"]["l4"]["TCP"]["source_port"].take();
    assert!(source_port.is_u64());
    let expected = json!({"flow": {
        "time": "TIME",
        "verdict": "DROPPED",
        "drop_reason": 133,
        "IP": ip(12),
        "l4": {"TCP": {"source_port": null, "destination_port": 80, "flags": {"SYN": true}}},
        "source": other,
        "destination": web,
        "Type": "L3_L4",
        "node_name": "n1",
        "event_type": {"type": 1, "sub_type": 133},
        "traffic_direction": "INGRESS",
        "drop_reason_desc": "POLICY_DENIED",
        "Summary": "TCP Flags: SYN",
    }, "node_name": "n1", "time": "TIME"});
    assert_eq!(drop, expected);
    let times: Vec<_> = flows.iter().map(|flow| flow["time"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn filters_show_what_they_name() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    scene.play();
    scene.flows(8, &[]);
    for (filter, expected) in [
        (&["--pod", "client"][..], 7),
        (&["--pod", "default/web"], 8),
        (&["--pod", "elsewhere/"], 0),
        (&["--from-pod", "other"], 1),
        (&["--from-pod", "other", "--from-pod", "client"], 8),
        (&["--to-pod", "client"], 0),
        (&["--label", "app=other"], 1),
        (&["--label", "app in (other, client)"], 8),
        (&["--verdict", "forwarded"], 4),
        (&["--verdict", "dropped"], 3),
        (&["--verdict", "redirected"], 1),
        (&["--verdict", "error"], 0),
        (&["--protocol", "http"], 5),
        (&["--protocol", "tcp"], 8),
        (&["--protocol", "udp"], 0),
        (&["--http-status", "403"], 2),
        (&["--http-status", "2+"], 3),
        (&["--http-status", "403", "--http-status", "20+"], 5),
        (&["--http-method", "get"], 5),
        (&["--http-path", "/a"], 3),
        (&["--port", "8080"], 1),
        (&["--protocol", "http", "--verdict", "dropped", "--pod", "client"], 2),
        (&["--last", "3"], 3),
        (&["--since", "1h"], 8),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
        (&["--last", "1", "--http-path", "/a"], 1),
    ] {
        let flows = scene.site.flows(filter);
        assert_eq!(flows.len(), expected, "{filter:?}: {flows:#?}");
    }
    let last = scene.site.flows(&["--last", "1", "--http-path", "/a"]);
    assert_eq!(last[0]["flow"]["l7"]["http"]["url"], "http://web/a3", "the last, not the first");
    for bad in [["--verdict", "maybe"], ["--protocol", "http9"], ["--since", "never"], ["--label", "in in in"]] {
        let output = scene.site.weir("observe").args(bad).output().expect("run weir observe");
        assert!(!output.status.success() && output.stdout.is_empty(), "{bad:?} is accepted");
    }
    let output = scene.site.weir("observe").output().expect("run weir observe");
    let lines = String::from_utf8(output.stdout).expect("text");
    assert_eq!(lines.lines().count(), 8, "{lines}");
    let line = lines.lines().find(|line| line.contains("/a1")).expect("a line per record");
    for part in ["default/client:", "-> default/web:80", "http-request FORWARDED", "GET http://web/a1", "http-ingress"]
    {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
}

/// `weir observe` as a process that goes on.
fn follow(scene: &Scene, more: &[&str]) -> Process {
    let mut command = scene.site.weir("observe");
    command.args(["--follow", "-o", "json"]).args(more);
    scene.site.lab.spawn("observe", command).expect("start weir observe")
}

fn printed(observer: &Process) -> Vec<Value> {
    observer.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_follower_sees_each_new_record_once_and_ends_with_the_agent() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    scene.play();
    scene.flows(8, &[]);
    let (all, new) = (follow(&scene, &[]), follow(&scene, &["--last", "1", "--protocol", "http"]));
    all.wait_until("what was there", SOON, || printed(&all).len() == 8).expect("it is shown");
    new.wait_until("the last of them", SOON, || printed(&new).len() == 1).expect("it is shown");
    scene.play();
    all.wait_until("what came", SOON, || printed(&all).len() == 16).expect("it is shown");
    new.wait_until("what came", SOON, || printed(&new).len() == 6).expect("it is shown");
    // Asking in between must not make records come twice.
    scene.flows(16, &[]);
    let mut stream = connect(scene.client.netns(), scene.web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut stream, &get("/a")).0, 200);
    new.wait_until("one more", SOON, || printed(&new).len() == 7).expect("it is shown");
    all.wait_until("its connection, too", SOON, || printed(&all).len() == 18).expect("it is shown");
    let agent = scene.site.agent.as_ref().expect("weir runs");
    drop(stream);
    assert!(agent.stop().success());
    for observer in [&all, &new] {
        let status = observer.wait(SOON).expect("it ends with the agent");
        assert!(status.success(), "{status}: {}", observer.log());
    }
    assert_eq!((printed(&all).len(), printed(&new).len()), (18, 7));
}

fn resident_kib(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn an_observer_that_does_not_read_stops_nobody() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    let agent = scene.site.agent.as_ref().expect("weir runs");
    let mut stuck: Vec<UnixStream> = Vec::new();
    for _ in 0..8 {
        let mut stream = UnixStream::connect(scene.site.run_dir().join("agent.sock")).expect("connect");
        stream.write_all(b"{\"observe\":{\"follow\":true}}\n").expect("ask");
        stuck.push(stream);
    }
    let mut stream = connect(scene.client.netns(), scene.web.at(false, 80)).expect("connect");
    let mut call = |count: usize| {
        // Many at a time, or the way there and back is all that is done.
        let pipelined = get("/a").repeat(64);
        let mut answers = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n/a".repeat(64).into_bytes();
        let expected = answers.clone();
        for _ in 0..count / 64 {
            stream.write_all(pipelined.as_bytes()).expect("send");
            stream.read_exact(&mut answers).expect("read the responses");
            assert_eq!(answers, expected);
        }
    };
    // What is kept by design is full after this: 16,384 records with the agent, 8,192 for followers.
    call(18_000);
    scene.site.flows(&["--last", "1"]);
    let before = resident_kib(agent);
    call(18_000);
    let last = scene.site.flows(&["--last", "1", "--protocol", "http"]);
    assert_eq!(last.len(), 1, "another observer is served");
    scene.site.in_force();
    let grown = resident_kib(agent).saturating_sub(before);
    assert!(grown < 24 << 10, "weir grew by {grown} KiB from {before} KiB");
    // Who was stuck goes on with what is left, in whole lines.
    let mut text = vec![0; 256 << 10];
    let read = stuck[0].read(&mut text).expect("there is something to read");
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    let first = text.lines().next().expect("a line");
    assert!(serde_json::from_str::<Value>(first).is_ok(), "{first}");
}

#[test]
fn the_flow_log_has_every_record_once() {
    if !runs_as_root() {
        return;
    }
    let mut scene = Scene::build();
    let log = scene.site.lab.dir().join("flows.json");
    let mut command = scene.site.weir("run");
    command.arg("--manifests").arg(scene.site.lab.dir().join("manifests")).arg("--flow-log").arg(&log);
    command.args(["--workers", "2", "--drain", "2", "--node", "n1"]);
    scene.site.agent = Some(scene.site.lab.spawn("weir", command).expect("start weir"));
    scene.site.in_force();
    scene.play();
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&log).expect("the log is there");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    wait_until("the log to have all", SOON, || lines().len() == 8).expect("they are written");
    assert_eq!(lines().iter().filter(|line| line["flow"]["Type"] == "L7").count(), 5);
    let shown = scene.flows(8, &[]);
    let texts = |flows: &[Value]| flows.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(texts(&lines()), texts(&shown), "the log says what weir observe says");
    // The last one just before the end.
    let mut stream = connect(scene.client.netns(), scene.web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut stream, &get("/a-last")).0, 200);
    drop(stream);
    assert!(scene.site.agent.take().expect("weir runs").stop().success());
    let last = lines().into_iter().rfind(|line| line["flow"]["Type"] == "L7").expect("requests are logged");
    assert_eq!(last["flow"]["l7"]["http"]["url"], "http://web/a-last");
    assert_eq!(lines().len(), 10, "a connection and a request more");
}

/// Samples by name and labels, from a text that keeps to OpenMetrics 1.0.
fn metrics(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "no end: {text}");
    let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
    let mut family = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next().expect("a name"), words.next().expect("a text"));
            assert!(matches!(what, Some("HELP" | "TYPE" | "UNIT")), "{line}");
            if what == Some("TYPE") {
                assert!(kinds.insert(name.to_owned(), rest.to_owned()).is_none(), "{name} comes twice");
            }
            family = name.to_owned();
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let bare = name.split('{').next().expect("a name");
        let suffixes: &[&str] = match kinds.get(&family).map(String::as_str) {
            Some("counter") => &["_total", "_created"],
            Some("gauge") => &[""],
            Some("histogram") => &["_sum", "_count", "_bucket"],
            kind => panic!("{family} is of kind {kind:?}"),
        };
        assert!(suffixes.iter().any(|suffix| bare == format!("{family}{suffix}")), "{line} is not of {family}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "{name} comes twice");
    }
    samples
}

#[test]
fn metrics_count_what_happened() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    scene.play();
    scene.flows(8, &[]);
    let (status, text) = admin(scene.site.lab.node(), ADMIN, "/metrics");
    assert_eq!(status, 200);
    let metrics = metrics(&text);
    let value = |name: &str| *metrics.get(name).unwrap_or_else(|| panic!("no {name} in {text}"));
    for (name, expected) in [
        ("weir_http_requests_total{verdict=\"forwarded\"}", 3.0),
        ("weir_http_requests_total{verdict=\"denied\"}", 2.0),
        ("weir_http_requests_total{verdict=\"refused\"}", 0.0),
        ("weir_http_request_duration_seconds_count", 3.0),
        ("weir_http_request_duration_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("weir_proxy_connections_total", 1.0),
        ("weir_flows_lost_total", 0.0),
        ("weir_packets_total{reason=\"redirected\",direction=\"INGRESS\"}", 1.0),
        ("weir_packets_total{reason=\"PolicyDenied\",direction=\"INGRESS\"}", 1.0),
        ("weir_bpf_map_capacity{map=\"POLICY\"}", 131_072.0),
        ("weir_bpf_map_entries{map=\"ENDPOINTS\"}", 3.0),
        ("weir_bpf_map_entries{map=\"POLICY\"}", 2.0),
        ("weir_endpoints", 3.0),
        ("weir_policy_rejected_objects", 0.0),
        ("weir_problems", 0.0),
        ("weir_policy_revision", value("weir_policy_kernel_revision")),
    ] {
        assert_eq!(value(name), expected, "{name}\n{text}");
    }
    assert!(value("weir_packet_bytes_total{reason=\"PolicyDenied\",direction=\"INGRESS\"}") >= 40.0, "{text}");
    assert!(value("weir_http_request_duration_seconds_sum") > 0.0, "{text}");
    // A rejected object is counted, and the last client's connection falls.
    scene.site.write("bad.yaml", &http_ingress("web", "client", &["{path: \"(\"}"]).replace("http-ingress", "bad"));
    let counted = || {
        let (_, text) = admin(scene.site.lab.node(), ADMIN, "/metrics");
        let metrics = self::metrics(&text);
        metrics["weir_policy_rejected_objects"] == 1.0 && metrics["weir_proxy_connections_open"] == 0.0
    };
    wait_until("the gauges to move", SOON, counted).expect("they move");
}

#[test]
fn each_process_says_how_it_is_on_a_port_of_its_own() {
    if !runs_as_root() {
        return;
    }
    let mut scene = Scene::build();
    let node = scene.site.lab.node().clone();
    scene.site.start_proxy();
    let up = || connect(&node, PROXY_ADMIN).is_ok();
    wait_until("the proxy's admin port", SOON, up).expect("it listens");
    assert_eq!(admin(&node, PROXY_ADMIN, "/healthz"), (200, "ok\n".into()));
    assert_eq!(admin(&node, PROXY_ADMIN, "/readyz"), (503, "not ready\n".into()), "without rules it is not ready");
    scene.site.start_agent();
    scene.site.in_force();
    for port in [ADMIN, PROXY_ADMIN] {
        assert_eq!(admin(&node, port, "/healthz"), (200, "ok\n".into()));
        assert_eq!(admin(&node, port, "/readyz"), (200, "ready\n".into()));
        assert_eq!(admin(&node, port, "/elsewhere").0, 404);
    }
    scene.play();
    scene.flows(8, &[]);
    let of = |port| metrics(&admin(&node, port, "/metrics").1);
    let (agent, proxy) = (of(ADMIN), of(PROXY_ADMIN));
    assert_eq!(proxy["weir_http_requests_total{verdict=\"denied\"}"], 2.0);
    assert_eq!(agent["weir_packets_total{reason=\"PolicyDenied\",direction=\"INGRESS\"}"], 1.0);
    assert!(agent.keys().all(|name| !proxy.contains_key(name)), "nothing is counted by both");
}

#[test]
fn the_records_of_a_proxy_that_ends_are_not_lost() {
    if !runs_as_root() {
        return;
    }
    let mut scene = Scene::build();
    scene.site.start_agent();
    scene.site.start_proxy();
    scene.site.in_force();
    scene.play();
    assert!(scene.site.proxy.take().expect("a proxy runs").stop().success());
    scene.flows(8, &[]);
    // Nor told twice, when another one comes.
    scene.site.start_proxy();
    scene.site.in_force();
    scene.flows(8, &[]);
}

#[test]
fn status_shows_what_is_in_force() {
    if !runs_as_root() {
        return;
    }
    let scene = Scene::new();
    scene.play();
    let status = scene.site.status().expect("the agent answers");
    assert_eq!((status.node.as_str(), status.endpoints.len()), ("n1", 3));
    let web = status.endpoints.iter().find(|endpoint| endpoint.pod.name == "web").expect("an endpoint");
    assert_eq!(web.device.as_deref(), Some("lxc-web"));
    assert_eq!(web.enforced, ["ingress"]);
    assert_eq!(web.addresses, [scene.web.v4, scene.web.v6]);
    let programs = status.programs.iter().find(|program| program.device == "lxc-web").expect("a device");
    assert_eq!(programs.programs, ["from_pod", "to_pod"]);
    let counted = |reason: &str| status.packets.iter().any(|(name, ..)| name == reason);
    assert!(counted("forwarded") && counted("redirected") && counted("PolicyDenied"), "{:?}", status.packets);
    let output = scene.site.weir("status").output().expect("run weir status");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let revisions = format!("policy revision: agent {0}, kernel {0}, proxy {0}", status.revision);
    for part in [&revisions, "default/web", "lxc-web", "from_pod,to_pod", "POLICY", "131072", "k8s:app=web", "ingress"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let elsewhere = Command::new(crate::site::WEIR).args(["status", "--run-dir", "/nowhere"]).output().expect("run it");
    assert_eq!(elsewhere.status.code(), Some(1));
    let text = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(text.contains("ask the agent at /nowhere/agent.sock; is it running"), "{text}");
}
