//! `toPorts`: ports, protocols and HTTP rules.

use std::sync::Arc;

use serde_json::Value;
use weir_model::policy::{
    HeaderAction, HeaderMatch, HttpRule, Mismatch, Port, PortRange, PortRule, PortSpec, Protocol,
};

use super::{
    RuleCheck, language,
    names::is_service_name,
    node::{Issues, Node},
};

/// Cilium's limit of ports in one element of `toPorts`.
const MAX_PORTS: usize = 40;

/// Reads an element of `toPorts`.
pub(super) fn port_rule(node: &Node<'_>, check: &RuleCheck, issues: &mut Issues) -> PortRule {
    node.check_fields(&language::PORT_RULE, issues);
    let http = node.child("rules").and_then(|rules| http_rules(&rules, check, issues));
    let ports = node.child("ports").map(|list| (list.elements(issues), list)).map(|(elements, list)| {
        if elements.len() > MAX_PORTS {
            let reason = format!("has {} ports, at most {MAX_PORTS} are allowed; use several toPorts", elements.len());
            issues.problem(list.path(), reason);
        }
        elements.iter().filter_map(|node| port(node, http.is_some(), issues)).collect()
    });
    PortRule { ports: ports.unwrap_or_default(), http: http.map(Arc::new) }
}

fn port(node: &Node<'_>, has_http: bool, issues: &mut Issues) -> Option<PortSpec> {
    node.check_fields(&language::PORT, issues);
    let protocol = match node.child("protocol") {
        Some(protocol) => self::protocol(&protocol, issues)?,
        None => Protocol::Any,
    };
    let Some(number) = node.child("port") else {
        issues.problem(node.path_of("port"), "is missing; \"0\" stands for all ports of the protocol");
        return None;
    };
    let port = match number.value() {
        Value::Number(plain) => plain.as_u64().and_then(|plain| u16::try_from(plain).ok()),
        _ if is_service_name(number.text(issues)?) => {
            issues.problem(number.path(), "named ports are not supported yet; write the port's number");
            return None;
        }
        _ => parse_base_0(number.text(issues)?),
    };
    let Some(port) = port else {
        issues.problem(number.path(), format!("{} is not a port; use a number from 0 to 65535", number.value()));
        return None;
    };
    if has_http && protocol != Protocol::Tcp {
        let reason = format!("is {protocol}; HTTP rules need `protocol: TCP`, written out");
        issues.problem(node.path_of("protocol"), reason);
    }
    if has_http && port == 0 {
        issues.problem(number.path(), "is 0 (all ports); HTTP rules need a port's number");
    }
    let port = Port::Numbers(if port == 0 { PortRange::ALL } else { PortRange::one(port) });
    Some(PortSpec { port, protocol })
}

fn protocol(node: &Node<'_>, issues: &mut Issues) -> Option<Protocol> {
    match node.text(issues)? {
        "" | "ANY" => Some(Protocol::Any),
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        other @ ("ICMP" | "ICMPv6" | "VRRP" | "IGMP" | "GRE" | "IPIP" | "IPV6" | "ESP" | "AH") => {
            issues.problem(node.path(), format!("{other} is not supported yet; use TCP, UDP, SCTP or ANY"));
            None
        }
        other => {
            issues.problem(node.path(), format!("{other:?} is no protocol; use TCP, UDP, SCTP or ANY, in capitals"));
            None
        }
    }
}

/// Go's `strconv.ParseUint(text, 0, 16)` for what is left once names are taken out: decimal, or octal behind a 0, with `_`
/// between digits.
fn parse_base_0(text: &str) -> Option<u16> {
    let digits = text.as_bytes();
    if !digits.first()?.is_ascii_digit() || !digits.last()?.is_ascii_digit() || text.contains("__") {
        return None;
    }
    let radix = if digits[0] == b'0' { 8 } else { 10 };
    u16::from_str_radix(&text.replace('_', ""), radix).ok()
}

/// Reads `rules`; no list and an empty list both mean plain L4.
fn http_rules(node: &Node<'_>, check: &RuleCheck, issues: &mut Issues) -> Option<Vec<HttpRule>> {
    node.check_fields(&language::L7, issues);
    let list = node.child("http")?;
    let rules: Vec<_> = list.elements(issues).iter().map(|node| http_rule(node, check, issues)).collect();
    (!rules.is_empty()).then_some(rules)
}

