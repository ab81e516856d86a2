//! One line per flow: `hubble observe`'s compact form, followed by what Hubble does not say: who decided, status and latency.

use std::fmt::Write;

use weir_model::{
    flow::{Flow, FlowKind, HttpFlow, Party, Verdict},
    identity::Identity,
    resolved::Direction,
};

use super::{json, names};

/// Renders a flow as one line, without a line end. Times are in UTC, as Hubble's are.
pub fn compact(flow: &Flow) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(flow.time_ns)).unwrap_or_default();
    let protocol = names::protocol(flow);
    // Hubble's sign for "it is not known whether this is a reply", which it prints for drops.
    let arrow = if matches!(flow.kind, FlowKind::Drop(_)) { "<>" } else { "->" };
    let mut line = format!(
        "{}: {} {} {arrow} {} {} {} {} ({})",
        time.strftime("%b %e %H:%M:%S%.3f"),
        host(&flow.source, protocol),
        identity(flow.source.who.identity),
        host(&flow.destination, protocol),
        identity(flow.destination.who.identity),
        kind(flow),
        verdict(flow),
        names::summary(flow),
    );
    if let FlowKind::Http(http) = &flow.kind {
        exchange(&mut line, http);
    }
    decision(&mut line, flow);
    printable(line)
}

/// As [`compact`], with what explains the verdict behind it: the rule's number and side, as in the header `x-weir-policy`, and
/// the rule's `log.value`.
pub fn wide(flow: &Flow) -> String {
    let mut line = format!("{} policy {}", compact(flow), flow.rule_id.reference(flow.direction));
    if let Some(log) = &flow.policy_log {
        let _ = write!(line, " log {log:?}");
    }
    line
}

fn host(party: &Party, protocol: u8) -> String {
    let address = party.address;
    match (&party.who.pod, names::has_ports(protocol)) {
        (Some(pod), true) => format!("{pod}:{}", address.port()),
        (Some(pod), false) => pod.to_string(),
        (None, true) => address.to_string(),
        (None, false) => address.ip().to_string(),
    }
}

fn identity(identity: Identity) -> String {
    identity.reserved_name().map_or_else(|| format!("(ID:{identity})"), |name| format!("({name})"))
}

fn kind(flow: &Flow) -> String {
    match &flow.kind {
        FlowKind::Http(_) => "http-request".into(),
        FlowKind::Connection(_) => {
            let matched = if json::policy_match_type(flow) == 0 { "none" } else { "L3-Only" };
            let direction = match flow.direction {
                Direction::Ingress => "INGRESS",
                Direction::Egress => "EGRESS",
            };
            format!("policy-verdict:{matched} {direction}")
        }
        FlowKind::Drop(_) => flow.drop_reason.map_or("UNKNOWN", |reason| names::drop_reason(reason).1).into(),
    }
}

fn verdict(flow: &Flow) -> &'static str {
    match (&flow.kind, flow.verdict) {
        (FlowKind::Connection(_), Verdict::Forwarded | Verdict::Redirected) => "ALLOWED",
        (FlowKind::Connection(_), Verdict::Dropped | Verdict::Error) => "DENIED",
        (FlowKind::Connection(_), Verdict::Audited) => "AUDITED",
        (_, verdict) => names::verdict(verdict),
    }
}

fn exchange(line: &mut String, http: &HttpFlow) {
    // Writing to a string cannot fail.
    if http.status != 0 {
        let _ = write!(line, " {}", http.status);
    }
    #[expect(clippy::cast_precision_loss, reason = "a latency is printed to a tenth of a millisecond")]
    let milliseconds = http.latency_ns as f64 / 1e6;
    let _ = write!(line, " {milliseconds:.1}ms");
    if !http.refusal.is_empty() {
        let _ = write!(line, " refused: {}", http.refusal);
    }
    for (what, name, value) in names::header_log(http) {
        let _ = write!(line, " {what} {name}");
        if !value.is_empty() {
            let _ = write!(line, ": {value:?}");
        }
    }
}

fn decision(line: &mut String, flow: &Flow) {
    let http_rule = match &flow.kind {
        FlowKind::Http(http) => http.http_rule,
        _ => None,
    };
    let denied_packet = flow.drop_reason == Some(weir_model::flow::DropReason::PolicyDenied);
    let _ = match (&flow.rule, http_rule) {
        (Some(rule), Some(http_rule)) => write!(line, " by {rule}.rules.http[{http_rule}]"),
        (Some(rule), None) => write!(line, " by {rule}"),
        (None, _) if denied_packet => write!(line, " by default: no {} rule allows it", flow.direction),
        (None, _) => Ok(()),
    };
}

/// What came from the wire must not steer the terminal.
fn printable(line: String) -> String {
    if !line.chars().any(char::is_control) {
        return line;
    }
    let mut clean = String::with_capacity(line.len() + 8);
    for c in line.chars() {
        if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}
