//! The order of a plan's actions: whatever the old state and the new, no packet in between is judged by a mixture.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use proptest::prelude::*;
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    policy::{PolicyKind, PolicyName},
    resolved::{Direction, RuleOrigin},
    wanted::{AddressOwner, EntryKey, EntryVerdict, KernelPolicy, Wanted, WantedEndpoint},
};
use weir_sockmap::{
    plan::{Action, Cookies, Device, Entries, State, desire, plan},
    topology::Topology,
};

/// A policy of a few entries out of a few, so that policies resemble each other.
fn policy() -> impl Strategy<Value = KernelPolicy> {
    let entry = (0_u32..3, 0_u16..3, any::<bool>(), any::<bool>());
    (prop::collection::vec(entry, 0..5), any::<bool>(), any::<bool>()).prop_map(|(entries, ingress, egress)| {
        let entries = entries.into_iter().map(|(peer, port, redirect, to)| {
            let direction = if to { Direction::Ingress } else { Direction::Egress };
            let key = EntryKey { direction, peer: Identity(peer), protocol: 6, port };
            let name = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "d".into(), name: "p".into() };
            let origin = RuleOrigin { policy: Arc::new(name), rule: 0, direction, entry: port, port: None };
            (key, EntryVerdict { redirect, origin })
        });
        KernelPolicy { enforce_ingress: ingress, enforce_egress: egress, entries: entries.collect() }
    })
}

/// Up to four pods, each with an address and a device.
fn wanted() -> impl Strategy<Value = (Wanted, Topology)> {
    prop::collection::btree_map(1_u32..5, (policy(), 0_u8..4, 1_u32..6), 0..4).prop_map(|pods| {
        let (mut wanted, mut topology) = (Wanted::default(), Topology::default());
        for (number, (policy, address, ifindex)) in pods {
            let address = IpAddr::from(Ipv4Addr::new(198, 18, 0, address));
            let (id, identity) = (EndpointId(number), Identity(1000 + number));
            wanted.addresses.insert(address, AddressOwner { identity, endpoint: Some(id) });
            let name = PodName { namespace: "d".into(), name: format!("pod{number}") };
            let addresses = BTreeSet::from([address]);
            wanted.endpoints.insert(id, WantedEndpoint { name, identity, addresses, policy: Arc::new(policy) });
            let device = Device { name: format!("lxc{ifindex}"), endpoint: number, flags: 0 };
            topology.devices.entry(ifindex).or_insert(device);
        }
        (wanted, topology)
    })
}

/// What an endpoint is judged by: its flags, and its slot's entries.
fn policies(state: &State) -> BTreeMap<u32, (u32, Entries)> {
    let of_slot = |slot: u32| state.policies.get(&slot).cloned().unwrap_or_default();
    state.endpoints.iter().map(|(number, (slot, flags))| (*number, (*flags, of_slot(*slot)))).collect()
}

fn check_step(before: &State, after: &State, now: &State, action: &Action) {
    let (old, new) = (policies(before), policies(after));
    for (number, policy) in policies(now) {
        let whole = old.get(&number) == Some(&policy) || new.get(&number) == Some(&policy);
        assert!(whole, "endpoint {number} is judged by a mixture after {action:?}");
    }
    for (endpoint, _) in now.ifaces.values() {
        let known = *endpoint == 0 || now.endpoints.contains_key(endpoint);
        assert!(known, "a device of endpoint {endpoint}, which has no policy, after {action:?}");
    }
    for (_, endpoint) in now.addresses.values() {
        let known = *endpoint == 0 || now.endpoints.contains_key(endpoint);
        assert!(known, "an address of endpoint {endpoint}, which has no policy, after {action:?}");
    }
}

proptest! {
    #[test]
    fn every_step_from_one_state_to_the_next_is_whole(steps in prop::collection::vec(wanted(), 1..5)) {
        let (mut state, mut cookies, mut attached) = (State::default(), Cookies::default(), BTreeMap::new());
        for (wanted, topology) in steps {
            let desired = desire(&wanted, &topology, [], &state, &mut cookies);
            let before = state.clone();
            for action in plan(&before, &desired, &attached) {
                state.apply(&action);
                check_step(&before, &desired.state, &state, &action);
                if let Action::Attach(ifindex, ..) = &action {
                    prop_assert!(state.ifaces.contains_key(ifindex), "a program before its device is known");
                }
            }
            prop_assert_eq!(&state, &desired.state);
            attached = desired.devices.clone();
            // And once it is there, nothing is left to do.
            let again = desire(&wanted, &topology, [], &state, &mut cookies);
            prop_assert_eq!(plan(&state, &again, &attached), []);
        }
    }

    #[test]
    fn a_write_that_fails_is_made_good_by_the_next_plan(
        first in wanted(), second in wanted(), fails in prop::collection::vec(any::<bool>(), 64),
    ) {
        let (mut state, mut cookies) = (State::default(), Cookies::default());
        for (wanted, topology) in [&first, &second] {
            let desired = desire(wanted, topology, [], &state, &mut cookies);
            let actions = plan(&state, &desired, &BTreeMap::new());
            for (action, _) in actions.iter().zip(&fails).filter(|(_, fails)| !**fails) {
                state.apply(action);
            }
        }
        let (wanted, topology) = &second;
        let desired = desire(wanted, topology, [], &state, &mut cookies);
        for action in plan(&state, &desired, &BTreeMap::new()) {
            state.apply(&action);
        }
        prop_assert_eq!(policies(&state), policies(&desired.state));
        prop_assert_eq!(state, desired.state);
    }
}
