//! Maps that are full, maps that are large, and maps read back.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use aya::maps::{LpmTrie, Map, MapData, lpm_trie::Key};
use weir_abi::drop;
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    resolved::{Direction, RuleId},
    wanted::{
        AddressOwner, Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict, PolicyChange,
        PolicyId, WantedChange, WantedEndpoint,
    },
};
use weir_sockmap::{dump, kernel::Sizes};

use crate::{
    harness::{Decision, Harness},
    packet::Packet,
};

const WORLD: Identity = Identity::WORLD_IPV4;
const DENIED: Decision = Decision::Drop(drop::POLICY_DENIED);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Ingress to the ports from 80 on, one entry each.
fn ports(count: u16) -> KernelPolicy {
    let allow = Decided { verdict: KernelVerdict::Allow, rule: RuleId(7) };
    let key =
        |port| EntryKey { direction: Direction::Ingress, peer: Identity::UNKNOWN, protocol: 6, port, port_bits: 16 };
    let verdict = EntryVerdict { enforced: allow, audited: allow, observe: false };
    KernelPolicy {
        ingress: DirectionFlags { default_deny: true, audit_default_deny: true, has_entries: true },
        entries: (80..80 + count).map(|port| (key(port), verdict)).collect(),
        ..KernelPolicy::default()
    }
}

fn pod(number: u32) -> (EndpointId, WantedEndpoint) {
    let endpoint = WantedEndpoint {
        name: PodName { namespace: "default".into(), name: format!("pod{number}") },
        identity: Identity(300 + number),
        addresses: [address(number)].into(),
        policy: PolicyId(number),
    };
    (EndpointId(number), endpoint)
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number).into()
}

/// Pods 1 and up, with these policies.
fn pods(policies: &[KernelPolicy]) -> WantedChange {
    let mut change = WantedChange::default();
    for (number, policy) in (1..).zip(policies) {
        let (id, endpoint) = pod(number);
        let owner = AddressOwner { identity: endpoint.identity, endpoint: Some(id) };
        change.addresses.insert(address(number).into(), Some(owner));
        change.policies.insert(endpoint.policy, PolicyChange::Set(Arc::new(policy.clone())));
        change.endpoints.insert(id, Some(endpoint));
    }
    change
}

fn set(number: u32, policy: KernelPolicy) -> WantedChange {
    let policies = [(PolicyId(number), PolicyChange::Set(Arc::new(policy)))].into();
    WantedChange { policies, ..WantedChange::default() }
}

#[test]
fn a_policy_that_the_map_cannot_hold_locks_its_pod() {
    let Some(mut harness) = Harness::with(Sizes { policy_entries: 8, ..Sizes::default() }) else { return };
    harness.change(&pods(&[ports(3), ports(3)]));
    let world = ip("192.0.2.1");
    let call = |number, port| Packet::tcp(world, address(number), port);
    let out = Packet::tcp(address(1), world, 443);
    assert_eq!(harness.send(&call(1, 80)).0, Decision::Pass);
    assert_eq!(harness.send(&out).0, Decision::Pass);
    // One more than fits beside the old ones: the pod is locked, and the old entries go, so that there is room.
    harness.enforcer.change(&set(1, ports(6)));
    harness.enforcer.finish();
    let problems = harness.enforcer.problems();
    assert!(
        problems.len() == 1 && problems[0].contains("POLICY") && problems[0].contains("default/pod1"),
        "{problems:?}"
    );
    assert!(problems[0].contains("--max-policy-entries"), "{problems:?}");
    for packet in [&call(1, 80), &out, &call(1, 80).answer(), &out.answer()] {
        assert_eq!(harness.send(packet).0, DENIED, "{packet:?}");
    }
    assert_eq!(harness.verdict(&call(2, 80)), Decision::Pass, "the other pod");
    assert!(harness.enforcer.refusals() > 0);
    harness.enforcer.retry();
    harness.enforcer.finish();
    assert_eq!(harness.verdict(&call(1, 80)), DENIED, "there is still no room");
    // The other pod's policy shrinks, and the next retry finds room.
    harness.enforcer.change(&set(2, ports(1)));
    harness.enforcer.retry();
    harness.enforcer.finish();
    assert_eq!(harness.enforcer.problems(), [""; 0]);
    assert_eq!(harness.verdict(&call(1, 85)), Decision::Pass);
}

