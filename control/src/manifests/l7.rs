//! What restricts a port beside its number: `rules`, server names, TLS contexts, listeners.
//!
//! HTTP rules are enforced. The others are checked as Cilium checks them, and then allow nothing, which a gap says.

use weir_model::{
    policy::{FqdnPeer, HttpRule, Port, PortRange, PortSpec, Protocol},
    resolved::Direction,
};

use super::{
    context::Context,
    http, kafka, language,
    node::{Issues, Node},
    peers,
};

/// The bounds of a listener's priority.
const PRIORITIES: std::ops::RangeInclusive<u64> = 1..=100;

/// The members of `rules`; `l7` belongs to `l7proto`.
const LISTS: [&str; 5] = ["http", "kafka", "dns", "l7proto", "l7"];

/// What restricts a port beside its number.
pub(super) enum L7 {
    /// Nothing.
    None,
    /// Each request must match one of these.
    Http(Vec<HttpRule>),
    /// Something that weir cannot enforce.
    Unenforced,
}

/// Reads what restricts the ports of an element of `toPorts`.
pub(super) fn restrictions(
    node: &Node<'_>,
    ports: &[(Node<'_>, PortSpec)],
    context: &Context<'_>,
    issues: &mut Issues,
) -> L7 {
    let rules = node.child("rules").map_or(L7::None, |rules| self::rules(&rules, node, ports, context, issues));
    let has_rules = node.child("rules").is_some_and(|rules| rules_written(&rules).is_some());
    let mut unenforced = false;
    for field in ["terminatingTLS", "originatingTLS"] {
        if let Some(tls) = node.child(field) {
            self::tls(&tls, issues);
            let effect =
                "weir does not terminate TLS yet, so the ports allow nothing; without it TLS passes by its port alone";
            context.gap(issues, tls.path(), effect);
            unenforced = true;
        }
    }
    if let Some(names) = node.child("serverNames") {
        unenforced |= server_names(&names, node, has_rules, context, issues);
    }
    if let Some(listener) = node.child("listener") {
        self::listener(&listener, has_rules, context, issues);
        unenforced = true;
    }
    if unenforced { L7::Unenforced } else { rules }
}

/// The list of `rules` that is written and has elements.
fn rules_written<'a>(rules: &Node<'a>) -> Option<(&'static str, Node<'a>)> {
    LISTS.into_iter().find_map(|name| Some((name, filled(rules, name)?)))
}

/// The member `name`, unless it is empty.
fn filled<'a>(rules: &Node<'a>, name: &str) -> Option<Node<'a>> {
    let list = rules.child(name)?;
    let empty = list.value().as_array().is_some_and(Vec::is_empty) || (name == "l7proto" && list.value() == "");
    (!empty).then_some(list)
}

