//! An entry of `ingress`, `egress` or their deny lists: peers, ports, ICMP types, authentication.

use weir_model::{policy::RuleEntry, resolved::Direction, selector::Selector};

use super::{
    context::Context,
    icmp, language, names,
    node::{Issues, Node},
    peers::Kind,
    ports, selectors,
};

/// Reads an entry.
pub(super) fn entry(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> RuleEntry {
    node.check_fields(context.shape(), issues);
    let mut entry = RuleEntry { requires: requires(node, context, issues), ..RuleEntry::default() };
    let mut named = None;
    for kind in &Kind::ALL {
        let field = kind.field(context.direction).filter(|field| context.shape().fields.contains(field));
        let Some(list) = field.and_then(|field| node.child(field)) else { continue };
        let elements = list.elements(issues);
        if let (Some(other), false) = (named, elements.is_empty()) {
            let reason = format!("stands beside {other}; an entry has one kind of peers, write two entries");
            issues.problem(list.path(), reason);
        }
        named = named.or(field.filter(|_| !elements.is_empty()));
        let read = elements.iter().filter_map(|element| (kind.read)(element, context, issues));
        entry.peers.get_or_insert_default().extend(read);
    }
    if !entry.requires.is_empty() {
        // What is required of peers names none.
        entry.peers.get_or_insert_default();
    }
    entry.ports = node.child("toPorts").map(|list| {
        let elements = list.elements(issues);
        elements.iter().map(|element| ports::port_rule(element, context, issues)).collect()
    });
    icmps(node, &mut entry, issues);
    if authentication(node, context, issues) {
        entry.peers = Some(Vec::new());
    }
    entry
}

fn requires(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Vec<Selector> {
    let field = match context.direction {
        Direction::Ingress => "fromRequires",
        Direction::Egress => "toRequires",
    };
    let Some(list) = node.child(field) else { return Vec::new() };
    let elements = list.elements(issues);
    if !elements.is_empty() && !context.options.requires {
        let reason = "is refused, as Cilium does since 1.19; add its labels to each selector of the entry's endpoints, or ask for \
                      the meaning that it had before (for every rule with the same subject)";
        issues.problem(list.path(), reason);
        return Vec::new();
    }
    elements.iter().map(|element| selectors::peer(element, context, issues)).collect()
}

fn icmps(node: &Node<'_>, entry: &mut RuleEntry, issues: &mut Issues) {
    let Some(list) = node.child("icmps") else { return };
    let elements = list.elements(issues);
    let types: Vec<_> = elements.iter().flat_map(|element| icmp::types(element, issues)).collect();
    if !elements.is_empty() && entry.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        issues.problem(list.path(), "stands beside toPorts; an entry has one of the two, write two entries");
    }
    if !elements.is_empty() && types.is_empty() {
        // Elements that name nothing: unlike a list without elements, they leave the entry nothing to name.
        entry.peers = Some(Vec::new());
    }
    entry.icmps = Some(types);
}

/// Whether the entry asks for an authentication, so that it must not allow anything.
fn authentication(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> bool {
    let Some(node) = node.child("authentication") else { return false };
    node.check_fields(&language::AUTHENTICATION, issues);
    let Some(mode) = node.child("mode") else {
        issues.problem(node.path_of("mode"), "is missing; use disabled, required or test-always-fail");
        return false;
    };
    match mode.text(issues) {
        Some("disabled") | None => false,
        Some("required") => {
            let effect =
                "weir does not authenticate yet, so the entry allows nothing; remove authentication to allow it";
            context.gap(issues, mode.path(), effect);
            true
        }
        Some("test-always-fail") => {
            context.gap(
                issues,
                mode.path(),
                "weir does not authenticate yet; the entry allows nothing, as it asks for",
            );
            true
        }
        Some(other) => {
            let reason = format!("is {}; use disabled, required or test-always-fail", names::quote(other));
            issues.problem(mode.path(), reason);
            false
        }
    }
}
