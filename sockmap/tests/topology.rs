//! Which device is whose, as tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use weir_abi::{IFACE_BRIDGE_PORT, IFACE_NO_ETHERNET};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    wanted::{PolicyId, WantedEndpoint},
};
use weir_sockmap::{
    netlink::{Facts, Kind, Link},
    topology::resolve,
};

type Wanted = BTreeMap<EndpointId, WantedEndpoint>;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Devices 1 lo, 2 eth0, 3 br0, 4 lxc-a (routed), 5 lxc-b (port of br0), 6 wg0, 7 unknown, 8 weir0, 9 weir1.
fn facts() -> Facts {
    let link = |(ifindex, name, kind, master): (u32, &str, Kind, Option<u32>)| {
        (ifindex, Link { ifindex, name: name.into(), kind, master, ..Link::default() })
    };
    let links = [
        (1, "lo", Kind::Loopback, None),
        (2, "eth0", Kind::Ethernet, None),
        (3, "br0", Kind::Bridge, None),
        (4, "lxc-a", Kind::Veth, None),
        (5, "lxc-b", Kind::Veth, Some(3)),
        (6, "wg0", Kind::Tunnel, None),
        (7, "ib0", Kind::Other, None),
        (8, "weir0", Kind::Veth, None),
        (9, "weir1", Kind::Veth, None),
    ];
    Facts { links: links.into_iter().map(link).collect(), ..Facts::default() }
}

fn wanted(pods: &[(u32, &str)]) -> Wanted {
    let pod = |&(number, address): &(u32, &str)| {
        let endpoint = WantedEndpoint {
            name: PodName { namespace: "default".into(), name: format!("pod{number}") },
            identity: Identity(1000 + number),
            addresses: BTreeSet::from([ip(address)]),
            policy: PolicyId(1),
        };
        (EndpointId(number), endpoint)
    };
    pods.iter().map(pod).collect()
}

/// ifindex → (endpoint, flags) of all devices with programs.
fn seen(wanted: &Wanted, facts: &Facts) -> (BTreeMap<u32, (u32, u32)>, Vec<String>) {
    let topology = resolve(wanted, facts);
    let devices = topology.devices.iter().map(|(ifindex, device)| (*ifindex, (device.endpoint, device.flags)));
    (devices.collect(), topology.problems)
}

#[test]
fn every_device_but_loopback_bridges_and_weirs_own_is_judged() {
    let (devices, problems) = seen(&Wanted::new(), &facts());
    let expected = [(2, (0, 0)), (4, (0, 0)), (5, (0, IFACE_BRIDGE_PORT)), (6, (0, IFACE_NO_ETHERNET))];
    assert_eq!(devices, BTreeMap::from(expected));
    assert_eq!(problems, [""; 0]);
    assert_eq!(resolve(&Wanted::new(), &facts()).bridges, BTreeSet::from([3]));
}

#[test]
fn a_pods_device_is_found_by_its_address() {
    let port_of = |address: &str| BTreeMap::from([(5, BTreeSet::from([ip(address)]))]);
    /// Case, the device that the address routes to, the addresses behind each bridge port, what comes of it.
    type Row = (&'static str, Option<u32>, BTreeMap<u32, BTreeSet<IpAddr>>, Result<u32, &'static str>);
    let rows: [Row; 6] = [
        ("routed to a veth", Some(4), BTreeMap::new(), Ok(4)),
        ("on a bridge, and a port leads to it", Some(3), port_of("198.18.0.10"), Ok(5)),
        ("on a bridge, and no port leads to it", Some(3), port_of("198.18.0.11"), Err("no port of it leads to")),
        ("routed to the outside", Some(2), BTreeMap::new(), Err("neither a veth nor a bridge")),
        ("not routed", None, BTreeMap::new(), Err("has no route")),
        ("routed to a device that has gone", Some(99), BTreeMap::new(), Err("unknown device")),
    ];
    for (what, route, port_addresses, expected) in rows {
        let routes = route.map(|ifindex| (ip("198.18.0.10"), ifindex)).into_iter().collect();
        let (devices, problems) = seen(&wanted(&[(7, "198.18.0.10")]), &Facts { routes, port_addresses, ..facts() });
        let owner = devices.iter().find(|(_, (endpoint, _))| *endpoint == 7).map(|(ifindex, _)| *ifindex);
        match expected {
            Ok(ifindex) => assert_eq!((owner, problems), (Some(ifindex), vec![]), "{what}"),
            Err(reason) => {
                assert_eq!(owner, None, "{what}");
                assert!(problems.len() == 1 && problems[0].contains(reason), "{what}: {problems:?}");
            }
        }
    }
}

#[test]
fn a_device_that_two_pods_claim_stays_the_firsts() {
    let routes = [("198.18.0.10", 4), ("198.18.0.11", 4)].map(|(address, ifindex)| (ip(address), ifindex)).into();
    let (devices, problems) = seen(&wanted(&[(1, "198.18.0.10"), (2, "198.18.0.11")]), &Facts { routes, ..facts() });
    assert_eq!(devices[&4], (1, 0));
    assert!(problems.len() == 1 && problems[0].contains("pod2"), "{problems:?}");
}
