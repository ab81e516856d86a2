//! What the agent shows of its objects when it is asked: the answers behind `weir policy`, `identity` and `endpoint`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    policy::{Gap, Mode, Policy, PolicyName},
    resolved::{Direction, RuleId, RuleOrigin, SelectorId},
    wanted::{DirectionFlags, KernelVerdict, PolicyId},
};

/// A policy object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPolicy {
    /// Which one.
    pub name: PolicyName,
    /// The file that it is taken from.
    pub file: String,
    /// What its verdicts do.
    pub mode: Mode,
    /// Cilium's condition `Valid`: false if its last version was rejected, in which case an older one may be in force.
    pub valid: bool,
    /// Why it is not valid.
    pub problems: Vec<String>,
    /// Whether a version of it is in force.
    pub in_force: bool,
    /// What of it is not enforced as written.
    pub gaps: Vec<Gap>,
    /// The pods of this node that it selects.
    pub endpoints: Vec<PodName>,
    /// As it was understood; only if one policy was asked for.
    pub understood: Option<Policy>,
}

/// A distinct peer or subject selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownSelector {
    /// Its number.
    pub id: SelectorId,
    /// What it asks for.
    pub selector: String,
    /// How many places in policies use it.
    pub users: usize,
    /// Whom it matches, by number.
    pub identities: Vec<Identity>,
}

/// An identity in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownIdentity {
    /// Its number.
    pub identity: Identity,
    /// Its labels, as `source:key=value`.
    pub labels: Vec<String>,
    /// How many pods have it.
    pub pods: usize,
}

/// A pod of this node and its realised policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownEndpoint {
    /// Its number.
    pub endpoint: EndpointId,
    /// Its name.
    pub pod: PodName,
    /// Its identity.
    pub identity: Identity,
    /// The identity's labels.
    pub labels: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The number of its policy's content; endpoints with the same share it.
    pub policy: PolicyId,
    /// What holds in each direction where no entry decides.
    pub ingress: DirectionFlags,
    /// As `ingress`, from the endpoint.
    pub egress: DirectionFlags,
    /// The entries of its policy.
    pub entries: Vec<ShownEntry>,
}

/// An entry of a realised policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownEntry {
    /// Of which direction.
    pub direction: Direction,
    /// The peer; 0 is everybody.
    pub peer: Identity,
    /// The peer's labels.
    pub labels: Vec<String>,
    /// IP protocol number; 0 is every protocol.
    pub protocol: u8,
    /// Ports, or ICMP types, first and last.
    pub ports: (u16, u16),
    /// What is enforced, and by which rule.
    pub enforced: ShownVerdict,
    /// What would be with the audited policies, if that differs.
    pub audited: Option<ShownVerdict>,
    /// Whether what passes is shown to the proxy.
    pub observe: bool,
}

/// A verdict and its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownVerdict {
    /// The verdict.
    pub verdict: KernelVerdict,
    /// The rule's number, as in flow records.
    pub rule_id: RuleId,
    /// The rule.
    pub rule: Option<RuleOrigin>,
}
