//! What devices, addresses and routes this network namespace has, asked over netlink.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage},
    route::{RouteAttribute, RouteMessage},
};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::sync::Notify;

use crate::Error;

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it is an Ethernet device.
    pub mac: Option<[u8; 6]>,
    /// What it is, as far as weir cares.
    pub kind: Kind,
    /// Index of the bridge (or bond, VRF) that it is a port of.
    pub master: Option<u32>,
    /// For a veth: the id of the network namespace of its peer.
    pub peer_netns: Option<i32>,
}

/// Kind of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The loopback device.
    Loopback,
    /// One end of a veth pair.
    Veth,
    /// A bridge.
    Bridge,
    /// Another device with Ethernet frames.
    #[default]
    Ethernet,
    /// A device whose packets begin with the IP header (IP tunnels, WireGuard, tun).
    Tunnel,
    /// A device of which weir does not know what its frames look like.
    Other,
}

/// Everything that decides which device is whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// All devices, by index.
    pub links: BTreeMap<u32, Link>,
    /// The node's own addresses.
    pub host_addresses: BTreeSet<IpAddr>,
    /// For each address that was asked for: the device that it routes to, if it is not the node's own.
    pub routes: BTreeMap<IpAddr, u32>,
    /// For each bridge port whose peer is in another namespace: the addresses configured there.
    pub port_addresses: BTreeMap<u32, BTreeSet<IpAddr>>,
}

/// A netlink connection.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens a connection in the caller's network namespace; wants a tokio runtime.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub fn connect() -> Result<Self, Error> {
        // Strict checking makes the kernel look at a dump's namespace id at all.
        let (connection, handle, _) =
            rtnetlink::new_connection_with_strict_check().map_err(|e| Error::netlink("open socket", e))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks for the devices, the node's addresses, and the routes to `pods`.
    ///
    /// # Errors
    /// If a dump fails; an address without a route is not an error.
    pub async fn facts(&self, pods: impl IntoIterator<Item = IpAddr>) -> Result<Facts, Error> {
        let mut facts = Facts { links: self.links().await?, ..Facts::default() };
        facts.host_addresses = self.addresses(None).await?;
        for address in pods {
            if let Some(ifindex) = self.route(address).await? {
                facts.routes.insert(address, ifindex);
            }
        }
        for link in facts.links.values() {
            let on_bridge =
                link.master.and_then(|master| facts.links.get(&master)).is_some_and(|m| m.kind == Kind::Bridge);
            if let (true, Kind::Veth, Some(netns)) = (on_bridge, link.kind, link.peer_netns) {
                // The namespace may vanish between the two questions.
                let addresses = self.addresses(Some(netns)).await.unwrap_or_default();
                facts.port_addresses.insert(link.ifindex, addresses);
            }
        }
        Ok(facts)
    }

    /// All devices.
    pub(crate) async fn links(&self) -> Result<BTreeMap<u32, Link>, Error> {
        let messages: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(|e| Error::netlink("list links", e))?;
        Ok(messages.into_iter().map(|message| (message.header.index, link(message))).collect())
    }

    /// The addresses of this namespace, or of another one by its id.
    async fn addresses(&self, netns: Option<i32>) -> Result<BTreeSet<IpAddr>, Error> {
        let mut request = self.handle.address().get();
        if let Some(netns) = netns {
            request.message_mut().attributes.push(AddressAttribute::TargetNetNsId(netns));
        }
        let messages: Vec<AddressMessage> =
            request.execute().try_collect().await.map_err(|e| Error::netlink("list addresses", e))?;
        Ok(messages.iter().filter_map(address).collect())
    }

    /// The device that packets to `address` leave by; `None` for the node's own addresses and without a route.
    pub(crate) async fn route(&self, address: IpAddr) -> Result<Option<u32>, Error> {
        let message: RouteMessage = match address {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(v4, 32).build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(v6, 128).build(),
        };
        let mut message = message;
        // The builder's defaults describe a route to add; a look-up must leave them open.
        message.header = netlink_packet_route::route::RouteHeader {
            address_family: if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
            destination_prefix_length: if address.is_ipv4() { 32 } else { 128 },
            ..Default::default()
        };
        message.attributes.retain(|attribute| matches!(attribute, RouteAttribute::Destination(_)));
        let mut answers = Box::pin(self.handle.route().get(message).execute());
        let Some(Ok(answer)) = answers.next().await else { return Ok(None) };
        if answer.header.kind != netlink_packet_route::route::RouteType::Unicast {
            return Ok(None);
        }
        Ok(answer.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(ifindex) => Some(*ifindex),
            _ => None,
        }))
    }
}

/// Wakes `changed` at every change of links, addresses and routes of the namespace, for as long as the runtime lives.
///
/// # Errors
/// If the socket cannot be opened.
pub fn watch(changed: std::sync::Arc<Notify>) -> Result<(), Error> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (connection, _, mut messages) =
        rtnetlink::new_multicast_connection(&groups).map_err(|e| Error::netlink("subscribe", e))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        while messages.next().await.is_some() {
            changed.notify_one();
        }
    });
    Ok(())
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link { ifindex: message.header.index, ..Link::default() };
    link.kind = match message.header.link_layer_type {
        LinkLayerType::Loopback => Kind::Loopback,
        LinkLayerType::Ether => Kind::Ethernet,
        LinkLayerType::None
        | LinkLayerType::Rawip
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre => Kind::Tunnel,
        _ => Kind::Other,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) if link.kind == Kind::Ethernet => link.mac = mac.try_into().ok(),
            LinkAttribute::Controller(master) => link.master = Some(master).filter(|master| *master != 0),
            LinkAttribute::LinkNetNsId(id) => link.peer_netns = Some(id),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(InfoKind::Veth) => link.kind = Kind::Veth,
                        LinkInfo::Kind(InfoKind::Bridge) => link.kind = Kind::Bridge,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    link
}

fn address(message: &AddressMessage) -> Option<IpAddr> {
    // IFA_LOCAL is the own end of a point-to-point address; IPv6 has IFA_ADDRESS only.
    let local =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    local.or_else(|| {
        message.attributes.iter().find_map(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None })
    })
}
