//! Truth tables: under random policies, who reaches whom on real traffic is what the reference evaluator says.

pub(crate) mod generate;
mod probe;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::runtime;
use weir_control::{
    reference::{self, Question, Verdict, World},
    store::Store,
};
use weir_lab::{NODE_V4, NODE_V6, Netns, Wiring, runs_as_root, wait_until};
use weir_model::policy::HttpRule;

use self::probe::{Attempt, Transport};
use crate::site::{SOON, Site};

pub(crate) const NAMESPACES: [&str; 3] = ["x", "y", "z"];
pub(crate) const APPS: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 2] = [80, 81];
/// Prefixes with one of the addresses outside each.
const OUTSIDE_NETS: [&str; 4] = ["198.18.200.0/25", "198.18.200.200/32", "2001:db8:200::/121", "2001:db8:200::81/128"];
/// Addresses of the machine outside.
pub(crate) const OUTSIDE: [[&str; 2]; 2] =
    [["198.18.200.1", "2001:db8:200::1"], ["198.18.200.200", "2001:db8:200::81"]];

/// Who takes part in the table.
struct Party {
    name: String,
    /// Index among the callers' namespaces.
    caller: usize,
    /// IPv4, then IPv6.
    addresses: [IpAddr; 2],
    is_pod: bool,
}

/// Nine pods, two addresses outside and the node itself; weir runs.
struct Table {
    site: Site,
    callers: Vec<Netns>,
    parties: Vec<Party>,
    /// The manifests of namespaces and pods.
    members: Vec<Value>,
}

impl Table {
    fn new() -> Self {
        let site = Site::new();
        let mut callers = Vec::new();
        let mut parties = Vec::new();
        let mut members: Vec<Value> = NAMESPACES.into_iter().map(namespace).collect();
        let names = NAMESPACES.into_iter().flat_map(|namespace| APPS.map(|app| (namespace, app)));
        for (number, (namespace, app)) in (10..).zip(names) {
            // Its manifest says more than the site's own would.
            let pod = site.pod(&format!("{namespace}-{app}"), number, Wiring::Routed);
            site.remove(&format!("pod-{namespace}-{app}.yaml"));
            members.push(pod_object(namespace, app, [pod.v4, pod.v6]));
            callers.push(pod.netns().clone());
            let name = format!("{namespace}/{app}");
            parties.push(Party { name, caller: callers.len() - 1, addresses: [pod.v4, pod.v6], is_pod: true });
        }
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = OUTSIDE[0].map(address);
        let (IpAddr::V4(v4), IpAddr::V6(v6)) = (first[0], first[1]) else { unreachable!("one of each family") };
        let outside = site.lab.outside(Some(v4), Some(v6)).expect("build the outside");
        let second = OUTSIDE[1];
        outside
            .ip([format!("addr add {}/32 dev eth0", second[0]), format!("addr add {}/128 dev eth0 nodad", second[1])])
            .expect("a second address");
        let node = site.lab.node();
        node.ip([format!("route add {}/32 dev eth0", second[0]), format!("route add {}/128 dev eth0", second[1])])
            .expect("a way to it");
        callers.push(outside);
        for addresses in OUTSIDE {
            let name = addresses[0].to_owned();
            parties.push(Party { name, caller: callers.len() - 1, addresses: addresses.map(address), is_pod: false });
        }
        callers.push(node.clone());
        let addresses = [NODE_V4.into(), NODE_V6.into()];
        parties.push(Party { name: "node".into(), caller: callers.len() - 1, addresses, is_pod: false });
        for party in &parties {
            for at in party.addresses.into_iter().flat_map(|ip| PORTS.map(|port| SocketAddr::new(ip, port))) {
                probe::serve(&callers[party.caller], at);
            }
        }
        let mut table = Self { site, callers, parties, members };
        table.write(0, &[]);
        table.site.run();
        table
    }

