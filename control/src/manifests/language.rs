//! The fields of the policy language: the union of Cilium 1.6 to 1.20, and Kubernetes' NetworkPolicy.
//!
//! Ignoring a field would make a policy mean something else than its author wrote, so every other field is a mistake. Names
//! and words are taken as the CRDs spell them, also in JSON: the spellings that Cilium 1.6 took from files (`"HTTP"`,
//! `"tcp"`) are refused, and the message says how the word is written.

use super::names;

/// The fields of one mapping.
pub(super) struct Shape {
    /// What the mapping is called in messages.
    pub(super) what: &'static str,
    /// Its fields.
    pub(super) fields: &'static [&'static str],
    /// Fields of others that are looked for here, with the remedy.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

impl Shape {
    const fn new(what: &'static str, fields: &'static [&'static str]) -> Self {
        Self { what, fields, elsewhere: &[] }
    }

    const fn but(self, elsewhere: &'static [(&'static str, &'static str)]) -> Self {
        Self { elsewhere, ..self }
    }

    /// Why a field with this name cannot be accepted.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        if self.fields.contains(&name) {
            return Ok(());
        }
        if let Some((_, remedy)) = self.elsewhere.iter().find(|(other, _)| *other == name) {
            return Err(format!("{} has no {name}; {remedy}", self.what));
        }
        let hint = match names::meant(name, self.fields.iter().copied()) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("check its spelling, or remove it; {} takes {}", self.what, self.fields.join(", ")),
        };
        Err(format!("{} is unknown; {hint}", names::short(name)))
    }
}

/// `CiliumNetworkPolicy` and `CiliumClusterwideNetworkPolicy`.
pub(super) const OBJECT: Shape = Shape::new("a policy", &["apiVersion", "kind", "metadata", "spec", "specs", "status"]);

/// `CiliumCIDRGroup`.
pub(super) const CIDR_GROUP: Shape = Shape::new("a CIDR group", &["apiVersion", "kind", "metadata", "spec", "status"]);
/// `spec` of a `CiliumCIDRGroup`.
pub(super) const CIDR_GROUP_SPEC: Shape = Shape::new("a CIDR group", &["externalCIDRs"]);

/// `spec`, and each of `specs`.
pub(super) const RULE: Shape = Shape::new(
    "a rule",
    &[
        "endpointSelector",
        "nodeSelector",
        "ingress",
        "ingressDeny",
        "egress",
        "egressDeny",
        "enableDefaultDeny",
        "labels",
        "description",
        "log",
    ],
)
.but(&[("podSelector", "use endpointSelector"), ("authentication", "write it into the entries of ingress and egress")]);
/// An element of `labels`.
pub(super) const RULE_LABEL: Shape = Shape::new("a rule's label", &["key", "value", "source"]);
/// `enableDefaultDeny`.
pub(super) const DEFAULT_DENY: Shape = Shape::new("enableDefaultDeny", &["ingress", "egress"]);
/// `log`.
pub(super) const LOG: Shape = Shape::new("log", &["value"]);

const FROM: &str = "an entry about ingress says from…";
const TO: &str = "an entry about egress says to…";
const NO_FROM: [(&str, &str); 10] = [
    ("fromEndpoints", TO),
    ("fromRequires", TO),
    ("fromCIDR", TO),
    ("fromCIDRSet", TO),
    ("fromEntities", TO),
    ("fromGroups", TO),
    ("fromNodes", TO),
    AUTH,
    NO_NAMES,
    DENY_AUTH,
];
const AUTH: (&str, &str) = ("auth", "use authentication: {mode: …}");
const NO_NAMES: (&str, &str) =
    ("toFQDNs", "names cannot be denied; allow the other names, or deny addresses with toCIDR");
const DENY_AUTH: (&str, &str) = ("authentication", "remove it; what is denied needs no authentication");

/// An element of `ingress`.
pub(super) const INGRESS: Shape = Shape::new(
    "an ingress entry",
    &[
        "fromEndpoints",
        "fromRequires",
        "fromCIDR",
        "fromCIDRSet",
        "fromEntities",
        "fromGroups",
        "fromNodes",
        "toPorts",
        "icmps",
        "authentication",
    ],
)
.but(&[AUTH, ("toEndpoints", FROM), ("toCIDR", FROM), ("toCIDRSet", FROM), ("toEntities", FROM)]);

/// An element of `ingressDeny`.
pub(super) const INGRESS_DENY: Shape = Shape::new(
    "an ingressDeny entry",
    &[
        "fromEndpoints",
        "fromRequires",
        "fromCIDR",
        "fromCIDRSet",
        "fromEntities",
        "fromGroups",
        "fromNodes",
        "toPorts",
        "icmps",
    ],
)
.but(&[DENY_AUTH, ("toEndpoints", FROM), ("toCIDR", FROM), ("toCIDRSet", FROM), ("toEntities", FROM)]);

/// An element of `egress`.
pub(super) const EGRESS: Shape = Shape::new(
    "an egress entry",
    &[
        "toEndpoints",
        "toRequires",
        "toCIDR",
        "toCIDRSet",
        "toEntities",
        "toServices",
        "toGroups",
        "toNodes",
        "toFQDNs",
        "toPorts",
        "icmps",
        "authentication",
    ],
)
.but(&NO_FROM);

/// An element of `egressDeny`.
pub(super) const EGRESS_DENY: Shape = Shape::new(
    "an egressDeny entry",
    &[
        "toEndpoints",
        "toRequires",
        "toCIDR",
        "toCIDRSet",
        "toEntities",
        "toServices",
        "toGroups",
        "toNodes",
        "toPorts",
        "icmps",
    ],
)
.but(&NO_FROM);

