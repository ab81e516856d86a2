//! What the control plane asks of the kernel. What the kernel has is `weir-sockmap`'s business; the difference between
//! the two is a list of actions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    resolved::{Direction, RuleOrigin},
};

/// The whole wanted state as of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The revision of the [`crate::snapshot::Snapshot`] that was made from the same objects.
    pub revision: u64,
    /// Every known pod address with the identity behind it.
    pub addresses: BTreeMap<IpAddr, AddressOwner>,
    /// The pods of this node.
    pub endpoints: BTreeMap<EndpointId, WantedEndpoint>,
}

/// Who is behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOwner {
    /// The pod's identity.
    pub identity: Identity,
    /// The pod's number, if it runs on this node.
    pub endpoint: Option<EndpointId>,
}

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedEndpoint {
    /// The pod.
    pub name: PodName,
    /// Its identity.
    pub identity: Identity,
    /// Its addresses; each must route to a veth, directly or through a bridge.
    pub addresses: BTreeSet<IpAddr>,
    /// Its L3/L4 policy; shared between endpoints of one identity.
    pub policy: Arc<KernelPolicy>,
}

/// The L3/L4 half of an endpoint's policy, as map entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KernelPolicy {
    /// Whether what no ingress entry allows is dropped.
    pub enforce_ingress: bool,
    /// Whether what no egress entry allows is dropped.
    pub enforce_egress: bool,
    /// The entries, by key.
    pub entries: BTreeMap<EntryKey, EntryVerdict>,
}

/// What a policy entry speaks of. A wildcard is a 0; a port wants a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryKey {
    /// Direction as seen from the endpoint.
    pub direction: Direction,
    /// The peer; [`Identity::UNKNOWN`] is everybody.
    pub peer: Identity,
    /// IP protocol number; 0 is every protocol.
    pub protocol: u8,
    /// Destination port in host byte order; 0 is every port.
    pub port: u16,
}

/// What a policy entry decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryVerdict {
    /// Send the connection to the proxy (true) or let it pass (false). Redirect outranks a plain allow.
    pub redirect: bool,
    /// The rule that wins when the kernel reports this entry.
    pub origin: RuleOrigin,
}
