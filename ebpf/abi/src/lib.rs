//! The `#[repr(C)]` keys, values and verdict codes that kernel and user side share; nothing is typed twice.
//!
//! Every struct has no padding that is not a named field, so its bytes can be compared and hashed by the kernel.
//! Addresses are 16 bytes in network byte order; an IPv4 address is v4-mapped (`::ffff:a.b.c.d`).
#![no_std]

/// Directory below the bpffs instance; grows with every incompatible change of a map's layout.
pub const LAYOUT: &str = "v1";

/// Bits of a packet's and socket's mark that weir uses. Kubernetes (0x4000, 0x8000), Cilium (0x0f00 and the upper
/// half) and Calico (the upper half) leave these two alone.
pub const MARK_MASK: u32 = 0x3000;
/// Set by the programs on packets that shall be delivered to weir's sockets; one routing rule looks at it.
pub const MARK_TO_PROXY: u32 = 0x1000;
/// Carried by all of the proxy's sockets, so that their packets are not redirected again.
pub const MARK_FROM_PROXY: u32 = 0x2000;

/// 16 bytes in network byte order; IPv4 is v4-mapped.
pub type Addr = [u8; 16];

/// A 16-bit number in network byte order, as ports are on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Be16(pub u16);

impl Be16 {
    /// From host byte order.
    pub const fn new(host: u16) -> Self {
        Self(host.to_be())
    }

    /// To host byte order.
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
}

/// Value of `IFACES` (key: ifindex): a device whose ingress is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Iface {
    /// The endpoint behind a pod's host-side interface; 0 for the node's other devices.
    pub endpoint: u32,
    /// `IFACE_*`.
    pub flags: u32,
}
/// [`Iface::flags`]: the device is a port of a bridge, where a packet must take the way over weir's own veth.
pub const IFACE_BRIDGE_PORT: u32 = 1;
/// [`Iface::flags`]: what comes in by the device begins with the IP header (tunnels).
pub const IFACE_NO_ETHERNET: u32 = 2;

/// Value of `ADDRS` (LPM key: [`Addr`]): who is behind an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddrInfo {
    /// Identity number.
    pub identity: u32,
    /// Endpoint of this node, or 0.
    pub endpoint: u32,
}

/// Value of `ENDPOINTS` (key: endpoint number).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// Which entries of `POLICY` are this endpoint's. Writing it is the atomic switch from one policy to the next.
    pub slot: u32,
    /// `ENFORCE_*`.
    pub flags: u32,
}
/// [`Endpoint::flags`]: ingress that no entry allows is dropped.
pub const ENFORCE_INGRESS: u32 = 1;
/// [`Endpoint::flags`]: egress that no entry allows is dropped.
pub const ENFORCE_EGRESS: u32 = 2;

/// Data of the LPM key of `POLICY`. Prefix lengths: [`PREFIX_PEER`], [`PREFIX_PROTOCOL`], [`PREFIX_PORT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PolicyKey {
    /// [`Endpoint::slot`].
    pub slot: u32,
    /// Peer identity; 0 is everybody.
    pub peer: u32,
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: u8,
    /// IP protocol number; only looked at from [`PREFIX_PROTOCOL`] on.
    pub protocol: u8,
    /// Destination port; only looked at with [`PREFIX_PORT`].
    pub port: Be16,
}
/// Prefix length of an entry for every protocol and port.
pub const PREFIX_PEER: u32 = 72;
/// Prefix length of an entry for every port of a protocol.
pub const PREFIX_PROTOCOL: u32 = 80;
/// Prefix length of an entry for one port.
pub const PREFIX_PORT: u32 = 96;
/// [`PolicyKey::direction`]: to the endpoint.
pub const INGRESS: u8 = 0;
/// [`PolicyKey::direction`]: from the endpoint.
pub const EGRESS: u8 = 1;

/// Value of `POLICY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PolicyEntry {
    /// [`ALLOW`] or [`REDIRECT`]; the greater outranks.
    pub verdict: u32,
    /// Which rule this is, for the agent's explanation.
    pub cookie: u32,
}
/// [`PolicyEntry::verdict`]: let pass.
pub const ALLOW: u32 = 1;
/// [`PolicyEntry::verdict`]: hand TCP to the proxy.
pub const REDIRECT: u32 = 2;

