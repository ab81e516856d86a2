//! `observer.GetFlowsResponse` as protojson with proto field names, as `hubble observe -o json` prints and reads it.
//!
//! The structs are the messages of `flow.proto`, restricted to what weir fills. protojson's rules: 64-bit numbers are strings,
//! defaults are left out, enums are names, a wrapper that is set is printed even when it holds the default.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use serde::{Serialize, Serializer};
use weir_model::{
    flow::{Flow, FlowKind, HttpFlow, Party, Verdict},
    policy::PolicyName,
    resolved::{Direction, RuleOrigin},
};

use super::names::{self, ICMP, ICMPV6, SCTP, TCP, TCP_FLAGS, UDP};

/// `cilium:pkg/monitor/api`, MessageType.
const MESSAGE_DROP: i32 = 1;
const MESSAGE_POLICY_VERDICT: i32 = 5;
const MESSAGE_L7: i32 = 129;
/// `policy_match_type` L3-Only: what an entry without ports is.
const MATCH_L3_ONLY: u32 = 1;

/// The message for one flow; serialize it to get a line.
pub fn response<'a>(flow: &'a Flow, node: &'a str) -> impl Serialize + 'a {
    let time = time(flow.time_ns);
    Response { flow: message(flow, node, &time), node_name: node, time }
}

/// The message as a JSON value.
pub fn to_json(flow: &Flow, node: &str) -> serde_json::Value {
    // Serializing strings and numbers into a value cannot fail.
    serde_json::to_value(response(flow, node)).unwrap_or_default()
}

#[derive(Serialize)]
struct Response<'a> {
    flow: Message<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    node_name: &'a str,
    time: String,
}

#[derive(Serialize)]
struct Message<'a> {
    time: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    drop_reason: u32,
    #[serde(rename = "IP")]
    ip: Ip,
    #[serde(skip_serializing_if = "Option::is_none")]
    l4: Option<Layer4>,
    source: Endpoint<'a>,
    destination: Endpoint<'a>,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    node_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    l7: Option<Layer7<'a>>,
    event_type: EventType,
    traffic_direction: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    policy_match_type: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_reason_desc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_reply: Option<bool>,
    #[serde(flatten)]
    decided_by: BTreeMap<&'static str, [PolicyMessage<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_log: Option<[&'a str; 1]>,
    #[serde(rename = "Summary")]
    summary: String,
}

#[derive(Serialize)]
struct Ip {
    source: IpAddr,
    destination: IpAddr,
    #[serde(rename = "ipVersion")]
    version: &'static str,
}

#[derive(Serialize)]
enum Layer4 {
    #[serde(rename = "TCP")]
    Tcp(Ports),
    #[serde(rename = "UDP")]
    Udp(Ports),
    #[serde(rename = "SCTP")]
    Sctp(Ports),
    ICMPv4(Icmp),
    ICMPv6(Icmp),
}

#[derive(Serialize)]
struct Ports {
    #[serde(skip_serializing_if = "is_default")]
    source_port: u16,
    #[serde(skip_serializing_if = "is_default")]
    destination_port: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    flags: BTreeMap<&'static str, bool>,
}

#[derive(Serialize)]
struct Icmp {
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    kind: u8,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    #[serde(rename = "ID", skip_serializing_if = "is_default")]
    id: u32,
    #[serde(skip_serializing_if = "is_default")]
    identity: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pod_name: &'a str,
}

#[derive(Serialize)]
struct Layer7<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_default", serialize_with = "as_string")]
    latency_ns: u64,
    http: Http<'a>,
}

#[derive(Serialize)]
struct Http<'a> {
    #[serde(skip_serializing_if = "is_default")]
    code: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    url: Cow<'a, str>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header<'a>>,
}

#[derive(Serialize)]
struct Header<'a> {
    key: Cow<'a, str>,
    value: Cow<'a, str>,
}

#[derive(Serialize)]
struct EventType {
    #[serde(rename = "type")]
    kind: i32,
    #[serde(skip_serializing_if = "is_default")]
    sub_type: i32,
}

#[derive(Serialize)]
struct PolicyMessage<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    labels: Vec<String>,
    kind: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn as_string<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn message<'a>(flow: &'a Flow, node: &'a str, time: &str) -> Message<'a> {
    let (kind, sub_type) = match &flow.kind {
        FlowKind::Http(_) => (MESSAGE_L7, 0),
        FlowKind::Connection(_) => (MESSAGE_POLICY_VERDICT, 0),
        FlowKind::Drop(_) => (MESSAGE_DROP, flow.drop_reason.map_or(0, |reason| reason as i32)),
    };
    // Hubble gives the reason for packets only: a request is answered, not dropped.
    let drop_reason = flow.drop_reason.filter(|_| matches!(flow.kind, FlowKind::Drop(_)));
    Message {
        time: time.into(),
        verdict: names::verdict(flow.verdict),
        drop_reason: drop_reason.map_or(0, |reason| reason as u32),
        ip: ip(flow),
        l4: layer4(flow),
        source: endpoint(&flow.source),
        destination: endpoint(&flow.destination),
        kind: if matches!(flow.kind, FlowKind::Http(_)) { "L7" } else { "L3_L4" },
        node_name: node,
        l7: layer7(flow),
        event_type: EventType { kind, sub_type },
        traffic_direction: match flow.direction {
            Direction::Ingress => "INGRESS",
            Direction::Egress => "EGRESS",
        },
        policy_match_type: policy_match_type(flow),
        drop_reason_desc: drop_reason.map(|reason| names::drop_reason(reason).0),
        // Of a dropped packet it is not known whether it was a reply.
        is_reply: (!matches!(flow.kind, FlowKind::Drop(_))).then_some(false),
        decided_by: flow.rule.iter().map(|rule| (decided_by(flow), [policy(rule)])).collect(),
        policy_log: flow.policy_log.as_deref().map(|log| [log]),
        summary: names::summary(flow),
    }
}

