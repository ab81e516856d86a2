//! Pods come and go and policies are edited all the time, while somebody calls: what every version allows always passes,
//! what none allows never does.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use fastrand::Rng;
use weir_lab::{Netns, Wiring, in_netns, runs_as_root, wait_until};

use crate::{
    redirect::{endpoints, get, one_way},
    site::{SOON, Site, pod_manifest},
    traffic::{connect, server},
};

const POD_EVENTS: usize = 10_000;
const EDITS: usize = 500;
/// Between two events; as many as come in a large cluster's worst minute.
const PAUSE: Duration = Duration::from_millis(2);

/// Versions of one policy: all let the client call port 80 and nobody call port 81, each in its own way.
fn version(number: usize) -> String {
    let client = endpoints("fromEndpoints", "client");
    let extra = 9000 + number % 997;
    let ports = |ports: &str| format!("toPorts: [{{ports: [{ports}, {{port: \"{extra}\", protocol: TCP}}]}}]");
    let one = "{port: \"80\", protocol: TCP}";
    let text = match number % 5 {
        0 => one_way("p", "web", "ingress", &format!("{{{client}, {}}}", ports(one))),
        1 => one_way(
            "p",
            "web",
            "ingress",
            &format!("{{{client}, {}}}", ports("{port: \"79\", endPort: 80, protocol: TCP}")),
        ),
        2 => one_way("p", "web", "ingress", &format!("{{}}, {{{client}, {}}}", ports("{port: \"80\"}"))),
        3 => one_way("p", "web", "ingress", &format!("{{fromEntities: [cluster], {}}}", ports(one))),
        // Everything but port 81, by a denial that outranks the rest.
        _ => one_way("p", "web", "ingress", &format!("{{{client}}}, {{{client}, {}}}", ports(one))),
    };
    let deny = "  ingressDeny: [{toPorts: [{ports: [{port: \"81\", protocol: TCP}]}]}]\n";
    if number % 5 == 4 { text + deny } else { text }
}

/// A pod at one of a few addresses, of this node or another: the next one has the address of another pod, other labels, or
/// both.
fn stranger(site: &Site, rng: &mut Rng) {
    let (number, address) = (rng.u8(1..=120), rng.u8(1..=100));
    let file = format!("stranger-{number}.yaml");
    if rng.u8(0..3) == 0 {
        // Maybe it is not there.
        site.try_remove(&file);
        return;
    }
    let labels = ["client", "web", "other", "another"];
    let manifest = pod_manifest(&format!("stranger-{number}"), &[[198, 19, 1, address].into()]);
    let label = format!("app: {}", labels[rng.usize(0..labels.len())]);
    let node = if rng.bool() { "n1" } else { "n2" };
    let manifest = manifest.replace("status:\n", &format!("spec:\n  nodeName: {node}\nstatus:\n"));
    site.write(&file, &manifest.replace(&format!("app: stranger-{number}"), &label));
}

#[test]
fn churn_lets_no_packet_be_judged_by_rules_that_never_were() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let other = site.pod("other", 12, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    site.write("policy.yaml", &version(0));
    site.run();
    let _servers: Vec<_> = [(false, 80), (false, 81), (true, 80), (true, 81)]
        .map(|(v6, port)| server(web.netns(), web.at(v6, port)))
        .into();
    let done = AtomicBool::new(false);
    let (allowed, denied) = thread::scope(|scope| {
        let call = |v6| {
            let (netns, at, done) = (client.netns(), web.at(v6, 80), &done);
            scope.spawn(move || {
                until(done, || {
                    let mut stream = connect(netns, at).unwrap_or_else(|e| panic!("what every version allows: {e}"));
                    assert_eq!(get(&mut stream, "/x"), 200);
                })
            })
        };
        let knock = |netns, v6| {
            let (at, done) = (web.at(v6, 81), &done);
            scope.spawn(move || until(done, || assert!(!gets_through(netns, at), "what no version allows passed")))
        };
        let calls = [call(false), call(true)];
        let knocks = [knock(client.netns(), false), knock(client.netns(), true), knock(other.netns(), false)];
        let mut rng = Rng::with_seed(7);
        for event in 1..=POD_EVENTS {
            stranger(&site, &mut rng);
            if event % (POD_EVENTS / EDITS) == 0 {
                // Never half written: an empty file has no policy in it.
                site.write("policy.new", &version(event / (POD_EVENTS / EDITS)));
                site.rename("policy.new", "policy.yaml");
            }
            thread::sleep(PAUSE);
        }
        done.store(true, Relaxed);
        (calls.map(join).iter().sum::<usize>(), knocks.map(join).iter().sum::<usize>())
    });
    println!("{POD_EVENTS} pod events, {EDITS} edits, {allowed} calls passed, {denied} did not");
    assert!(allowed > 100 && denied > 100, "too little traffic: {allowed} and {denied}");
    // The last version is in force in the end.
    site.write("policy.yaml", &one_way("p", "web", "ingress", "{}"));
    let closed = || connect(client.netns(), web.at(false, 80)).is_err();
    wait_until("the last edit", SOON, closed).expect("nobody may call any more");
    let mut problems = site.status().expect("an agent").problems;
    problems.retain(|problem| {
        !(problem.contains("stranger-") && problem.ends_with("has no route to a device of this node"))
    });
    assert_eq!(problems, Vec::<String>::new());
}

fn join(thread: thread::ScopedJoinHandle<'_, usize>) -> usize {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Repeats until told to end; says how often.
fn until(done: &AtomicBool, mut work: impl FnMut()) -> usize {
    // A failure ends the others, too.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                self.0.store(true, Relaxed);
            }
        }
    }
    let _end = End(done);
    let mut times = 0;
    while !done.load(Relaxed) {
        work();
        times += 1;
    }
    times
}

fn gets_through(netns: &Netns, at: SocketAddr) -> bool {
    in_netns(netns, || TcpStream::connect_timeout(&at, Duration::from_millis(30))).is_ok()
}
