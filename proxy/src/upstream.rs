//! Calls the server as the client: from the client's own address and port.
//!
//! If the port is taken on the node (a process of the node listens on it on all addresses), the connection is made from
//! the client's address and another port, and counted.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

use crate::{metrics::WorkerMetrics, origin::Ends, socket};

/// Begins to connect; the stream is writable when the server has accepted or refused.
///
/// # Errors
/// If the kernel refuses at once.
pub fn call(ends: Ends, metrics: &WorkerMetrics) -> io::Result<TcpStream> {
    match socket::connect(ends.client, ends.server) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {
            metrics.port_fallback();
            socket::connect(SocketAddr::new(ends.client.ip(), 0), ends.server)
        }
        other => other,
    }
}
