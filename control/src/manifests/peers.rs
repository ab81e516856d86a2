//! Peers of an entry, kind by kind.

use weir_model::{
    policy::{CidrGroupPeer, CidrGroups, CidrPeer, Entity, FqdnPeer, PeerSelector, ServicePeer, Services},
    resolved::Direction,
};

use super::{
    cidr,
    context::Context,
    language, names,
    node::{Issues, Node},
    selectors,
};

/// Cilium's limit of characters in a name of `toFQDNs` and `rules.dns`.
const MAX_NAME: usize = 255;

/// Reads an element of a list of peers. `None`: it is refused, or names nobody.
type Read = fn(&Node<'_>, &Context<'_>, &mut Issues) -> Option<PeerSelector>;

/// A list of peers in an entry.
pub(super) struct Kind {
    /// Its name in an entry about ingress.
    from: Option<&'static str>,
    /// Its name in an entry about egress.
    to: &'static str,
    /// The reader of an element.
    pub(super) read: Read,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self { from: Some("fromEndpoints"), to: "toEndpoints", read: endpoints },
        Self { from: Some("fromCIDR"), to: "toCIDR", read: cidr },
        Self { from: Some("fromCIDRSet"), to: "toCIDRSet", read: cidr_set },
        Self { from: Some("fromEntities"), to: "toEntities", read: entity },
        Self { from: Some("fromGroups"), to: "toGroups", read: group },
        Self { from: Some("fromNodes"), to: "toNodes", read: nodes },
        Self { from: None, to: "toServices", read: service },
        Self { from: None, to: "toFQDNs", read: fqdn },
    ];

    /// Its name in an entry about `direction`.
    pub(super) fn field(&self, direction: Direction) -> Option<&'static str> {
        match direction {
            Direction::Ingress => self.from,
            Direction::Egress => Some(self.to),
        }
    }
}

fn endpoints(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    Some(PeerSelector::Endpoints(selectors::peer(node, context, issues)))
}

fn cidr(node: &Node<'_>, _: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    let cidr = cidr::prefix_or_address(node, issues)?;
    Some(PeerSelector::Cidr(CidrPeer { cidr, except: Vec::new() }))
}

fn cidr_set(node: &Node<'_>, _: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    node.check_fields(&language::CIDR_SET, issues);
    let mut except = Vec::new();
    for element in node.child("except").map(|list| list.elements(issues)).unwrap_or_default() {
        except.extend(cidr::prefix(&element, issues).map(|net| (element, net)));
    }
    let nets = || except.iter().map(|(_, net)| *net).collect();
    match (node.child("cidr"), node.child("cidrGroupRef"), node.child("cidrGroupSelector")) {
        (Some(prefix), None, None) => {
            let cidr = cidr::prefix(&prefix, issues)?;
            cidr::check_except(cidr, &except, issues);
            Some(PeerSelector::Cidr(CidrPeer { cidr, except: nets() }))
        }
        (None, Some(group), None) => {
            let name = group.text(issues)?;
            if !names::is_object_name(name) {
                issues.problem(group.path(), format!("{} is no name of a CiliumCIDRGroup", names::quote(name)));
            }
            let groups = CidrGroups::Named(name.into());
            Some(PeerSelector::CidrGroup(CidrGroupPeer { groups, except: nets() }))
        }
        (None, None, Some(selector)) => {
            let groups = CidrGroups::Selected(selectors::unscoped(&selector, issues));
            Some(PeerSelector::CidrGroup(CidrGroupPeer { groups, except: nets() }))
        }
        _ => {
            issues.problem(
                node.path(),
                "must have one of cidr, cidrGroupRef and cidrGroupSelector; write one element each",
            );
            None
        }
    }
}

fn entity(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    let text = node.text(issues)?;
    let Some(entity) = Entity::ALL.into_iter().find(|entity| entity.name() == text) else {
        let known = Entity::ALL.map(Entity::name).join(", ");
        issues.problem(node.path(), format!("{} is no entity; use one of {known}", names::quote(text)));
        return None;
    };
    let effect = match entity {
        Entity::RemoteNode => {
            "weir does not know the addresses of other nodes yet, so it matches nobody; name them as CIDRs"
        }
        Entity::KubeApiserver => {
            "weir does not know the addresses of the API servers yet, so it matches nobody; name them as CIDRs"
        }
        Entity::Cluster | Entity::ClusterMesh => {
            "weir does not know other nodes and API servers yet, so it means pods and this node; name the others as CIDRs"
        }
        Entity::Health | Entity::Ingress | Entity::Unmanaged => {
            issues.note(node.path(), format!("{text} stands for endpoints of Cilium's, which weir has none of"));
            return Some(PeerSelector::Entity(entity));
        }
        _ => return Some(PeerSelector::Entity(entity)),
    };
    context.gap(issues, node.path(), effect);
    Some(PeerSelector::Entity(entity))
}

