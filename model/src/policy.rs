//! Policies as an object states them, validated, before they are applied to any endpoint.
//!
//! A list that is absent, empty or holds an empty member means three different things (`Option<Vec<_>>` keeps them
//! apart): see [`RuleEntry`].

use std::{fmt, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::selector::Selector;

/// The kind of object that a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// `cilium.io/v2` CiliumNetworkPolicy.
    CiliumNetworkPolicy,
    /// `cilium.io/v2` CiliumClusterwideNetworkPolicy.
    CiliumClusterwideNetworkPolicy,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
            Self::NetworkPolicy => "NetworkPolicy",
        })
    }
}

/// The name of a policy object; `namespace` is empty for cluster-wide kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyName {
    /// The object's kind.
    pub kind: PolicyKind,
    /// The object's namespace, or empty.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A validated policy object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which object this is.
    pub name: Arc<PolicyName>,
    /// What its verdicts do.
    pub mode: Mode,
    /// `spec` first, if present, then each of `specs`.
    pub rules: Vec<Rule>,
    /// What the object says and weir does not enforce as written.
    pub gaps: Vec<Gap>,
}

/// What a policy's verdicts do: the annotation `weir.io/mode`, weir's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// They are carried out.
    #[default]
    Enforce,
    /// They are recorded, at L3, L4 and L7, as if the policy were enforced beside those that are; everything passes.
    Audit,
    /// None are made: the ports that its allow entries name are shown request by request. It never denies, not even by
    /// default, and never allows what another policy denies.
    Observe,
}

/// A field that is understood but not enforced as written. What it restricts is denied instead, never allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// Path of the field, as in `spec.egress[0].toFQDNs`.
    pub field: String,
    /// What happens instead, and what the author may do.
    pub effect: String,
}

/// One rule (`spec`, or an element of `specs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whose traffic the rule speaks of.
    pub subject: Subject,
    /// Entries that allow connections to the subject.
    pub ingress: Vec<RuleEntry>,
    /// Entries that deny connections to the subject; a denial outranks every allowance.
    pub ingress_deny: Vec<RuleEntry>,
    /// Entries that allow connections from the subject.
    pub egress: Vec<RuleEntry>,
    /// Entries that deny connections from the subject.
    pub egress_deny: Vec<RuleEntry>,
    /// In which directions the subject is denied what no rule allows.
    pub default_deny: DefaultDeny,
    /// `log.value`: a text for the records of what this rule decides.
    pub log: Option<String>,
}

/// In which directions a rule switches default deny on. Where it does not, its L7 rules let every request pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DefaultDeny {
    /// To the subject.
    pub ingress: bool,
    /// From the subject.
    pub egress: bool,
}

/// Whose traffic a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// `endpointSelector`: pods, already scoped to the policy's namespace.
    Pods(Selector),
    /// `nodeSelector`: nodes.
    Nodes(Selector),
}

/// One entry of `ingress`, `egress` or their deny lists: named are the peers *and* the ports.
///
/// | `peers` | `ports` and `icmps` | names |
/// |---|---|---|
/// | `None` | neither | nothing (the idiom for "deny all") |
/// | `None` | `Some` | the ports, from anybody |
/// | `Some([])` | any | nothing |
/// | `Some(..)` | neither, or `Some([])` | the peers, on every port |
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEntry {
    /// `from…` or `to…`, already scoped; one match is enough.
    pub peers: Option<Vec<PeerSelector>>,
    /// `fromRequires` / `toRequires`: all of these must match, too, for every entry about pods of every rule with the same
    /// subject.
    pub requires: Vec<Selector>,
    /// `toPorts`; one match is enough.
    pub ports: Option<Vec<PortRule>>,
    /// `icmps`, flattened; one match is enough. An entry has this or `ports`.
    pub icmps: Option<Vec<IcmpType>>,
}

/// One peer of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PeerSelector {
    /// `fromEndpoints`, or `podSelector` with `namespaceSelector`: pods; with a `reserved:` key also what is not a pod.
    Endpoints(Selector),
    /// `fromCIDR`, `fromCIDRSet[].cidr`, `ipBlock`: what is neither pod nor node.
    Cidr(CidrPeer),
    /// `fromCIDRSet[].cidrGroupRef` and `cidrGroupSelector`.
    CidrGroup(CidrGroupPeer),
    /// `fromEntities`.
    Entity(Entity),
    /// `toServices`: the pods that a service selects, or the addresses behind one without a selector.
    Service(ServicePeer),
    /// `fromNodes`, `toNodes`: other nodes.
    Nodes(Selector),
    /// `toFQDNs`: addresses that a name was resolved to.
    Fqdn(FqdnPeer),
}