    /// Writes all objects, with one that is new each time, so that every scenario is a revision of its own.
    fn write(&self, number: usize, policies: &[Value]) {
        let marker = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "elsewhere", "namespace": "elsewhere", "labels": {"scenario": number.to_string()}},
            "spec": {"nodeName": "another"}, "status": {"podIP": "198.19.7.7"},
        });
        let items: Vec<&Value> = self.members.iter().chain(policies).chain([&marker]).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.site.write("all.json.new", &list.to_string());
        self.site.rename("all.json.new", "all.json");
    }

    /// Every pair of which at least one is a pod, both transports, both ports, both families.
    fn attempts(&self, world: &World) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for from in &self.parties {
            for to in self.parties.iter().filter(|to| from.is_pod || to.is_pod) {
                for (transport, port) in
                    [Transport::Tcp, Transport::Udp].into_iter().flat_map(|t| PORTS.map(|p| (t, p)))
                {
                    for family in [0, 1] {
                        let (source, target) = (from.addresses[family], to.addresses[family]);
                        let allowed = source == target || passes(world, from, to, family, transport, port);
                        let (source, to) = (SocketAddr::new(source, 0), SocketAddr::new(target, port));
                        attempts.push(Attempt { from: from.caller, source, to, transport, allowed });
                    }
                }
            }
        }
        attempts
    }

    fn describe(&self, wrong: &Attempt) -> String {
        let name =
            |ip: IpAddr| self.parties.iter().find(|party| party.addresses.contains(&ip)).map(|party| &*party.name);
        let (from, to) = (name(wrong.source.ip()).unwrap_or_default(), name(wrong.to.ip()).unwrap_or_default());
        let (should, did) = if wrong.allowed { ("pass", "did not") } else { ("be dropped", "passed") };
        format!("{from} to {to} {} {:?}: should {should}, {did}", wrong.to, wrong.transport)
    }
}

fn passes(world: &World, from: &Party, to: &Party, family: usize, transport: Transport, port: u16) -> bool {
    let party = |party: &Party| match party.name.as_str() {
        "node" => reference::Party::Host,
        _ => reference::Party::Address(party.addresses[family]),
    };
    let protocol = if transport == Transport::Tcp { 6 } else { 17 };
    let question = Question { from: &party(from), to: &party(to), protocol, port, request: None };
    reference::evaluate(world, question).enforced() < Verdict::DenyRequest
}

/// The reference's world, from the same text that weir reads.
fn world(objects: &[&Value]) -> World {
    let mut store = Store::new(Arc::new(|_: &HttpRule| Ok(())));
    store.apply_file("all.json", json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string().as_bytes());
    assert_eq!(store.problems(), [], "every generated object is good");
    World::of(store.objects().map(|(_, stored)| &*stored.object))
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}})
}

/// `web` and `names` are other numbers in each app, and `c` has neither.
pub(crate) fn pod_object(namespace: &str, app: &str, addresses: [IpAddr; 2]) -> Value {
    let named = |web: u16, names: u16| {
        json!([{"name": "web", "containerPort": web, "protocol": "TCP"},
               {"name": "names", "containerPort": names, "protocol": "UDP"}])
    };
    let ports = match app {
        "a" => named(80, 81),
        "b" => named(81, 80),
        _ => json!([]),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": app, "namespace": namespace, "labels": {"app": app}},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": addresses.map(|ip| json!({"ip": ip}))},
    })
}

/// What this run's scenarios follow from: `WEIR_SEED`, or something new.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WEIR_SEED").ok().map(|seed| seed.parse().expect("WEIR_SEED is a number"));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed} repeats this run");
    seed
}

/// How many scenarios, with one to four policies each.
const SCENARIOS: usize = 50;

#[test]
fn who_reaches_whom_is_what_the_language_says() {
    if !runs_as_root() {
        return;
    }
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _guard = runtime.enter();
    let table = Table::new();
    let (mut policies, mut passed, mut dropped) = (0, 0, 0);
    for number in 1..=SCENARIOS {
        let scenario = generate::policies(&mut rng);
        let world = world(&table.members.iter().chain(&scenario).collect::<Vec<_>>());
        let before = table.site.status().map_or(0, |status| status.revision);
        table.write(number, &scenario);
        wait_until("the scenario to be resolved", SOON, || table.site.status().is_some_and(|s| s.revision > before))
            .expect("a new revision");
        table.site.in_force();
        let attempts = table.attempts(&world);
        let wrong = runtime.block_on(probe::make(&table.callers, &attempts));
        let list: Vec<String> = wrong.iter().map(|attempt| table.describe(attempt)).collect();
        let text = serde_json::to_string_pretty(&scenario).expect("JSON");
        assert!(wrong.is_empty(), "WEIR_SEED={seed}, scenario {number}:\n{}\n{text}", list.join("\n"));
        policies += scenario.len();
        passed += attempts.iter().filter(|attempt| attempt.allowed).count();
        dropped += attempts.iter().filter(|attempt| !attempt.allowed).count();
    }
    println!(
        "{SCENARIOS} scenarios, {policies} policies: {passed} calls passed, {dropped} were dropped, as they should"
    );
    assert!(policies >= 100 && passed > 1000 && dropped > 1000, "the scenarios say too little");
}
