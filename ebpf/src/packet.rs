//! What a program needs to know of a packet: parsed once, from Ethernet to the ports.
//!
//! Only what policy can judge is taken apart. A header chain that ends in something unknown is still a packet with
//! addresses, and only an entry for all protocols can allow it. Of a datagram in pieces the first has the ports, which
//! the others are judged by; so whether it can be put together again hangs on the verdict about the first alone.

use aya_ebpf::{bindings::BPF_ANY, cty::c_long, helpers::bpf_ktime_get_ns, programs::TcContext};
use weir_abi::{Addr, Be16, Fragment, FragmentKey, IFACE_NO_ETHERNET, Iface};

use crate::maps::{FRAGMENTS, PACKET, settle};

const ETH_LEN: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021AD: u16 = 0x88a8;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
const SCTP: u8 = 132;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// RFC 8200 4.5: how long the pieces of a datagram may take; Linux keeps those of IPv4 for half of it.
const PIECES_LIFETIME: u64 = 60 * 1_000_000_000;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A parsed IP packet.
#[derive(Clone, Copy)]
pub struct Packet {
    pub source: Addr,
    pub destination: Addr,
    pub source_port: Be16,
    pub destination_port: Be16,
    pub protocol: u8,
    pub tcp_flags: u8,
    pub icmp_type: u8,
    pub v6: bool,
    /// A piece of a datagram.
    pub piece: bool,
    /// Not the first.
    pub later: bool,
    /// A later piece of a datagram whose first is not known: nobody can tell its ports.
    pub portless: bool,
    /// The headers of IPv6 go on behind what is looked at, so any protocol may be inside.
    pub opaque: bool,
    /// The datagram's identification, as on the wire.
    pub id: u32,
    /// Has addresses, but no place on a wire: the ports are cut off, or an IPv6 header has IPv4-mapped addresses, which
    /// would be taken for those of IPv4 here and by many an application (RFC 4942 2.2).
    pub invalid: bool,
    pub hop_limit: u8,
    /// Offset of the layer-4 header from the start of the frame.
    pub l4: usize,
}

/// What a frame holds.
pub enum Frame {
    /// ARP, from the IPv4 address that it claims to be.
    Arp(Addr),
    /// Neither IP nor ARP (LLDP, a VLAN inside a VLAN …): nothing that weir can judge.
    Foreign,
    /// Says that it is IP or ARP, and is too short or malformed.
    Malformed,
    /// An IP packet, in `PACKET`.
    Ip(&'static Packet),
}

/// Maps an IPv4 address into the 16 bytes of [`Addr`].
#[inline(always)]
pub fn mapped(v4: [u8; 4]) -> Addr {
    let mut addr = [0u8; 16];
    addr[10] = 0xff;
    addr[11] = 0xff;
    addr[12] = v4[0];
    addr[13] = v4[1];
    addr[14] = v4[2];
    addr[15] = v4[3];
    addr
}

impl Packet {
    /// A packet of which nothing is known but its addresses.
    #[inline(always)]
    pub fn between(source: Addr, destination: Addr) -> Self {
        Self {
            source,
            destination,
            source_port: Be16(0),
            destination_port: Be16(0),
            protocol: 0,
            tcp_flags: 0,
            icmp_type: 0,
            v6: false,
            piece: false,
            later: false,
            portless: false,
            opaque: false,
            id: 0,
            invalid: false,
            hop_limit: 0,
            l4: 0,
        }
    }

    /// Parses a frame that came in by, or goes out of, `iface`.
    #[inline(always)]
    pub fn parse(ctx: &TcContext, iface: &Iface) -> Frame {
        let at = if iface.flags & IFACE_NO_ETHERNET != 0 { 0 } else { ETH_LEN };
        let parsed = match protocol(ctx) {
            ETH_P_IP => Self::parse_v4(ctx, at),
            ETH_P_IPV6 => Self::parse_v6(ctx, at),
            ETH_P_ARP => {
                // RFC 826, for Ethernet and IPv4: the sender's protocol address is 14 bytes in.
                return match ctx.load::<[u8; 4]>(at + 14) {
                    Ok(sender) => Frame::Arp(mapped(sender)),
                    Err(_) => Frame::Malformed,
                };
            }
            _ => return Frame::Foreign,
        };
        match parsed {
            Ok(packet) => settle(&PACKET, 0, packet).map_or(Frame::Malformed, Frame::Ip),
            Err(_) => Frame::Malformed,
        }
    }

