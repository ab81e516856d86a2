//! Whom a peer selector means.

use std::net::IpAddr;

use ipnet::IpNet;
use weir_model::{
    labels::{LabelKey, LabelSet, SOURCE_RESERVED},
    policy::{CidrGroups, Entity, PeerSelector, ServicePeer, Services},
    selector::Selector,
};

use super::{Pod, World};

/// The other end, as seen by the policies of one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer<'a> {
    Pod(&'a Pod),
    Host,
    /// Neither a pod's address nor a node's.
    World(IpAddr),
}

impl Pod {
    pub(super) fn is_init(&self) -> bool {
        self.labels.get(SOURCE_RESERVED, "init").is_some()
    }
}

/// Whether `selector`, narrowed by `requires` if it speaks of pods, means `peer`.
pub(super) fn selects(world: &World, selector: &PeerSelector, requires: &[&Selector], peer: Peer<'_>) -> bool {
    match selector {
        PeerSelector::Endpoints(selector) => {
            let labels = labels(peer);
            let narrowed = |labels: &LabelSet| requires.iter().all(|required| required.matches(labels));
            let asks = selector.asks_for_reserved() || requires.iter().any(|required| required.asks_for_reserved());
            let is_pod = matches!(peer, Peer::Pod(pod) if !pod.is_init());
            (is_pod || asks) && selector.matches(&labels) && narrowed(&labels)
        }
        PeerSelector::Cidr(cidr) => in_cidrs(&[cidr.cidr], &cidr.except, peer),
        PeerSelector::CidrGroup(groups) => {
            let meant = world.groups.iter().filter(|group| match &groups.groups {
                CidrGroups::Named(name) => group.name == *name,
                CidrGroups::Selected(selector) => selector.matches(&group.labels),
            });
            meant.into_iter().any(|group| in_cidrs(&group.cidrs, &groups.except, peer))
        }
        PeerSelector::Entity(entity) => is_entity(*entity, peer),
        PeerSelector::Service(service) => is_behind(world, service, peer),
        // Nodes have no labels yet, and names no addresses.
        PeerSelector::Nodes(_) | PeerSelector::Fqdn(_) => false,
    }
}

fn labels(peer: Peer<'_>) -> LabelSet {
    let reserved = |name: &str| LabelSet::from_iter([(LabelKey::reserved(name), String::new())]);
    match peer {
        Peer::Pod(pod) => pod.labels.clone(),
        Peer::Host => reserved("host"),
        Peer::World(IpAddr::V4(_)) => reserved("world-ipv4"),
        Peer::World(IpAddr::V6(_)) => reserved("world-ipv6"),
    }
}

/// Prefixes never mean a pod or a node.
fn in_cidrs(cidrs: &[IpNet], except: &[IpNet], peer: Peer<'_>) -> bool {
    let Peer::World(address) = peer else { return false };
    cidrs.iter().any(|net| net.contains(&address)) && !except.iter().any(|net| net.contains(&address))
}

fn is_entity(entity: Entity, peer: Peer<'_>) -> bool {
    match entity {
        Entity::All => true,
        Entity::World => matches!(peer, Peer::World(_)),
        Entity::WorldIpv4 => matches!(peer, Peer::World(IpAddr::V4(_))),
        Entity::WorldIpv6 => matches!(peer, Peer::World(IpAddr::V6(_))),
        Entity::Cluster | Entity::ClusterMesh => matches!(peer, Peer::Pod(_) | Peer::Host),
        Entity::Host => matches!(peer, Peer::Host),
        Entity::Init => matches!(peer, Peer::Pod(pod) if pod.is_init()),
        Entity::RemoteNode | Entity::Health | Entity::Ingress | Entity::Unmanaged | Entity::KubeApiserver => false,
        Entity::None => false,
    }
}

fn is_behind(world: &World, peer_services: &ServicePeer, peer: Peer<'_>) -> bool {
    let meant = world.services.iter().filter(|service| {
        peer_services.namespace.as_ref().is_none_or(|namespace| *namespace == service.namespace)
            && match &peer_services.services {
                Services::Named(name) => service.name == *name,
                Services::Selected(selector) => selector.matches(&service.labels),
            }
    });
    meant.into_iter().any(|service| match (&service.selector, peer) {
        (Some(selector), Peer::Pod(pod)) => !pod.is_init() && selector.matches(&pod.labels),
        (None, Peer::World(address)) => world.slices.iter().any(|slice| {
            slice.namespace == service.namespace
                && slice.service.as_ref() == Some(&service.name)
                && slice.addresses.contains(&address)
        }),
        _ => false,
    })
}
