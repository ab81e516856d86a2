//! Prefixes, and CiliumCIDRGroups.

use std::net::IpAddr;

use ipnet::IpNet;
use weir_model::labels::{LabelKey, LabelSet};

use super::{
    ObjectKey, language, names,
    node::{Issues, Node},
    workload,
};

/// A CiliumCIDRGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CidrGroup {
    /// Its name, which `cidrGroupRef` refers to.
    pub name: String,
    /// Its labels, which `cidrGroupSelector` matches, with source `cidrgroup`.
    pub labels: LabelSet,
    /// `spec.externalCIDRs`, without host bits.
    pub cidrs: Vec<IpNet>,
}

pub(super) fn group(key: &ObjectKey, root: &Node<'_>, issues: &mut Issues) -> Option<CidrGroup> {
    root.check_fields(&language::CIDR_GROUP, issues);
    let Some(spec) = root.child("spec") else {
        issues.problem("spec", "is missing; list the prefixes as spec.externalCIDRs");
        return None;
    };
    spec.check_fields(&language::CIDR_GROUP_SPEC, issues);
    let cidrs = spec.child("externalCIDRs").map(|list| list.elements(issues)).unwrap_or_default();
    let labels = workload::labels(root, issues).into_iter();
    Some(CidrGroup {
        name: key.name.clone(),
        labels: labels.map(|(key, value)| (LabelKey { source: "cidrgroup".into(), key }, value)).collect(),
        cidrs: cidrs.iter().filter_map(|node| prefix(node, issues)).collect(),
    })
}

/// Reads a prefix; a bare address is none.
pub(super) fn prefix(node: &Node<'_>, issues: &mut Issues) -> Option<IpNet> {
    let text = node.text(issues)?;
    match text.parse::<IpNet>() {
        Ok(net) => checked(net, node, issues),
        Err(_) => {
            let remedy = match text.parse::<IpAddr>() {
                Ok(address) => format!("write {}", IpNet::from(address)),
                Err(_) => "write an address and a length, as in 10.0.0.0/8".to_owned(),
            };
            issues.problem(node.path(), format!("{} is no prefix; {remedy}", names::quote(text)));
            None
        }
    }
}

/// Reads a prefix, or an address that stands for the prefix of that address alone (Cilium up to 1.19).
pub(super) fn prefix_or_address(node: &Node<'_>, issues: &mut Issues) -> Option<IpNet> {
    match node.text(issues)?.parse::<IpAddr>() {
        Ok(address) => checked(address.into(), node, issues),
        Err(_) => prefix(node, issues),
    }
}

fn checked(net: IpNet, node: &Node<'_>, issues: &mut Issues) -> Option<IpNet> {
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        issues.problem(node.path(), format!("{net} is an IPv4 prefix in an IPv6 address; write the IPv4 prefix"));
        return None;
    }
    if net.trunc() != net {
        issues.note(node.path(), format!("{net} has bits set behind its length; it means {}", net.trunc()));
    }
    Some(net.trunc())
}

/// Refuses exceptions that are not inside of the prefix.
pub(super) fn check_except(cidr: IpNet, except: &[(Node<'_>, IpNet)], issues: &mut Issues) {
    for (node, net) in except {
        if !cidr.contains(net) {
            issues.problem(
                node.path(),
                format!("{net} is not inside of {cidr}; an exception takes away a part of the prefix"),
            );
        }
    }
}
