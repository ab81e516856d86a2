//! Whom a peer selector means, once what it refers to (groups, services) is looked up.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use weir_model::{
    identity::Identity,
    labels::{LabelKey, LabelSet},
    policy::{CidrGroupPeer, CidrGroups, Entity, PeerSelector, ServicePeer, Services},
    selector::Selector,
};

use crate::manifests::{CidrGroup, EndpointSlice, ObjectKey, Service};

/// The objects that peer selectors refer to.
#[derive(Debug, Default)]
pub(super) struct Referents {
    pub(super) groups: BTreeMap<ObjectKey, CidrGroup>,
    pub(super) services: BTreeMap<ObjectKey, Service>,
    /// The addresses of services, by namespace and name of the service.
    pub(super) backends: BTreeMap<(String, String), BTreeMap<ObjectKey, Vec<IpAddr>>>,
    /// The service of each slice that names one.
    pub(super) slices: BTreeMap<ObjectKey, (String, String)>,
}

impl Referents {
    /// Takes what a slice says now.
    pub(super) fn take_slice(&mut self, key: &ObjectKey, slice: Option<&EndpointSlice>) {
        if let Some(service) = self.slices.remove(key)
            && let Some(slices) = self.backends.get_mut(&service)
        {
            slices.remove(key);
            if slices.is_empty() {
                self.backends.remove(&service);
            }
        }
        let Some((slice, service)) = slice.and_then(|slice| Some((slice, slice.service.clone()?))) else { return };
        let service = (slice.namespace.clone(), service);
        self.backends.entry(service.clone()).or_default().insert(key.clone(), slice.addresses.clone());
        self.slices.insert(key.clone(), service);
    }

    /// The groups that a peer refers to.
    pub(super) fn groups<'a>(&'a self, peer: &'a CidrGroupPeer) -> impl Iterator<Item = &'a CidrGroup> {
        self.groups.values().filter(|group| match &peer.groups {
            CidrGroups::Named(name) => group.name == *name,
            CidrGroups::Selected(selector) => selector.matches(&group.labels),
        })
    }

    /// The services that a peer refers to.
    pub(super) fn services<'a>(&'a self, peer: &'a ServicePeer) -> impl Iterator<Item = &'a Service> {
        let named = |service: &Service| match &peer.services {
            Services::Named(name) => service.name == *name,
            Services::Selected(selector) => selector.matches(&service.labels),
        };
        let inside = |service: &Service| peer.namespace.as_ref().is_none_or(|wanted| *wanted == service.namespace);
        self.services.values().filter(move |service| inside(service) && named(service))
    }
}

/// A peer selector with everything looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matcher {
    Nobody,
    /// Pods.
    Pods(Selector),
    /// What is not a pod, by its reserved labels.
    Reserved(Selector),
    Entity(Entity),
    /// The world inside of some prefixes and outside of others.
    Prefixes {
        inside: Vec<IpNet>,
        except: Vec<IpNet>,
    },
    /// The pods that services select, and the addresses of those that select none.
    Backends {
        pods: Vec<Selector>,
        addresses: Vec<IpNet>,
    },
}

/// An identity, as far as selectors care.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose<'a> {
    /// Pods with these labels.
    Pods(&'a LabelSet),
    /// The world inside a prefix, of no longer one that has an identity.
    Prefix(IpNet),
    /// The node and its like.
    Reserved(Identity),
}

impl Matcher {
    pub(super) fn new(peer: &PeerSelector, referents: &Referents) -> Self {
        match peer {
            PeerSelector::Endpoints(selector) if selector.asks_for_reserved() => Self::Reserved(selector.clone()),
            PeerSelector::Endpoints(selector) => Self::Pods(selector.clone()),
            PeerSelector::Cidr(peer) => Self::Prefixes { inside: vec![peer.cidr], except: peer.except.clone() },
            PeerSelector::CidrGroup(peer) => {
                let inside = referents.groups(peer).flat_map(|group| &group.cidrs).copied().collect();
                Self::Prefixes { inside, except: peer.except.clone() }
            }
            PeerSelector::Entity(entity) => Self::Entity(*entity),
            PeerSelector::Service(peer) => {
                let (mut pods, mut addresses) = (Vec::new(), Vec::new());
                for service in referents.services(peer) {
                    if let Some(selector) = &service.selector {
                        pods.push(selector.clone());
                        continue;
                    }
                    let slices = referents.backends.get(&(service.namespace.clone(), service.name.clone()));
                    let own = slices.into_iter().flat_map(BTreeMap::values).flatten();
                    addresses.extend(own.copied().map(IpNet::from));
                }
                Self::Backends { pods, addresses }
            }
            // Nodes have no labels yet, and names no addresses.
            PeerSelector::Nodes(_) | PeerSelector::Fqdn(_) => Self::Nobody,
        }
    }