    #[inline(always)]
    fn parse_v4(ctx: &TcContext, at: usize) -> Result<Self, c_long> {
        let head: [u8; 20] = ctx.load(at)?;
        if head[0] >> 4 != 4 || head[0] & 0xf < 5 {
            return Err(-1);
        }
        let source = mapped([head[12], head[13], head[14], head[15]]);
        let mut packet = Self::between(source, mapped([head[16], head[17], head[18], head[19]]));
        packet.protocol = head[9];
        packet.id = u16::from_ne_bytes([head[4], head[5]]) as u32;
        packet.hop_limit = head[8];
        packet.l4 = at + ((head[0] & 0xf) as usize) * 4;
        // More fragments (0x2000), or an offset (0x1fff).
        packet.piece = (head[6] & 0x3f) | head[7] != 0;
        let later = (head[6] & 0x1f) | head[7] != 0;
        packet.invalid = packet.parse_l4(ctx, later).is_err();
        Ok(packet)
    }

    #[inline(always)]
    fn parse_v6(ctx: &TcContext, at: usize) -> Result<Self, c_long> {
        let head: [u8; 40] = ctx.load(at)?;
        if head[0] >> 4 != 6 {
            return Err(-1);
        }
        let mut source = [0u8; 16];
        let mut destination = [0u8; 16];
        source.copy_from_slice(&head[8..24]);
        destination.copy_from_slice(&head[24..40]);
        let mut packet = Self::between(source, destination);
        packet.protocol = head[6];
        packet.v6 = true;
        packet.hop_limit = head[7];
        packet.l4 = at + 40;
        // RFC 8200 4.1: both kinds of options may come, each at most twice here. A routing header is not skipped: it
        // could lead the packet to another address than the one judged.
        for _ in 0..4 {
            if packet.protocol != HOP_BY_HOP && packet.protocol != DESTINATION_OPTIONS {
                break;
            }
            let option: [u8; 2] = ctx.load(packet.l4)?;
            packet.protocol = option[0];
            packet.l4 += (option[1] as usize + 1) * 8;
        }
        let mut later = false;
        if packet.protocol == FRAGMENT {
            let head: [u8; 8] = ctx.load(packet.l4)?;
            packet.protocol = head[0];
            packet.id = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
            packet.l4 += 8;
            // One with neither an offset nor more to come is whole (RFC 6946).
            packet.piece = head[2] | (head[3] & 0xf9) != 0;
            later = head[2] | (head[3] & 0xf8) != 0;
        }
        packet.opaque =
            matches!(packet.protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS | MOBILITY | HIP | SHIM6);
        packet.invalid = packet.parse_l4(ctx, later).is_err() || is_mapped(&source) || is_mapped(&destination);
        Ok(packet)
    }

    #[inline(always)]
    fn fragment_key(&self) -> FragmentKey {
        let Self { source, destination, id, protocol, .. } = *self;
        FragmentKey { source, destination, id, protocol, zero: [0; 3] }
    }

    /// Keeps the ports of a datagram's first piece for the others. To be called once it is known that the sender is who
    /// the packet says.
    #[inline(always)]
    pub fn remember_pieces(&self) {
        if !self.piece || self.later {
            return;
        }
        // SAFETY: a helper without arguments.
        let seen_ns = unsafe { bpf_ktime_get_ns() };
        let Self { source_port, destination_port, icmp_type, .. } = *self;
        let first = Fragment { seen_ns, source_port, destination_port, icmp_type, zero: [0; 3] };
        // Without it the others are dropped, which is what a full map must lead to.
        let _ = FRAGMENTS.insert(self.fragment_key(), first, BPF_ANY as u64);
    }