impl fmt::Display for PeerSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let except = |f: &mut fmt::Formatter<'_>, nets: &[IpNet]| {
            let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
            if nets.is_empty() { Ok(()) } else { write!(f, " except {}", nets.join(",")) }
        };
        match self {
            Self::Endpoints(selector) if selector.requirements.is_empty() => f.write_str("pods"),
            Self::Endpoints(selector) => write!(f, "pods {selector}"),
            Self::Cidr(peer) => write!(f, "cidr {}", peer.cidr).and_then(|()| except(f, &peer.except)),
            Self::CidrGroup(CidrGroupPeer { groups: CidrGroups::Named(name), except: nets }) => {
                write!(f, "group {name}").and_then(|()| except(f, nets))
            }
            Self::CidrGroup(CidrGroupPeer { groups: CidrGroups::Selected(selector), except: nets }) => {
                write!(f, "groups {selector}").and_then(|()| except(f, nets))
            }
            Self::Entity(entity) => write!(f, "entity {}", entity.name()),
            Self::Service(peer) => {
                let namespace = peer.namespace.as_deref().unwrap_or("*");
                match &peer.services {
                    Services::Named(name) => write!(f, "service {namespace}/{name}"),
                    Services::Selected(selector) => write!(f, "services {namespace}/({selector})"),
                }
            }
            Self::Nodes(selector) => write!(f, "nodes {selector}"),
            Self::Fqdn(FqdnPeer::Name(name) | FqdnPeer::Pattern(name)) => write!(f, "name {name}"),
        }
    }
}

/// A prefix without others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CidrPeer {
    /// The prefix, without host bits.
    pub cidr: IpNet,
    /// Prefixes inside of it that are not meant, without host bits.
    pub except: Vec<IpNet>,
}

/// The prefixes of CiliumCIDRGroups without others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CidrGroupPeer {
    /// Which groups.
    pub groups: CidrGroups,
    /// Prefixes that are not meant, without host bits.
    pub except: Vec<IpNet>,
}

/// Which CiliumCIDRGroups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CidrGroups {
    /// `cidrGroupRef`: the one with this name.
    Named(String),
    /// `cidrGroupSelector`: those whose labels match.
    Selected(Selector),
}

/// An element of `toServices`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServicePeer {
    /// Which services.
    pub services: Services,
    /// Their namespace; `None` is any.
    pub namespace: Option<String>,
}

/// Which services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Services {
    /// `k8sService`: those with this name.
    Named(String),
    /// `k8sServiceSelector`: those whose labels match.
    Selected(Selector),
}

/// An element of `toFQDNs`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FqdnPeer {
    /// `matchName`.
    Name(String),
    /// `matchPattern`.
    Pattern(String),
}

/// A name of `fromEntities` and `toEntities`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entity {
    /// Everybody.
    All,
    /// Every address outside the cluster.
    World,
    /// Those of IPv4.
    WorldIpv4,
    /// Those of IPv6.
    WorldIpv6,
    /// Everything in this cluster: pods, nodes, and what else has a reserved identity but the world.
    Cluster,
    /// As `Cluster`, of any cluster.
    ClusterMesh,
    /// The node itself.
    Host,
    /// Other nodes.
    RemoteNode,
    /// Cilium's health endpoints.
    Health,
    /// Pods whose labels are not known yet.
    Init,
    /// Cilium's ingress proxies.
    Ingress,
    /// Pods that no agent manages.
    Unmanaged,
    /// The API servers.
    KubeApiserver,
    /// Nobody.
    None,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::All,
        Self::World,
        Self::WorldIpv4,
        Self::WorldIpv6,
        Self::Cluster,
        Self::ClusterMesh,
        Self::Host,
        Self::RemoteNode,
        Self::Health,
        Self::Init,
        Self::Ingress,
        Self::Unmanaged,
        Self::KubeApiserver,
        Self::None,
    ];

    /// Its name in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::World => "world",
            Self::WorldIpv4 => "world-ipv4",
            Self::WorldIpv6 => "world-ipv6",
            Self::Cluster => "cluster",
            Self::ClusterMesh => "cluster-mesh",
            Self::Host => "host",
            Self::RemoteNode => "remote-node",
            Self::Health => "health",
            Self::Init => "init",
            Self::Ingress => "ingress",
            Self::Unmanaged => "unmanaged",
            Self::KubeApiserver => "kube-apiserver",
            Self::None => "none",
        }
    }
}