#[test]
fn a_map_that_is_fuller_than_known_locks_too() {
    let Some(mut harness) = Harness::with(Sizes { policy_entries: 8, ..Sizes::default() }) else { return };
    harness.change(&pods(&[ports(2)]));
    let data = MapData::from_pin(harness.pins.maps().join("POLICY")).expect("open POLICY");
    let mut map: LpmTrie<MapData, [u8; 12], [u8; 12]> =
        LpmTrie::try_from(Map::from_map_data(data).expect("a map")).expect("POLICY");
    let strangers: Vec<_> = (0..5_u8).map(|n| Key::new(96, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, n])).collect();
    for key in &strangers {
        map.insert(key, [0; 12], 0).expect("write POLICY");
    }
    let call = Packet::tcp(ip("192.0.2.1"), address(1), 82);
    harness.enforcer.change(&set(1, ports(4)));
    harness.enforcer.finish();
    assert_eq!(harness.verdict(&call), DENIED);
    assert_eq!(harness.enforcer.problems().len(), 2, "{:?}", harness.enforcer.problems());
    for key in &strangers {
        map.remove(key).expect("write POLICY");
    }
    harness.enforcer.retry();
    harness.enforcer.finish();
    assert_eq!(harness.verdict(&call), Decision::Pass);
    assert_eq!(harness.enforcer.problems(), [""; 0]);
}

#[test]
fn an_address_that_the_map_cannot_hold_opens_nothing() {
    let Some(mut harness) = Harness::with(Sizes { addresses: 4, ..Sizes::default() }) else { return };
    // Pod 1 may be called by the world, pod 2 by everybody.
    let mut to_world = ports(1);
    to_world.entries = to_world.entries.into_iter().map(|(key, v)| (EntryKey { peer: WORLD, ..key }, v)).collect();
    harness.change(&pods(&[to_world, ports(1)]));
    let world = ip("192.0.2.1");
    let calls = [Packet::tcp(world, address(1), 80), Packet::tcp(world, address(2), 80)];
    assert_eq!(calls.each_ref().map(|call| harness.verdict(call)), [Decision::Pass; 2]);
    // A pod elsewhere that is not known must not be the world; and as it is not known who that is, nobody is.
    let mut change = WantedChange::default();
    let owner = AddressOwner { identity: Identity(500), endpoint: None };
    let elsewhere: ipnet::IpNet = "203.0.113.9/32".parse().expect("a prefix");
    change.addresses.insert(elsewhere, Some(owner));
    harness.enforcer.change(&change);
    harness.enforcer.finish();
    let problems = harness.enforcer.problems();
    assert!(problems.len() == 1 && problems[0].contains("--max-addresses"), "{problems:?}");
    assert_eq!(harness.verdict(&Packet::tcp(elsewhere.addr(), address(1), 80)), DENIED);
    assert_eq!(calls.each_ref().map(|call| harness.verdict(call)), [DENIED, Decision::Pass]);
    harness.enforcer.retry();
    assert_eq!(harness.enforcer.problems().len(), 1, "there is still no room");
    change.addresses.insert(elsewhere, None);
    harness.enforcer.change(&change);
    harness.enforcer.retry();
    harness.enforcer.finish();
    assert_eq!(harness.enforcer.problems(), [""; 0]);
    assert_eq!(calls.each_ref().map(|call| harness.verdict(call)), [Decision::Pass; 2]);
    // A pod of this node: its own packets are not from its address, as far as anybody knows.
    let (id, endpoint) = pod(3);
    let owner = AddressOwner { identity: endpoint.identity, endpoint: Some(id) };
    let mut change = set(3, KernelPolicy::default());
    change.endpoints.insert(id, Some(endpoint));
    change.addresses.insert(address(3).into(), Some(owner));
    harness.enforcer.change(&change);
    harness.enforcer.finish();
    let out = Packet::tcp(address(3), world, 80);
    assert_eq!(harness.send_from(&out, 3).0, Decision::Drop(drop::INVALID_SOURCE));
}

