//! Agent and proxy come and go, by order and by accident: what was decided stays decided, and nothing is left at the end.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use weir_control::api::Status;
use weir_lab::{Lab, Netns, Process, Wiring, in_netns, runs_as_root, wait_until};

use crate::{
    site::{Member, SOON, Site, WEIR, http_ingress, policy},
    traffic::{Seen, connect, exchange, response, server},
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

/// Clients that call without a pause: some over one connection each, some over a new one each time.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(from: &Netns, to: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |kept: bool| {
            let (from, stop, served) = (from.clone(), Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || in_netns(&from, || call_on(to, kept, &stop, &served)))
        };
        let threads = [true, true, true, false, false].map(client).into();
        let load = Self { stop, served, threads };
        load.goes_on();
        load
    }

    /// Waits until many more requests were served.
    fn goes_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        let more = || self.served.load(Ordering::Relaxed) > before + 200;
        wait_until("the load to go on", SOON, more).expect("the load goes on");
    }

    /// Ends, and fails if one request did.
    fn assert_no_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().flat_map(|thread| thread.join().expect("a client panicked"));
        let failures: Vec<String> = failures.collect();
        let served = self.served.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {served} requests failed: {:?}", failures.len(), &failures[..1]);
        println!("{served} requests, none failed");
    }
}

fn call_on(to: SocketAddr, kept: bool, stop: &AtomicBool, served: &AtomicU64) -> Vec<String> {
    let mut failures = Vec::new();
    let mut open = None;
    while !stop.load(Ordering::Relaxed) {
        let result = match open.take() {
            Some(stream) => Ok(stream),
            // A SYN that is lost is sent again after a second; that is late, not failed.
            None => TcpStream::connect_timeout(&to, SOON),
        };
        match result.and_then(|mut stream| call(&mut stream).map(|()| stream)) {
            Ok(stream) => {
                served.fetch_add(1, Ordering::Relaxed);
                open = kept.then_some(stream);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

fn call(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(GET.as_bytes())?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"\r\n\r\n/a") {
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::Error::other(format!("cut off after {:?}", String::from_utf8_lossy(&answer)))),
            n => answer.extend_from_slice(&chunk[..n]),
        }
        if answer.starts_with(b"HTTP/1.1 4") {
            return Err(std::io::Error::other("denied"));
        }
    }
    Ok(())
}

/// Somebody who tries to connect all the time, and must not succeed.
struct Hammer {
    stop: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
    threads: Vec<JoinHandle<u64>>,
}

impl Hammer {
    fn start(from: &Netns, to: SocketAddr) -> Self {
        let (stop, attempts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let hammer = |_| {
            let (from, stop, attempts) = (from.clone(), Arc::clone(&stop), Arc::clone(&attempts));
            thread::spawn(move || {
                in_netns(&from, || {
                    let mut connected = 0;
                    while !stop.load(Ordering::Relaxed) {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        connected += u64::from(TcpStream::connect_timeout(&to, Duration::from_millis(3)).is_ok());
                    }
                    connected
                })
            })
        };
        let threads = (0..3).map(hammer).collect();
        Self { stop, attempts, threads }
    }

    fn goes_on(&self) {
        let before = self.attempts.load(Ordering::Relaxed);
        let more = || self.attempts.load(Ordering::Relaxed) > before + 50;
        wait_until("the attempts to go on", SOON, more).expect("the attempts go on");
    }

    fn assert_never_connected(self) {
        self.stop.store(true, Ordering::Relaxed);
        let connected: u64 = self.threads.into_iter().map(|thread| thread.join().expect("a client panicked")).sum();
        let attempts = self.attempts.load(Ordering::Relaxed);
        assert_eq!(connected, 0, "of {attempts} attempts");
        println!("{attempts} attempts, none succeeded");
    }
}

fn bpftool(args: &[&str]) -> serde_json::Value {
    let output = Command::new("bpftool").arg("-j").args(args).output().expect("run bpftool");
    serde_json::from_slice(&output.stdout).expect("bpftool prints JSON")
}

/// The kernel's number of each pinned link: one per device and hook.
fn links(lab: &Lab) -> Vec<(String, u64)> {
    let pinned = fs::read_dir(lab.bpf_dir().join("v1/links")).expect("links are pinned").flatten();
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

fn by_number(status: &Status) -> Vec<(u32, String, u32)> {
    status.endpoints.iter().map(|e| (e.endpoint.0, e.pod.to_string(), e.identity.0)).collect()
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

#[test]
fn two_processes_serve_as_one_does() {
    if !runs_as_root() {
        return;
    }
    let apart = Apart::new();
    assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));
    apart.assert_l4();
    let requests = apart.site.flows(&["--protocol", "http"]);
    assert_eq!(requests.len(), 2, "two over port 80 and none else: {requests:#?}");
}

#[test]
fn an_agent_killed_under_load_costs_no_request_and_comes_back_as_it_was() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let before = apart.site.status().expect("the agent answers");
    let load = Load::start(apart.client.netns(), apart.web.at(false, 80));
    apart.kill_agent();
    load.goes_on();
    apart.site.write("policy.yaml", &l7_and_l4(&["{path: /a}", "{path: /new}"]));
    load.goes_on();
    assert_eq!(apart.status("/new"), 403, "without an agent the old policy is in force");
    apart.site.start_agent();
    apart.site.in_force();
    load.goes_on();
    load.assert_no_failure();
    assert_eq!((apart.status("/new"), apart.status("/b")), (200, 403), "the edit made meanwhile is in force");
    let after = apart.site.status().expect("the agent answers");
    assert_eq!(by_number(&after), by_number(&before), "numbers have changed");
}

#[test]
fn an_agent_that_lost_its_numbers_judges_nobody_wrongly() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let before = by_number(&apart.site.status().expect("the agent answers"));
    let load = Load::start(apart.client.netns(), apart.web.at(false, 80));
    let hammer = Hammer::start(apart.other.netns(), apart.web.at(false, 8080));
    apart.kill_agent();
    fs::remove_file(apart.site.run_dir().join("identities.json")).expect("the state file was there");
    apart.site.start_agent();
    apart.site.in_force();
    load.goes_on();
    hammer.goes_on();
    load.assert_no_failure();
    hammer.assert_never_connected();
    let after = by_number(&apart.site.status().expect("the agent answers"));
    let highest = |of: fn(&(u32, String, u32)) -> u32| before.iter().map(of).max().unwrap_or(0);
    assert!(after.iter().all(|(endpoint, ..)| *endpoint > highest(|e| e.0)), "{after:?} after {before:?}");
    assert!(after.iter().all(|(.., identity)| *identity > highest(|e| e.2)), "{after:?} after {before:?}");
    apart.assert_l4();
}