    pub(super) fn matches(&self, whose: Whose<'_>) -> bool {
        match (self, whose) {
            (Self::Pods(selector), Whose::Pods(labels)) => selector.matches(labels),
            (Self::Backends { pods, .. }, Whose::Pods(labels)) => pods.iter().any(|selector| selector.matches(labels)),
            (Self::Prefixes { inside, except }, Whose::Prefix(prefix)) => {
                inside.iter().any(|net| net.contains(&prefix)) && !except.iter().any(|net| net.contains(&prefix))
            }
            (Self::Backends { addresses, .. }, Whose::Prefix(prefix)) => addresses.contains(&prefix),
            (Self::Reserved(selector), Whose::Prefix(prefix)) => selector.matches(&reserved_labels(world(prefix))),
            (Self::Reserved(selector), Whose::Reserved(identity)) => selector.matches(&reserved_labels(identity)),
            (Self::Entity(entity), whose) => is_entity(*entity, whose),
            _ => false,
        }
    }

    /// The prefixes that must have identities of their own.
    pub(super) fn named(&self) -> impl Iterator<Item = IpNet> + '_ {
        let (inside, except): (&[IpNet], &[IpNet]) = match self {
            Self::Prefixes { inside, except } => (inside, except),
            Self::Backends { addresses, .. } => (addresses, &[]),
            _ => (&[], &[]),
        };
        inside.iter().chain(except).copied().filter(|net| net.prefix_len() > 0)
    }

    /// The selectors of pods that it consists of, if it may mean pods; one without requirements stands for an entity.
    pub(super) fn of_pods(&self) -> Vec<&Selector> {
        const ALL: &Selector = &Selector { requirements: Vec::new() };
        match self {
            Self::Pods(selector) => vec![selector],
            Self::Backends { pods, .. } => pods.iter().collect(),
            Self::Entity(Entity::All | Entity::Cluster | Entity::ClusterMesh) => vec![ALL],
            _ => Vec::new(),
        }
    }

    /// Whether it may mean what is not a pod.
    pub(super) fn is_wide(&self) -> bool {
        !matches!(self, Self::Nobody | Self::Pods(_))
    }
}

fn world(prefix: IpNet) -> Identity {
    if prefix.addr().is_ipv4() { Identity::WORLD_IPV4 } else { Identity::WORLD_IPV6 }
}

/// The labels of what has no others.
pub(super) fn reserved_labels(identity: Identity) -> LabelSet {
    // The API servers are nodes as well.
    let also = (identity == KUBE_APISERVER).then_some("remote-node");
    identity.reserved_name().into_iter().chain(also).map(|name| (LabelKey::reserved(name), String::new())).collect()
}

const KUBE_APISERVER: Identity = Identity(7);

fn is_entity(entity: Entity, whose: Whose<'_>) -> bool {
    let reserved = |numbers: &[u32]| matches!(whose, Whose::Reserved(identity) if numbers.contains(&identity.0));
    let prefix = |v4: bool| matches!(whose, Whose::Prefix(prefix) if prefix.addr().is_ipv4() == v4);
    match entity {
        Entity::All => true,
        Entity::World => prefix(true) || prefix(false) || reserved(&[2]),
        Entity::WorldIpv4 => prefix(true),
        Entity::WorldIpv6 => prefix(false),
        Entity::Cluster | Entity::ClusterMesh => {
            matches!(whose, Whose::Pods(_)) || reserved(&[1, 3, 4, 5, 6, KUBE_APISERVER.0, 8])
        }
        Entity::Host => reserved(&[1]),
        Entity::Unmanaged => reserved(&[3]),
        Entity::Health => reserved(&[4]),
        Entity::Init => reserved(&[5]),
        Entity::RemoteNode => reserved(&[6, KUBE_APISERVER.0]),
        Entity::KubeApiserver => reserved(&[KUBE_APISERVER.0]),
        Entity::Ingress => reserved(&[8]),
        Entity::None => false,
    }
}
