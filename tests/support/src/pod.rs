//! Pods, and how each wiring ties one to the node. The batches are pure functions of the spec; [`crate::Lab`] runs them.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};

use crate::netns::Netns;

/// The node's own IPv4 address, on its loopback device: what pods see when the node itself calls them.
pub const NODE_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 1);
/// The node's own IPv6 address, on its loopback device.
pub const NODE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

/// The gateway of a routed pod: owned by the node's end of every such link, so no proxy ARP is needed.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The IPv6 gateway of a routed pod, the same on every link.
const GATEWAY_V6: &str = "fe80::1";
/// The name of a link is at most 15 characters (`IFNAMSIZ` less the final NUL).
const LINK_NAME_MAX: usize = 15;

/// How a pod's link meets the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring<'a> {
    /// A host route to the pod's veth, as Calico, Cilium and the cloud CNIs do it.
    Routed,
    /// The veth is a port of the named Linux bridge, as flannel, kindnet and docker do it. The pods' subnet is the /24
    /// and the /64 around the address; the bridge has the first address of each and is the pods' gateway.
    Bridge(&'a str),
}

/// What to build. At least one address is needed; IPv4 of 198.18.0.0/15, IPv6 of 2001:db8::/32.
#[derive(Clone, Copy, Debug)]
pub struct PodSpec<'a> {
    /// Names the namespace (`<prefix>-<name>`) and the node's end of the link (`lxc-<name>`): 11 characters at most.
    pub name: &'a str,
    /// The IPv4 address, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address, if it has one.
    pub v6: Option<Ipv6Addr>,
    /// How it is tied to the node.
    pub wiring: Wiring<'a>,
}

/// A pod: a namespace with the device `eth0`.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The pod's namespace.
    pub netns: Netns,
    /// The IPv4 address, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address, if it has one.
    pub v6: Option<Ipv6Addr>,
    /// The name of the node's end of the pod's link.
    pub host_link: String,
}

/// The `ip` commands that build one pod's link, for the node's namespace and then for the pod's.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) node: Vec<String>,
    pub(crate) pod: Vec<String>,
}

/// The name of the node's end of the link to the pod of that name.
pub(crate) fn host_link(name: &str) -> Result<String> {
    let link = format!("lxc-{name}");
    ensure!(link.len() <= LINK_NAME_MAX, "pod name {name}: {link} is longer than {LINK_NAME_MAX} characters");
    Ok(link)
}

/// Refuses addresses that could belong to anyone.
pub(crate) fn check(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Result<()> {
    ensure!(v4.is_some() || v6.is_some(), "a pod needs an address");
    if let Some(v4) = v4 {
        let [a, b, ..] = v4.octets();
        ensure!(a == 198 && b & 0xfe == 18, "{v4} is not of 198.18.0.0/15");
    }
    if let Some(v6) = v6 {
        ensure!(v6.segments()[..2] == [0x2001, 0xdb8], "{v6} is not of 2001:db8::/32");
    }
    Ok(())
}

/// A point-to-point link: the node routes the pod's addresses to `host_link`, the pod routes everything to the node.
pub(crate) fn routed(host_link: &str, netns: &Netns, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Plan {
    let mut node = vec![
        format!("link add {host_link} type veth peer name eth0 netns {}", netns.name()),
        format!("link set {host_link} up"),
    ];
    let mut pod = vec!["link set eth0 up".to_owned()];
    if let Some(v4) = v4 {
        node.push(format!("addr add {GATEWAY_V4}/32 dev {host_link} scope link"));
        node.push(format!("route add {v4}/32 dev {host_link} scope link src {NODE_V4}"));
        pod.push(format!("addr add {v4}/32 dev eth0"));
        pod.push(format!("route add {GATEWAY_V4}/32 dev eth0 scope link"));
        pod.push(format!("route add default via {GATEWAY_V4} dev eth0"));
    }
    if let Some(v6) = v6 {
        node.push(format!("addr add {GATEWAY_V6}/64 dev {host_link} nodad"));
        node.push(format!("route add {v6}/128 dev {host_link} src {NODE_V6}"));
        pod.push(format!("addr add {v6}/128 dev eth0 nodad"));
        pod.push(format!("route add ::/0 via {GATEWAY_V6} dev eth0"));
    }
    Plan { node, pod }
}

/// A port of `bridge`, which the caller has made: the subnet is on-link for both sides.
pub(crate) fn bridged(
    bridge: &str,
    host_link: &str,
    netns: &Netns,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
) -> Result<Plan> {
    let mut node = vec![
        format!("link add {host_link} type veth peer name eth0 netns {}", netns.name()),
        format!("link set {host_link} master {bridge} up"),
    ];
    let mut pod = vec!["link set eth0 up".to_owned()];
    if let Some(v4) = v4 {
        let [a, b, c, _] = v4.octets();
        let gateway = Ipv4Addr::new(a, b, c, 1);
        ensure!(v4 != gateway, "{v4} is the bridge's own address");
        // `replace`: the second pod of a subnet finds the address already there.
        node.push(format!("addr replace {gateway}/24 dev {bridge}"));
        pod.push(format!("addr add {v4}/24 dev eth0"));
        pod.push(format!("route add default via {gateway} dev eth0"));
    }
    if let Some(v6) = v6 {
        let [a, b, c, d, ..] = v6.segments();
        let gateway = Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1);
        ensure!(v6 != gateway, "{v6} is the bridge's own address");
        node.push(format!("addr replace {gateway}/64 dev {bridge} nodad"));
        pod.push(format!("addr add {v6}/64 dev eth0 nodad"));
        pod.push(format!("route add ::/0 via {gateway} dev eth0"));
    }
    Ok(Plan { node, pod })
}
