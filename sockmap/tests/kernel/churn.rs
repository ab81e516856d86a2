//! Packets while changes come: none is judged by a state that never was.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    resolved::{Direction, RuleId},
    wanted::{Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict},
};
use weir_sockmap::plan::Hook;

use crate::{
    harness::{Harness, addresses},
    packet::Packet,
};

const CHANGES: usize = 3000;
const TC_ACT_SHOT: u32 = 2;

/// A policy that allows this peer, one way, and denies everybody else.
fn only(direction: Direction, peer: u32) -> KernelPolicy {
    let allow = Decided { verdict: KernelVerdict::Allow, rule: RuleId(1) };
    let key = EntryKey { direction, peer: Identity(peer), protocol: 0, port: 0, port_bits: 0 };
    let deny = DirectionFlags { default_deny: true, audit_default_deny: true, has_entries: true };
    let flags = |of| if of == direction { deny } else { DirectionFlags::default() };
    KernelPolicy {
        ingress: flags(Direction::Ingress),
        egress: flags(Direction::Egress),
        entries: [(key, EntryVerdict { enforced: allow, audited: allow, observe: false })].into(),
    }
}

#[test]
fn no_packet_is_judged_by_a_mixture() {
    let Some(mut harness) = Harness::start() else { return };
    // In the first world the client's policy denies, in the second the server's; in the third it is the client, in the
    // fourth the server that is somebody else. On the way from one to the next, half of the one and half of the other allow.
    let (client, web) = (EndpointId(1), EndpointId(2));
    let people = |client, web| addresses(&[("198.18.0.1/32", client, 1), ("198.18.0.2/32", web, 2)]);
    let (egress, ingress) = (only(Direction::Egress, 302), only(Direction::Ingress, 301));
    let worlds = [
        (only(Direction::Egress, 999), ingress.clone(), people(301, 302)),
        (egress.clone(), only(Direction::Ingress, 999), people(301, 302)),
        (egress.clone(), ingress.clone(), people(401, 302)),
        (egress, ingress, people(301, 402)),
    ];
    let frame = Packet::tcp("198.18.0.1".parse().expect("v4"), "198.18.0.2".parse().expect("v4"), 80).frame();
    let first = &worlds[0];
    harness.install(&[(client, first.0.clone()), (web, first.1.clone())], &first.2);
    harness.send(&Packet::tcp("198.18.0.1".parse().expect("v4"), "198.18.0.2".parse().expect("v4"), 80));
    let info = harness.enforcer.kernel().program(Hook::FromPod).expect("a program").info().expect("information");
    // The program's owner is busy in the other thread.
    let program = SchedClassifier::from_program_info(info, "from_pod".into()).expect("the program");
    let (ends, denied) = (AtomicBool::new(false), &AtomicBool::new(true));
    thread::scope(|scope| {
        let packets = scope.spawn(|| {
            let mut count = 0_u64;
            while !ends.load(Ordering::Relaxed) {
                let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() };
                let result = program.test_run(options).expect("run the program");
                if result.return_value != TC_ACT_SHOT {
                    denied.store(false, Ordering::Relaxed);
                }
                count += 1;
            }
            count
        });
        for (one, two, people) in worlds.iter().cycle().take(CHANGES) {
            harness.install(&[(client, one.clone()), (web, two.clone())], people);
        }
        ends.store(true, Ordering::Relaxed);
        println!("{CHANGES} changes, {} packets", packets.join().expect("the packets"));
    });
    assert!(denied.load(Ordering::Relaxed), "a packet has passed that no state allows");
}
