//! Calls the server as the client: from the client's own address and port.
//!
//! If the port is taken on the node (a process of the node listens on it on all addresses), the connection is made from
//! the client's address and another port, and counted. What is left of the client's last connection to the same server
//! does not take the port: that the client calls again says that its own side is over with it.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;
use weir_sockmap::leftover;

use crate::{metrics::WorkerMetrics, origin::Ends, socket};

/// How a relay calls the server: [`call`], or something else where sockets cannot be transparent.
pub type Call = fn(Ends, &WorkerMetrics) -> io::Result<TcpStream>;

/// Begins to connect; the stream is writable when the server has accepted or refused.
///
/// # Errors
/// If the kernel refuses at once.
pub fn call(ends: Ends, metrics: &WorkerMetrics) -> io::Result<TcpStream> {
    let mut called = own_port(ends);
    if called.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable) {
        // Whether that has helped shows at once.
        let _ = leftover::end(ends.client, ends.server);
        called = own_port(ends);
    }
    match called {
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {
            metrics.port_fallback();
            socket::connect(SocketAddr::new(ends.client.ip(), 0), ends.server)
        }
        other => other,
    }
}

/// Towards a server of the node itself the client's port is never free: the connection that the proxy has accepted has
/// the same two ends.
fn own_port(ends: Ends) -> io::Result<TcpStream> {
    if socket::is_of_node(ends.server) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    socket::connect(ends.client, ends.server)
}
