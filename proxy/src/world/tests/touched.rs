//! Whose connections a change concerns.

use weir_model::{resolved::SelectorId, snapshot::KnownIdentity};

use super::*;
use crate::origin::Ends;

fn ends(client: IpAddr, server: IpAddr) -> Ends {
    Ends { client: (client, 40_000).into(), server: (server, 80).into() }
}

fn known(selectors: &[u32]) -> Option<KnownIdentity> {
    let selectors = selectors.iter().map(|id| SelectorId(*id)).collect();
    Some(KnownIdentity { selectors, ..KnownIdentity::default() })
}

fn world_ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

#[test]
fn only_those_whose_verdict_can_change() {
    let mut snapshot = snapshot(1, &[(&["/a"], &["/x"]), (&["/b"], &["/y"])]);
    snapshot.identities = [(Identity::FIRST_ALLOCATED, known(&[1]).expect("known"))].into();
    let before = World::compile(&snapshot);
    let none = SnapshotChange::default;
    let prefix = |text: &str| text.parse().expect("a prefix");
    let changes = [
        ("nothing", none()),
        ("a pod", SnapshotChange { pods: [(EndpointId(0), Some(pod(0, address(7), 0)))].into(), ..none() }),
        ("a pod is gone", SnapshotChange { pods: [(EndpointId(1), None)].into(), ..none() }),
        ("a policy", SnapshotChange { policies: [(PolicyId(1), None)].into(), ..none() }),
        ("an identity is new", SnapshotChange { identities: [(Identity(300), known(&[1]))].into(), ..none() }),
        ("an identity as it was", SnapshotChange { identities: [(Identity(256), known(&[1]))].into(), ..none() }),
        ("an identity", SnapshotChange { identities: [(Identity(256), known(&[1, 2]))].into(), ..none() }),
        ("the world", SnapshotChange { identities: [(Identity::WORLD_IPV4, known(&[2]))].into(), ..none() }),
        ("a prefix", SnapshotChange { prefixes: [(prefix("192.0.2.0/30"), Some(Identity(1 << 24)))].into(), ..none() }),
    ];
    let connections = [
        ends(address(0), address(1)),
        ends(address(7), world_ip(9)),
        ends(world_ip(1), address(1)),
        ends(world_ip(9), address(0)),
    ];
    let expected = ["....", "xx.x", "x.x.", "x.x.", "....", "....", "x.xx", ".xxx", "..x."];
    for ((name, change), expected) in changes.iter().zip(expected) {
        let (touched, world) = (Touched::of(&before, change), before.next(change));
        let concerned = connections.iter().map(|ends| if touched.concerns(*ends, &world) { 'x' } else { '.' });
        assert_eq!(concerned.collect::<String>(), expected, "{name}");
        assert!(Touched::everybody().concerns(connections[0], &world));
    }
}