/// The record does not say whether a rule with ports named peers, so only the L3-only match is known for sure.
pub(super) fn policy_match_type(flow: &Flow) -> u32 {
    let l3_only = flow.rule.as_ref().is_some_and(|rule| rule.port.is_none());
    if l3_only && matches!(flow.kind, FlowKind::Connection(_)) { MATCH_L3_ONLY } else { 0 }
}

/// The rule of an audited flow is one that would deny it.
fn decided_by(flow: &Flow) -> &'static str {
    let allowed = matches!(flow.verdict, Verdict::Forwarded | Verdict::Redirected);
    match (flow.direction, allowed) {
        (Direction::Ingress, true) => "ingress_allowed_by",
        (Direction::Ingress, false) => "ingress_denied_by",
        (Direction::Egress, true) => "egress_allowed_by",
        (Direction::Egress, false) => "egress_denied_by",
    }
}

fn policy(rule: &RuleOrigin) -> PolicyMessage<'_> {
    let PolicyName { kind, namespace, name } = &*rule.policy;
    let kind = kind.to_string();
    let mut labels =
        vec![format!("k8s:io.cilium.k8s.policy.derived-from={kind}"), format!("k8s:io.cilium.k8s.policy.name={name}")];
    if !namespace.is_empty() {
        labels.push(format!("k8s:io.cilium.k8s.policy.namespace={namespace}"));
    }
    PolicyMessage { name, namespace, labels, kind }
}

fn ip(flow: &Flow) -> Ip {
    let (source, destination) = (flow.source.address.ip(), flow.destination.address.ip());
    Ip { source, destination, version: if source.is_ipv4() { "IPv4" } else { "IPv6" } }
}

fn layer4(flow: &Flow) -> Option<Layer4> {
    let (flags, icmp_type) = match &flow.kind {
        FlowKind::Http(_) => (0, 0),
        FlowKind::Connection(l4) | FlowKind::Drop(l4) => (l4.tcp_flags, l4.icmp_type),
    };
    let ports = Ports {
        source_port: flow.source.address.port(),
        destination_port: flow.destination.address.port(),
        flags: TCP_FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name, true)).collect(),
    };
    Some(match names::protocol(flow) {
        TCP => Layer4::Tcp(ports),
        UDP => Layer4::Udp(ports),
        SCTP => Layer4::Sctp(ports),
        ICMP => Layer4::ICMPv4(Icmp { kind: icmp_type }),
        ICMPV6 => Layer4::ICMPv6(Icmp { kind: icmp_type }),
        _ => return None,
    })
}

fn layer7(flow: &Flow) -> Option<Layer7<'_>> {
    let FlowKind::Http(http) = &flow.kind else { return None };
    let message = Http {
        code: http.status,
        method: &http.method,
        url: names::url(http),
        protocol: names::http_version(http.version),
        headers: headers(http),
    };
    Some(Layer7 { kind: "REQUEST", latency_ns: http.latency_ns, http: message })
}

/// What weir keeps of a request's headers. Hubble has no field for what `headerMatches` found: it stands here, under keys with
/// a space, which no header has.
fn headers(http: &HttpFlow) -> Vec<Header<'_>> {
    let status = http.grpc_status.map(|status| Header { key: "grpc-status".into(), value: status.to_string().into() });
    let found = names::header_log(http);
    let found = found.map(|(what, name, value)| Header { key: format!("{what} {name}").into(), value: value.into() });
    status.into_iter().chain(found).collect()
}

fn endpoint(party: &Party) -> Endpoint<'_> {
    let who = &*party.who;
    let (namespace, pod_name) = who.pod.as_ref().map_or(("", ""), |pod| (&pod.namespace, &pod.name));
    Endpoint { id: who.endpoint, identity: who.identity.0, namespace, labels: who.labels.to_strings(), pod_name }
}

/// RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second, as protojson prints timestamps.
fn time(ns: u64) -> String {
    let Ok(timestamp) = jiff::Timestamp::from_nanosecond(i128::from(ns)) else { return String::new() };
    let seconds = timestamp.strftime("%Y-%m-%dT%H:%M:%S");
    match ns % 1_000_000_000 {
        0 => format!("{seconds}Z"),
        rest if rest % 1_000_000 == 0 => format!("{seconds}.{:03}Z", rest / 1_000_000),
        rest if rest % 1_000 == 0 => format!("{seconds}.{:06}Z", rest / 1_000),
        rest => format!("{seconds}.{rest:09}Z"),
    }
}
