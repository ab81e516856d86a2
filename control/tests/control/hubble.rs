//! Flow records as people and tools read them.

use std::sync::Arc;

use serde_json::json;
use weir_control::{
    hubble::{Filter, FlowProtocol, compact, response, to_json, wide},
    manifests::parse_selector,
};
use weir_model::{
    endpoint::PodName,
    flow::{DropReason, Flow, FlowKind, HeaderLog, HttpFlow, HttpVersion, L4, Party, Verdict, Who},
    identity::Identity,
    labels::{LabelKey, LabelSet},
    policy::{PolicyKind, PolicyName},
    resolved::{Direction, RuleId, RuleOrigin},
};

/// Jan 2 00:20:34.567 UTC.
const TIME: u64 = 1_767_313_234_567_000_000;

fn party(name: &str, identity: u32, address: &str) -> Party {
    let pod = (!name.is_empty()).then(|| PodName { namespace: "default".into(), name: name.into() });
    let labels = LabelSet::from_iter([(LabelKey::k8s("app"), name.to_owned())]);
    let endpoint = if name.is_empty() { 0 } else { identity - 250 };
    let who = Who { identity: Identity(identity), labels: Arc::new(labels), pod, endpoint };
    Party { address: address.parse().expect("an address"), who: Arc::new(who) }
}

fn origin(port: Option<u16>) -> RuleOrigin {
    let policy = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "default".into(), name: "x".into() };
    RuleOrigin { policy: Arc::new(policy), rule: 0, direction: Direction::Ingress, deny: false, entry: 0, port }
}

fn flow(kind: FlowKind, verdict: Verdict, rule: Option<RuleOrigin>) -> Flow {
    Flow {
        time_ns: TIME,
        verdict,
        drop_reason: None,
        direction: Direction::Ingress,
        source: party("a", 300, "10.0.0.1:31793"),
        destination: party("b", 301, "10.0.0.2:80"),
        kind,
        rule_id: RuleId(if rule.is_some() { 0x2a } else { 0 }),
        rule,
        policy_log: None,
    }
}

fn http(verdict: Verdict, status: u16, http_rule: Option<u16>) -> Flow {
    let exchange = HttpFlow {
        version: HttpVersion::Http11,
        method: "PUT".into(),
        host: "b.example".into(),
        path: "/v1/exhaust-port?x=1".into(),
        status,
        grpc_status: None,
        latency_ns: 240_000,
        http_rule,
        refusal: "".into(),
        headers: None,
    };
    flow(FlowKind::Http(Box::new(exchange)), verdict, Some(origin(Some(0))))
}

fn syn(protocol: u8) -> L4 {
    L4 { protocol, tcp_flags: if protocol == 6 { 2 } else { 0 }, icmp_type: if protocol == 1 { 8 } else { 0 } }
}

fn dropped(protocol: u8, reason: DropReason) -> Flow {
    Flow { drop_reason: Some(reason), ..flow(FlowKind::Drop(syn(protocol)), Verdict::Dropped, None) }
}