fn http_rule(node: &Node<'_>, check: &RuleCheck, issues: &mut Issues) -> HttpRule {
    node.check_fields(&language::HTTP_RULE, issues);
    // As in Go, an empty string is a field that is not set.
    let mut text = |name: &str| {
        let text = node.child(name).and_then(|child| child.text(issues));
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (method, path, host) = (text("method"), text("path"), text("host"));
    let headers = match node.child("headers") {
        Some(list) => list.elements(issues).iter().filter_map(|node| header(node, issues)).collect(),
        None => Vec::new(),
    };
    let header_matches = match node.child("headerMatches") {
        Some(list) => list.elements(issues).iter().filter_map(|node| header_action(node, issues)).collect(),
        None => Vec::new(),
    };
    let rule = HttpRule { method, path, host, headers, header_matches };
    if let Err((field, reason)) = check(&rule) {
        issues.problem(node.path_of(&field), reason);
    }
    rule
}

/// Reads `Name: value`: split at the first space; without one the header must be present. Only a name that has a value loses
/// its `:`, so that `Name:` alone would ask for a header that cannot exist; it is refused.
fn header(node: &Node<'_>, issues: &mut Issues) -> Option<HeaderMatch> {
    let text = node.text(issues)?;
    let (name, value) = match text.split_once(' ') {
        Some((name, value)) => (name.trim_end_matches(':'), Some(value.to_owned())),
        None => (text, None),
    };
    if !is_token(name) {
        let reason =
            format!("{name:?} is no header name; write \"Name: value\" with one space, or \"Name\" for presence");
        issues.problem(node.path(), reason);
        return None;
    }
    Some(HeaderMatch { name: name.into(), value })
}

/// Reads an element of `headerMatches`.
fn header_action(node: &Node<'_>, issues: &mut Issues) -> Option<HeaderAction> {
    if !node.check_fields(&language::HEADER_MATCH, issues) {
        return None;
    }
    let mut text = |name: &str| match node.child(name) {
        Some(child) => child.text(issues),
        // As in Go, absent and empty are the same.
        None => Some(""),
    };
    let (name, value, mismatch) = (text("name")?, text("value")?, text("mismatch")?);
    if name.is_empty() {
        issues.problem(node.path_of("name"), "is missing; write the header's name");
        return None;
    }
    if !is_token(name) {
        issues.problem(node.path_of("name"), format!("{name:?} is no header name; write it without colon and value"));
        return None;
    }
    let action = match mismatch {
        "" => Mismatch::Fail,
        "LOG" => Mismatch::Log,
        "ADD" => Mismatch::Add,
        "DELETE" => Mismatch::Delete,
        "REPLACE" => Mismatch::Replace,
        other => {
            let reason =
                format!("{other:?} is no action; use LOG, ADD, DELETE or REPLACE, in capitals, or leave it out");
            issues.problem(node.path_of("mismatch"), reason);
            return None;
        }
    };
    if value.is_empty() && action.edits() {
        let reason = format!("is missing; {mismatch} compares the header with a value, so write the one that is right");
        issues.problem(node.path_of("value"), reason);
        return None;
    }
    let value = (!value.is_empty()).then(|| value.to_owned());
    Some(HeaderAction { header: HeaderMatch { name: name.into(), value }, mismatch: action })
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_go_reads_them() {
        let rows = [
            ("80", false, Some(80)),
            ("0", false, Some(0)),
            ("65535", false, Some(65535)),
            ("65536", false, None),
            ("0120", false, Some(80)),
            ("080", false, None),
            ("8_0", false, Some(80)),
            ("_80", false, None),
            ("8__0", false, None),
            ("+80", false, None),
            ("-80", false, None),
            ("", false, None),
            ("80 ", false, None),
            ("0x50", true, None),
            ("http", true, None),
            ("8080-admin", true, None),
            ("-http", false, None),
            ("a--b", false, None),
        ];
        for (text, name, number) in rows {
            assert_eq!((is_service_name(text), parse_base_0(text)), (name, number), "{text:?}");
        }
    }
}
