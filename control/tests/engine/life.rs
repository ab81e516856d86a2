//! What single events do, and many of them.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use weir_control::{
    engine::{Engine, Event, Options},
    identities::{Floor, IdentityTable},
    manifests::{Kind, ObjectKey},
    store::{Changes, Store},
};
use weir_model::{
    identity::Identity,
    resolved::Direction,
    snapshot::SnapshotChange,
    wanted::{KernelVerdict, PolicyChange, WantedChange},
};

use crate::{
    mirror::{Mirror, judge},
    support::{check, pod, policy, store},
    worlds::{self, Objects},
};

const DENY_ALL: &str = "{endpointSelector: {}, ingress: [{}]}";

fn engine(node: Option<&str>) -> Engine {
    Engine::new(Options { node: node.map(str::to_owned) }, IdentityTable::new(Floor::default()))
}

/// Everything that a store holds, as events.
fn events(store: &Store) -> Vec<Event> {
    store.objects().map(|(key, stored)| (key.clone(), Some(Arc::clone(&stored.object)))).collect()
}

fn all(store: &Store) -> Changes {
    Changes { changed: store.objects().map(|(key, _)| key.clone()).collect(), ..Changes::default() }
}

fn pod_key(namespace: &str, name: &str) -> ObjectKey {
    worlds::key(Kind::Pod, namespace, name)
}

#[test]
fn a_revision_grows_only_when_something_changed() {
    let mut store = store(&[("a.yaml", &pod("a", "p", "app: w", "10.0.0.1"))]);
    let mut engine = engine(None);
    let revisions = |change: Option<(SnapshotChange, WantedChange)>| change.map(|(s, w)| (s.revision, w.revision));
    assert_eq!(revisions(engine.update(&store, &all(&store))), Some((1, 1)));
    assert_eq!(revisions(engine.update(&store, &all(&store))), None);
    // A policy that selects nobody changes nothing.
    let nobody = policy("x", "{endpointSelector: {matchLabels: {app: z}}, ingress: [{}]}");
    let changes = store.apply_file("b.yaml", nobody.as_bytes());
    assert_eq!(revisions(engine.update(&store, &changes)), None);
    let changes = store.apply_file("b.yaml", policy("x", DENY_ALL).as_bytes());
    assert_eq!(revisions(engine.update(&store, &changes)), Some((2, 2)));
}

#[test]
fn an_empty_world_has_a_revision_too() {
    let mut engine = engine(None);
    let (snapshot, wanted) = engine.update(&Store::new(check()), &Changes::default()).expect("the first change");
    assert_eq!((snapshot.revision, wanted.revision), (1, 1));
    assert!(engine.update(&Store::new(check()), &Changes::default()).is_none());
}

#[test]
fn pods_of_other_nodes_have_identities_but_no_endpoint() {
    let on = |node: &str, text: String| text.replace("status:", &format!("spec: {{nodeName: {node}}}\nstatus:"));
    let text = on("node-1", pod("a", "here", "app: w", "10.0.0.1"))
        + &on("node-2", pod("a", "there", "app: w", "10.0.0.2"))
        + &pod("a", "unset", "app: w", "10.0.0.3");
    let store = store(&[("a.yaml", &text)]);
    for (node, expected) in [(None, [true, true, true]), (Some("node-1"), [true, false, true])] {
        let (snapshot, wanted) = engine(node).apply(&events(&store)).expect("a change");
        let local = |pod: &str| {
            let pod = snapshot.pods.values().flatten().find(|known| known.name.name == pod);
            pod.expect("the pod").policy.is_some()
        };
        assert_eq!(["here", "there", "unset"].map(local), expected, "{node:?}");
        assert_eq!(wanted.endpoints.len(), expected.iter().filter(|local| **local).count());
        let owners: Vec<bool> = wanted.addresses.values().flatten().map(|owner| owner.endpoint.is_some()).collect();
        assert_eq!(owners, expected, "{node:?}");
        assert_eq!((snapshot.identities.len(), snapshot.policies.len()), (1, 1), "they share identity and policy");
    }
}

