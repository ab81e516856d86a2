//! What all policies together mean for one endpoint: selectors resolved to identities, entries flattened.
//!
//! Two readers, one meaning: the kernel plan takes the L3/L4 half of it, the proxy takes all of it. The lists are
//! unions; order has no meaning.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    identity::Identity,
    policy::{HttpRule, PolicyName, Protocol},
};

/// Direction of a connection as seen from the endpoint that the policy protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// To the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The policy of one endpoint (and of every endpoint with the same identity).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPolicy {
    /// `None`: no rule enforces this direction, everything is allowed.
    pub ingress: Option<DirectionPolicy>,
    /// `None`: no rule enforces this direction, everything is allowed.
    pub egress: Option<DirectionPolicy>,
}

impl EndpointPolicy {
    /// The policy of one direction.
    pub fn direction(&self, direction: Direction) -> Option<&DirectionPolicy> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}

/// An enforced direction: what no rule allows is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DirectionPolicy {
    /// The union of all allowing rules.
    pub rules: Vec<L4Rule>,
}

/// One allowance: these peers, this protocol and port, and, with `http`, only these requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L4Rule {
    /// Who.
    pub peers: Peers,
    /// Over which protocol; `None` is every protocol (an L3-only rule).
    pub protocol: Option<Protocol>,
    /// Destination port in host byte order; 0 is every port.
    pub port: u16,
    /// `Some` sends the connection through the proxy, where one of these must match each request.
    pub http: Option<Arc<Vec<HttpRule>>>,
    /// Where the rule was written.
    pub origin: RuleOrigin,
}

impl L4Rule {
    /// Whether the rule speaks of TCP connections to `port`.
    pub fn covers_tcp(&self, port: u16) -> bool {
        matches!(self.protocol, None | Some(Protocol::Any | Protocol::Tcp)) && (self.port == 0 || self.port == port)
    }
}

/// The peers of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peers {
    /// Everybody, pods or not.
    Any,
    /// These identities; an empty set matches nobody.
    Identities(Arc<BTreeSet<Identity>>),
}

impl Peers {
    /// Whether `peer` is one of them.
    pub fn contains(&self, peer: Identity) -> bool {
        match self {
            Self::Any => true,
            Self::Identities(set) => set.contains(&peer),
        }
    }
}

/// The place in a policy object where a rule was written, for explanations.
///
/// Prints as `CiliumNetworkPolicy/default/web spec ingress[0].toPorts[1]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleOrigin {
    /// The object.
    pub policy: Arc<PolicyName>,
    /// Index into [`crate::policy::Policy::rules`].
    pub rule: u16,
    /// The direction's list.
    pub direction: Direction,
    /// Index of the entry in that list.
    pub entry: u16,
    /// Index in the entry's `toPorts`; `None` for an entry without ports.
    pub port: Option<u16>,
}

impl fmt::Display for RuleOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule[{}].{}[{}]", self.policy, self.rule, self.direction, self.entry)?;
        match self.port {
            Some(port) => write!(f, ".toPorts[{port}]"),
            None => Ok(()),
        }
    }
}
