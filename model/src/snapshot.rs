//! Everything the proxy needs to judge, immutable, one value per policy revision.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    labels::LabelSet,
    resolved::EndpointPolicy,
};

/// The state of the world as of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with every change; the same number names the same content for the agent's life.
    pub revision: u64,
    /// The node's name, for flow records.
    pub node: String,
    /// Every identity in use with its labels, ordered by number.
    pub identities: Vec<(Identity, LabelSet)>,
    /// Distinct policies; endpoints point into it.
    pub policies: Vec<EndpointPolicy>,
    /// Every known pod, of this node or not.
    pub pods: Vec<Pod>,
}

/// A pod with an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its number on this node.
    pub endpoint: EndpointId,
    /// Its name.
    pub name: PodName,
    /// Its identity.
    pub identity: Identity,
    /// Its addresses (`status.podIPs`).
    pub addresses: Vec<IpAddr>,
    /// Whether it runs on this node, so that its policy is enforced here.
    pub local: bool,
    /// Index into [`Snapshot::policies`].
    pub policy: usize,
}
