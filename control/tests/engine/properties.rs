//! Random worlds: the engine step by step, from scratch, and beside the reference.

use std::net::IpAddr;

use proptest::{prelude::*, sample::Index};
use weir_control::reference::{self, Because, Judgement, Party, Question, Side, Verdict};
use weir_model::{
    identity::Identity,
    policy::{HttpRule, Mode},
    resolved::{Direction, RuleId},
    wanted::{Decided, KernelVerdict},
};

use crate::{
    mirror::{Mirror, judge},
    worlds::{OUTSIDE, Objects, event, events, note, objects},
};

const KINDS: [(u8, u16); 16] = [
    (6, 80),
    (6, 81),
    (6, 82),
    (6, 85),
    (6, 8080),
    (6, 8081),
    (6, 53),
    (17, 53),
    (17, 80),
    (17, 2000),
    (132, 80),
    (132, 9),
    (1, 8),
    (1, 3),
    (58, 128),
    (47, 0),
];

fn scratch(objects: &Objects) -> Mirror {
    let mut mirror = Mirror::new();
    mirror.step(&events(objects));
    mirror
}

fn parties(world: &reference::World) -> Vec<(Party, Option<IpAddr>)> {
    let pods = world.pods.iter().flat_map(|pod| {
        // Only the address that is its own means the pod.
        let own = pod.addresses.iter().find(|address| {
            world
                .pods
                .iter()
                .find(|other| other.addresses.contains(address))
                .is_some_and(|owner| owner.name == pod.name)
        });
        own.map(|address| (Party::Pod(pod.name.clone()), Some(*address)))
    });
    let outside = OUTSIDE.map(|address| address.parse::<IpAddr>().expect("an address"));
    pods.chain(outside.map(|address| (Party::Address(address), Some(address)))).chain([(Party::Host, None)]).collect()
}

/// Holds one side of a connection against the reference.
fn compare(mirror: &Mirror, side: &Side, peer: (&Party, Option<IpAddr>), kind: (u8, u16), method: &str) {
    let Some(endpoint) = mirror.endpoints.values().find(|endpoint| endpoint.name == side.pod) else { return };
    let peer_identity = peer.1.map_or(Identity::HOST, |address| mirror.identity(address));
    if peer_identity == Identity::HOST && side.direction == Direction::Ingress {
        assert_eq!((side.enforced.verdict, side.audited.verdict), (Verdict::Allow, Verdict::Allow));
        return;
    }
    let policy = &mirror.policies[&endpoint.policy];
    let (enforced, audited, observed) = judge(policy, side.direction, peer_identity, kind.0, kind.1);
    let what = || format!("{} {} {:?} {kind:?} {method}", side.pod, side.direction, peer.0);
    let agrees = |decided: Decided, judged: &Judgement, modes: &[Mode]| {
        let passes = mirror.passes(endpoint.policy, side.direction, peer_identity, kind.1, method, modes);
        let found = match decided.verdict {
            KernelVerdict::Redirect if passes => Verdict::Redirect,
            KernelVerdict::Redirect => Verdict::DenyRequest,
            KernelVerdict::Allow => Verdict::Allow,
            KernelVerdict::Deny | KernelVerdict::None => Verdict::Deny,
        };
        assert_eq!(found, judged.verdict, "{}: {judged:?}", what());
        match &judged.because {
            Because::Rules(rules) => {
                // Of the rules that let a request pass, the kernel names one that wanted to see it.
                let text = mirror.engine.book().rule(decided.rule).expect("a rule with that number");
                assert!(
                    rules.contains(&text.origin) || found == Verdict::Redirect,
                    "{}: {} {judged:?}",
                    what(),
                    text.origin
                );
            }
            Because::NoPolicy => assert_eq!(decided.rule, RuleId(0), "{}", what()),
            Because::Host | Because::NoRule(_) => {}
        }
    };
    agrees(enforced, &side.enforced, &[Mode::Enforce]);
    agrees(audited, &side.audited, &[Mode::Enforce, Mode::Audit]);
    // Only TCP can be shown to the proxy.
    assert!(kind.0 != 6 || observed != side.observed.is_empty(), "{}", what());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the kernel and the proxy make of a connection is what the language says, enforced and audited.
    #[test]
    fn entries_mean_what_the_policies_say(
        objects in objects(),
        flows in prop::collection::vec((any::<Index>(), any::<Index>(), any::<Index>(), any::<bool>()), 40),
    ) {
        let mirror = scratch(&objects);
        let world = reference::World::of(objects.values().map(|object| &**object));
        let parties = parties(&world);
        for (from, to, kind, get) in flows {
            let (from, to, kind) = (from.get(&parties), to.get(&parties), *kind.get(&KINDS));
            let method = if get { "GET" } else { "POST" };
            let request = |rule: &HttpRule| match rule.method.as_deref() {
                Some(wanted) if wanted != method => vec!["method"],
                _ => vec![],
            };
            let (protocol, port) = kind;
            let question = Question { from: &from.0, to: &to.0, protocol, port, request: Some(&request) };
            for side in reference::evaluate(&world, question).sides {
                let peer = if side.direction == Direction::Ingress { from } else { to };
                compare(&mirror, &side, (&peer.0, peer.1), kind, method);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// However things came and went: what is in force is what it would be from scratch.
    #[test]
    fn history_leaves_no_trace(steps in prop::collection::vec(prop::collection::vec(event(), 0..5), 1..14)) {
        let mut mirror = Mirror::new();
        let mut objects = Objects::new();
        for mut events in steps {
            // Of one object, only its last state counts.
            let mut seen = std::collections::BTreeSet::new();
            events.reverse();
            events.retain(|(key, _)| seen.insert(key.clone()));
            note(&mut objects, &events);
            mirror.step(&events);
        }
        prop_assert_eq!(mirror.words(), scratch(&objects).words());
    }
}
