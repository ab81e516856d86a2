//! What the pinned maps hold, read back for people: `weir map dump`.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{Map, MapData, MapError};
use serde::{Deserialize, Serialize};
use weir_abi::{AUDIT_DENY, DEFAULT_DENY, DENIES, EGRESS, HAS_ENTRIES, INGRESS, PREFIX_PROTOCOL, PolicyEntry, flag};
use weir_model::resolved::{Direction, RuleId};

use crate::{
    Error,
    flows::{Exchange, Flows},
    lpm::Prefix,
    pins::Pins,
    raw,
    state::{EntryParts, State},
    tables::Tables,
};

/// What the maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// Who is behind which prefix, the shortest prefixes first.
    pub addresses: Vec<Address>,
    /// What endpoints are judged by.
    pub endpoints: Vec<Endpoint>,
    /// Policy entries, by slot.
    pub policy: Vec<Entry>,
    /// Exchanges that pass without the proxy.
    pub flows: Vec<Flow>,
}

/// An entry of `ADDRS`, as it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Address and prefix length.
    pub prefix: String,
    /// Identity number.
    pub identity: u32,
    /// Endpoint of this node, or 0.
    pub endpoint: u32,
}

/// An entry of `ENDPOINTS`, as it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its number.
    pub endpoint: u32,
    /// Which policy entries are its own; 0 for none.
    pub slot: u32,
    /// As in `ingress default deny`.
    pub flags: Vec<String>,
}

/// An entry of `POLICY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose it is: [`Endpoint::slot`].
    pub slot: u32,
    /// As seen from the endpoint.
    pub direction: Direction,
    /// Peer identity; 0 is everybody.
    pub peer: u32,
    /// IP protocol number; 0 is every protocol.
    pub protocol: u8,
    /// First and last destination port, or type of ICMP.
    pub ports: (u16, u16),
    /// What the rules in force say: none, allow, redirect, deny.
    pub verdict: String,
    /// The rule behind it.
    pub rule: RuleId,
    /// What they and the audited rules say together.
    pub audited: String,
    /// The rule behind that.
    pub audited_rule: RuleId,
    /// Whether connections are shown to the proxy.
    pub observe: bool,
}

/// An entry of `FLOWS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Who opened it; with the identifier of ICMP in place of a port.
    pub source: SocketAddr,
    /// Whom.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// `CLOCK_MONOTONIC` of its last packet in nanoseconds, to about a second.
    pub seen_ns: u64,
    /// FIN or RST was seen.
    pub closing: bool,
}

/// Reads the maps that an agent has pinned; it need not run.
///
/// # Errors
/// If there are none, or they cannot be read.
pub fn read(pins: &Pins) -> Result<Dump, Error> {
    let state = Tables::open(|name| open(pins, name))?.read()?;
    let flows = Flows::open(pins)?.read()?;
    Ok(dump(&state, &flows))
}

fn open(pins: &Pins, name: &'static str) -> Result<Map, Error> {
    let failed = |e: MapError| Error::map("open", name, e);
    Map::from_map_data(MapData::from_pin(pins.maps().join(name)).map_err(failed)?).map_err(failed)
}

fn dump(state: &State, flows: &[Exchange]) -> Dump {
    let active = state.active();
    let address = |(key, versions): (&Prefix, &[weir_abi::AddrInfo; 2])| Address {
        prefix: prefix(key),
        identity: versions[active].identity,
        endpoint: versions[active].endpoint,
    };
    let endpoint = |(number, versions): (&u32, &[weir_abi::Endpoint; 2])| Endpoint {
        endpoint: *number,
        slot: versions[active].slot,
        flags: flags(versions[active].flags),
    };
    let slots = state.policies.iter().flat_map(|(slot, entries)| entries.iter().map(move |e| (*slot, e)));
    Dump {
        addresses: state.addresses.iter().map(address).collect(),
        endpoints: state.endpoints.iter().map(endpoint).collect(),
        policy: slots.map(|(slot, (key, value))| entry(slot, key, value)).collect(),
        flows: flows.iter().map(flow).collect(),
    }
}

fn prefix((length, addr): &Prefix) -> String {
    match raw::ip(*addr) {
        IpAddr::V4(v4) if *length >= 96 => format!("{v4}/{}", length - 96),
        _ => format!("{}/{length}", std::net::Ipv6Addr::from(*addr)),
    }
}

fn flags(flags: u32) -> Vec<String> {
    let names =
        [(DEFAULT_DENY, "default deny"), (AUDIT_DENY, "audited deny"), (HAS_ENTRIES, "entries"), (DENIES, "denials")];
    let directions = [(INGRESS, "ingress"), (EGRESS, "egress")];
    let all = directions.into_iter().flat_map(|direction| names.map(|name| (direction, name)));
    let set = all.filter(|((direction, _), (what, _))| flags & flag(*what, *direction) != 0);
    set.map(|((_, direction), (_, name))| format!("{direction} {name}")).collect()
}

fn entry(slot: u32, (length, peer, direction, protocol, port): &EntryParts, value: &PolicyEntry) -> Entry {
    let bits = length.saturating_sub(PREFIX_PROTOCOL).min(16);
    Entry {
        slot,
        direction: if *direction == INGRESS { Direction::Ingress } else { Direction::Egress },
        peer: *peer,
        protocol: *protocol,
        ports: (*port, *port | u16::MAX.checked_shr(bits).unwrap_or(0)),
        verdict: verdict(value.verdict),
        rule: RuleId(value.cookie),
        audited: verdict(value.audited),
        audited_rule: RuleId(value.audit_cookie),
        observe: value.observe != 0,
    }
}

fn verdict(number: u8) -> String {
    ["none", "allow", "redirect", "deny"]
        .get(usize::from(number))
        .map_or_else(|| number.to_string(), ToString::to_string)
}

fn flow(exchange: &Exchange) -> Flow {
    let Exchange { source, destination, protocol, seen_ns, closing, .. } = *exchange;
    Flow { source, destination, protocol, seen_ns, closing }
}
