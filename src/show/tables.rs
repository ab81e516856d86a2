//! Lists as text.

use comfy_table::{Table, presets::NOTHING};
use weir_control::api::{
    EndpointStatus,
    shown::{ShownEndpoint, ShownEntry, ShownIdentity, ShownPolicy, ShownSelector, ShownVerdict},
};
use weir_model::{identity::Identity, policy::Mode, wanted::KernelVerdict};
use weir_sockmap::dump;

/// Columns, without borders; a long cell is not cut.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

/// `weir policy list`
pub(super) fn policies(policies: &[ShownPolicy]) -> String {
    let row = |policy: &ShownPolicy| {
        let endpoints = policy.endpoints.len().to_string();
        [
            policy.name.to_string(),
            mode(policy.mode).into(),
            valid(policy).into(),
            endpoints,
            policy.gaps.len().to_string(),
        ]
    };
    table(["POLICY", "MODE", "VALID", "ENDPOINTS", "GAPS"], policies.iter().map(row))
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
        Mode::Observe => "observe",
    }
}

fn valid(policy: &ShownPolicy) -> &'static str {
    match (policy.valid, policy.in_force) {
        (true, _) => "True",
        (false, true) => "False (an older version is in force)",
        (false, false) => "False",
    }
}

/// `weir policy get`
pub(super) fn policies_in_full(policies: &[ShownPolicy]) -> String {
    let one = |policy: &ShownPolicy| {
        let mut text = format!("{}\n  file:  {}\n", policy.name, policy.file);
        text += &format!("  mode:  {}\n  valid: {}\n", mode(policy.mode), valid(policy));
        let names: Vec<_> = policy.endpoints.iter().map(ToString::to_string).collect();
        text +=
            &format!("  endpoints of this node: {}\n", if names.is_empty() { "none".into() } else { names.join(", ") });
        for problem in &policy.problems {
            text += &format!("  rejected: {problem}\n");
        }
        for gap in &policy.gaps {
            text += &format!("  not enforced: {}: {}\n", gap.field, gap.effect);
        }
        if let Some(understood) = &policy.understood {
            let rules = serde_json::to_string_pretty(&understood.rules).unwrap_or_default();
            text += &format!("  rules: {}\n", rules.replace('\n', "\n  "));
        }
        text
    };
    policies.iter().map(one).collect()
}

/// `weir policy selectors`
pub(super) fn selectors(selectors: &[ShownSelector]) -> String {
    let row = |selector: &ShownSelector| {
        let identities: Vec<_> = selector.identities.iter().map(ToString::to_string).collect();
        [selector.id.0.to_string(), selector.selector.clone(), selector.users.to_string(), identities.join(",")]
    };
    table(["ID", "SELECTOR", "USERS", "IDENTITIES"], selectors.iter().map(row))
}

/// `weir identity list`
pub(super) fn identities(identities: &[ShownIdentity]) -> String {
    let row = |shown: &ShownIdentity| [shown.identity.to_string(), shown.pods.to_string(), shown.labels.join(",")];
    table(["IDENTITY", "PODS", "LABELS"], identities.iter().map(row))
}

/// `weir endpoint list`
pub(super) fn endpoints(endpoints: &[EndpointStatus]) -> String {
    let row = |endpoint: &EndpointStatus| {
        let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
        let enforced = if endpoint.enforced.is_empty() { "none".into() } else { endpoint.enforced.join("+") };
        let device = endpoint.device.clone().unwrap_or_else(|| "-".into());
        let (number, identity) = (endpoint.endpoint.to_string(), endpoint.identity.to_string());
        [number, endpoint.pod.to_string(), identity, device, enforced, addresses.join(","), endpoint.labels.join(",")]
    };
    let header = ["ENDPOINT", "POD", "IDENTITY", "DEVICE", "DEFAULT DENY", "ADDRESSES", "LABELS"];
    table(header, endpoints.iter().map(row))
}