#[test]
fn without_a_proxy_l7_ports_are_closed_and_l4_goes_on() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let mut open = connect(apart.client.netns(), apart.web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut open, GET).0, 200);
    while apart.seen.try_recv().is_ok() {}
    apart.kill_proxy();
    let closed = open.write_all(GET.as_bytes()).and_then(|()| open.read(&mut [0; 64]));
    assert!(matches!(closed, Ok(0) | Err(_)), "the open connection goes on without a proxy");
    apart.assert_l4();
    apart.assert_l7_closed();
    let drops = apart.site.flows(&["--verdict", "dropped", "--from-pod", "client"]);
    let reason = &drops.last().expect("the drop is recorded")["flow"]["drop_reason_desc"];
    assert_eq!(reason, "SOCKET_LOOKUP_FAILED", "{drops:#?}");
    let problems = apart.site.status().expect("the agent answers").problems;
    assert!(problems.iter().any(|problem| problem.contains("no proxy is connected")), "{problems:?}");

    apart.kill_agent();
    apart.assert_l4();
    apart.assert_l7_closed();

    apart.site.start_proxy();
    apart.site.start_agent();
    apart.site.in_force();
    apart.assert_l4();
    assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));
}

#[test]
fn a_proxy_that_comes_back_serves_with_an_agent_that_never_went() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    for _ in 0..3 {
        apart.kill_proxy();
        apart.site.start_proxy();
        let serves = || connect(apart.client.netns(), apart.web.at(false, 80)).is_ok();
        wait_until("the proxy to serve", SOON, serves).expect("the proxy serves");
        assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));
    }
}

#[test]
fn agent_restarts_open_no_gap() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let before = links(&apart.site.lab);
    let of_pods = before.iter().filter(|(pin, _)| pin.contains("-lxc-")).count();
    assert_eq!(of_pods, 6, "one link per pod and direction: {before:?}");
    let hammers = [80, 8080].map(|port| Hammer::start(apart.other.netns(), apart.web.at(false, port)));
    let load = Load::start(apart.client.netns(), apart.web.at(false, 80));
    for round in 0..5 {
        apart.kill_agent();
        apart.site.start_agent();
        apart.site.in_force();
        assert_eq!(links(&apart.site.lab), before, "links were not taken over in round {round}");
        hammers.iter().for_each(Hammer::goes_on);
    }
    hammers.into_iter().for_each(Hammer::assert_never_connected);
    load.assert_no_failure();
}

/// A server that answers its first request when told to. Sends on the first channel when it has the request.
fn late_server(netns: &Netns, at: SocketAddr) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = in_netns(netns, || TcpListener::bind(at)).expect("listen in the pod");
    let ((report, has_it), (release, released)) = (mpsc::channel(), mpsc::channel());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = report.send(());
        let _ = released.recv();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        // Held open until the client's side ends.
        let _ = stream.read(&mut head);
    });
    (has_it, release)
}