#[test]
fn an_address_belongs_to_the_first_pod_by_name() {
    let q = pod("a", "q", "app: q", "10.0.0.1");
    let mut store = store(&[("f.yaml", &q), ("g.yaml", &pod("b", "a", "app: a", "10.0.0.2"))]);
    let mut mirror = Mirror::new();
    mirror.step(&events(&store));
    let owner =
        |mirror: &Mirror| mirror.people.pod_or_world([10, 0, 0, 1].into()).pod.clone().map(|pod| pod.to_string());
    assert_eq!(owner(&mirror).as_deref(), Some("a/q"));
    store.apply_file("h.yaml", pod("a", "p", "app: p", "10.0.0.1").as_bytes());
    mirror.step(&events(&store));
    assert_eq!(owner(&mirror).as_deref(), Some("a/p"));
    let names: BTreeSet<String> = mirror.snapshot.pods.values().map(|pod| pod.name.to_string()).collect();
    assert_eq!(names, ["a/p", "b/a"].map(str::to_owned).into());
    let problems: Vec<String> = mirror.engine.problems(&store).iter().map(ToString::to_string).collect();
    let reason = "status.podIPs: 10.0.0.1 is already the address of pod a/p; remove the pod that is stale";
    assert_eq!(problems, [format!("f.yaml document 1: Pod/a/q: {reason}")]);
    mirror.step(&[(pod_key("a", "p"), None)]);
    assert_eq!(owner(&mirror).as_deref(), Some("a/q"), "it falls back to the other");
}

/// The new labels' entries come with the change that moves the address, and the old ones' go with it.
#[test]
fn a_relabelled_pod_moves_in_one_change() {
    let rule = "{endpointSelector: {matchLabels: {app: s}}, ingress: [{fromEndpoints: [{matchLabels: {app: p}}, {matchLabels: {app: q}}]}]}";
    let world = |app: &str| pod("a", "s", "app: s", "10.0.0.1") + &pod("a", "p", app, "10.0.0.2") + &policy("x", rule);
    let mut store = store(&[("f.yaml", &world("app: p"))]);
    let mut engine = engine(None);
    let (_, first) = engine.apply(&events(&store)).expect("a change");
    let net = IpNet::from(IpAddr::from([10, 0, 0, 2]));
    let before = first.addresses[&net].expect("an owner").identity;
    let changes = store.apply_file("f.yaml", world("app: q").as_bytes());
    let (snapshot, wanted) = engine.update(&store, &changes).expect("a change");
    let after = wanted.addresses[&net].expect("an owner").identity;
    assert_eq!(wanted.addresses.len(), 1, "one write");
    assert_ne!(before, after);
    let [PolicyChange::Patch { put, remove }] = &wanted.policies.values().collect::<Vec<_>>()[..] else {
        panic!("{:?}", wanted.policies)
    };
    assert_eq!(put.iter().map(|(key, _)| key.peer).collect::<Vec<_>>(), [after]);
    assert_eq!(remove.iter().map(|key| key.peer).collect::<Vec<_>>(), [before]);
    assert!(snapshot.policies.is_empty(), "the rules are the same");
    // Labels that no rule speaks of: the address moves, the policy stays.
    let changes = store.apply_file("f.yaml", world("app: q, tier: x").as_bytes());
    let (_, wanted) = engine.update(&store, &changes).expect("a change");
    assert_eq!(wanted.addresses.len(), 1);
    assert!(wanted.policies.values().all(|change| matches!(change, PolicyChange::Patch { .. })));
}

/// An address that goes from one pod to another in one event is written once, and never the world's in between.
#[test]
fn an_address_that_is_used_again_is_written_once() {
    let mut store = store(&[("p.yaml", &pod("a", "p", "app: p", "10.0.0.1"))]);
    let mut engine = engine(None);
    engine.apply(&events(&store));
    let mut changes = store.remove_file("p.yaml");
    changes.changed.extend(store.apply_file("q.yaml", pod("a", "q", "app: q", "10.0.0.1").as_bytes()).changed);
    let (snapshot, wanted) = engine.update(&store, &changes).expect("a change");
    assert!(wanted.addresses.values().all(Option::is_some) && wanted.addresses.len() == 1);
    let gone = snapshot.pods.values().filter(|pod| pod.is_none()).count();
    assert_eq!((snapshot.pods.len(), gone, wanted.endpoints.len()), (2, 1, 2));
}

#[test]
fn a_pod_of_which_no_number_is_left_is_allowed_nothing() {
    let mut mirror = Mirror::new();
    let label =
        |n: usize| store(&[("f.yaml", &pod("a", &format!("p{n}"), &format!("app: v{n}"), &format!("fd00::{n:x}")))]);
    let range = (Identity::FIRST_ALLOCATED.0..=Identity::LAST_ALLOCATED.0).count();
    let many: Vec<Event> = (1..=range).flat_map(|n| events(&label(n))).collect();
    mirror.step(&many);
    let late = label(range + 1);
    mirror.step(&events(&late));
    let name = format!("p{}", range + 1);
    let find = |mirror: &Mirror| mirror.endpoints.values().find(|pod| pod.name.name == name).cloned().expect("the pod");
    let endpoint = find(&mirror);
    assert_eq!(endpoint.identity, Identity::INIT);
    for direction in [Direction::Ingress, Direction::Egress] {
        let policy = &mirror.policies[&endpoint.policy];
        let verdict = judge(policy, direction, Identity::WORLD_IPV4, 6, 80).0.verdict;
        assert_eq!(verdict, KernelVerdict::Deny, "{direction}");
    }
    assert_eq!(mirror.engine.problems(&late).len(), 1);
    mirror.step(&[(pod_key("a", "p1"), None)]);
    assert_eq!(find(&mirror).identity, Identity::INIT, "not within the event that frees a number");
    mirror.step(&[(pod_key("a", "p2"), None)]);
    assert!(find(&mirror).identity >= Identity::FIRST_ALLOCATED);
    assert_eq!(mirror.engine.problems(&late), []);
}

