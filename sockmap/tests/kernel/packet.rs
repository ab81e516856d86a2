//! Packets as a sentence: `Packet::tcp(client, web, 80).fragment(7, 0, true)`.

use std::net::IpAddr;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SYN: u8 = 2;
pub const ACK: u8 = 16;

/// A packet in the making.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    /// Everything behind the IP header, and behind the fragment header if there is one.
    pub payload: Vec<u8>,
    /// Identification, offset in units of 8 bytes, and whether more pieces follow.
    pub piece: Option<(u16, u16, bool)>,
}

impl Packet {
    pub fn new(from: IpAddr, to: IpAddr, protocol: u8, payload: Vec<u8>) -> Self {
        Self { from, to, protocol, payload, piece: None }
    }

    /// A SYN from port 40000.
    pub fn tcp(from: IpAddr, to: IpAddr, port: u16) -> Self {
        Self::segment(from, to, 40_000, port, SYN)
    }

    pub fn segment(from: IpAddr, to: IpAddr, source: u16, port: u16, flags: u8) -> Self {
        let mut header = vec![0; 20];
        header[0..2].copy_from_slice(&source.to_be_bytes());
        header[2..4].copy_from_slice(&port.to_be_bytes());
        header[12] = 5 << 4;
        header[13] = flags;
        Self::new(from, to, TCP, header)
    }

    /// A datagram from port 40000.
    pub fn udp(from: IpAddr, to: IpAddr, port: u16) -> Self {
        Self::datagram(from, to, UDP, 40_000, port)
    }

    /// UDP or SCTP, with 16 bytes of header and payload.
    pub fn datagram(from: IpAddr, to: IpAddr, protocol: u8, source: u16, port: u16) -> Self {
        let mut header = vec![0; 16];
        header[0..2].copy_from_slice(&source.to_be_bytes());
        header[2..4].copy_from_slice(&port.to_be_bytes());
        header[5] = 16;
        Self::new(from, to, protocol, header)
    }

    /// A message of ICMP, or of ICMPv6 between addresses of IPv6, with identifier 7.
    pub fn icmp(from: IpAddr, to: IpAddr, kind: u8) -> Self {
        let protocol = if from.is_ipv4() { 1 } else { 58 };
        Self::new(from, to, protocol, vec![kind, 0, 0, 0, 0, 7, 0, 1])
    }

    /// Of a protocol that is just a number.
    pub fn other(from: IpAddr, to: IpAddr, protocol: u8) -> Self {
        Self::new(from, to, protocol, vec![0; 16])
    }

    /// A piece of the datagram: `offset` in units of 8 bytes.
    pub fn fragment(mut self, id: u16, offset: u16, more: bool) -> Self {
        self.piece = Some((id, offset, more));
        self
    }

    /// The first packet of the kind in the other direction: addresses and ports turned, TCP with SYN and ACK.
    pub fn answer(&self) -> Self {
        let mut answer = self.clone();
        (answer.from, answer.to) = (self.to, self.from);
        match (self.protocol, self.payload[0]) {
            (1, 8) => answer.payload[0] = 0,
            (58, 128) => answer.payload[0] = 129,
            (1 | 58, _) => {}
            _ => {
                let (source, destination) = answer.payload.split_at_mut(2);
                source.swap_with_slice(&mut destination[..2]);
            }
        }
        if self.protocol == TCP {
            answer.payload[13] = SYN | ACK;
        }
        answer
    }

    /// The ICMP error "unreachable" about this packet, from whom it was sent to.
    pub fn refused(&self) -> Self {
        let mut payload = if self.from.is_ipv4() { vec![3, 3, 0, 0, 0, 0, 0, 0] } else { vec![1, 4, 0, 0, 0, 0, 0, 0] };
        payload.extend(&self.frame()[14..]);
        Self::new(self.to, self.from, if self.from.is_ipv4() { 1 } else { 58 }, payload)
    }

    /// Behind this extension header of IPv6, 8 bytes of padding.
    pub fn behind(mut self, header: u8) -> Self {
        let mut payload = vec![self.protocol, 0, 1, 4, 0, 0, 0, 0];
        payload.append(&mut self.payload);
        (self.protocol, self.payload) = (header, payload);
        self
    }

    /// With its Ethernet header.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        let length = |of: usize| u16::try_from(of).expect("a short packet").to_be_bytes();
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend(0x0800_u16.to_be_bytes());
                frame.extend([0x45, 0]);
                frame.extend(length(20 + self.payload.len()));
                let (id, offset, more) = self.piece.unwrap_or_default();
                frame.extend(id.to_be_bytes());
                frame.extend((offset | if more { 0x2000 } else { 0 }).to_be_bytes());
                frame.extend([64, self.protocol, 0, 0]);
                frame.extend(from.octets());
                frame.extend(to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend(0x86dd_u16.to_be_bytes());
                frame.extend([0x60, 0, 0, 0]);
                let extra = if self.piece.is_some() { 8 } else { 0 };
                frame.extend(length(self.payload.len() + extra));
                frame.extend([if self.piece.is_some() { 44 } else { self.protocol }, 64]);
                frame.extend(from.octets());
                frame.extend(to.octets());
                if let Some((id, offset, more)) = self.piece {
                    frame.extend([self.protocol, 0]);
                    frame.extend((offset << 3 | u16::from(more)).to_be_bytes());
                    frame.extend(u32::from(id).to_be_bytes());
                }
            }
            _ => panic!("{} and {} are of two families", self.from, self.to),
        }
        frame.extend(&self.payload);
        frame
    }
}
