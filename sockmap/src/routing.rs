//! The routing rule that keeps redirected packets local, and weir's own veth for packets from bridge ports.
//!
//! As commands: `ip rule add pref 100 fwmark 0x1000/0x3000 lookup 4096`, `ip route add local default dev lo table 4096`,
//! both for IPv4 and IPv6.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt;
use netlink_packet_route::{
    route::{RouteMessage, RouteScope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use rtnetlink::{IpVersion, LinkUnspec, LinkVeth, RouteMessageBuilder};
use weir_abi::{Config, MARK_MASK, MARK_TO_PROXY};

use crate::{
    Error,
    netlink::{Link, Netlink},
};

/// Routing table of the one local route; the number is the mark's.
const TABLE: u32 = MARK_TO_PROXY;
/// Before the main table (32766) and the usual rules of CNIs; the local table (0) may come first, as what it finds is
/// delivered locally anyway.
const PRIORITY: u32 = 100;
/// Weir's own veth: what is redirected into it enters the node's IP path.
pub(crate) const HANDOVER: &str = "weir0";
/// Its other end, unused.
pub(crate) const HANDOVER_PEER: &str = "weir1";

/// Makes sure that rule and route exist, for both families.
///
/// # Errors
/// If the kernel refuses one.
pub async fn ensure(netlink: &Netlink) -> Result<(), Error> {
    for (family, route) in local_routes(netlink).await? {
        let added = netlink.handle().route().add(route).replace().execute().await;
        added.map_err(|e| Error::netlink(format!("add the local {family} route"), e))?;
    }
    for version in [IpVersion::V4, IpVersion::V6] {
        if own_rules(netlink, version.clone()).await?.is_empty() {
            add_rule(netlink, version).await?;
        }
    }
    Ok(())
}

/// The routes of the table, each with its family's name.
async fn local_routes(netlink: &Netlink) -> Result<[(&'static str, RouteMessage); 2], Error> {
    let lo = netlink.links().await?.into_values().find(|link| link.name == "lo").map_or(1, |link| link.ifindex);
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
        .output_interface(lo)
        .table_id(TABLE)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(Ipv6Addr::UNSPECIFIED, 0)
        .output_interface(lo)
        .table_id(TABLE)
        .kind(RouteType::Local)
        .build();
    Ok([("IPv4", v4), ("IPv6", v6)])
}

async fn add_rule(netlink: &Netlink, version: IpVersion) -> Result<(), Error> {
    let request = netlink
        .handle()
        .rule()
        .add()
        .table_id(TABLE)
        .priority(PRIORITY)
        .fw_mark(MARK_TO_PROXY)
        .action(RuleAction::ToTable);
    let failed = |e| Error::netlink("add the fwmark rule", e);
    match version {
        IpVersion::V4 => {
            let mut request = request.v4();
            request.message_mut().attributes.push(RuleAttribute::FwMask(MARK_MASK));
            request.execute().await.map_err(failed)
        }
        IpVersion::V6 => {
            let mut request = request.v6();
            request.message_mut().attributes.push(RuleAttribute::FwMask(MARK_MASK));
            request.execute().await.map_err(failed)
        }
    }
}

async fn own_rules(netlink: &Netlink, version: IpVersion) -> Result<Vec<RuleMessage>, Error> {
    let rules: Vec<RuleMessage> = netlink
        .handle()
        .rule()
        .get(version)
        .execute()
        .try_collect()
        .await
        .map_err(|e| Error::netlink("list rules", e))?;
    let own = |rule: &RuleMessage| {
        rule.attributes.contains(&RuleAttribute::FwMark(MARK_TO_PROXY))
            && rule.attributes.contains(&RuleAttribute::FwMask(MARK_MASK))
    };
    Ok(rules.into_iter().filter(own).collect())
}

/// Makes sure that weir's own veth exists, and says what the programs need to know of it.
///
/// # Errors
/// If it cannot be made.
pub async fn ensure_handover(netlink: &Netlink) -> Result<(Link, Config), Error> {
    let find = |links: std::collections::BTreeMap<u32, Link>| links.into_values().find(|link| link.name == HANDOVER);
    let mut link = find(netlink.links().await?);
    if link.is_none() {
        let veth = LinkVeth::new(HANDOVER, HANDOVER_PEER).up().build();
        netlink.handle().link().add(veth).execute().await.map_err(|e| Error::netlink("add veth weir0", e))?;
        // Its packets come from pods' addresses, which route elsewhere, and from the node's own.
        for (key, value) in [("rp_filter", "0"), ("accept_local", "1")] {
            let _ = fs::write(format!("/proc/sys/net/ipv4/conf/{HANDOVER}/{key}"), value);
        }
        link = find(netlink.links().await?);
    }
    let gone = || Error::netlink("find veth weir0", std::io::Error::other("it vanished"));
    let link = link.ok_or_else(gone)?;
    for name in [HANDOVER, HANDOVER_PEER] {
        let up = LinkUnspec::new_with_name(name).up().build();
        netlink.handle().link().set(up).execute().await.map_err(|e| Error::netlink(format!("set {name} up"), e))?;
    }
    let mac = link.mac.ok_or_else(gone)?;
    let config = Config { handover_ifindex: link.ifindex, handover_mac: mac, zero: [0; 2] };
    Ok((link, config))
}

/// Removes rules, routes and weir's own veth.
///
/// # Errors
/// If the kernel refuses; what is not there is not an error.
pub async fn remove(netlink: &Netlink) -> Result<(), Error> {
    for version in [IpVersion::V4, IpVersion::V6] {
        for rule in own_rules(netlink, version).await? {
            netlink.handle().rule().del(rule).execute().await.map_err(|e| Error::netlink("remove the rule", e))?;
        }
    }
    for (_, route) in local_routes(netlink).await? {
        // Not being there is the only refusal to expect.
        let _ = netlink.handle().route().del(route).execute().await;
    }
    if let Some(link) = netlink.links().await?.into_values().find(|link| link.name == HANDOVER) {
        let removed = netlink.handle().link().del(link.ifindex).execute().await;
        removed.map_err(|e| Error::netlink("remove veth weir0", e))?;
    }
    Ok(())
}
