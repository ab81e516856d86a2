//! Random flows: between whom, and of what.

use std::{fmt, net::IpAddr};

use fastrand::Rng;
use serde_json::Value;
use weir_control::reference::{self, Question};

use super::packet::Packet;

/// The name of the node as a party.
pub(super) const NODE: &str = "node";

const ICMP: [u8; 2] = [1, 58];
/// None is an answer or an error, and without any of ICMPv6's IPv6 would work.
const ICMP_TYPES: [[u16; 3]; 2] = [[8, 13, 17], [128, 139, 144]];
const GRE: u8 = 47;

/// Who may take part in a flow.
pub(super) struct Party {
    pub(super) name: String,
    /// IPv4, then IPv6.
    pub(super) addresses: [IpAddr; 2],
    /// It is a pod of this node.
    pub(super) is_here: bool,
}

/// The first packet of an exchange.
pub(super) struct Flow<'a> {
    pub(super) from: &'a Party,
    pub(super) to: &'a Party,
    /// Index of the addresses.
    family: usize,
    /// IP protocol number.
    pub(super) protocol: u8,
    /// Destination port, or type of ICMP, or 0.
    pub(super) port: u16,
    ends: [reference::Party; 2],
}

impl<'a> Flow<'a> {
    /// One end is a pod of this node; most ports are of `ports`.
    pub(super) fn any(rng: &mut Rng, parties: &'a [Party], ports: &[u16]) -> Self {
        let here: Vec<usize> = (0..parties.len()).filter(|at| parties[*at].is_here).collect();
        let pod = here[rng.usize(0..here.len())];
        // Whoever it is, but itself.
        let other = (pod + rng.usize(1..parties.len())) % parties.len();
        let (from, to) = if rng.bool() { (pod, other) } else { (other, pod) };
        let (from, to) = (&parties[from], &parties[to]);
        let family = rng.usize(0..2);
        let (protocol, port) = match rng.u8(0..16) {
            0 => (GRE, 0),
            1 | 2 => (ICMP[family], ICMP_TYPES[family][rng.usize(0..3)]),
            kind => {
                let port = match rng.u8(0..8) {
                    0 => rng.u16(..),
                    1..4 => 80,
                    _ => ports[rng.usize(0..ports.len())],
                };
                (
                    if kind < 9 {
                        6
                    } else if kind < 14 {
                        17
                    } else {
                        132
                    },
                    port,
                )
            }
        };
        let end = |party: &Party| match party.name.as_str() {
            NODE => reference::Party::Host,
            _ => reference::Party::Address(party.addresses[family]),
        };
        Self { from, to, family, protocol, port, ends: [end(from), end(to)] }
    }

    pub(super) fn source(&self) -> IpAddr {
        self.from.addresses[self.family]
    }

    pub(super) fn target(&self) -> IpAddr {
        self.to.addresses[self.family]
    }

    pub(super) fn question(&self) -> Question<'_> {
        let [from, to] = &self.ends;
        Question { from, to, protocol: self.protocol, port: self.port, request: None }
    }

    pub(super) fn packet(&self) -> Packet {
        let (from, to, port) = (self.source(), self.target(), self.port);
        match self.protocol {
            6 => Packet::tcp(from, to, port),
            17 | 132 => Packet::datagram(from, to, self.protocol, 40_000, port),
            GRE => Packet::other(from, to, GRE),
            _ => Packet::icmp(from, to, u8::try_from(port).expect("a type of ICMP")),
        }
    }
}

impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.source(), self.target());
        write!(
            f,
            "{} ({from}) to {} ({to}), protocol {}, port {}",
            self.from.name, self.to.name, self.protocol, self.port
        )
    }
}

/// The ports that the objects name, those beside them, and those of the pods.
pub(super) fn ports(objects: &[Value]) -> Vec<u16> {
    let mut named = vec![0, 80, u16::MAX];
    objects.iter().for_each(|object| collect(object, &mut named));
    let mut ports: Vec<u16> =
        named.into_iter().flat_map(|port| [port.saturating_sub(1), port, port.saturating_add(1)]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn collect(value: &Value, ports: &mut Vec<u16>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, ports)),
        Value::Object(members) => {
            for (name, value) in members {
                let number = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                match (name.as_str(), number.parse()) {
                    ("port" | "endPort", Ok(port)) => ports.push(port),
                    _ => collect(value, ports),
                }
            }
        }
        _ => {}
    }
}
