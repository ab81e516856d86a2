//! The programs and the mirror's evaluator say the same about every packet.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::{prelude::*, test_runner::TestRunner};
use weir_abi::{EVENT_AUDITED, EVENT_FORWARDED, EVENT_REDIRECTED};
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    resolved::{Direction, RuleId},
    wanted::{Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict},
};
use weir_sockmap::judge::{Outcome, Question};

use crate::{
    harness::{Decision, Harness, Seen, addresses},
    packet::{Packet, TCP, UDP},
};

/// Identities of two pods of the node, of one elsewhere, of two prefixes, one in the other; and the world's.
const PEOPLE: [(&str, u32, u32); 10] = [
    ("198.18.0.1/32", 300, 1),
    ("2001:db8::1/128", 300, 1),
    ("198.18.0.2/32", 400, 2),
    ("2001:db8::2/128", 400, 2),
    ("198.18.0.3/32", 500, 0),
    ("2001:db8::3/128", 500, 0),
    ("203.0.113.0/24", 1 << 24, 0),
    ("203.0.113.128/25", (1 << 24) + 1, 0),
    ("2001:db8:5::/48", 1 << 24, 0),
    ("2001:db8:5:1::/64", (1 << 24) + 1, 0),
];

const ENDS: [[&str; 6]; 2] = [
    ["198.18.0.1", "198.18.0.2", "198.18.0.3", "203.0.113.1", "203.0.113.200", "192.0.2.1"],
    ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:5::1", "2001:db8:5:1::1", "2001:db8:9::1"],
];

fn verdict() -> impl Strategy<Value = KernelVerdict> {
    use KernelVerdict::{Allow, Deny, None, Redirect};
    prop_oneof![1 => Just(None), 3 => Just(Allow), 1 => Just(Redirect), 2 => Just(Deny)]
}

fn entry() -> impl Strategy<Value = (EntryKey, EntryVerdict)> {
    let peer = prop_oneof![
        Just(0_u32),
        Just(300),
        Just(400),
        Just(500),
        Just(1 << 24),
        Just((1 << 24) + 1),
        Just(9),
        Just(10)
    ];
    let kind = prop_oneof![
        Just((0, 0, 0)),
        (prop_oneof![Just(6_u8), Just(17), Just(132), Just(1), Just(58), Just(47)], any::<u16>(), 0..=16_u8),
        (Just(6), Just(80), 10..=16_u8),
        (Just(17), Just(53), 12..=16_u8),
    ];
    (any::<bool>(), peer, kind, verdict(), verdict(), any::<bool>(), 1..9_u32).prop_map(
        |(to, peer, (protocol, port, port_bits), enforced, audited, observe, rule)| {
            let direction = if to { Direction::Ingress } else { Direction::Egress };
            let port = port & u16::MAX.checked_shl(16 - u32::from(port_bits)).unwrap_or(0);
            let key = EntryKey { direction, peer: Identity(peer), protocol, port, port_bits };
            let decided = |verdict, rule| Decided { verdict, rule: RuleId(rule) };
            (key, EntryVerdict { enforced: decided(enforced, rule), audited: decided(audited, rule + 10), observe })
        },
    )
}

fn policy() -> impl Strategy<Value = KernelPolicy> {
    let flags = || {
        (any::<bool>(), any::<bool>()).prop_map(|(default_deny, audit_default_deny)| DirectionFlags {
            default_deny,
            audit_default_deny,
            has_entries: true,
        })
    };
    (flags(), flags(), prop::collection::vec(entry(), 0..16)).prop_map(|(ingress, egress, entries)| KernelPolicy {
        ingress,
        egress,
        entries: entries.into_iter().collect(),
    })
}

/// Family, ends, protocol, port or type.
type Call = (usize, usize, usize, u8, u16);

fn call() -> impl Strategy<Value = Call> {
    let what = prop_oneof![
        (Just(TCP), prop_oneof![Just(80_u16), Just(81), any::<u16>()]),
        (Just(UDP), prop_oneof![Just(53_u16), any::<u16>()]),
        (Just(132_u8), any::<u16>()),
        (Just(1_u8), prop_oneof![Just(8_u16), Just(13)]),
        (Just(47_u8), Just(0_u16)),
    ];
    // One end is a pod of the node; the other may be.
    (0..2_usize, 0..2_usize, 0..6_usize, any::<bool>(), what).prop_map(|(family, pod, other, out, (protocol, port))| {
        let (from, to) = if out { (pod, other) } else { (other, pod) };
        (family, from, to, protocol, port)
    })
}

fn packet((family, from, to, protocol, port): Call) -> (Packet, Question) {
    let (from, to): (IpAddr, IpAddr) =
        (ENDS[family][from].parse().expect("an address"), ENDS[family][to].parse().expect("an address"));
    let packet = match protocol {
        TCP => Packet::tcp(from, to, port),
        1 => Packet::icmp(from, to, if from.is_ipv4() { 8 } else { 128 }),
        47 => Packet::other(from, to, 47),
        _ => Packet::datagram(from, to, protocol, 40_000, port),
    };
    let port = if protocol == 1 { packet.payload[0].into() } else { port };
    let addr = |ip| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let question = Question { source: addr(from), destination: addr(to), protocol: packet.protocol, port: Some(port) };
    (packet, question)
}

#[test]
fn the_programs_and_the_mirror_agree() {
    let Some(mut harness) = Harness::start() else { return };
    let people = addresses(&PEOPLE);
    assert!(people.iter().all(|(net, _)| *net == IpNet::trunc(net)));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() });
    let cases = (policy(), policy(), prop::collection::vec(call(), 50));
    let harness = std::cell::RefCell::new(&mut harness);
    let run = runner.run(&cases, |(one, two, calls)| {
        let mut harness = harness.borrow_mut();
        harness.install(&[(EndpointId(1), one), (EndpointId(2), two)], &people);
        for call in calls {
            let (packet, question) = packet(call);
            let (decision, seen) = harness.look(&packet);
            let judgement = harness.enforcer.state().judge(&question);
            let (expected, kind, reason) = match judgement.outcome {
                Outcome::Pass if judgement.audited.is_some() => (Decision::Pass, EVENT_AUDITED, 0),
                Outcome::Pass => (Decision::Pass, EVENT_FORWARDED, 0),
                Outcome::Redirect => (Decision::Redirect, EVENT_REDIRECTED, 0),
                Outcome::Drop(reason) => (Decision::Drop(reason), weir_abi::EVENT_DROPPED, reason),
            };
            prop_assert_eq!(decision, expected, "{:?}: {:?}", packet, judgement);
            let seen = seen.expect("an event");
            let cookie = judgement.audited.unwrap_or(judgement.cookie);
            let direction = if judgement.audited.is_some() { seen.direction } else { judgement.direction };
            prop_assert_eq!(seen, Seen { kind, reason, direction, cookie }, "{:?}", packet);
        }
        Ok(())
    });
    run.expect("they agree");
}