#[test]
fn a_restart_changes_no_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("identities.json");
    let rule = "{endpointSelector: {}, egress: [{toCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.7/32]}]}]}";
    let pods = |names: &[&str]| {
        names.iter().map(|name| pod("a", name, &format!("app: {name}"), &format!("fd00::{name}"))).collect::<String>()
    };
    let mut store = store(&[("f.yaml", &(pods(&["a", "b", "c"]) + &policy("x", rule)))]);
    let mut first = engine(None);
    first.apply(&events(&store));
    let changes = store.apply_file("f.yaml", (pods(&["b", "c"]) + &policy("x", rule)).as_bytes());
    let (_, gone) = first.update(&store, &changes).expect("a change");
    assert_eq!(gone.endpoints.len(), 1);
    first.table().save(&path).expect("saved");
    let (table, problem) = IdentityTable::load(&path, Floor::default());
    assert_eq!(problem, None);
    // While nobody watched, b went and d came.
    let changes = store.apply_file("f.yaml", (pods(&["c", "d"]) + &policy("x", rule)).as_bytes());
    let (before, _) = first.update(&store, &changes).expect("a change");
    let (after, _) = Engine::new(Options::default(), table).apply(&events(&store)).expect("a change");
    let kept: Vec<_> = after.pods.iter().filter(|(id, _)| before.pods.contains_key(id)).collect();
    assert_eq!(kept.len(), 1, "only d is new to both");
    assert_eq!(after.identities.len(), 4, "c, d and two prefixes");
    assert_eq!(after.prefixes.len(), 2);
    let numbers: BTreeSet<Identity> = after.prefixes.values().flatten().copied().collect();
    assert_eq!(numbers, [Identity::FIRST_LOCAL, Identity(Identity::FIRST_LOCAL.0 + 1)].into());
}

#[test]
fn a_reference_to_nothing_is_named() {
    let rule = "{endpointSelector: {}, egress: [{toCIDRSet: [{cidrGroupRef: g}]}, {toServices: [{k8sService: {serviceName: s, namespace: a}}]}]}";
    let mut store = store(&[("f.yaml", &policy("x", rule))]);
    let mut engine = engine(None);
    engine.apply(&events(&store));
    let problems: Vec<String> = engine.problems(&store).into_iter().map(|problem| problem.reason).collect();
    let there_is = |what: &str| format!("there is no {what}; until there is, it matches nobody");
    assert_eq!(problems, [there_is("group g"), there_is("service a/s")]);
    let group =
        "{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: g}, spec: {externalCIDRs: [192.0.2.0/24]}}";
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: s, namespace: a}, spec: {selector: {app: w}}}";
    let changes = store.apply_file("g.yaml", format!("{group}\n{service}").as_bytes());
    engine.update(&store, &changes);
    assert_eq!(engine.problems(&store), []);
}

/// 10,000 events of pods and 500 edits of policies, with others between: what is in force is what it would be from scratch.
#[test]
fn a_long_history_leaves_no_trace() {
    let mut runner = TestRunner::deterministic();
    let mut draw = |strategy: &dyn Fn(&mut TestRunner) -> Event| strategy(&mut runner);
    let pod = |runner: &mut TestRunner| worlds::pod().new_tree(runner).expect("a pod").current();
    let policy = |runner: &mut TestRunner| worlds::policy().new_tree(runner).expect("a policy").current();
    let other = |runner: &mut TestRunner| worlds::other().new_tree(runner).expect("an object").current();
    let (mut mirror, mut objects) = (Mirror::new(), Objects::new());
    mirror.checks = false;
    for round in 0..10_000 {
        let mut step = vec![draw(&pod)];
        if round % 20 == 0 {
            step.push(draw(&policy));
        }
        if round % 50 == 0 {
            step.push(draw(&other));
        }
        worlds::note(&mut objects, &step);
        mirror.step(&step);
        if round % 500 == 499 {
            let mut scratch = Mirror::new();
            scratch.step(&worlds::events(&objects));
            assert_eq!(mirror.words(), scratch.words(), "after {round} rounds");
        }
    }
}
