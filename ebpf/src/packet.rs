//! What a program needs to know of a packet: parsed once, from Ethernet to the ports.
//!
//! Only what policy can judge is taken apart. A fragment, or a header chain that ends in something unknown, is still a
//! packet with addresses, and only an entry for all protocols can allow it.

use aya_ebpf::{cty::c_long, programs::TcContext};
use weir_abi::{Addr, Be16};

const ETH_LEN: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
const SCTP: u8 = 132;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;

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
    /// Any fragment, the first included: its ports prove nothing about the others'.
    pub fragment: bool,
    /// Offset of the layer-4 header from the start of the frame.
    pub l4: usize,
}

/// What a frame holds.
pub enum Frame {
    /// Not IP (ARP, LLDP …): weir does not judge it.
    NotIp,
    /// Says that it is IP, and is too short or malformed.
    Malformed,
    /// An IP packet.
    Ip(Packet),
}

/// Maps an IPv4 address into the 16 bytes of [`Addr`].
#[inline(always)]
fn mapped(v4: [u8; 4]) -> Addr {
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
    /// Parses the packet of an Ethernet frame.
    #[inline(always)]
    pub fn parse(ctx: &TcContext) -> Frame {
        // SAFETY: `skb` is the context that the kernel passed to the program.
        let protocol = unsafe { (*ctx.skb.skb).protocol } as u16;
        let parsed = match u16::from_be(protocol) {
            ETH_P_IP => Self::parse_v4(ctx, ETH_LEN),
            ETH_P_IPV6 => Self::parse_v6(ctx, ETH_LEN),
            _ => return Frame::NotIp,
        };
        match parsed {
            Ok(packet) => Frame::Ip(packet),
            Err(_) => Frame::Malformed,
        }
    }

    #[inline(always)]
    fn parse_v4(ctx: &TcContext, at: usize) -> Result<Self, c_long> {
        let head: [u8; 20] = ctx.load(at)?;
        if head[0] >> 4 != 4 || head[0] & 0xf < 5 {
            return Err(-1);
        }
        let mut packet = Self {
            source: mapped([head[12], head[13], head[14], head[15]]),
            destination: mapped([head[16], head[17], head[18], head[19]]),
            source_port: Be16(0),
            destination_port: Be16(0),
            protocol: head[9],
            tcp_flags: 0,
            icmp_type: 0,
            v6: false,
            // More fragments (0x2000), or an offset (0x1fff).
            fragment: (head[6] & 0x3f) | head[7] != 0,
            l4: at + ((head[0] & 0xf) as usize) * 4,
        };
        packet.parse_l4(ctx)?;
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
        let mut packet = Self {
            source,
            destination,
            source_port: Be16(0),
            destination_port: Be16(0),
            protocol: head[6],
            tcp_flags: 0,
            icmp_type: 0,
            v6: true,
            fragment: false,
            l4: at + 40,
        };
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
        packet.fragment = packet.protocol == FRAGMENT;
        packet.parse_l4(ctx)?;
        Ok(packet)
    }

    /// Ports, TCP flags or ICMP type. A TCP header cut short is malformed, not portless.
    #[inline(always)]
    fn parse_l4(&mut self, ctx: &TcContext) -> Result<(), c_long> {
        if self.fragment {
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
                if self.is_echo() {
                    // The identifier ties a reply to its request as a pair of ports would.
                    self.source_port = Be16(u16::from_ne_bytes([head[4], head[5]]));
                    self.destination_port = self.source_port;
                }
            }
            _ => {}
        }
        Ok(())
    }

    #[inline(always)]
    fn is_echo(&self) -> bool {
        match self.protocol {
            ICMP => self.icmp_type == 0 || self.icmp_type == 8,
            _ => self.icmp_type == 128 || self.icmp_type == 129,
        }
    }

    /// An ICMP error: about another packet, of which it quotes the head.
    #[inline(always)]
    pub fn is_icmp_error(&self) -> bool {
        match self.protocol {
            ICMP => matches!(self.icmp_type, 3 | 11 | 12),
            ICMPV6 => !self.fragment && self.icmp_type < 128,
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
        }
        // An error quotes at least 8 bytes of layer 4: the ports, not the TCP flags.
        let ports: [u8; 4] = ctx.load(packet.l4).ok()?;
        packet.source_port = Be16(u16::from_ne_bytes([ports[0], ports[1]]));
        packet.destination_port = Be16(u16::from_ne_bytes([ports[2], ports[3]]));
        packet.tcp_flags = 0;
        Some(packet)
    }

    /// Neighbour and router discovery and multicast listener reports: without them no IPv6 address resolves.
    #[inline(always)]
    pub fn is_neighbour_discovery(&self) -> bool {
        self.protocol == ICMPV6 && matches!(self.icmp_type, 130..=137 | 143)
    }

    /// The first packet of a TCP connection.
    #[inline(always)]
    pub fn is_syn(&self) -> bool {
        self.protocol == TCP && self.tcp_flags & (SYN | ACK) == SYN
    }
}
