//! `icmps`: types of messages, by number or name.

use serde_json::Value;
use weir_model::policy::{IcmpType, Protocol};

use super::{
    language, names,
    node::{Issues, Node},
};

/// Cilium's limit of fields in one element of `icmps`.
const MAX_FIELDS: usize = 40;

/// Names of types of ICMP, as Cilium spells them.
const NAMES_V4: [(&str, u8); 14] = [
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEchoRequest", 42),
    ("ExtendedEchoReply", 43),
];

/// Names of types of ICMPv6.
const NAMES_V6: [(&str, u8); 27] = [
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEchoReply", 161),
];

/// Reads an element of `icmps`.
pub(super) fn types(node: &Node<'_>, issues: &mut Issues) -> Vec<IcmpType> {
    node.check_fields(&language::ICMP, issues);
    let Some(fields) = node.child("fields") else { return Vec::new() };
    let elements = fields.elements(issues);
    if elements.len() > MAX_FIELDS {
        let reason = format!("has {} fields, at most {MAX_FIELDS} are allowed; use several icmps", elements.len());
        issues.problem(fields.path(), reason);
    }
    elements.iter().filter_map(|node| icmp_type(node, issues)).collect()
}

fn icmp_type(node: &Node<'_>, issues: &mut Issues) -> Option<IcmpType> {
    node.check_fields(&language::ICMP_FIELD, issues);
    let family = match node.child("family") {
        Some(family) => (family.path().to_owned(), family.text(issues)?),
        None => (String::new(), "IPv4"),
    };
    let protocol = match family.1 {
        "IPv4" | "" => Protocol::Icmp,
        "IPv6" => Protocol::Icmpv6,
        other => {
            issues.problem(family.0, format!("is {}; use IPv4 or IPv6", names::quote(other)));
            return None;
        }
    };
    let Some(kind) = node.child("type") else {
        issues.problem(node.path_of("type"), "is missing; write the type's number, or its name as in EchoRequest");
        return None;
    };
    let number = match kind.value() {
        Value::Number(number) => number.as_u64().and_then(|number| u8::try_from(number).ok()),
        _ => named(protocol, kind.text(issues)?),
    };
    if number.is_none() {
        issues.problem(kind.path(), unknown(protocol, kind.value()));
    }
    Some(IcmpType { protocol, number: number? })
}

fn known(protocol: Protocol) -> impl Iterator<Item = (&'static str, u8)> {
    let names: &[_] = if protocol == Protocol::Icmpv6 { &NAMES_V6 } else { &NAMES_V4 };
    names.iter().copied()
}

fn named(protocol: Protocol, text: &str) -> Option<u8> {
    let decimal =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if decimal {
        return text.parse().ok();
    }
    known(protocol).find(|(name, _)| *name == text).map(|(_, number)| number)
}

/// Says what is wrong with a type, and what comes close to it.
fn unknown(protocol: Protocol, value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let plain = |text: &str| text.replace([' ', '-', '_'], "").to_ascii_lowercase();
    let close = |protocol| known(protocol).find(|(name, _)| plain(name) == plain(text)).map(|(name, _)| name);
    let other = if protocol == Protocol::Icmp { Protocol::Icmpv6 } else { Protocol::Icmp };
    let hint = match (close(protocol), close(other)) {
        (Some(name), _) => format!("did you mean {name}?"),
        (None, Some(name)) => {
            format!(
                "{name} is a type of {other}; write `family: {}`",
                if other == Protocol::Icmp { "IPv4" } else { "IPv6" }
            )
        }
        (None, None) => "use a number from 0 to 255, or a name as in EchoRequest".into(),
    };
    match value {
        Value::String(text) => format!("{} is no type of {protocol}; {hint}", names::quote(text)),
        other => format!("{other} is no type of {protocol}; {hint}"),
    }
}