#[test]
fn a_denied_request_is_hubbles_l7_flow() {
    let policy = json!([{
        "name": "x",
        "namespace": "default",
        "kind": "CiliumNetworkPolicy",
        "labels": [
            "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
            "k8s:io.cilium.k8s.policy.name=x",
            "k8s:io.cilium.k8s.policy.namespace=default",
        ],
    }]);
    let expected = json!({
        "flow": {
            "time": "2026-01-02T00:20:34.567Z",
            "verdict": "DROPPED",
            "IP": {"source": "10.0.0.1", "destination": "10.0.0.2", "ipVersion": "IPv4"},
            "l4": {"TCP": {"source_port": 31793, "destination_port": 80}},
            "source": {"ID": 50, "identity": 300, "namespace": "default", "labels": ["k8s:app=a"], "pod_name": "a"},
            "destination": {"ID": 51, "identity": 301, "namespace": "default", "labels": ["k8s:app=b"], "pod_name": "b"},
            "Type": "L7",
            "node_name": "node-1",
            "l7": {
                "type": "REQUEST",
                "latency_ns": "240000",
                "http": {
                    "code": 403,
                    "method": "PUT",
                    "url": "http://b.example/v1/exhaust-port?x=1",
                    "protocol": "HTTP/1.1",
                },
            },
            "event_type": {"type": 129},
            "traffic_direction": "INGRESS",
            "is_reply": false,
            "ingress_denied_by": policy,
            "Summary": "HTTP/1.1 PUT http://b.example/v1/exhaust-port?x=1",
        },
        "node_name": "node-1",
        "time": "2026-01-02T00:20:34.567Z",
    });
    assert_eq!(to_json(&http(Verdict::Dropped, 403, None), "node-1"), expected);
    let line = serde_json::to_string(&response(&http(Verdict::Dropped, 403, None), "node-1")).expect("a line");
    assert!(line.starts_with(r#"{"flow":{"time":"#) && !line.contains('\n'), "{line}");
    let mut allowed = http(Verdict::Forwarded, 200, Some(0));
    allowed.direction = Direction::Egress;
    assert_eq!(to_json(&allowed, "")["flow"]["egress_allowed_by"], policy);
    assert_eq!(to_json(&allowed, "").get("node_name"), None, "defaults are left out");
}

#[test]
fn what_header_matches_found_is_shown() {
    let mut flow = http(Verdict::Forwarded, 200, None);
    let FlowKind::Http(exchange) = &mut flow.kind else { unreachable!("made above") };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let log =
        HeaderLog { missing: vec![pair("X-Key", "right"), pair("X-Any", "")], rejected: vec![pair("X-Key", "\u{7}")] };
    exchange.headers = Some(Box::new(log));
    exchange.grpc_status = Some(0);
    let headers = json!([
        {"key": "grpc-status", "value": "0"},
        {"key": "missing X-Key", "value": "right"},
        {"key": "missing X-Any", "value": ""},
        {"key": "rejected X-Key", "value": "\u{7}"},
    ]);
    assert_eq!(to_json(&flow, "")["flow"]["l7"]["http"]["headers"], headers);
    let line = compact(&flow);
    let found = r#" 200 0.2ms missing X-Key: "right" missing X-Any rejected X-Key: "\u{7}" by "#;
    assert!(line.contains(found), "{line}");
}

#[test]
fn connections_and_drops_are_hubbles_l3_l4_flows() {
    let connection = |verdict, rule| to_json(&flow(FlowKind::Connection(syn(6)), verdict, rule), "n")["flow"].clone();
    let redirected = connection(Verdict::Redirected, Some(origin(Some(0))));
    assert_eq!(redirected["event_type"], json!({"type": 5}));
    assert_eq!((&redirected["Type"], &redirected["verdict"]), (&json!("L3_L4"), &json!("REDIRECTED")));
    assert_eq!(redirected["l4"]["TCP"]["flags"], json!({"SYN": true}));
    assert_eq!((&redirected["is_reply"], &redirected["Summary"]), (&json!(false), &json!("TCP Flags: SYN")));
    assert_eq!(redirected["ingress_allowed_by"][0]["name"], "x");
    assert_eq!(redirected.get("policy_match_type"), None);
    assert_eq!(connection(Verdict::Forwarded, Some(origin(None)))["policy_match_type"], 1);
    assert_eq!(connection(Verdict::Forwarded, None).get("ingress_allowed_by"), None);

    let packet = to_json(&dropped(6, DropReason::PolicyDenied), "n")["flow"].clone();
    assert_eq!(packet["event_type"], json!({"type": 1, "sub_type": 133}));
    assert_eq!((&packet["drop_reason"], &packet["drop_reason_desc"]), (&json!(133), &json!("POLICY_DENIED")));
    assert_eq!(packet.get("is_reply"), None, "unknown for a drop");
}

/// Numbers and names of `flow.DropReason` in `cilium:api/v1/flow/flow.proto`.
#[test]
fn drop_reasons_are_hubbles() {
    let expected = [
        (132, "INVALID_SOURCE_IP"),
        (133, "POLICY_DENIED"),
        (134, "INVALID_PACKET_DROPPED"),
        (142, "UNKNOWN_L4_PROTOCOL"),
        (151, "STALE_OR_UNROUTABLE_IP"),
        (157, "IP_FRAGMENTATION_NOT_SUPPORTED"),
        (178, "SOCKET_LOOKUP_FAILED"),
        (179, "SOCKET_ASSIGN_FAILED"),
        (181, "POLICY_DENY"),
    ];
    let found = DropReason::ALL.map(|reason| {
        let flow = to_json(&dropped(6, reason), "")["flow"].clone();
        (flow["drop_reason"].as_u64().unwrap_or(0), flow["drop_reason_desc"].as_str().unwrap_or_default().to_owned())
    });
    assert_eq!(found, expected.map(|(number, name)| (number, name.to_owned())));
}

#[test]
fn times_have_as_many_digits_as_they_need() {
    let rows = [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.500Z"),
        (1_500_001_000, "1970-01-01T00:00:01.500001Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
    ];
    for (time_ns, expected) in rows {
        let flow = Flow { time_ns, ..dropped(6, DropReason::PolicyDenied) };
        assert_eq!(to_json(&flow, "")["time"], expected);
    }
}

#[test]
fn layer_4_is_named_by_its_protocol() {
    let rows = [
        (17, json!({"UDP": {"source_port": 31793, "destination_port": 80}}), "UDP"),
        (132, json!({"SCTP": {"source_port": 31793, "destination_port": 80}}), "SCTP"),
        (1, json!({"ICMPv4": {"type": 8}}), "ICMPv4 EchoRequest"),
        (58, json!({"ICMPv6": {}}), "ICMPv6 0"),
        (47, json!(null), "IP protocol 47"),
    ];
    for (protocol, l4, summary) in rows {
        let json = to_json(&dropped(protocol, DropReason::PolicyDenied), "")["flow"].clone();
        assert_eq!((json.get("l4").cloned().unwrap_or_default(), json["Summary"].as_str()), (l4, Some(summary)));
    }
}

#[test]
fn a_url_is_made_from_any_form_of_target() {
    let rows = [
        ("/a?b", "http://b.example/a?b"),
        ("http://other/a", "http://other/a"),
        ("*", "http://b.example"),
        ("b.example:443", "http://b.example:443"),
    ];
    for (path, expected) in rows {
        let mut flow = http(Verdict::Forwarded, 200, None);
        let FlowKind::Http(exchange) = &mut flow.kind else { unreachable!("made above") };
        exchange.path = path.into();
        assert_eq!(to_json(&flow, "")["flow"]["l7"]["http"]["url"], expected);
    }
}

#[test]
fn the_compact_line_is_hubbles_with_the_decision_behind_it() {
    let by = "by CiliumNetworkPolicy/default/x rule[0].ingress[0]";
    let mut outside = flow(FlowKind::Connection(syn(6)), Verdict::Forwarded, None);
    outside.source = party("", 10, "[2001:db8::1]:5000");
    let mut ping = dropped(1, DropReason::UnknownDestination);
    ping.source = party("", 9, "192.0.2.1:0");
    let head = "Jan  2 00:20:34.567: default/a:31793 (ID:300)";
    let rows = [
        (
            http(Verdict::Dropped, 403, None),
            format!(
                "{head} -> default/b:80 (ID:301) http-request DROPPED (HTTP/1.1 PUT http://b.example/v1/exhaust-port?x=1) 403 \
                 0.2ms {by}.toPorts[0]"
            ),
        ),
        (
            http(Verdict::Forwarded, 200, Some(2)),
            format!(
                "{head} -> default/b:80 (ID:301) http-request FORWARDED (HTTP/1.1 PUT http://b.example/v1/exhaust-port?x=1) 200 \
                 0.2ms {by}.toPorts[0].rules.http[2]"
            ),
        ),
        (
            flow(FlowKind::Connection(syn(6)), Verdict::Redirected, Some(origin(None))),
            format!("{head} -> default/b:80 (ID:301) policy-verdict:L3-Only INGRESS ALLOWED (TCP Flags: SYN) {by}"),
        ),
        (
            dropped(6, DropReason::PolicyDenied),
            format!(
                "{head} <> default/b:80 (ID:301) Policy denied DROPPED (TCP Flags: SYN) by default: no ingress rule allows it"
            ),
        ),
        (
            outside,
            "Jan  2 00:20:34.567: [2001:db8::1]:5000 (world-ipv6) -> default/b:80 (ID:301) policy-verdict:none INGRESS ALLOWED \
             (TCP Flags: SYN)"
                .into(),
        ),
        (
            ping,
            "Jan  2 00:20:34.567: 192.0.2.1 (world-ipv4) <> default/b (ID:301) Stale or unroutable IP DROPPED (ICMPv4 \
             EchoRequest)"
                .into(),
        ),
    ];
    for (flow, expected) in rows {
        assert_eq!(compact(&flow), expected);
    }
}

#[test]
fn what_came_from_the_wire_does_not_steer_the_terminal() {
    let mut flow = http(Verdict::Error, 400, None);
    let FlowKind::Http(exchange) = &mut flow.kind else { unreachable!("made above") };
    exchange.path = "/\u{1b}[2J\r\n".into();
    exchange.refusal = "bare LF".into();
    let line = compact(&flow);
    assert!(
        line.contains("ERROR") && line.contains("refused: bare LF") && !line.chars().any(char::is_control),
        "{line}"
    );
}

#[test]
fn the_wide_line_names_the_rule_as_the_header_does() {
    let denied = http(Verdict::Dropped, 403, None);
    assert_eq!(wide(&denied), format!("{} policy 0000002a; ingress", compact(&denied)));
    let by_default = Flow { rule_id: RuleId::default(), rule: None, direction: Direction::Egress, ..denied.clone() };
    assert_eq!(wide(&by_default), format!("{} policy default; egress", compact(&by_default)));
    let logged = Flow { policy_log: Some("a \u{1b} b".into()), ..denied };
    assert!(wide(&logged).ends_with(r#" policy 0000002a; ingress log "a \u{1b} b""#), "{}", wide(&logged));
}

#[test]
fn what_is_audited_and_what_is_denied_by_a_rule() {
    let mut audited = http(Verdict::Audited, 200, None);
    audited.policy_log = Some("trial".into());
    let json = to_json(&audited, "n")["flow"].clone();
    assert_eq!((&json["verdict"], &json["policy_log"]), (&json!("AUDIT"), &json!(["trial"])));
    assert_eq!(json["ingress_denied_by"][0]["name"], "x");
    assert!(compact(&audited).contains(" http-request AUDIT (HTTP/1.1 PUT "), "{}", compact(&audited));
    let connection = flow(FlowKind::Connection(syn(6)), Verdict::Audited, Some(origin(None)));
    assert!(compact(&connection).contains(" policy-verdict:L3-Only INGRESS AUDITED "), "{}", compact(&connection));
    assert_eq!(to_json(&connection, "n")["flow"]["verdict"], "AUDIT");

    let packet = Flow { rule: Some(origin(None)), ..dropped(6, DropReason::PolicyDeny) };
    let json = to_json(&packet, "n")["flow"].clone();
    assert_eq!(json["event_type"], json!({"type": 1, "sub_type": 181}));
    assert_eq!((&json["drop_reason"], &json["drop_reason_desc"]), (&json!(181), &json!("POLICY_DENY")));
    assert_eq!(json["ingress_denied_by"][0]["kind"], "CiliumNetworkPolicy");
    assert!(compact(&packet).contains(" Policy denied by denylist DROPPED "), "{}", compact(&packet));
}

#[test]
fn filters_follow_hubbles_rules() {
    let list = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let label = |text: &str| vec![parse_selector(text).expect("a selector")];
    let request = http(Verdict::Dropped, 403, None);
    let packet = dropped(17, DropReason::PolicyDenied);
    // (filter, passes the request, passes the packet)
    let rows = [
        (Filter::default(), true, true),
        (Filter { pod: list(&["b"]), ..Filter::default() }, true, true),
        (Filter { pod: list(&["default/a"]), ..Filter::default() }, true, true),
        (Filter { pod: list(&["default/"]), ..Filter::default() }, true, true),
        (Filter { pod: list(&["/a"]), ..Filter::default() }, true, true),
        (Filter { pod: list(&["other/"]), ..Filter::default() }, false, false),
        (Filter { pod: list(&["ab"]), ..Filter::default() }, false, false),
        (Filter { from_pod: list(&["b"]), ..Filter::default() }, false, false),
        (Filter { from_pod: list(&["b", "a"]), to_pod: list(&["b"]), ..Filter::default() }, true, true),
        (Filter { label: label("app=a"), ..Filter::default() }, true, true),
        (Filter { label: label("app in (x,y)"), ..Filter::default() }, false, false),
        (Filter { verdict: vec![Verdict::Dropped], ..Filter::default() }, true, true),
        (Filter { verdict: vec![Verdict::Forwarded], ..Filter::default() }, false, false),
        (Filter { protocol: vec![FlowProtocol::Http], ..Filter::default() }, true, false),
        (Filter { protocol: vec![FlowProtocol::Tcp], ..Filter::default() }, true, false),
        (Filter { protocol: vec![FlowProtocol::Udp, FlowProtocol::Icmp], ..Filter::default() }, false, true),
        (Filter { port: vec![80], ..Filter::default() }, true, true),
        (Filter { port: vec![8080], ..Filter::default() }, false, false),
        (Filter { http_status: list(&["403"]), ..Filter::default() }, true, false),
        (Filter { http_status: list(&["4+"]), ..Filter::default() }, true, false),
        (Filter { http_status: list(&["5+", "40"]), ..Filter::default() }, false, false),
        (Filter { http_method: list(&["put"]), ..Filter::default() }, true, false),
        (Filter { http_path: list(&["/v1/"]), ..Filter::default() }, true, false),
        (Filter { http_path: list(&["v1"]), ..Filter::default() }, false, false),
        (Filter { port: vec![80], http_method: list(&["GET"]), ..Filter::default() }, false, false),
    ];
    for (filter, passes_request, passes_packet) in rows {
        let found = (filter.matches(&request), filter.matches(&packet));
        assert_eq!(found, (passes_request, passes_packet), "{filter:?}");
        let copy: Filter = serde_json::from_str(&serde_json::to_string(&filter).expect("json")).expect("a filter");
        assert_eq!(copy, filter);
    }
}