#[test]
fn the_maps_are_read_back_as_they_were_written() {
    let Some(mut harness) = Harness::start() else { return };
    harness.change(&pods(&[ports(2), KernelPolicy::default()]));
    harness.send(&Packet::tcp(ip("192.0.2.1"), address(1), 80));
    let dump = dump::read(&harness.pins).expect("read");
    let prefixes: Vec<_> = dump.addresses.iter().map(|a| (a.prefix.as_str(), a.identity, a.endpoint)).collect();
    let expected = [("::/0", 10, 0), ("0.0.0.0/0", 9, 0), ("198.18.0.1/32", 301, 1), ("198.18.0.2/32", 302, 2)];
    assert_eq!(prefixes, expected);
    assert_eq!(dump.endpoints[0].flags, ["ingress default deny", "ingress audited deny", "ingress entries"]);
    assert_eq!(dump.endpoints[1].flags, [""; 0]);
    let entry = &dump.policy[1];
    assert_eq!((entry.slot, entry.ports, entry.verdict.as_str()), (dump.endpoints[0].slot, (81, 81), "allow"));
    assert_eq!((entry.rule, entry.direction, dump.policy.len()), (RuleId(7), Direction::Ingress, 2));
    assert_eq!(dump.flows.len(), 1);
    assert_eq!(dump.flows[0].destination.to_string(), "198.18.0.1:80");
}

/// Prints what one pod costs; fails beyond the bar.
#[test]
fn one_pod_among_many_costs_less_than_a_millisecond() {
    let sizes = Sizes { addresses: 131_072, policy_entries: 131_072, ..Sizes::default() };
    let Some(mut harness) = Harness::with(sizes) else { return };
    let policies: Vec<_> = (0..100).map(|_| ports(100)).collect();
    let mut everything = pods(&policies);
    let elsewhere = |number: u32| AddressOwner { identity: Identity(1000 + number % 20_000), endpoint: None };
    everything.addresses.extend((1000..101_000).map(|number| (address(number).into(), Some(elsewhere(number)))));
    let begin = Instant::now();
    harness.change(&everything);
    println!("first change: {:?}", begin.elapsed());
    let begin = Instant::now();
    let dump = dump::read(&harness.pins).expect("read");
    println!("read back {} addresses, {} entries: {:?}", dump.addresses.len(), dump.policy.len(), begin.elapsed());
    // A pod elsewhere, of an identity of its own, which the policies of ten pods allow.
    let identity = Identity(60_000);
    let mut times = [const { Vec::new() }; 2];
    for round in 0..400_u32 {
        let comes = round % 2 == 0;
        let mut change = WantedChange::default();
        let allow = Decided { verdict: KernelVerdict::Allow, rule: RuleId(7) };
        let verdict = EntryVerdict { enforced: allow, audited: allow, observe: false };
        let key = EntryKey { direction: Direction::Ingress, peer: identity, protocol: 6, port: 443, port_bits: 16 };
        for number in 1..=10 {
            let (put, remove) = if comes { (vec![(key, verdict)], vec![]) } else { (vec![], vec![key]) };
            change.policies.insert(PolicyId(number), PolicyChange::Patch { put, remove });
        }
        let owner = comes.then_some(AddressOwner { identity, endpoint: None });
        change.addresses.insert("203.0.113.9/32".parse().expect("a prefix"), owner);
        let begin = Instant::now();
        harness.enforcer.change(&change);
        harness.enforcer.finish();
        times[usize::from(comes)].push(begin.elapsed());
    }
    for (what, times) in ["removed", "added"].into_iter().zip(&mut times) {
        times.sort();
        println!("one pod {what}: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
        assert!(times[times.len() / 2].as_micros() < 1000, "one pod {what}");
    }
}