/// One element of `toPorts`; without any port it names nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRule {
    /// The ports it names.
    pub ports: Vec<PortSpec>,
    /// `rules.http`; `None` when absent or empty, which means plain L4.
    pub http: Option<Arc<Vec<HttpRule>>>,
}

/// Ports of a protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortSpec {
    /// Which ports.
    pub port: Port,
    /// The protocol.
    pub protocol: Protocol,
}

/// Destination ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Port {
    /// These numbers.
    Numbers(PortRange),
    /// The container ports of this name, in lower case, of the pod that is called.
    Named(String),
}

/// Ports from `first` to `last`, both included, in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest; not below `first`.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// One port.
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (0, u16::MAX) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// A layer-4 protocol of a port rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP, UDP and SCTP.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP; the "port" is the message's type.
    Icmp,
    /// ICMPv6; the "port" is the message's type.
    Icmpv6,
    /// One without ports: VRRP, IGMP, GRE, IPIP, IPV6, ESP, AH, by its IP number.
    Other(u8),
}

impl Protocol {
    /// The protocol's IP numbers.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        let (numbers, other): (&[u8], _) = match self {
            Self::Any => (&[6, 17, 132], None),
            Self::Tcp => (&[6], None),
            Self::Udp => (&[17], None),
            Self::Sctp => (&[132], None),
            Self::Icmp => (&[1], None),
            Self::Icmpv6 => (&[58], None),
            Self::Other(number) => (&[], Some(number)),
        };
        numbers.iter().copied().chain(other)
    }

    /// Whether the IP number is one of its own.
    pub fn covers(self, number: u8) -> bool {
        self.numbers().any(|own| own == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "ANY",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "ICMPv6",
            Self::Other(number) => return write!(f, "protocol {number}"),
        })
    }
}

/// An element of `icmps[].fields`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IcmpType {
    /// [`Protocol::Icmp`] or [`Protocol::Icmpv6`].
    pub protocol: Protocol,
    /// The type's number.
    pub number: u8,
}

/// One element of `rules.http`: all members that are present must match; the empty rule matches every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HttpRule {
    /// Regular expression for the whole method, case-sensitive.
    pub method: Option<String>,
    /// Regular expression for the whole path including the query.
    pub path: Option<String>,
    /// Regular expression for the whole `Host` (`:authority`) including its port.
    pub host: Option<String>,
    /// Header conditions, in order.
    pub headers: Vec<HeaderMatch>,
    /// `headerMatches`, in order: header conditions, and what to do to a request that does not meet them.
    pub header_matches: Vec<HeaderAction>,
}

/// A header that must be present, and, with a value, must have exactly it; several lines of one name are joined by `,`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Field name; compared without case.
    pub name: String,
    /// Whole field value; `None` asks for presence only.
    pub value: Option<String>,
}

/// One element of `headerMatches`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeaderAction {
    /// What the request should have. The value is there if `mismatch` adds or replaces.
    pub header: HeaderMatch,
    /// What happens if it has not.
    pub mismatch: Mismatch,
}

/// What a [`HeaderAction`] does to a request that does not have the header as it should be, and that the rest of its rule
/// matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mismatch {
    /// Nothing written: the rule does not match.
    #[default]
    Fail,
    /// `LOG`: the request passes, and its record says so.
    Log,
    /// `ADD`: a line with the right value is added to those that are there.
    Add,
    /// `DELETE`: the wrong lines are removed.
    Delete,
    /// `REPLACE`: one line with the right value takes the place of those that are there, or is added.
    Replace,
}

impl Mismatch {
    /// Whether it changes the request.
    pub fn edits(self) -> bool {
        matches!(self, Self::Add | Self::Delete | Self::Replace)
    }
}
