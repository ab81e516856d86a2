//! Which flows to show: the flags of `hubble observe`.

use serde::{Deserialize, Serialize};
use weir_model::{
    endpoint::PodName,
    flow::{Flow, FlowKind, Party, Verdict},
    selector::Selector,
};

use super::names::{self, ICMP, ICMPV6, SCTP, TCP, UDP};

/// A flow passes when, for each list that is not empty, one element matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Pods on either side: `[namespace/]prefix`. Without a namespace `default` is meant, `namespace/` is all of it, `/prefix`
    /// is any namespace.
    pub pod: Vec<String>,
    /// Pods that called.
    pub from_pod: Vec<String>,
    /// Pods that were called.
    pub to_pod: Vec<String>,
    /// Labels of either side; see [`crate::manifests::parse_selector`].
    pub label: Vec<Selector>,
    /// Verdicts.
    pub verdict: Vec<Verdict>,
    /// Protocols of layer 4 or 7.
    pub protocol: Vec<FlowProtocol>,
    /// Ports of either side.
    pub port: Vec<u16>,
    /// HTTP status: `404`, or the beginning of one as in `5+`, `40+`.
    pub http_status: Vec<String>,
    /// HTTP methods, in any case.
    pub http_method: Vec<String>,
    /// Beginnings of HTTP paths.
    pub http_path: Vec<String>,
    /// Flows not older than this time, in nanoseconds since the Unix epoch.
    pub since_ns: Option<u64>,
    /// Show only this many of the flows that were already there.
    pub last: Option<usize>,
    /// Go on with the flows to come.
    pub follow: bool,
}

/// A protocol as a filter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowProtocol {
    /// HTTP requests.
    Http,
    /// TCP, HTTP requests among them.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP of both versions.
    Icmp,
    /// ICMP of IPv4.
    Icmpv4,
    /// ICMP of IPv6.
    Icmpv6,
}

impl Filter {
    /// Whether the flow passes. `last` and `follow` are the caller's business.
    pub fn matches(&self, flow: &Flow) -> bool {
        let (source, destination) = (&flow.source, &flow.destination);
        let either = |matches: &dyn Fn(&Party) -> bool| matches(source) || matches(destination);
        any(&self.pod, |pattern| either(&|party| pod_matches(pattern, party)))
            && any(&self.from_pod, |pattern| pod_matches(pattern, source))
            && any(&self.to_pod, |pattern| pod_matches(pattern, destination))
            && any(&self.label, |selector| either(&|party| selector.matches(&party.who.labels)))
            && any(&self.verdict, |verdict| *verdict == flow.verdict)
            && any(&self.protocol, |protocol| protocol.matches(flow))
            && any(&self.port, |port| either(&|party| has_port(flow, party, *port)))
            && self.since_ns.is_none_or(|since| since <= flow.time_ns)
            && self.matches_http(flow)
    }

    fn matches_http(&self, flow: &Flow) -> bool {
        let FlowKind::Http(http) = &flow.kind else {
            return self.http_status.is_empty() && self.http_method.is_empty() && self.http_path.is_empty();
        };
        let status = http.status.to_string();
        any(&self.http_status, |pattern| match pattern.strip_suffix('+') {
            Some(beginning) => http.status != 0 && status.starts_with(beginning),
            None => *pattern == status,
        }) && any(&self.http_method, |method| method.eq_ignore_ascii_case(&http.method))
            && any(&self.http_path, |beginning| http.path.starts_with(beginning.as_str()))
    }
}

impl FlowProtocol {
    fn matches(self, flow: &Flow) -> bool {
        let protocol = names::protocol(flow);
        match self {
            Self::Http => matches!(flow.kind, FlowKind::Http(_)),
            Self::Tcp => protocol == TCP,
            Self::Udp => protocol == UDP,
            Self::Sctp => protocol == SCTP,
            Self::Icmp => matches!(protocol, ICMP | ICMPV6),
            Self::Icmpv4 => protocol == ICMP,
            Self::Icmpv6 => protocol == ICMPV6,
        }
    }
}

/// An empty list asks for nothing.
fn any<T>(list: &[T], matches: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(matches)
}

fn has_port(flow: &Flow, party: &Party, port: u16) -> bool {
    names::has_ports(names::protocol(flow)) && party.address.port() == port
}

fn pod_matches(pattern: &str, party: &Party) -> bool {
    let Some(PodName { namespace, name }) = &party.who.pod else { return false };
    let (wanted, prefix) = pattern.split_once('/').unwrap_or(("default", pattern));
    (wanted.is_empty() || wanted == namespace) && name.starts_with(prefix)
}
