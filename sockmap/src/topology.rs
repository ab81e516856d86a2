//! Which device is whose: pure, from what is wanted and what netlink says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use weir_abi::{IFACE_BRIDGE_PORT, IFACE_NO_ETHERNET};
use weir_model::{endpoint::EndpointId, wanted::WantedEndpoint};

use crate::{
    netlink::{Facts, Kind},
    plan::Device,
    routing::{HANDOVER, HANDOVER_PEER},
};

/// The devices to attach to, and what could not be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// By index.
    pub devices: BTreeMap<u32, Device>,
    /// Bridges: what they receive, the programs on their ports have judged.
    pub bridges: BTreeSet<u32>,
    /// Pods without a device, each as a sentence.
    pub problems: Vec<String>,
}

/// Finds each endpoint's device, and the node's other devices.
pub fn resolve(endpoints: &BTreeMap<EndpointId, WantedEndpoint>, facts: &Facts) -> Topology {
    let mut topology = Topology::default();
    for (&id, endpoint) in endpoints {
        for &address in &endpoint.addresses {
            match device_of(address, facts) {
                Ok(ifindex) => claim(&mut topology, facts, ifindex, id, &endpoint.name.to_string()),
                Err(reason) => topology.problems.push(format!("pod {}: {address} {reason}", endpoint.name)),
            }
        }
    }
    let bridges = facts.links.values().filter(|link| link.kind == Kind::Bridge);
    topology.bridges = bridges.map(|link| link.ifindex).collect();
    for link in facts.links.values() {
        let own = link.name == HANDOVER || link.name == HANDOVER_PEER;
        // A bridge's ports are judged one by one; what its own device receives, they have let through.
        let judged_elsewhere = matches!(link.kind, Kind::Loopback | Kind::Bridge | Kind::Other) || own;
        if !judged_elsewhere && !topology.devices.contains_key(&link.ifindex) {
            let layout = if link.kind == Kind::Tunnel { IFACE_NO_ETHERNET } else { 0 };
            let flags = bridge_flag(facts, link.ifindex) | layout;
            topology.devices.insert(link.ifindex, Device { name: link.name.clone(), endpoint: 0, flags });
        }
    }
    topology
}

fn claim(topology: &mut Topology, facts: &Facts, ifindex: u32, id: EndpointId, pod: &str) {
    let name = facts.links.get(&ifindex).map(|link| link.name.clone()).unwrap_or_default();
    let device = Device { name, endpoint: id.0, flags: bridge_flag(facts, ifindex) };
    match topology.devices.get(&ifindex) {
        Some(other) if other.endpoint != id.0 => topology.problems.push(format!(
            "pod {pod}: its device {} is already that of endpoint {}; one veth serves one pod",
            other.name, other.endpoint
        )),
        _ => {
            topology.devices.insert(ifindex, device);
        }
    }
}

/// The veth that leads to an address, directly or as a port of the bridge that the address routes to.
fn device_of(address: IpAddr, facts: &Facts) -> Result<u32, String> {
    let Some(&ifindex) = facts.routes.get(&address) else { return Err("has no route to a device of this node".into()) };
    let Some(link) = facts.links.get(&ifindex) else { return Err(format!("routes to unknown device {ifindex}")) };
    match link.kind {
        Kind::Veth => Ok(ifindex),
        // What is configured in the port's namespace cannot be claimed by ARP from another port.
        Kind::Bridge => facts
            .port_addresses
            .iter()
            .find(|(port, addresses)| {
                addresses.contains(&address) && facts.links.get(port).is_some_and(|port| port.master == Some(ifindex))
            })
            .map(|(port, _)| *port)
            .ok_or_else(|| format!("routes to bridge {}, but no port of it leads to the address", link.name)),
        _ => Err(format!("routes to {}, which is neither a veth nor a bridge", link.name)),
    }
}

fn bridge_flag(facts: &Facts, ifindex: u32) -> u32 {
    let master = facts.links.get(&ifindex).and_then(|link| link.master);
    let on_bridge = master.and_then(|master| facts.links.get(&master)).is_some_and(|link| link.kind == Kind::Bridge);
    if on_bridge { IFACE_BRIDGE_PORT } else { 0 }
}
