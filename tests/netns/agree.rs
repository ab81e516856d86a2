//! The policy map and the language: under random policies, what is read back from the kernel, and what the programs do to
//! a packet, is what the reference evaluator says of it.
//!
//! The programs run by `BPF_PROG_TEST_RUN` and are attached nowhere; the way there is the agent's: manifests → store →
//! engine → enforcer → maps. Each rule set replaces the one before it.

mod enrich;
mod flows;
mod judge;

#[path = "../../sockmap/tests/kernel/harness.rs"]
#[expect(dead_code, reason = "more of it is of use to the tests of the programs")]
mod harness;
#[path = "../../sockmap/tests/kernel/packet.rs"]
#[expect(dead_code, reason = "more of it is of use to the tests of the programs")]
mod packet;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use weir_abi::EVENT_AUDITED;
use weir_control::{
    engine::{Engine, Options},
    identities::{Floor, IdentityTable},
    reference::{self, Because, Side, Verdict, World},
    store::{Changes, Store},
};
use weir_lab::{NODE_V4, NODE_V6};
use weir_model::policy::HttpRule;
use weir_sockmap::dump;

use self::{
    flows::{Flow, Party},
    harness::{Decision, Harness},
    judge::{Judged, Maps},
};
use crate::truth::{APPS, NAMESPACES, OUTSIDE, generate, namespace, pod_object, seed};

/// How many rule sets, with one to four policies each, and how many flows are asked about under each.
const RULE_SETS: usize = 10_000;
const FLOWS: usize = 10;

/// A node's agent without its agent: nine pods, one of which is on another node.
struct Node {
    store: Store,
    engine: Engine,
    harness: Harness,
    parties: Arc<[Party]>,
}

impl Node {
    fn new(mut harness: Harness) -> Self {
        let mut parties = Vec::new();
        let mut members: Vec<Value> = NAMESPACES.into_iter().map(namespace).collect();
        let names = NAMESPACES.into_iter().flat_map(|namespace| APPS.map(|app| (namespace, app)));
        for (number, (namespace, app)) in (10..).zip(names) {
            let address = |text: String| text.parse::<IpAddr>().expect("an address");
            let addresses = [address(format!("198.19.0.{number}")), address(format!("2001:db8:19::{number}"))];
            let mut pod = pod_object(namespace, app, addresses);
            let is_here = (namespace, app) != ("z", "b");
            if !is_here {
                pod["spec"]["nodeName"] = "n2".into();
            }
            members.push(pod);
            parties.push(Party { name: format!("{namespace}/{app}"), addresses, is_here });
        }
        for addresses in OUTSIDE.iter().chain(&[["192.0.2.1", "2001:db8:9::1"]]) {
            let name = addresses[0].to_owned();
            let addresses = addresses.map(|text| text.parse().expect("an address"));
            parties.push(Party { name, addresses, is_here: false });
        }
        let addresses = [NODE_V4.into(), NODE_V6.into()];
        parties.push(Party { name: flows::NODE.into(), addresses, is_here: false });
        harness.enforcer.hosts(&BTreeSet::from(addresses));
        let options = Options { node: Some("n1".into()) };
        let engine = Engine::new(options, IdentityTable::new(Floor::default()));
        let store = Store::new(Arc::new(|_: &HttpRule| Ok(())));
        let mut node = Self { store, engine, harness, parties: parties.into() };
        node.read("members.json", &members);
        node
    }

    /// Makes these the objects of the file, down to the maps.
    fn read(&mut self, file: &str, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let changes: Changes = self.store.apply_file(file, list.as_bytes());
        assert_eq!(self.store.problems(), [], "every generated object is good: {list}");
        if let Some((_, wanted)) = self.engine.update(&self.store, &changes) {
            self.harness.change(&wanted);
        }
    }

    fn world(&self) -> World {
        World::of(self.store.objects().map(|(_, stored)| &*stored.object))
    }

