//! What all policies together mean for one endpoint: selectors resolved to identities, entries flattened.
//!
//! Two readers, one meaning: the kernel plan takes the L3/L4 half of it, the proxy takes all of it.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::policy::{HttpRule, Mode, PolicyName, PortRange, Protocol};

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

/// The policy of every endpoint that the same rules select and whose named ports are the same numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPolicy {
    /// To the endpoint.
    pub ingress: DirectionPolicy,
    /// From the endpoint.
    pub egress: DirectionPolicy,
}

impl EndpointPolicy {
    /// The policy of one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionPolicy {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// All rules about one direction.
///
/// What is *enforced* is decided by the rules of mode enforce alone: a denial if one matches, else an allowance if one
/// matches, else by `default_deny`. What is *audited* is decided by them and those of mode audit together, and by
/// `audit_default_deny`; where it would deny what is enforced to pass, a record says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DirectionPolicy {
    /// Whether what no rule of mode enforce allows is denied.
    pub default_deny: bool,
    /// Whether it would be, if the rules of mode audit were enforced, too. Never less than `default_deny`.
    pub audit_default_deny: bool,
    /// The rules; order has no meaning.
    pub rules: Vec<L4Rule>,
}

/// One allowance or denial: these peers, this protocol and ports, and, with `http`, only these requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L4Rule {
    /// Who.
    pub peers: Peers,
    /// Over which protocol; `None` is every protocol (an L3-only rule).
    pub protocol: Option<Protocol>,
    /// Destination ports, or ICMP types; of a protocol without either, and of an L3-only rule, all.
    pub ports: PortRange,
    /// Whether it denies. A denial outranks every allowance.
    pub deny: bool,
    /// What becomes of its verdict.
    pub mode: Mode,
    /// `Some` sends the connection through the proxy, where one of these must match each request. Denials have none.
    pub http: Option<Arc<Vec<HttpRule>>>,
    /// Its number.
    pub id: RuleId,
    /// `log.value` of the object's rule.
    pub log: Option<Arc<str>>,
    /// Where the rule was written.
    pub origin: RuleOrigin,
}

impl L4Rule {
    /// Whether the rule speaks of TCP connections to `port`.
    pub fn covers_tcp(&self, port: u16) -> bool {
        matches!(self.protocol, None | Some(Protocol::Any | Protocol::Tcp)) && self.ports.contains(port)
    }
}

/// The number that explains a verdict: in the kernel's entries, in flow records, in the header `x-weir-policy`. It stands
/// for a [`RuleOrigin`], and for the same one after a restart. 0 stands for none: a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub u32);

impl RuleId {
    /// How records, and the header `x-weir-policy`, refer to a verdict of this rule: `0000002a; ingress`, or `default;
    /// ingress` where no rule decided.
    pub fn reference(self, direction: Direction) -> String {
        if self == Self::default() { format!("default; {direction}") } else { format!("{self}; {direction}") }
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The number of a peer selector, for as long as a policy uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SelectorId(pub u32);

/// The peers of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peers {
    /// Everybody, pods or not.
    Any,
    /// Whom one of these selectors matches, in ascending order.
    Selected(Arc<[SelectorId]>),
}

impl Peers {
    /// Whether a peer that these selectors match, in ascending order, is one of them.
    pub fn contains(&self, selectors: &[SelectorId]) -> bool {
        match self {
            Self::Any => true,
            Self::Selected(wanted) => wanted.iter().any(|wanted| selectors.binary_search(wanted).is_ok()),
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
    /// Whether it is the direction's deny list.
    pub deny: bool,
    /// Index of the entry in that list.
    pub entry: u16,
    /// Index in the entry's `toPorts`; `None` for an entry without ports, or with `icmps`.
    pub port: Option<u16>,
}

impl fmt::Display for RuleOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deny = if self.deny { "Deny" } else { "" };
        write!(f, "{} rule[{}].{}{deny}[{}]", self.policy, self.rule, self.direction, self.entry)?;
        match self.port {
            Some(port) => write!(f, ".toPorts[{port}]"),
            None => Ok(()),
        }
    }
}
