//! The fields of the policy language: which are read, and which are known (the union of Cilium 1.6 to 1.20) and refused by name.
//!
//! Ignoring a field would make a policy mean something else than its author wrote, so everything else is a mistake.

/// The fields of one mapping.
pub(super) struct Shape {
    /// What the mapping is called in messages.
    what: &'static str,
    /// Read.
    read: &'static [&'static str],
    /// Known, with the remedy.
    later: &'static [(&'static str, &'static str)],
}

impl Shape {
    /// Why a field with this name cannot be accepted.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        if self.read.contains(&name) {
            return Ok(());
        }
        if let Some((_, remedy)) = self.later.iter().find(|(later, _)| *later == name) {
            return Err(format!("{name} is not supported yet; {remedy}"));
        }
        let known = self.read.iter().chain(self.later.iter().map(|(name, _)| name));
        let hint = match known.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("check its spelling, or remove it; {} takes {}", self.what, self.read.join(", ")),
        };
        Err(format!("{name} is unknown; {hint}"))
    }
}

const PODS: &str = "name the peers by their labels (fromEndpoints, toEndpoints), or leave the peers out to allow any";
const ALLOW_ONLY: &str = "write what is allowed instead; what no rule allows is denied";
const REQUIRES: &str = "add the labels to each selector of fromEndpoints or toEndpoints (Cilium refuses it as well)";
const NODES: &str = "weir judges pods only; use endpointSelector";
const PORTS: &str = "name a port and a protocol in toPorts";
const HTTP: &str = "use rules.http, or allow the port without rules";
const TLS: &str = "remove it; TLS is passed through and judged by its port alone";
const DEFAULT_DENY: &str = "remove it; a direction with entries denies what they do not allow";
const REMOVE: &str = "remove it";

/// `CiliumNetworkPolicy` and `CiliumClusterwideNetworkPolicy`.
pub(super) const OBJECT: Shape =
    Shape { what: "a policy", read: &["apiVersion", "kind", "metadata", "spec", "specs", "status"], later: &[] };

/// `CiliumCIDRGroup`.
pub(super) const CIDR_GROUP: Shape =
    Shape { what: "a CIDR group", read: &["apiVersion", "kind", "metadata", "spec", "status"], later: &[] };

/// `spec` of a `CiliumCIDRGroup`.
pub(super) const CIDR_GROUP_SPEC: Shape = Shape { what: "a CIDR group", read: &["externalCIDRs"], later: &[] };

/// `spec`, and each of `specs`.
pub(super) const RULE: Shape = Shape {
    what: "a rule",
    read: &["endpointSelector", "description", "labels", "ingress", "egress"],
    later: &[
        ("nodeSelector", NODES),
        ("ingressDeny", ALLOW_ONLY),
        ("egressDeny", ALLOW_ONLY),
        ("enableDefaultDeny", DEFAULT_DENY),
        ("log", REMOVE),
        ("authentication", REMOVE),
    ],
};

/// An element of `ingress`.
pub(super) const INGRESS: Shape = Shape {
    what: "an ingress entry",
    read: &["fromEndpoints", "toPorts"],
    later: &[
        ("fromRequires", REQUIRES),
        ("fromCIDR", PODS),
        ("fromCIDRSet", PODS),
        ("fromEntities", PODS),
        ("fromGroups", PODS),
        ("fromNodes", PODS),
        ("icmps", PORTS),
        ("authentication", REMOVE),
        ("auth", REMOVE),
    ],
};

/// An element of `egress`.
pub(super) const EGRESS: Shape = Shape {
    what: "an egress entry",
    read: &["toEndpoints", "toPorts"],
    later: &[
        ("toRequires", REQUIRES),
        ("toCIDR", PODS),
        ("toCIDRSet", PODS),
        ("toEntities", PODS),
        ("toServices", PODS),
        ("toGroups", PODS),
        ("toNodes", PODS),
        ("toFQDNs", PODS),
        ("icmps", PORTS),
        ("authentication", REMOVE),
        ("auth", REMOVE),
    ],
};

/// An element of `toPorts`.
pub(super) const PORT_RULE: Shape = Shape {
    what: "a toPorts element",
    read: &["ports", "rules"],
    later: &[
        ("terminatingTLS", TLS),
        ("originatingTLS", TLS),
        ("serverNames", TLS),
        ("listener", "remove it; weir is its own proxy and takes no Envoy configuration"),
    ],
};

/// An element of `ports`.
pub(super) const PORT: Shape = Shape {
    what: "a port",
    read: &["port", "protocol"],
    later: &[("endPort", "list the ports one by one (at most 40), or use port \"0\" for all ports of the protocol")],
};

/// `rules`.
pub(super) const L7: Shape =
    Shape { what: "rules", read: &["http"], later: &[("kafka", HTTP), ("dns", HTTP), ("l7proto", HTTP), ("l7", HTTP)] };

/// An element of `http`.
pub(super) const HTTP_RULE: Shape =
    Shape { what: "an HTTP rule", read: &["path", "method", "host", "headers", "headerMatches"], later: &[] };

/// An element of `headerMatches`.
pub(super) const HEADER_MATCH: Shape = Shape {
    what: "a header match",
    read: &["name", "value", "mismatch"],
    later: &[("secret", "write what the header must be as value; weir reads no Secrets")],
};

/// A label selector.
pub(super) const SELECTOR: Shape = Shape { what: "a selector", read: &["matchLabels", "matchExpressions"], later: &[] };

/// An element of `matchExpressions`.
pub(super) const EXPRESSION: Shape =
    Shape { what: "a match expression", read: &["key", "operator", "values"], later: &[] };
