//! What a new snapshot keeps of the one before.

use std::net::Ipv4Addr;

use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    policy::{HttpRule, PolicyKind, PolicyName, Protocol},
    resolved::{Direction, EndpointPolicy, L4Rule, Peers, RuleOrigin},
    snapshot::Pod,
};

use super::*;

/// A pod at 127.0.0.1, whose policy has these rules for everybody.
pub(crate) fn world(revision: u64, rules: Vec<HttpRule>) -> World {
    let policy = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "n".into(), name: "p".into() };
    let rule = L4Rule {
        peers: Peers::Any,
        protocol: Some(Protocol::Tcp),
        port: 0,
        http: Some(Arc::new(rules)),
        origin: RuleOrigin {
            policy: Arc::new(policy),
            rule: 0,
            direction: Direction::Ingress,
            entry: 0,
            port: Some(0),
        },
    };
    let snapshot = Snapshot {
        revision,
        policies: vec![EndpointPolicy { ingress: Some(DirectionPolicy { rules: vec![rule] }), egress: None }],
        pods: vec![Pod {
            endpoint: EndpointId(1),
            name: PodName { namespace: "n".into(), name: "web".into() },
            identity: Identity::FIRST_ALLOCATED,
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            local: true,
            policy: 0,
        }],
        ..Snapshot::default()
    };
    World::compile(&snapshot)
}

/// Allows requests for `path` on port 80.
fn allow(path: &str) -> L4Rule {
    let policy = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "n".into(), name: "p".into() };
    L4Rule {
        peers: Peers::Any,
        protocol: Some(Protocol::Tcp),
        port: 80,
        http: Some(Arc::new(vec![HttpRule { path: Some(path.into()), ..HttpRule::default() }])),
        origin: RuleOrigin {
            policy: Arc::new(policy),
            rule: 0,
            direction: Direction::Ingress,
            entry: 0,
            port: Some(0),
        },
    }
}

fn direction(paths: &[&str]) -> Option<DirectionPolicy> {
    Some(DirectionPolicy { rules: paths.iter().map(|path| allow(path)).collect() })
}

/// A revision with a pod per policy, at [`address`] 0, 1 and so on; each policy is given by the paths that it allows to
/// the pod and from it.
fn snapshot(revision: u64, policies: &[(&[&str], &[&str])]) -> Snapshot {
    let pod = |number: usize| Pod {
        endpoint: EndpointId(u32::try_from(number).expect("few pods")),
        name: PodName { namespace: "n".into(), name: format!("pod-{number}") },
        identity: Identity::FIRST_ALLOCATED,
        addresses: vec![address(number)],
        local: true,
        policy: number,
    };
    Snapshot {
        revision,
        policies: policies
            .iter()
            .map(|(ingress, egress)| EndpointPolicy { ingress: direction(ingress), egress: direction(egress) })
            .collect(),
        pods: (0..policies.len()).map(pod).collect(),
        ..Snapshot::default()
    }
}

fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(198, 18, 0, u8::try_from(number).expect("few pods")).into()
}

fn ingress(world: &World, number: usize) -> &Arc<Ports> {
    world.policy(address(number)).and_then(|policy| policy.ingress.as_ref()).expect("it is enforced")
}

fn egress(world: &World, number: usize) -> &Arc<Ports> {
    world.policy(address(number)).and_then(|policy| policy.egress.as_ref()).expect("it is enforced")
}

#[test]
fn a_revision_compiles_only_what_it_changes() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"]), (&["/b"], &["/y"]), (&["("], &["/z"])]));
    let second = first.next(&snapshot(2, &[(&["/b"], &["/y"]), (&["/new"], &["/x"]), (&["("], &["/z"])]));
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
    let second = first.next(&Snapshot { revision: 2, ..bad });
    assert_eq!(second.problems(), first.problems());
    let third = second.next(&snapshot(3, &[(&["/a"], &["/x"])]));
    assert_eq!(third.problems(), [""; 0]);
}

#[test]
fn equal_directions_share_and_removed_ones_are_dropped() {
    let first = World::compile(&snapshot(1, &[(&["/a"], &["/x"]), (&["/a"], &["/y"])]));
    assert!(Arc::ptr_eq(ingress(&first, 0), ingress(&first, 1)));
    let removed = Arc::downgrade(egress(&first, 1));
    let second = first.next(&snapshot(2, &[(&["/a"], &["/x"])]));
    assert!(second.policy(address(1)).is_none());
    drop(first);
    assert!(removed.upgrade().is_none(), "somebody still holds it");
    assert_eq!(second.compiled.len(), 2);
}
