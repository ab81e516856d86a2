//! What a new snapshot keeps of the one before.

use std::net::Ipv4Addr;

use weir_model::{
    endpoint::PodName,
    identity::Identity,
    policy::{HttpRule, Mode, PolicyKind, PolicyName, PortRange, Protocol},
    resolved::{DirectionPolicy, L4Rule, Peers, RuleId, RuleOrigin},
    snapshot::Pod,
};

use super::*;

mod touched;

/// Allows these requests on these ports to everybody.
pub(crate) fn allow(ports: PortRange, http: Option<Vec<HttpRule>>) -> L4Rule {
    let policy = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "n".into(), name: "p".into() };
    L4Rule {
        peers: Peers::Any,
        protocol: Some(Protocol::Tcp),
        ports,
        deny: false,
        mode: Mode::Enforce,
        http: http.map(Arc::new),
        id: RuleId(7),
        log: Some("logged".into()),
        origin: RuleOrigin {
            policy: Arc::new(policy),
            rule: 0,
            direction: Direction::Ingress,
            deny: false,
            entry: 0,
            port: Some(0),
        },
    }
}

/// Default deny, but for these.
pub(crate) fn closed(rules: Vec<L4Rule>) -> DirectionPolicy {
    DirectionPolicy { default_deny: true, audit_default_deny: true, rules }
}

/// A pod of this node.
pub(crate) fn pod(number: usize, address: IpAddr, policy: u32) -> Arc<Pod> {
    Arc::new(Pod {
        name: PodName { namespace: "n".into(), name: format!("pod-{number}") },
        identity: Identity::FIRST_ALLOCATED,
        addresses: vec![address],
        policy: Some(PolicyId(policy)),
    })
}

/// A pod at 127.0.0.1 with this policy for what comes in.
pub(crate) fn world_of(revision: u64, ingress: DirectionPolicy) -> World {
    let policy = EndpointPolicy { ingress, ..EndpointPolicy::default() };
    let snapshot = Snapshot {
        revision,
        policies: [(PolicyId(1), Arc::new(policy))].into(),
        pods: [(EndpointId(1), pod(0, Ipv4Addr::LOCALHOST.into(), 1))].into(),
        ..Snapshot::default()
    };
    World::compile(&snapshot)
}

/// A pod at 127.0.0.1, whose policy has these rules for everybody.
pub(crate) fn world(revision: u64, rules: Vec<HttpRule>) -> World {
    world_of(revision, closed(vec![allow(PortRange::ALL, Some(rules))]))
}

fn direction(paths: &[&str]) -> DirectionPolicy {
    let http = |path: &&str| vec![HttpRule { path: Some((*path).into()), ..HttpRule::default() }];
    closed(paths.iter().map(|path| allow(PortRange::one(80), Some(http(path)))).collect())
}

/// A revision with a pod per policy, at [`address`] 0, 1 and so on; each policy is given by the paths that it allows to
/// the pod and from it.
fn snapshot(revision: u64, policies: &[(&[&str], &[&str])]) -> Snapshot {
    let number = |number: usize| u32::try_from(number).expect("few pods");
    let policy = |(index, (ingress, egress)): (usize, &(&[&str], &[&str]))| {
        let policy = EndpointPolicy { ingress: direction(ingress), egress: direction(egress) };
        (PolicyId(number(index)), Arc::new(policy))
    };
    let pods = (0..policies.len()).map(|index| (EndpointId(number(index)), pod(index, address(index), number(index))));
    Snapshot {
        revision,
        policies: policies.iter().enumerate().map(policy).collect(),
        pods: pods.collect(),
        ..Snapshot::default()
    }
}

fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(198, 18, 0, u8::try_from(number).expect("few pods")).into()
}

fn ingress(world: &World, number: usize) -> &Arc<Ports> {
    &world.policy(address(number)).expect("it is enforced").ingress
}

fn egress(world: &World, number: usize) -> &Arc<Ports> {
    &world.policy(address(number)).expect("it is enforced").egress
}

#[test]
fn a_revision_compiles_only_what_it_changes() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"]), (&["/b"], &["/y"]), (&["("], &["/z"])]));
    let second = first.replaced(&snapshot(2, &[(&["/b"], &["/y"]), (&["/new"], &["/x"]), (&["("], &["/z"])]));
    assert_eq!(second.revision(), 2);
    assert!(Arc::ptr_eq(ingress(&first, 1), ingress(&second, 0)), "the same policy at another place");
    assert!(Arc::ptr_eq(egress(&first, 1), egress(&second, 0)));
    assert!(!Arc::ptr_eq(ingress(&first, 0), ingress(&second, 1)), "the policy was edited");
    assert!(Arc::ptr_eq(egress(&first, 0), egress(&second, 1)), "only its other direction was edited");
    assert!(Arc::ptr_eq(ingress(&first, 2), ingress(&second, 2)), "what does not compile is not tried again");
}