/// Key of `FLOWS`, the connection tracking: a 5-tuple with its two ends in ascending order of (address, port).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowKey {
    /// The lower end.
    pub low: Addr,
    /// The higher end.
    pub high: Addr,
    /// Port of the lower end; the identifier of an ICMP echo.
    pub low_port: Be16,
    /// Port of the higher end.
    pub high_port: Be16,
    /// IP protocol number.
    pub protocol: u8,
    /// Always 0.
    pub zero: [u8; 3],
}

/// Value of `FLOWS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowState {
    /// `bpf_ktime_get_ns` of the last packet, kept to about a second.
    pub seen_ns: u64,
    /// 1 if the higher end opened the exchange, 0 if the lower did.
    pub opened_by_high: u32,
    /// 1 once FIN or RST was seen: the entry then lives for seconds, not hours.
    pub closing: u32,
}

/// Value of `COUNTERS` (per CPU; key: [`counter_index`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}
/// Number of entries of `COUNTERS`.
pub const COUNTERS_LEN: u32 = 512;
/// Counter "reason" of packets that passed by policy.
pub const COUNT_FORWARDED: u8 = 1;
/// Counter "reason" of new connections that were handed to the proxy.
pub const COUNT_REDIRECTED: u8 = 2;
/// Counter "reason" of events that found the ring buffer full.
pub const COUNT_LOST_EVENTS: u8 = 3;

/// The index in `COUNTERS` of a reason (`COUNT_*` or `DROP_*`) and direction.
pub const fn counter_index(reason: u8, direction: u8) -> u32 {
    (reason as u32) << 1 | (direction & 1) as u32
}

/// Drop reasons, with Hubble's numbers (`weir_model::flow::DropReason` has the words).
pub mod drop {
    /// The source address is not the sender's.
    pub const INVALID_SOURCE: u8 = 132;
    /// No entry allows it.
    pub const POLICY_DENIED: u8 = 133;
    /// The packet cannot be parsed.
    pub const INVALID_PACKET: u8 = 134;
    /// A fragment, where only a rule for ports could allow it.
    pub const FRAGMENT: u8 = 157;
    /// A packet for an address that is not the endpoint's.
    pub const UNKNOWN_DESTINATION: u8 = 151;
    /// An L7 port, and no proxy listens.
    pub const PROXY_MISSING: u8 = 178;
    /// `bpf_sk_assign` refused.
    pub const PROXY_ASSIGN: u8 = 179;
}

/// A record in the ring buffer `EVENTS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// Source port, or 0.
    pub source_port: Be16,
    /// Destination port, or 0.
    pub destination_port: Be16,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags byte.
    pub tcp_flags: u8,
    /// ICMP type.
    pub icmp_type: u8,
    /// `EVENT_*`.
    pub kind: u8,
    /// `drop::*` for [`EVENT_DROPPED`], else 0.
    pub reason: u8,
    /// [`INGRESS`] or [`EGRESS`]: whose policy decided.
    pub direction: u8,
    /// Always 0.
    pub zero: [u8; 2],
    /// Source identity.
    pub source_identity: u32,
    /// Destination identity.
    pub destination_identity: u32,
    /// [`PolicyEntry::cookie`] of the entry that decided, or 0.
    pub cookie: u32,
}
/// [`Event::kind`]: a new connection passes.
pub const EVENT_FORWARDED: u8 = 1;
/// [`Event::kind`]: a new connection goes to the proxy.
pub const EVENT_REDIRECTED: u8 = 2;
/// [`Event::kind`]: a packet was dropped.
pub const EVENT_DROPPED: u8 = 3;

/// Value of `CONFIG` (array of one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// Index of weir's own veth, where packets from bridge ports are handed over; 0 if there is none.
    pub handover_ifindex: u32,
    /// MAC address of that veth.
    pub handover_mac: [u8; 6],
    /// Always 0.
    pub zero: [u8; 2],
}

/// Listening sockets per address family in `LISTENERS`: the proxy fills all of them, its workers taking turns, so the
/// programs need not know how many workers there are. IPv4 starts at 0, IPv6 at this number.
pub const LISTENER_SLOTS: u32 = 64;

const _: () = assert!(size_of::<Iface>() == 8);
const _: () = assert!(size_of::<AddrInfo>() == 8);
const _: () = assert!(size_of::<Endpoint>() == 8);
const _: () = assert!(size_of::<PolicyKey>() == 12);
const _: () = assert!(size_of::<PolicyEntry>() == 8);
const _: () = assert!(size_of::<FlowKey>() == 40);
const _: () = assert!(size_of::<FlowState>() == 16);
const _: () = assert!(size_of::<Event>() == 56);
const _: () = assert!(size_of::<Config>() == 12);
