//! Policies as an object states them, validated, before they are applied to any endpoint.
//!
//! A list that is absent, empty or holds an empty member means three different things (`Option<Vec<_>>` keeps them
//! apart): see [`RuleEntry`].

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::selector::Selector;

/// The kind of object that a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// `cilium.io/v2` CiliumNetworkPolicy.
    CiliumNetworkPolicy,
    /// `cilium.io/v2` CiliumClusterwideNetworkPolicy.
    CiliumClusterwideNetworkPolicy,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
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
    /// `spec` first, if present, then each of `specs`.
    pub rules: Vec<Rule>,
}

/// One rule (`spec`, or an element of `specs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The pods whose traffic the rule speaks of, already scoped to the policy's namespace.
    pub subject: Selector,
    /// Entries for connections to the subject; a non-empty list switches default deny on for the direction.
    pub ingress: Vec<RuleEntry>,
    /// Entries for connections from the subject.
    pub egress: Vec<RuleEntry>,
}

/// One entry of `ingress` or `egress`: allowed are the peers *and* the ports it names.
///
/// | `peers` | `ports` | allows |
/// |---|---|---|
/// | `None` | `None` | nothing (the idiom for "deny all") |
/// | `None` | `Some` | the ports, from anybody |
/// | `Some([])` | any | nothing |
/// | `Some(..)` | `None` or `Some([])` | the peers, on every port |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEntry {
    /// `fromEndpoints` / `toEndpoints`, already scoped; one match is enough.
    pub peers: Option<Vec<Selector>>,
    /// `toPorts`; one match is enough.
    pub ports: Option<Vec<PortRule>>,
}

/// One element of `toPorts`; without any port it allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRule {
    /// The ports it names.
    pub ports: Vec<PortProtocol>,
    /// `rules.http`; `None` when absent or empty, which means plain L4.
    pub http: Option<Arc<Vec<HttpRule>>>,
}

/// A port number and protocol; port 0 stands for every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortProtocol {
    /// Destination port in host byte order; 0 is every port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
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
}

impl Protocol {
    /// The protocol's IP numbers.
    pub fn numbers(self) -> &'static [u8] {
        match self {
            Self::Any => &[6, 17, 132],
            Self::Tcp => &[6],
            Self::Udp => &[17],
            Self::Sctp => &[132],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "ANY",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
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
