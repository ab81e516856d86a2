//! What the policies say of one connection, read straight from their text: no cache, no map, no number.
//!
//! `weir policy check` prints it, and the tests hold [`crate::engine`] against it. It is slow, and meant to be seen to be
//! right: every rule of every policy is asked every time.
//!
//! ```text
//! World (policies, pods, groups, services) + Question ──▶ Answer: egress of the caller's pod, ingress of the called pod
//!                                                          each: enforced and audited, the rules that decide, and, for
//!                                                          a denial by default, the nearest rule that would have allowed
//! ```

mod judge;
mod peers;

use std::{collections::BTreeMap, fmt, net::IpAddr};

use weir_model::{
    endpoint::PodName,
    labels::LabelSet,
    policy::{HttpRule, Policy},
    resolved::{Direction, RuleOrigin},
};

pub use self::judge::evaluate;
use crate::{
    identities::identity_labels,
    manifests::{CidrGroup, ContainerPort, EndpointSlice, Object, Service},
};

/// All that a verdict depends on.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The policies in force.
    pub policies: Vec<Policy>,
    /// The pods that have addresses of their own.
    pub pods: Vec<Pod>,
    /// The CiliumCIDRGroups.
    pub groups: Vec<CidrGroup>,
    /// The services.
    pub services: Vec<Service>,
    /// Their addresses.
    pub slices: Vec<EndpointSlice>,
}

/// A pod, as policies see it.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// The labels that identify it; with `reserved:init` alone, they are not known yet.
    pub labels: LabelSet,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its container ports with a name.
    pub ports: Vec<ContainerPort>,
}

impl World {
    /// What these objects make, in any order.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut world = Self::default();
        let mut namespaces = BTreeMap::new();
        let mut pods = Vec::new();
        for object in objects {
            match object {
                Object::Namespace(namespace) => drop(namespaces.insert(&namespace.name, namespace)),
                Object::Pod(pod) => pods.extend(pod.is_endpoint().then_some(pod)),
                Object::Service(service) => world.services.push(service.clone()),
                Object::EndpointSlice(slice) => world.slices.push(slice.clone()),
                Object::CidrGroup(group) => world.groups.push(group.clone()),
                Object::Policy(policy) => world.policies.push(policy.clone()),
            }
        }
        world.pods.extend(pods.into_iter().map(|pod| Pod {
            name: pod.name.clone(),
            labels: identity_labels(pod, namespaces.get(&pod.name.namespace).copied()),
            addresses: pod.addresses.clone(),
            ports: pod.ports.clone(),
        }));
        // An address that two pods claim belongs to the first by name.
        world.pods.sort_by(|a, b| a.name.cmp(&b.name));
        world
    }
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// This pod.
    Pod(PodName),
    /// Whoever has this address: a pod, or else the world.
    Address(IpAddr),
    /// The node that the other end runs on.
    Host,
}

/// What of a rule a request does not meet, as the names of the rule's fields; nothing if the rule matches it.
pub type RequestCheck<'a> = dyn Fn(&HttpRule) -> Vec<&'static str> + 'a;

/// A connection, and with `request` one request on it.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Who opens it.
    pub from: &'a Party,
    /// To whom.
    pub to: &'a Party,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, or ICMP type.
    pub port: u16,
    /// The request.
    pub request: Option<&'a RequestCheck<'a>>,
}

/// What becomes of a connection, and of the request on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It passes through the proxy. With a request: the request passes.
    Redirect,
    /// The connection passes through the proxy, which refuses the request.
    DenyRequest,
    /// It is dropped.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allowed",
            Self::Redirect => "allowed, through the proxy",
            Self::DenyRequest => "request denied",
            Self::Deny => "denied",
        })
    }
}

/// The verdicts of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The egress of the caller, if it is a pod, then the ingress of the called, if it is a pod.
    pub sides: Vec<Side>,
}

impl Answer {
    /// What happens: the more severe of both sides.
    pub fn enforced(&self) -> Verdict {
        self.sides.iter().map(|side| side.enforced.verdict).max().unwrap_or(Verdict::Allow)
    }

    /// What would happen if the audited policies were enforced, too.
    pub fn audited(&self) -> Verdict {
        self.sides.iter().map(|side| side.audited.verdict).max().unwrap_or(Verdict::Allow)
    }
}

/// What the policies of one pod say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Whose policies.
    pub pod: PodName,
    /// Which of its directions.
    pub direction: Direction,
    /// By the policies of mode enforce.
    pub enforced: Judgement,
    /// By these and those of mode audit.
    pub audited: Judgement,
    /// The rules of mode observe that show the connection to the proxy.
    pub observed: Vec<RuleOrigin>,
}

/// A verdict and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub because: Because,
}

/// Why a verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// What the node itself sends to its pods passes.
    Host,
    /// No policy denies anything in this direction by default, and none speaks of the connection.
    NoPolicy,
    /// These rules say so.
    Rules(Vec<RuleOrigin>),
    /// No rule allows it; this one comes nearest.
    NoRule(Option<Nearest>),
}

/// The rule that would have allowed a connection with the fewest differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The rule.
    pub rule: RuleOrigin,
    /// What it speaks of instead.
    pub differences: Vec<Difference>,
}

/// In what a connection or request is not what a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `peer`, `protocol`, `port`, or a field of an HTTP rule: `method`, `path`, `host`, `headers`, `headerMatches`.
    pub field: &'static str,
    /// What the rule wants.
    pub wanted: String,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the node may always call its own pods"),
            Self::NoPolicy => f.write_str("no policy denies by default in this direction"),
            Self::Rules(rules) => {
                let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
                write!(f, "by {}", rules.join(", "))
            }
            Self::NoRule(None) => f.write_str("no rule allows anything in this direction"),
            Self::NoRule(Some(nearest)) => write!(f, "no rule allows it; nearest is {nearest}"),
        }
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.differences.iter().map(|d| format!("{} {}", d.field, d.wanted)).collect();
        write!(f, "{}, which wants {}", self.rule, all.join(" and "))
    }
}
