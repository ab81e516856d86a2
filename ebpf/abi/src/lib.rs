//! The `#[repr(C)]` keys, values and verdict codes that kernel and user side share; nothing is typed twice.
//!
//! Every struct has no padding that is not a named field, so its bytes can be compared and hashed by the kernel.
//! Addresses are 16 bytes in network byte order; an IPv4 address is v4-mapped (`::ffff:a.b.c.d`).
#![no_std]

/// Directory below the bpffs instance; grows with every incompatible change of a map's layout.
pub const LAYOUT: &str = "v2";

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

/// A value in two versions, of which the *epoch* (`EPOCH`, an array of one) tells the one in force: number epoch & 1.
///
/// A change writes the other version wherever it changes something, then the epoch, in one write, then the version that
/// was in force. So every packet is judged by all of the old state, or by all of the new.
pub type Versions<T> = [T; 2];

/// Value of `ADDRS`, in two versions (LPM key: [`Addr`]): who is behind an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddrInfo {
    /// Identity number.
    pub identity: u32,
    /// Endpoint of this node, or 0.
    pub endpoint: u32,
}

/// Value of `ENDPOINTS`, in two versions (key: endpoint number).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// Which entries of `POLICY` are this endpoint's.
    pub slot: u32,
    /// `DEFAULT_DENY`, `AUDIT_DENY`, `HAS_ENTRIES`, `DENIES`, each for both directions: see [`flag`].
    pub flags: u32,
}
/// For [`flag`]: what no entry allows is dropped.
pub const DEFAULT_DENY: u32 = 0;
/// For [`flag`]: what no entry allows, the audited rules included, is recorded.
pub const AUDIT_DENY: u32 = 1;
/// For [`flag`]: there are entries to look up.
pub const HAS_ENTRIES: u32 = 2;
/// For [`flag`]: entries may deny, so what hides its port is dropped.
pub const DENIES: u32 = 3;

/// The bit of [`Endpoint::flags`] that says `what` of `direction`.
pub const fn flag(what: u32, direction: u8) -> u32 {
    1 << (what * 2 + (direction & 1) as u32)
}

/// Data of the LPM key of `POLICY`. Prefix lengths: [`PREFIX_PEER`]; [`PREFIX_PROTOCOL`], and up to [`PREFIX_PORT`] one
/// more for each leading bit of the port that counts.
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
    /// Destination port, or type of an ICMP message; looked at beyond [`PREFIX_PROTOCOL`].
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

/// Value of `POLICY`: the strongest verdict of all rules that cover the key. Of the two entries found, for the peer and
/// for everybody, the stronger decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PolicyEntry {
    /// `VERDICT_*`: what the rules in force say.
    pub verdict: u8,
    /// `VERDICT_*`: what they and the audited rules say together.
    pub audited: u8,
    /// 1 if connections that pass shall be shown to the proxy.
    pub observe: u8,
    /// Always 0.
    pub zero: u8,
    /// The number of the rule behind `verdict`, or 0.
    pub cookie: u32,
    /// The number of the rule behind `audited`, or 0.
    pub audit_cookie: u32,
}
/// The direction's default decides.
pub const VERDICT_NONE: u8 = 0;
/// Let pass.
pub const VERDICT_ALLOW: u8 = 1;
/// Hand TCP to the proxy, drop anything else.
pub const VERDICT_REDIRECT: u8 = 2;
/// Drop.
pub const VERDICT_DENY: u8 = 3;

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
    /// The epoch of the last verdict. As long as it lasts, nothing that the verdict depends on has changed.
    pub epoch: u32,
    /// 1 if the higher end opened the exchange, 0 if the lower did.
    pub opened_by_high: u8,
    /// 1 once FIN or RST was seen: the entry then lives for seconds, not hours.
    pub closing: u8,
    /// 1 if the verdict was to let pass; 0 if there was none.
    pub allowed: u8,
    /// Whose policy decided.
    pub direction: u8,
}

/// Key of `FRAGMENTS`: a datagram that comes in pieces (RFC 791 3.2, RFC 8200 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FragmentKey {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// The datagram's identification, as on the wire; the upper half of IPv4's is 0.
    pub id: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Always 0.
    pub zero: [u8; 3],
}

/// Value of `FRAGMENTS`: what only the first piece tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Fragment {
    /// `bpf_ktime_get_ns` of the first piece.
    pub seen_ns: u64,
    /// Source port; the identifier of an ICMP query.
    pub source_port: Be16,
    /// Destination port; the identifier of an ICMP query.
    pub destination_port: Be16,
    /// ICMP type.
    pub icmp_type: u8,
    /// Always 0.
    pub zero: [u8; 3],
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
/// Counter "reason" of packets that passed and that the audited policies would have denied.
pub const COUNT_AUDITED: u8 = 4;

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
    /// A protocol that cannot be told, where a rule might deny it.
    pub const UNKNOWN_PROTOCOL: u8 = 142;
    /// A fragment that hides its port, where only a rule for ports could allow it.
    pub const FRAGMENT: u8 = 157;
    /// A packet for an address that is not the endpoint's.
    pub const UNKNOWN_DESTINATION: u8 = 151;
    /// An L7 port, and no proxy listens.
    pub const PROXY_MISSING: u8 = 178;
    /// `bpf_sk_assign` refused.
    pub const PROXY_ASSIGN: u8 = 179;
    /// An entry denies it.
    pub const POLICY_DENY: u8 = 181;
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
    /// [`PolicyEntry::cookie`] of the entry that decided, for [`EVENT_AUDITED`] [`PolicyEntry::audit_cookie`]; or 0.
    pub cookie: u32,
}
/// [`Event::kind`]: a new connection passes.
pub const EVENT_FORWARDED: u8 = 1;
/// [`Event::kind`]: a new connection goes to the proxy.
pub const EVENT_REDIRECTED: u8 = 2;
/// [`Event::kind`]: a packet was dropped.
pub const EVENT_DROPPED: u8 = 3;
/// [`Event::kind`]: a new connection passes, and the audited policies would have denied it.
pub const EVENT_AUDITED: u8 = 4;

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
const _: () = assert!(size_of::<PolicyEntry>() == 12);
const _: () = assert!(size_of::<FragmentKey>() == 40);
const _: () = assert!(size_of::<Fragment>() == 16);
const _: () = assert!(size_of::<FlowKey>() == 40);
const _: () = assert!(size_of::<FlowState>() == 16);
const _: () = assert!(size_of::<Event>() == 56);
const _: () = assert!(size_of::<Config>() == 12);