#[test]
fn a_problem_is_reported_for_as_long_as_its_policy_is_there() {
    let bad = snapshot(1, &[(&["("], &["/x"]), (&["("], &["/y"]), (&["/a", "(", "("], &["/x"])]);
    let first = World::compile(&bad);
    assert_eq!(first.problems().len(), 2, "one per direction that has it: {:?}", first.problems());
    assert!(first.problems()[0].starts_with("port 80 denies every request: "), "{:?}", first.problems());
    let second = first.replaced(&Snapshot { revision: 2, ..bad });
    assert_eq!(second.problems(), first.problems());
    let third = second.replaced(&snapshot(3, &[(&["/a"], &["/x"])]));
    assert_eq!(third.problems(), [""; 0]);
}

#[test]
fn equal_directions_share_and_removed_ones_are_dropped() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"]), (&["/a"], &["/y"])]));
    assert!(Arc::ptr_eq(ingress(&first, 0), ingress(&first, 1)));
    let removed = Arc::downgrade(egress(&first, 1));
    let second = first.replaced(&snapshot(2, &[(&["/a"], &["/x"])]));
    assert!(second.policy(address(1)).is_none());
    drop(first);
    assert!(removed.upgrade().is_none(), "somebody still holds it");
    assert_eq!(second.compiled.size(), 2);
}

#[test]
fn a_change_makes_what_the_whole_would() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"]), (&["/b"], &["/y"])]));
    let edited = snapshot(2, &[(&["/new"], &["/x"])]);
    let change = SnapshotChange {
        revision: 2,
        policies: [(PolicyId(0), edited.policies.get(&PolicyId(0)).cloned()), (PolicyId(1), None)].into(),
        pods: [(EndpointId(1), None), (EndpointId(5), Some(pod(5, address(5), 0)))].into(),
        ..SnapshotChange::default()
    };
    let second = first.next(&change);
    assert_eq!(second.revision(), 2);
    assert!(second.policy(address(1)).is_none(), "the pod is gone");
    assert!(Arc::ptr_eq(ingress(&second, 0), ingress(&second, 5)));
    assert!(!Arc::ptr_eq(ingress(&second, 0), ingress(&first, 0)), "the policy was edited");
    assert!(Arc::ptr_eq(egress(&second, 0), egress(&first, 0)));
    assert!(first.policy(address(1)).is_some(), "the revision before is as it was");
    assert_eq!(second.compiled.size(), 2);
}

#[test]
fn an_address_moves_from_pod_to_pod_in_either_order() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"]), (&["/b"], &["/y"])]));
    let moved = pod(1, address(0), 1);
    let gone = |id| (EndpointId(id), None);
    let at_once =
        SnapshotChange { pods: [gone(0), (EndpointId(1), Some(moved.clone()))].into(), ..SnapshotChange::default() };
    let taken = SnapshotChange { pods: [(EndpointId(1), Some(moved))].into(), ..SnapshotChange::default() };
    let given_up = SnapshotChange { pods: [gone(0)].into(), ..SnapshotChange::default() };
    for world in [first.next(&at_once), first.next(&taken).next(&given_up)] {
        assert!(Arc::ptr_eq(ingress(&world, 0), ingress(&first, 1)));
        assert!(world.policy(address(1)).is_none());
    }
}

#[test]
fn a_pod_whose_policy_is_not_known_is_closed() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"])]));
    let world = first.next(&SnapshotChange { policies: [(PolicyId(0), None)].into(), ..SnapshotChange::default() });
    assert!(ingress(&world, 0).rules(80).is_none() && egress(&world, 0).rules(80).is_none());
}

#[test]
fn ports_are_found_in_their_stretch() {
    let range = |first, last| allow(PortRange { first, last }, None);
    let ports = Ports::compile(&closed(vec![range(80, 80), range(70, 90), range(65_000, 65_535), range(0, 10)]));
    let same = |a, b| match (ports.rules(a), ports.rules(b)) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    for (a, b) in [(0, 10), (11, 69), (70, 79), (79, 81), (91, 64_999), (11, 91), (65_000, 65_535)] {
        assert!(same(a, b), "{a} {b}");
    }
    for (a, b) in [(10, 11), (69, 70), (79, 80), (80, 81), (90, 91), (64_999, 65_000)] {
        assert!(!same(a, b), "{a} {b}");
    }
}

/// Prints what a change of one pod costs in a large world.
#[test]
fn a_change_costs_what_it_changes() {
    let remote = |number: u32| {
        let address = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
        let name = PodName { namespace: "n".into(), name: format!("remote-{number}") };
        let identity = Identity(256 + number % 20_000);
        (EndpointId(number), Arc::new(Pod { name, identity, addresses: vec![address], policy: None }))
    };
    let mut large = snapshot(1, &[(&["/a"], &["/x"])]);
    large.pods.extend((1_000..101_000).map(remote));
    let begun = std::time::Instant::now();
    let mut world = World::compile(&large);
    let whole = begun.elapsed();
    let begun = std::time::Instant::now();
    const CHANGES: u32 = 1_000;
    for revision in 2..2 + CHANGES {
        let (id, new) = remote(200_000 + revision);
        let frame = serde_json::to_vec(&SnapshotChange {
            revision: revision.into(),
            pods: [(id, Some(new))].into(),
            ..SnapshotChange::default()
        });
        let change = serde_json::from_slice(&frame.expect("it has a form")).expect("its own");
        world = world.next(&change);
    }
    println!("100,000 pods: whole {whole:?}, a pod more {:?}", begun.elapsed() / CHANGES);
    assert_eq!(world.revision(), u64::from(CHANGES) + 1);
}