/// Reads `rules`; no list and an empty list both mean plain L4.
fn rules(
    rules: &Node<'_>,
    port_rule: &Node<'_>,
    ports: &[(Node<'_>, PortSpec)],
    context: &Context<'_>,
    issues: &mut Issues,
) -> L7 {
    rules.check_fields(&language::L7, issues);
    let Some((name, list)) = rules_written(rules) else { return L7::None };
    for other in LISTS.into_iter().filter(|other| *other != name && (name, *other) != ("l7proto", "l7")) {
        if let Some(other) = filled(rules, other) {
            issues.problem(other.path(), format!("stands beside {name}; ports speak one protocol, write two toPorts"));
        }
    }
    if context.of_nodes && (name != "dns" || context.direction == Direction::Ingress) {
        issues
            .problem(list.path(), "is not for nodes; in a rule with nodeSelector only egress has rules, and only dns");
    }
    if name == "dns" {
        return dns(&list, port_rule, ports, context, issues);
    }
    let what = match name {
        "http" => "HTTP",
        "kafka" => "Kafka",
        _ => "L7",
    };
    for (node, port) in ports {
        check_port(node, port, what, &[Protocol::Tcp], issues);
    }
    match name {
        "http" => return L7::Http(http::rules(&list, context, issues)),
        "kafka" => kafka::check(&list, issues),
        "l7" => issues.problem(rules.path_of("l7proto"), "is missing; l7 needs the name of its parser"),
        _ => generic(rules, &list, issues),
    }
    unblocked(&list, "requests are not judged by it", context, issues)
}

/// What becomes of ports whose protocol weir does not judge.
fn unblocked(list: &Node<'_>, instead: &str, context: &Context<'_>, issues: &mut Issues) -> L7 {
    if context.blocks {
        let effect =
            "weir does not judge this protocol yet, so the ports allow nothing; remove it to allow all of the port";
        context.gap(issues, list.path(), effect);
        return L7::Unenforced;
    }
    context.gap(
        issues,
        list.path(),
        &format!("{instead} and not shown; all of the port is allowed, as without default deny"),
    );
    L7::None
}

fn generic(rules: &Node<'_>, parser: &Node<'_>, issues: &mut Issues) {
    parser.text(issues);
    for rule in rules.child("l7").map(|list| list.elements(issues)).unwrap_or_default() {
        for (_, value) in rule.members(issues) {
            value.text(issues);
        }
    }
}

/// DNS rules that allow every name are plain L4.
fn dns(
    list: &Node<'_>,
    port_rule: &Node<'_>,
    ports: &[(Node<'_>, PortSpec)],
    context: &Context<'_>,
    issues: &mut Issues,
) -> L7 {
    if context.direction == Direction::Ingress {
        issues.problem(list.path(), "is for egress only; judge questions where they are asked");
    }
    if ports.is_empty() {
        issues.problem(port_rule.path_of("ports"), "is missing; DNS rules need a port, as in 53");
    }
    for (node, port) in ports {
        check_port(node, port, "DNS", &[Protocol::Tcp, Protocol::Udp, Protocol::Any], issues);
        if matches!(port.port, Port::Numbers(range) if range.first != range.last && range != PortRange::ALL) {
            issues.problem(node.path_of("endPort"), "is not for DNS rules; name the port alone");
        }
    }
    let names: Vec<_> = list.elements(issues).iter().filter_map(|node| peers::name(node, issues)).collect();
    if names.iter().all(|name| *name == FqdnPeer::Pattern("*".into())) {
        let effect = "weir does not read DNS yet: every question is allowed, as written, and names are not shown";
        context.gap(issues, list.path(), effect);
        return L7::None;
    }
    unblocked(list, "names are not judged by it", context, issues)
}

fn check_port(node: &Node<'_>, port: &PortSpec, what: &str, protocols: &[Protocol], issues: &mut Issues) {
    if !protocols.contains(&port.protocol) {
        let wanted = if protocols.len() == 1 { "`protocol: TCP`, written out" } else { "TCP, UDP or ANY" };
        let reason = format!("is {}; {what} rules need {wanted}", port.protocol);
        issues.problem(node.path_of("protocol"), reason);
    }
    if matches!(port.port, Port::Numbers(range) if range.first == 0) {
        issues.problem(node.path_of("port"), format!("is 0 (all ports); {what} rules need a port's number or name"));
    }
}

fn tls(node: &Node<'_>, issues: &mut Issues) {
    node.check_fields(&language::TLS, issues);
    match node.child("secret") {
        Some(secret) => self::secret(&secret, issues),
        None => issues.problem(node.path_of("secret"), "is missing; name the Secret that holds the keys"),
    }
    for field in ["trustedCA", "certificate", "privateKey"] {
        if let Some(text) = node.child(field) {
            text.text(issues);
        }
    }
}

/// Checks a reference to a Secret.
pub(super) fn secret(node: &Node<'_>, issues: &mut Issues) {
    node.check_fields(&language::SECRET, issues);
    if let Some(namespace) = node.child("namespace") {
        namespace.text(issues);
    }
    match node.child("name") {
        Some(name) => drop(name.text(issues)),
        None => issues.problem(node.path_of("name"), "is missing; name the Secret"),
    }
}

/// Whether there are names, so that the ports must not allow anything.
fn server_names(
    list: &Node<'_>,
    port_rule: &Node<'_>,
    has_rules: bool,
    context: &Context<'_>,
    issues: &mut Issues,
) -> bool {
    let elements = list.elements(issues);
    for element in &elements {
        if element.text(issues).is_some_and(|name| !is_server_name(name)) {
            let reason = "is no server name; use a DNS name, with `*` in a label, or `**` for several labels";
            issues.problem(element.path(), reason);
        }
    }
    if elements.is_empty() {
        return false;
    }
    if has_rules && port_rule.child("terminatingTLS").is_none() {
        issues.problem(
            list.path(),
            "stands beside rules, which then need terminatingTLS to see requests; write two toPorts",
        );
    }
    let effect =
        "weir does not read server names yet, so the ports allow nothing; without them TLS passes by its port alone";
    context.gap(issues, list.path(), effect);
    true
}

fn is_server_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*');
    (1..=255).contains(&text.len())
        && text.bytes().all(good)
        && !text.contains("***")
        && text.split('.').all(|label| !label.is_empty())
}

fn listener(node: &Node<'_>, has_rules: bool, context: &Context<'_>, issues: &mut Issues) {
    node.check_fields(&language::LISTENER, issues);
    if context.direction == Direction::Ingress {
        issues.problem(node.path(), "is for egress only; remove it");
    }
    if has_rules {
        issues.problem(node.path(), "stands beside rules; a port has one of the two, write two toPorts");
    }
    match node.child("envoyConfig") {
        Some(config) => {
            config.check_fields(&language::ENVOY_CONFIG, issues);
            if let Some(kind) = config.child("kind")
                && !matches!(kind.text(issues), None | Some("CiliumEnvoyConfig" | "CiliumClusterwideEnvoyConfig"))
            {
                issues.problem(kind.path(), "is no kind; use CiliumEnvoyConfig or CiliumClusterwideEnvoyConfig");
            }
            named(&config, issues);
        }
        None => issues.problem(node.path_of("envoyConfig"), "is missing; name the object that has the listener"),
    }
    named(node, issues);
    if let Some(priority) = node.child("priority")
        && !priority.value().as_u64().is_some_and(|priority| PRIORITIES.contains(&priority))
    {
        issues.problem(priority.path(), "is no priority; use a number from 1 to 100");
    }
    let effect =
        "weir is its own proxy and has no listeners of Envoy, so the ports allow nothing; remove it to allow them";
    context.gap(issues, node.path(), effect);
}

/// Refuses a mapping without a name.
fn named(node: &Node<'_>, issues: &mut Issues) {
    match node.child("name") {
        Some(name) if name.text(issues).is_some_and(str::is_empty) => {
            issues.problem(name.path(), "is empty; write the name")
        }
        Some(_) => {}
        None => issues.problem(node.path_of("name"), "is missing; write the name"),
    }
}
