//! Ends what is left in the kernel of an earlier connection: a socket in TIME_WAIT, usually, that stands in the way of
//! the next connection between the same two ends.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

/// `NETLINK_SOCK_DIAG` and `AF_NETLINK` (linux/netlink.h, linux/socket.h).
const SOCK_DIAG: i32 = 4;
const AF_NETLINK: i32 = 16;
/// `SOCK_DESTROY` (linux/sock_diag.h); wants CONFIG_INET_DIAG_DESTROY.
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST` (linux/netlink.h).
const REQUEST: u16 = 1;
/// `struct nlmsghdr` and `struct inet_diag_req_v2` (linux/inet_diag.h).
const LENGTH: usize = 16 + 56;

/// Ends the socket of the caller's network namespace with exactly these two ends. If the kernel cannot, or there is
/// none, nothing happens: the caller finds out by trying again what it could not do.
///
/// # Errors
/// If the request cannot be sent.
pub fn end(local: SocketAddr, remote: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(SOCK_DIAG)))?;
    // The kernel has done it when `send` returns.
    socket.send(&request(local, remote)).map(drop)
}

fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const TCP: u8 = 6;
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(u32::try_from(LENGTH).unwrap_or_default().to_ne_bytes());
    bytes.extend(SOCK_DESTROY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port
    bytes.extend([if local.is_ipv4() { AF_INET } else { AF_INET6 }, TCP, 0, 0]);
    bytes.extend([0xff; 4]); // any state
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    for end in [local, remote] {
        match end.ip() {
            IpAddr::V4(v4) => {
                bytes.extend(v4.octets());
                bytes.extend([0; 12]);
            }
            IpAddr::V6(v6) => bytes.extend(v6.octets()),
        }
    }
    bytes.extend([0; 4]); // any device
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_length_that_it_says() {
        for (local, remote) in [("198.18.0.1:1", "198.18.0.2:2"), ("[2001:db8::1]:1", "[2001:db8::2]:2")] {
            let bytes = request(local.parse().expect("an address"), remote.parse().expect("an address"));
            assert_eq!(bytes.len(), LENGTH);
            assert_eq!(bytes[..4], u32::try_from(LENGTH).expect("a small number").to_ne_bytes());
        }
    }
}
