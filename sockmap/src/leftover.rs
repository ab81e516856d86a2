//! Ends what is left in the kernel of an earlier connection: a socket in TIME_WAIT, usually, that stands in the way of
//! the next connection between the same two ends.

use std::{io, net::SocketAddr};

use crate::sockets::{Sockets, Transport};

/// Ends the TCP socket of the caller's network namespace with exactly these two ends. If there is none, nothing happens:
/// the caller finds out by trying again what it could not do.
///
/// # Errors
/// If the kernel cannot.
pub fn end(local: SocketAddr, remote: SocketAddr) -> io::Result<()> {
    Sockets::here()?.end(Transport::Tcp, local, remote).map(drop)
}