    /// Ports and type from the first piece of the datagram.
    #[inline(always)]
    fn recall(&mut self) {
        let Some(first) = FRAGMENTS.get_ptr(self.fragment_key()) else {
            self.portless = true;
            return;
        };
        // SAFETY: the pointer comes from the map; a first piece with the same key may replace it, whole.
        let first = unsafe { *first };
        // SAFETY: a helper without arguments.
        let age = unsafe { bpf_ktime_get_ns() }.saturating_sub(first.seen_ns);
        self.portless = age > PIECES_LIFETIME;
        self.source_port = first.source_port;
        self.destination_port = first.destination_port;
        self.icmp_type = first.icmp_type;
    }

    /// Ports, TCP flags or ICMP type. A TCP header cut short is malformed, not portless.
    #[inline(always)]
    fn parse_l4(&mut self, ctx: &TcContext, later: bool) -> Result<(), c_long> {
        if later {
            self.later = true;
            self.recall();
            return Ok(());
        }
        match self.protocol {
            TCP => {
                let head: [u8; 14] = ctx.load(self.l4)?;
                self.source_port = Be16(u16::from_ne_bytes([head[0], head[1]]));
                self.destination_port = Be16(u16::from_ne_bytes([head[2], head[3]]));
                self.tcp_flags = head[13];
            }
            UDP | SCTP => {
                let head: [u8; 4] = ctx.load(self.l4)?;
                self.source_port = Be16(u16::from_ne_bytes([head[0], head[1]]));
                self.destination_port = Be16(u16::from_ne_bytes([head[2], head[3]]));
            }
            ICMP | ICMPV6 => {
                let head: [u8; 6] = ctx.load(self.l4)?;
                self.icmp_type = head[0];
                if self.query().is_some() {
                    // The identifier ties a reply to its request as a pair of ports would.
                    self.source_port = Be16(u16::from_ne_bytes([head[4], head[5]]));
                    self.destination_port = self.source_port;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// For a type of ICMP that asks or answers: the type of the question, and whether this is the answer. All of these
    /// have an identifier (RFC 792, RFC 950, RFC 4443 4, RFC 6275 6.5, RFC 8335 2).
    #[inline(always)]
    fn query(&self) -> Option<(u8, bool)> {
        let (kind, answer) = match (self.protocol, self.icmp_type) {
            (ICMP, 8 | 13 | 15 | 17 | 42) | (ICMPV6, 128 | 144 | 160) => (self.icmp_type, false),
            (ICMP, 0) => (8, true),
            (ICMP, 14 | 16 | 18 | 43) | (ICMPV6, 129 | 145 | 161) => (self.icmp_type - 1, true),
            _ => return None,
        };
        Some((kind, answer))
    }

    /// What a policy looks at: the destination port, or, for a reply (`turned`), the port that it was sent to; of ICMP the
    /// type, or the type that it answers.
    #[inline(always)]
    pub fn port_judged(&self, turned: bool) -> Be16 {
        match (self.protocol, turned) {
            (ICMP | ICMPV6, false) => Be16::new(self.icmp_type as u16),
            (ICMP | ICMPV6, true) => match self.query() {
                Some((kind, _)) => Be16::new(kind as u16),
                None => Be16::new(self.icmp_type as u16),
            },
            (_, false) => self.destination_port,
            (_, true) => self.source_port,
        }
    }

    /// An ICMP error: about another packet, of which it quotes the head.
    #[inline(always)]
    pub fn is_icmp_error(&self) -> bool {
        match (self.protocol, self.v6) {
            (ICMP, false) => matches!(self.icmp_type, 3 | 11 | 12),
            (ICMPV6, true) => !self.portless && self.icmp_type < 128,
            _ => false,
        }
    }

    /// The packet that an ICMP error quotes (RFC 792, RFC 4443 3), or nothing if it cannot be read.
    #[inline(always)]
    pub fn quoted(&self, ctx: &TcContext) -> Option<Self> {
        let mut packet = *self;
        let at = self.l4 + 8;
        if self.v6 {
            let head: [u8; 40] = ctx.load(at).ok()?;
            packet.source.copy_from_slice(&head[8..24]);
            packet.destination.copy_from_slice(&head[24..40]);
            packet.protocol = head[6];
            packet.l4 = at + 40;
        } else {
            let head: [u8; 20] = ctx.load(at).ok()?;
            packet.source = mapped([head[12], head[13], head[14], head[15]]);
            packet.destination = mapped([head[16], head[17], head[18], head[19]]);
            packet.protocol = head[9];
            packet.l4 = at + ((head[0] & 0xf) as usize) * 4;
            // What follows in a later piece is not a header.
            if (head[6] & 0x1f) | head[7] != 0 {
                return None;
            }
        }
        // An error quotes at least 8 bytes of layer 4: the ports or the identifier, not the TCP flags.
        let head: [u8; 8] = ctx.load(packet.l4).ok()?;
        packet.source_port = Be16(u16::from_ne_bytes([head[0], head[1]]));
        packet.destination_port = Be16(u16::from_ne_bytes([head[2], head[3]]));
        packet.icmp_type = head[0];
        if packet.query().is_some() {
            packet.source_port = Be16(u16::from_ne_bytes([head[4], head[5]]));
            packet.destination_port = packet.source_port;
        }
        packet.tcp_flags = 0;
        packet.piece = false;
        packet.later = false;
        packet.opaque = false;
        Some(packet)
    }

    /// Of ICMP only an answer to a question answers anything, of other protocols any packet may.
    #[inline(always)]
    pub fn may_answer(&self) -> bool {
        match self.protocol {
            ICMP | ICMPV6 => matches!(self.query(), Some((_, true))),
            _ => true,
        }
    }

    /// Neighbour discovery or multicast listener reports, without which no IPv6 address resolves, as RFC 4861 7.1 and
    /// RFC 3810 5 want them: with a hop limit that proves that nobody has forwarded them.
    #[inline(always)]
    pub fn is_neighbour_discovery(&self) -> bool {
        match self.icmp_type {
            // In pieces it is not (RFC 6980).
            _ if self.protocol != ICMPV6 || !self.v6 || self.invalid || self.piece => false,
            130..=132 | 143 => self.hop_limit == 1,
            133..=137 => self.hop_limit == 255,
            _ => false,
        }
    }

    /// Neighbour discovery that only routers send: advertisement, redirect, listener query.
    #[inline(always)]
    pub fn is_a_routers(&self) -> bool {
        matches!(self.icmp_type, 130 | 134 | 137)
    }

    /// For a neighbour advertisement, whose address it is about.
    #[inline(always)]
    pub fn advertised(&self, ctx: &TcContext) -> Option<Addr> {
        if self.icmp_type == 136 { ctx.load(self.l4 + 8).ok() } else { None }
    }

    /// The packet's two ends swapped: what an answer to it would look like.
    #[inline(always)]
    pub fn turned(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..*self
        }
    }

    /// The first packet of a TCP connection.
    #[inline(always)]
    pub fn is_syn(&self) -> bool {
        self.protocol == TCP && self.tcp_flags & (SYN | ACK) == SYN
    }
}

/// The link's own addresses: fe80::/10, and multicast that no router forwards (ff02::/16).
#[inline(always)]
pub fn is_of_link(addr: &Addr) -> bool {
    (addr[0] == 0xfe && addr[1] & 0xc0 == 0x80) || (addr[0] == 0xff && addr[1] & 0xf <= 2)
}

/// `::`, the source of who has no address yet.
#[inline(always)]
pub fn is_unspecified(addr: &Addr) -> bool {
    u128::from_ne_bytes(*addr) == 0
}

/// A VLAN tag behind one with the number 0. The kernel strips both, but the second one behind the programs' back, and
/// then takes what is inside as if it had come untagged.
#[inline(always)]
pub fn is_hidden_in_vlan(ctx: &TcContext) -> bool {
    // SAFETY: `skb` is the context that the kernel passed to the program.
    let tag = unsafe { (*ctx.skb.skb).vlan_tci };
    matches!(protocol(ctx), ETH_P_8021Q | ETH_P_8021AD) && tag & 0xfff == 0
}

/// The EtherType, without a VLAN tag.
#[inline(always)]
fn protocol(ctx: &TcContext) -> u16 {
    // SAFETY: `skb` is the context that the kernel passed to the program.
    u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
}

#[inline(always)]
fn is_mapped(addr: &Addr) -> bool {
    u128::from_be_bytes(*addr) >> 32 == 0xffff
}