    /// What the maps and the programs make of a flow, where that is not what the reference says.
    fn wrong(&mut self, world: &World, maps: &Maps<'_>, flow: &Flow, count: &mut Count) -> Option<String> {
        let answer = reference::evaluate(world, flow.question());
        let is_here = |side: &&Side| self.parties.iter().any(|p| p.is_here && p.name == side.pod.to_string());
        let sides: Vec<&Side> = answer.sides.iter().filter(is_here).collect();
        for side in &sides {
            let judged = maps.judge(flow, side.direction);
            if let Err(what) = self.agree(flow, side, &judged) {
                return Some(format!("{flow}: {} of {}: {what}:\n{side:?}\n{judged:?}", side.direction, side.pod));
            }
        }
        let worst = |verdict: fn(&Side) -> Verdict| sides.iter().copied().map(verdict).max().unwrap_or(Verdict::Allow);
        let (enforced, audited) = (worst(|side| side.enforced.verdict), worst(|side| side.audited.verdict));
        count.note(enforced, audited);
        // The node's own packets meet no program that judges.
        if flow.from.name == flows::NODE {
            return None;
        }
        let (decision, seen) = self.harness.look(&flow.packet());
        let decided = match decision {
            Decision::Pass => Verdict::Allow,
            Decision::Redirect => Verdict::Redirect,
            Decision::Drop(_) => Verdict::Deny,
        };
        let recorded = seen.is_some_and(|seen| seen.kind == EVENT_AUDITED);
        let agrees = decided == enforced && (decided != Verdict::Allow || recorded == (audited == Verdict::Deny));
        (!agrees).then(|| format!("{flow}: the programs: {decision:?} {seen:?}\n{sides:#?}"))
    }

    fn agree(&self, flow: &Flow, side: &Side, judged: &Judged<'_>) -> Result<(), String> {
        for (plane, said, found) in
            [("enforced", &side.enforced, &judged.enforced), ("audited", &side.audited, &judged.audited)]
        {
            if said.verdict != found.verdict {
                return Err(format!("{plane} is {:?} and in the map {:?}", said.verdict, found.verdict));
            }
            let text = self.engine.book().rule(found.rule);
            // Of the rules that let a request pass, the map names one that wanted to see it.
            let is_named = match &said.because {
                Because::Rules(rules) => text.is_some_and(|text| rules.contains(&text.origin)),
                Because::NoPolicy => text.is_none(),
                Because::Host | Because::NoRule(_) => true,
            };
            if !is_named {
                return Err(format!("{plane} because of {:?} and in the map of {text:?}", said.because));
            }
        }
        let shown = !side.observed.is_empty();
        // Only TCP can be shown to the proxy, and what the node sends is not looked at.
        if flow.protocol == 6 && side.enforced.because != Because::Host && shown != judged.observe {
            return Err(format!("observed is {shown}"));
        }
        Ok(())
    }
}

/// What was asked, by answer.
#[derive(Debug, Default)]
struct Count {
    allowed: usize,
    redirected: usize,
    denied: usize,
    /// Denied by the audited policies only.
    audited: usize,
}

impl Count {
    fn note(&mut self, enforced: Verdict, audited: Verdict) {
        match enforced {
            Verdict::Allow => self.allowed += 1,
            Verdict::Redirect | Verdict::DenyRequest => self.redirected += 1,
            Verdict::Deny => self.denied += 1,
        }
        self.audited += usize::from(enforced != Verdict::Deny && audited == Verdict::Deny);
    }
}

#[test]
fn the_map_says_what_the_language_says() {
    let Some(harness) = Harness::start() else { return };
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let mut node = Node::new(harness);
    let parties = Arc::clone(&node.parties);
    let (mut count, mut policies, mut entries, started) = (Count::default(), 0, 0, Instant::now());
    for number in 1..=RULE_SETS {
        let mut objects = generate::policies(&mut rng);
        objects.iter_mut().for_each(|policy| enrich::policy(&mut rng, policy));
        node.read("policies.json", &objects);
        let world = node.world();
        let dump = dump::read(&node.harness.pins).expect("read the maps");
        let maps = Maps::new(&dump);
        (policies, entries) = (policies + objects.len(), entries + dump.policy.len());
        let ports = flows::ports(&objects);
        for _ in 0..FLOWS {
            let flow = Flow::any(&mut rng, &parties, &ports);
            if let Some(what) = node.wrong(&world, &maps, &flow, &mut count) {
                let text = serde_json::to_string_pretty(&objects).expect("JSON");
                panic!("WEIR_SEED={seed}, rule set {number}: {what}\n{text}");
            }
        }
    }
    println!(
        "{RULE_SETS} rule sets of {policies} policies, {entries} entries read back, {FLOWS} flows under each: {count:?} in {:?}",
        started.elapsed()
    );
    let Count { allowed, redirected, denied, audited } = count;
    let least = [allowed, redirected, denied, audited].into_iter().min();
    assert!(least > Some(100), "the rule sets say too little");
}
