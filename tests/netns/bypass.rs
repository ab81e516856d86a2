//! What somebody in a pod may try to get past a rule: each attempt is denied, and recorded.

mod link;
mod packets;
mod requests;

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use weir_lab::{Netns, in_netns};

/// Protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Sends one IP packet, header and all, from a namespace; `by` is where routing sends it.
fn inject(netns: &Netns, packet: &[u8], by: IpAddr) {
    const RAW: i32 = 255;
    let domain = if by.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    in_netns(netns, || {
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))).expect("a raw socket");
        if by.is_ipv6() {
            socket.set_header_included_v6(true).expect("IPV6_HDRINCL");
        } else {
            socket.set_header_included_v4(true).expect("IP_HDRINCL");
        }
        socket.send_to(packet, &SocketAddr::new(by, 0).into()).expect("send the packet");
    });
}

/// An IPv4 packet; the kernel fills in length, identifier and checksum. `fragment` is the word with flags and offset.
fn v4(source: IpAddr, destination: IpAddr, protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else { panic!("IPv4 addresses") };
    let words = u8::try_from(5 + options.len() / 4).expect("few options");
    let mut packet = vec![0x40 | words, 0, 0, 0, 0x12, 0x34];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// An IPv6 packet.
fn v6(source: [u8; 16], destination: [u8; 16], next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).expect("a short packet").to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(payload);
    packet
}

/// The 16 bytes of an address; one of IPv4 as `::ffff:a.b.c.d`.
fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A TCP SYN; its checksum is wrong, which is nobody's business before TCP itself.
fn syn(source: u16, destination: u16) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&source.to_be_bytes());
    header[2..4].copy_from_slice(&destination.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = 2;
    header[14] = 0xff;
    header
}

/// A UDP datagram without a checksum (which IPv6 would not take, but the programs see it before).
fn datagram(source: u16, destination: u16, text: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend(u16::try_from(8 + text.len()).expect("a short text").to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(text);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}
