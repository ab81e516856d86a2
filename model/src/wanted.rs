//! What the control plane asks of the kernel. What the kernel has is `weir-sockmap`'s business; the difference between
//! the two is a list of actions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    resolved::{Direction, RuleId},
};

/// The number of a policy's content: endpoints with the same policy share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(pub u32);

/// What one event changes in the wanted state. The first change of an agent's life holds everything, and what it does not
/// name is not wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedChange {
    /// The revision of the [`crate::snapshot::SnapshotChange`] of the same event.
    pub revision: u64,
    /// Contents of policies.
    pub policies: BTreeMap<PolicyId, PolicyChange>,
    /// The pods of this node; `None` for one that is gone.
    pub endpoints: BTreeMap<EndpointId, Option<WantedEndpoint>>,
    /// Who is behind addresses and prefixes; `None` for one that is nobody's any more. Longest prefix wins; what no prefix
    /// holds is the world.
    pub addresses: BTreeMap<IpNet, Option<AddressOwner>>,
}

/// What happens to a policy's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyChange {
    /// It is new, or its rules are others: these are all its entries. Endpoints switch to them in one write.
    Set(Arc<KernelPolicy>),
    /// Identities have come or gone: entries about peers that no address stands for yet, or any more. So the addresses of
    /// the same change are written after `put` and removed before `remove`.
    Patch {
        /// Entries of new identities.
        put: Vec<(EntryKey, EntryVerdict)>,
        /// Entries of identities that are gone.
        remove: Vec<EntryKey>,
    },
    /// No endpoint has it any more.
    Gone,
}

/// Who is behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOwner {
    /// The identity.
    pub identity: Identity,
    /// The pod's number, if it is a pod of this node.
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
    /// Its L3/L4 policy.
    pub policy: PolicyId,
}

/// The L3/L4 half of an endpoint's policy, as map entries.
///
/// The kernel looks up twice, for the peer and for everybody, each time the entry with the longest prefix; so an entry
/// holds the strongest verdict of all rules that cover it, those of shorter prefixes included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KernelPolicy {
    /// Connections to the endpoint.
    pub ingress: DirectionFlags,
    /// Connections from the endpoint.
    pub egress: DirectionFlags,
    /// The entries, by key.
    pub entries: BTreeMap<EntryKey, EntryVerdict>,
}

/// What holds for a direction where no entry decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DirectionFlags {
    /// What no entry allows is dropped.
    pub default_deny: bool,
    /// What no entry allows when audited is recorded.
    pub audit_default_deny: bool,
    /// There are entries, so they are to be looked up even if nothing is denied by default.
    pub has_entries: bool,
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
    /// Destination port in host byte order, with 0 in the bits beyond `port_bits`; an ICMP type is one, too.
    pub port: u16,
    /// How many leading bits of the port are looked at: 16 for one port, 0 for every port.
    pub port_bits: u8,
}

/// What a policy entry decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryVerdict {
    /// What the rules in force say.
    pub enforced: Decided,
    /// What they and the audited rules say together.
    pub audited: Decided,
    /// Whether connections that pass shall be shown to the proxy, if there is one.
    pub observe: bool,
}

/// A verdict and the rule that explains it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Decided {
    /// The verdict.
    pub verdict: KernelVerdict,
    /// The rule; of several with the same verdict, the one with the least number.
    pub rule: RuleId,
}

/// What the kernel does with a packet; the later outranks the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KernelVerdict {
    /// No rule says anything: the direction's default.
    #[default]
    None,
    /// Let pass.
    Allow,
    /// Hand TCP to the proxy; drop anything else.
    Redirect,
    /// Drop.
    Deny,
}