/// `weir endpoint get`
pub(super) fn endpoints_in_full(endpoints: &[ShownEndpoint]) -> String {
    let one = |endpoint: &ShownEndpoint| {
        let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
        let mut text = format!("endpoint {} is pod {}\n", endpoint.endpoint, endpoint.pod);
        text += &format!("  addresses: {}\n", addresses.join(", "));
        text += &format!("  identity:  {} ({})\n", endpoint.identity, endpoint.labels.join(","));
        text += &format!("  policy:    {}\n", endpoint.policy.0);
        for (direction, flags) in [("ingress", endpoint.ingress), ("egress", endpoint.egress)] {
            let default = if flags.default_deny { "deny" } else { "allow" };
            let audited = if flags.audit_default_deny && !flags.default_deny { ", audited: deny" } else { "" };
            text += &format!("  {direction} default: {default}{audited}\n");
        }
        let header = ["DIRECTION", "PEER", "PROTOCOL", "PORTS", "VERDICT", "RULE", "PEER'S LABELS"];
        text + "\n" + &table(header, endpoint.entries.iter().map(entry))
    };
    endpoints.iter().map(one).collect()
}

fn entry(entry: &ShownEntry) -> [String; 7] {
    let peer = if entry.peer == Identity::UNKNOWN { "any".into() } else { entry.peer.to_string() };
    let mut said = verdict(entry.enforced.verdict).to_owned();
    let mut rule = explain(&entry.enforced);
    if let Some(audited) = &entry.audited {
        said += &format!(" (audited: {})", verdict(audited.verdict));
        rule += &format!(" (audited: {})", explain(audited));
    }
    if entry.observe {
        said += " +observe";
    }
    let direction = entry.direction.to_string();
    [direction, peer, protocol(entry.protocol), ports(entry.ports), said, rule, entry.labels.join(",")]
}

fn verdict(verdict: KernelVerdict) -> &'static str {
    match verdict {
        KernelVerdict::None => "default",
        KernelVerdict::Allow => "allow",
        KernelVerdict::Redirect => "redirect",
        KernelVerdict::Deny => "deny",
    }
}

fn explain(verdict: &ShownVerdict) -> String {
    match &verdict.rule {
        Some(rule) => format!("{} {rule}", verdict.rule_id),
        None => "-".into(),
    }
}

/// `weir map dump addresses`
pub(super) fn addresses(addresses: &[dump::Address]) -> String {
    let row = |one: &dump::Address| [one.prefix.clone(), one.identity.to_string(), one.endpoint.to_string()];
    table(["PREFIX", "IDENTITY", "ENDPOINT"], addresses.iter().map(row))
}

/// `weir map dump endpoints`
pub(super) fn slots(endpoints: &[dump::Endpoint]) -> String {
    let row = |one: &dump::Endpoint| [one.endpoint.to_string(), one.slot.to_string(), one.flags.join(", ")];
    table(["ENDPOINT", "SLOT", "FLAGS"], endpoints.iter().map(row))
}

/// `weir map dump policy`
pub(super) fn policy(entries: &[dump::Entry]) -> String {
    let row = |one: &dump::Entry| {
        let peer = if one.peer == 0 { "any".into() } else { one.peer.to_string() };
        let (said, audited) =
            (format!("{} {}", one.verdict, one.rule), format!("{} {}", one.audited, one.audited_rule));
        let (slot, direction) = (one.slot.to_string(), one.direction.to_string());
        [slot, direction, peer, protocol(one.protocol), ports(one.ports), said, audited, one.observe.to_string()]
    };
    let header = ["SLOT", "DIRECTION", "PEER", "PROTOCOL", "PORTS", "VERDICT", "AUDITED", "OBSERVE"];
    table(header, entries.iter().map(row))
}

/// `weir map dump flows`
pub(super) fn flows(flows: &[dump::Flow]) -> String {
    let row = |one: &dump::Flow| {
        let closing = if one.closing { "closing" } else { "open" };
        [protocol(one.protocol), one.source.to_string(), one.destination.to_string(), closing.into()]
    };
    table(["PROTOCOL", "OPENED BY", "TO", "STATE"], flows.iter().map(row))
}

fn protocol(number: u8) -> String {
    match number {
        0 => "any".into(),
        1 => "ICMP".into(),
        6 => "TCP".into(),
        17 => "UDP".into(),
        58 => "ICMPv6".into(),
        132 => "SCTP".into(),
        other => other.to_string(),
    }
}

fn ports(ports: (u16, u16)) -> String {
    match ports {
        (0, u16::MAX) => "any".into(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}