/// An exchange is under way, another connection is idle; `process` is told to end and does so in order.
fn assert_drains(client: &Member, web: &Member, process: &Process) {
    let (has_it, release) = late_server(web.netns(), web.at(true, 80));
    let mut idle = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut idle, GET).0, 200);
    let mut busy = connect(client.netns(), web.at(true, 80)).expect("connect");
    busy.write_all(GET.as_bytes()).expect("send the request");
    has_it.recv_timeout(SOON).expect("the server has the request");
    process.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0; 64]).expect("an orderly end"), 0, "an idle connection is closed");
    assert!(process.exit_status().is_none(), "it ended before the exchange did");
    release.send(()).expect("the server waits");
    assert_eq!(response(&mut busy), (200, "late".into()));
    assert_eq!(busy.read(&mut [0; 64]).expect("an orderly end"), 0, "the connection is closed after its exchange");
    let status = process.wait(SOON).expect("it ends");
    assert!(status.success(), "{status}: {}", process.log());
}

#[test]
fn weir_run_drains_and_leaves_nothing() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Bridge("br0"));
    let web = site.pod("web", 10, Wiring::Bridge("br0"));
    site.write("policy.yaml", &http_ingress("web", "client", &["{}"]));
    site.run();
    let links = site.lab.node().command("ip").arg("link").output().expect("run ip").stdout;
    assert!(String::from_utf8_lossy(&links).contains("weir0"), "weir has a device of its own");
    let _seen = server(web.netns(), web.at(false, 80));
    assert_drains(&client, &web, site.agent.as_ref().expect("weir runs"));
    assert_nothing_left(&site.lab);
}

#[test]
fn weir_proxy_drains() {
    if !runs_as_root() {
        return;
    }
    let apart = Apart::new();
    assert_drains(&apart.client, &apart.web, apart.site.proxy.as_ref().expect("a proxy runs"));
    apart.assert_l4();
    while apart.seen.try_recv().is_ok() {}
    apart.assert_l7_closed();
}

#[test]
fn weir_agent_leaves_what_is_in_force_and_cleanup_removes_it() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let cleanup = |site: &Site| output(site.weir("cleanup"));
    let refused = cleanup(&apart.site);
    assert!(!refused.status.success(), "it removed what an agent keeps");
    assert!(stderr(&refused).contains("belongs to an agent that runs"), "{}", stderr(&refused));
    let before = links(&apart.site.lab);
    let agent = apart.site.agent.take().expect("an agent runs");
    let status = agent.stop();
    assert!(status.success(), "{status}: {}", agent.log());
    assert_eq!(links(&apart.site.lab), before);
    apart.assert_l4();
    assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));

    assert!(apart.site.proxy.take().expect("a proxy runs").stop().success());
    for _ in 0..2 {
        let done = cleanup(&apart.site);
        assert!(done.status.success(), "{}", stderr(&done));
        assert_nothing_left(&apart.site.lab);
    }
    let everybody = connect(apart.other.netns(), apart.web.at(false, 80));
    assert!(everybody.is_ok(), "without weir nothing is denied");
}

#[test]
fn cleanup_of_nothing_succeeds() {
    if !runs_as_root() {
        return;
    }
    let site = Site::new();
    let done = output(site.weir("cleanup"));
    assert!(done.status.success(), "{}", stderr(&done));
    assert_nothing_left(&site.lab);
}

#[test]
fn two_nodes_do_not_disturb_each_other() {
    if !runs_as_root() {
        return;
    }
    let build = |peer: &str| {
        let mut site = Site::new();
        let client = site.pod("client", 11, Wiring::Routed);
        let web = site.pod("web", 10, Wiring::Routed);
        site.write("policy.yaml", &http_ingress("web", peer, &["{path: /a}"]));
        site.run();
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
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    site.write("policy.yaml", &http_ingress("web", "client", &["{path: /a}"]));
    site.run();
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
fn numbers_that_cannot_be_saved_are_not_given_out() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    site.write(
        "policy.yaml",
        &policy("web", "  endpointSelector:\n    matchLabels:\n      app: web\n  ingress:\n    - {}\n"),
    );
    site.run();
    let _seen = server(web.netns(), web.at(false, 80));
    assert!(connect(client.netns(), web.at(false, 80)).is_err(), "nothing is allowed yet");
    // The file is written anew and renamed into place; where a directory is, none can go.
    let state = site.run_dir().join("identities.json");
    fs::remove_file(&state).expect("it was there");
    fs::create_dir(&state).expect("in its way");
    site.pod("late", 12, Wiring::Routed);
    let problem = || {
        let problems = site.status()?.problems;
        problems.iter().any(|problem| problem.contains("identities.json")).then_some(())
    };
    wait_until("the problem to be reported", SOON, problem).expect("it is reported");
    assert!(site.agent.as_ref().expect("weir runs").exit_status().is_none(), "it gave up");
    let status = site.status().expect("it answers");
    assert!(status.kernel_revision < status.revision, "the kernel got numbers that are not saved");
    assert!(connect(client.netns(), web.at(false, 80)).is_err(), "the last good policy is in force");
    fs::remove_dir(&state).expect("out of the way");
    site.in_force();
    let known = site.status().expect("it answers").endpoints.len();
    assert_eq!(known, 3, "the new pod is known");
}