fn group(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    node.check_fields(&language::GROUP, issues);
    match node.child("aws") {
        Some(aws) => {
            aws.check_fields(&language::AWS, issues);
            if let Some(list) = aws.child("managedPrefixList") {
                list.check_fields(&language::PREFIX_LIST, issues);
            }
        }
        None => issues.problem(node.path_of("aws"), "is missing; a group is one of AWS"),
    }
    let effect =
        "weir asks no cloud for addresses, so it matches nobody; name the group's addresses in a CiliumCIDRGroup";
    context.gap(issues, node.path(), effect);
    None
}

fn nodes(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    let effect = "weir does not know the labels of nodes yet, so it matches nobody; name the nodes' addresses as CIDRs";
    context.gap(issues, node.path(), effect);
    Some(PeerSelector::Nodes(selectors::node_peer(node, issues)))
}

fn service(node: &Node<'_>, _: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    node.check_fields(&language::SERVICE, issues);
    let (reference, services) = match (node.child("k8sService"), node.child("k8sServiceSelector")) {
        (Some(named), None) => {
            named.check_fields(&language::NAMED_SERVICE, issues);
            let Some(name) = named.child("serviceName") else {
                issues.problem(named.path_of("serviceName"), "is missing; name the service");
                return None;
            };
            let text = name.text(issues)?;
            if !names::is_object_name(text) {
                issues.problem(name.path(), format!("{} is no name of a Service", names::quote(text)));
            }
            (named, Services::Named(text.into()))
        }
        (None, Some(selected)) => {
            selected.check_fields(&language::SELECTED_SERVICE, issues);
            let Some(selector) = selected.child("selector") else {
                issues.problem(selected.path_of("selector"), "is missing; write `selector: {}` for every service");
                return None;
            };
            let selector = selectors::unscoped(&selector, issues);
            (selected, Services::Selected(selector))
        }
        _ => {
            issues.problem(node.path(), "must have one of k8sService and k8sServiceSelector; write one element each");
            return None;
        }
    };
    let namespace = match reference.child("namespace") {
        Some(namespace) => Some(namespace.text(issues)?.to_owned()).filter(|text| !text.is_empty()),
        None => None,
    };
    Some(PeerSelector::Service(ServicePeer { services, namespace }))
}

fn fqdn(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Option<PeerSelector> {
    let peer = name(node, issues)?;
    let effect = "weir does not learn addresses from DNS yet, so it matches nobody; name the addresses as CIDRs";
    context.gap(issues, node.path(), effect);
    Some(PeerSelector::Fqdn(peer))
}

/// Reads `matchName` or `matchPattern`.
pub(super) fn name(node: &Node<'_>, issues: &mut Issues) -> Option<FqdnPeer> {
    node.check_fields(&language::FQDN, issues);
    let set = |field: &str| node.child(field).filter(|child| child.value() != "");
    let (child, is_pattern) = match (set("matchName"), set("matchPattern")) {
        (Some(name), None) => (name, false),
        (None, Some(pattern)) => (pattern, true),
        _ => {
            issues.problem(node.path(), "must have one of matchName and matchPattern; write one element each");
            return None;
        }
    };
    let text = child.text(issues)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.') || (is_pattern && b == b'*');
    let labels = text.strip_suffix('.').unwrap_or(text);
    if text.len() > MAX_NAME || !text.bytes().all(good) || labels.split('.').any(str::is_empty) {
        let also = if is_pattern { ", '*'" } else { "" };
        let reason = format!(
            "{} is no name; use at most {MAX_NAME} letters, digits, '-', '_'{also} and single '.'",
            names::quote(text)
        );
        issues.problem(child.path(), reason);
        return None;
    }
    let text = text.to_ascii_lowercase();
    Some(if is_pattern { FqdnPeer::Pattern(text) } else { FqdnPeer::Name(text) })
}