/// `authentication`.
pub(super) const AUTHENTICATION: Shape = Shape::new("authentication", &["mode"]);

/// A label selector.
pub(super) const SELECTOR: Shape = Shape::new("a selector", &["matchLabels", "matchExpressions"]);
/// An element of `matchExpressions`.
pub(super) const EXPRESSION: Shape = Shape::new("a match expression", &["key", "operator", "values"]);
/// An element of `fromCIDRSet` and `toCIDRSet`.
pub(super) const CIDR_SET: Shape = Shape::new("a CIDR set", &["cidr", "cidrGroupRef", "cidrGroupSelector", "except"]);
/// An element of `toServices`.
pub(super) const SERVICE: Shape = Shape::new("a toServices element", &["k8sService", "k8sServiceSelector"]);
/// `k8sService`.
pub(super) const NAMED_SERVICE: Shape = Shape::new("k8sService", &["serviceName", "namespace"]);
/// `k8sServiceSelector`.
pub(super) const SELECTED_SERVICE: Shape = Shape::new("k8sServiceSelector", &["selector", "namespace"]);
/// An element of `toFQDNs` and of `rules.dns`.
pub(super) const FQDN: Shape = Shape::new("a name", &["matchName", "matchPattern"]);
/// An element of `fromGroups` and `toGroups`.
pub(super) const GROUP: Shape = Shape::new("a group", &["aws"]);
/// `aws`.
pub(super) const AWS: Shape =
    Shape::new("aws", &["labels", "securityGroupsIds", "securityGroupsNames", "region", "managedPrefixList"]);

/// `managedPrefixList`.
pub(super) const PREFIX_LIST: Shape = Shape::new("managedPrefixList", &["ids", "names", "ownerIDs"]);

/// An element of `toPorts`.
pub(super) const PORT_RULE: Shape =
    Shape::new("a toPorts element", &["ports", "rules", "terminatingTLS", "originatingTLS", "serverNames", "listener"]);
const PORTS_ALONE: &str = "a denial goes by ports alone; allow what may pass instead";
/// An element of `toPorts` of a deny entry.
pub(super) const PORT_RULE_DENY: Shape = Shape::new("a toPorts element of a deny entry", &["ports"]).but(&[
    ("rules", PORTS_ALONE),
    ("terminatingTLS", PORTS_ALONE),
    ("originatingTLS", PORTS_ALONE),
    ("serverNames", PORTS_ALONE),
    ("listener", PORTS_ALONE),
]);
/// An element of `ports`.
pub(super) const PORT: Shape = Shape::new("a port", &["port", "endPort", "protocol"]);
/// An element of `icmps`.
pub(super) const ICMP: Shape = Shape::new("an icmps element", &["fields"]);
/// An element of `fields`.
pub(super) const ICMP_FIELD: Shape = Shape::new("an ICMP field", &["family", "type"]);

/// `rules`.
pub(super) const L7: Shape = Shape::new("rules", &["http", "kafka", "dns", "l7proto", "l7"]);
/// An element of `http`.
pub(super) const HTTP_RULE: Shape = Shape::new("an HTTP rule", &["path", "method", "host", "headers", "headerMatches"]);
/// An element of `headerMatches`.
pub(super) const HEADER_MATCH: Shape = Shape::new("a header match", &["name", "value", "mismatch", "secret"]);
/// An element of `kafka`.
pub(super) const KAFKA_RULE: Shape = Shape::new("a Kafka rule", &["role", "apiKey", "apiVersion", "clientID", "topic"]);
/// `terminatingTLS` and `originatingTLS`.
pub(super) const TLS: Shape = Shape::new("a TLS context", &["secret", "trustedCA", "certificate", "privateKey"]);
/// `secret`.
pub(super) const SECRET: Shape = Shape::new("secret", &["namespace", "name"]);
/// `listener`.
pub(super) const LISTENER: Shape = Shape::new("listener", &["envoyConfig", "name", "priority"]);
/// `envoyConfig`.
pub(super) const ENVOY_CONFIG: Shape = Shape::new("envoyConfig", &["kind", "name"]);

/// `NetworkPolicy` of Kubernetes.
pub(super) const NETWORK_POLICY: Shape = Shape::new("a policy", &["apiVersion", "kind", "metadata", "spec", "status"])
    .but(&[("specs", "write one object for each rule")]);
/// Its `spec`.
pub(super) const NETWORK_POLICY_SPEC: Shape =
    Shape::new("a NetworkPolicy", &["podSelector", "policyTypes", "ingress", "egress"])
        .but(&[("endpointSelector", "use podSelector")]);
/// An element of its `ingress`.
pub(super) const KUBERNETES_INGRESS: Shape =
    Shape::new("an ingress rule", &["from", "ports"]).but(&[("to", "use from")]);
/// An element of its `egress`.
pub(super) const KUBERNETES_EGRESS: Shape = Shape::new("an egress rule", &["to", "ports"]).but(&[("from", "use to")]);
/// An element of `from` and `to`.
pub(super) const KUBERNETES_PEER: Shape = Shape::new("a peer", &["podSelector", "namespaceSelector", "ipBlock"]);
/// `ipBlock`.
pub(super) const IP_BLOCK: Shape = Shape::new("ipBlock", &["cidr", "except"]);
/// An element of its `ports`.
pub(super) const KUBERNETES_PORT: Shape = Shape::new("a port", &["protocol", "port", "endPort"]);
