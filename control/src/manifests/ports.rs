//! `toPorts`: ports, protocols, and what else restricts them.

use std::sync::Arc;

use serde_json::Value;
use weir_model::policy::{Port, PortRange, PortRule, PortSpec, Protocol};

use super::{
    context::Context,
    l7::{self, L7},
    language,
    names::{self, is_service_name},
    node::{Issues, Node},
};

/// Cilium's limit of ports in one element of `toPorts`.
const MAX_PORTS: usize = 40;

/// The protocols without ports, by their IP numbers (IANA).
const WITHOUT_PORTS: [(&str, u8); 7] =
    [("VRRP", 112), ("IGMP", 2), ("GRE", 47), ("IPIP", 4), ("IPV6", 41), ("ESP", 50), ("AH", 51)];

/// Reads an element of `toPorts`. One whose restrictions weir cannot enforce is left without ports, so that it names nothing.
pub(super) fn port_rule(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> PortRule {
    let shape = if context.deny { &language::PORT_RULE_DENY } else { &language::PORT_RULE };
    node.check_fields(shape, issues);
    let ports = match node.child("ports") {
        Some(list) => {
            let elements = list.elements(issues);
            if elements.len() > MAX_PORTS {
                let reason =
                    format!("has {} ports, at most {MAX_PORTS} are allowed; use several toPorts", elements.len());
                issues.problem(list.path(), reason);
            }
            elements.iter().filter_map(|node| port(node, issues).map(|port| (node.clone(), port))).collect()
        }
        None => Vec::new(),
    };
    let specs = |ports: Vec<(Node<'_>, PortSpec)>| ports.into_iter().map(|(_, port)| port).collect();
    if context.deny {
        return PortRule { ports: specs(ports), http: None };
    }
    match l7::restrictions(node, &ports, context, issues) {
        L7::None => PortRule { ports: specs(ports), http: None },
        L7::Http(rules) => PortRule { ports: specs(ports), http: Some(Arc::new(rules)) },
        L7::Unenforced => PortRule { ports: Vec::new(), http: None },
    }
}

fn port(node: &Node<'_>, issues: &mut Issues) -> Option<PortSpec> {
    node.check_fields(&language::PORT, issues);
    let protocol = match node.child("protocol") {
        Some(protocol) => self::protocol(&protocol, issues)?,
        None => Protocol::Any,
    };
    let Some(number) = node.child("port") else {
        issues.problem(node.path_of("port"), "is missing; \"0\" stands for all ports of the protocol");
        return None;
    };
    let last = node.child("endPort");
    let port = match number.value() {
        Value::Number(plain) => plain.as_u64().and_then(|plain| u16::try_from(plain).ok()),
        _ => {
            let text = number.text(issues)?;
            if is_service_name(text) {
                if let Some(last) = last {
                    issues.note(last.path(), "is ignored beside a named port");
                }
                has_ports(protocol, false, node, issues);
                return Some(PortSpec { port: Port::Named(text.to_ascii_lowercase()), protocol });
            }
            parse_base_0(text)
        }
    };
    let Some(first) = port else {
        let shown = number.value().as_str().map_or_else(|| number.value().to_string(), names::quote);
        let reason = format!("{shown} is not a port; use a number from 0 to 65535, or the name of a container port");
        issues.problem(number.path(), reason);
        return None;
    };
    let last = match last {
        Some(last) => end_port(&last, first, issues)?,
        None => first,
    };
    has_ports(protocol, first == 0 && last == 0, node, issues);
    let range = if (first, last) == (0, 0) { PortRange::ALL } else { PortRange { first, last } };
    Some(PortSpec { port: Port::Numbers(range), protocol })
}

/// Reads `endPort`; one that is not above the port says nothing.
fn end_port(node: &Node<'_>, first: u16, issues: &mut Issues) -> Option<u16> {
    let Some(last) = node.value().as_u64().and_then(|last| u16::try_from(last).ok()) else {
        issues.problem(node.path(), "is not a port; use a number from 1 to 65535, without quotes");
        return None;
    };
    if last > 0 && last < first {
        issues.note(node.path(), format!("{last} is below the port, {first}, and is ignored"));
    }
    Some(last.max(first))
}

/// Refuses ports of a protocol that has none.
fn has_ports(protocol: Protocol, all: bool, node: &Node<'_>, issues: &mut Issues) {
    if matches!(protocol, Protocol::Other(_)) && !all {
        issues.problem(node.path_of("port"), format!("{protocol} has no ports; write `port: \"0\"`"));
    }
}

fn protocol(node: &Node<'_>, issues: &mut Issues) -> Option<Protocol> {
    let text = node.text(issues)?;
    if let Some((_, number)) = WITHOUT_PORTS.iter().find(|(name, _)| *name == text) {
        return Some(Protocol::Other(*number));
    }
    match text {
        "" | "ANY" => Some(Protocol::Any),
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => {
            let known = ["TCP", "UDP", "SCTP", "ANY"].into_iter().chain(WITHOUT_PORTS.iter().map(|(name, _)| *name));
            let known: Vec<&str> = known.collect();
            let shown = names::quote(text);
            let reason = match known.iter().find(|name| name.eq_ignore_ascii_case(text)) {
                Some(known) => format!("{shown} is no protocol; did you mean {known}?"),
                None if text.to_ascii_uppercase().starts_with("ICMP") => {
                    format!("{shown} has no ports; write icmps instead of toPorts")
                }
                None => format!("{shown} is no protocol; use one of {}", known.join(", ")),
            };
            issues.problem(node.path(), reason);
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
