//! Socket options of the transparent sockets.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;
use weir_abi::MARK_FROM_PROXY;

/// Pending connections per listener; the kernel's `somaxconn` (4096 by default) is the real limit.
const BACKLOG: i32 = 4096;
/// A peer that vanished without a word is noticed after this long.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// A listener that the kernel side gives redirected connections to. Its own address is on the loopback device, and
/// nobody has business calling it directly.
///
/// # Errors
/// Without CAP_NET_ADMIN.
pub fn listener(domain: Domain) -> io::Result<TcpListener> {
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    let address: SocketAddr = if domain == Domain::IPV4 {
        (Ipv4Addr::LOCALHOST, 0).into()
    } else {
        socket.set_only_v6(true)?;
        (Ipv6Addr::LOCALHOST, 0).into()
    };
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that calls `server` from the client's own address and port; connecting has begun when it returns.
///
/// Also for IPv6 `IP_TRANSPARENT` is set at level `SOL_IP`: the flag is one for the socket.
///
/// # Errors
/// If the address is taken (`EADDRINUSE`), or the kernel refuses at once.
pub fn connect(client: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    prepare(&socket)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    socket.bind(&client.into())?;
    match socket.connect(&server.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
        Err(error) => return Err(error),
    }
    TcpStream::from_std(socket.into())
}

/// `EINPROGRESS` of Linux (asm-generic/errno.h).
const IN_PROGRESS: i32 = 115;

/// What all of weir's sockets have: addresses that are not the node's, and the mark that keeps them from being
/// redirected again. `SO_REUSEADDR` because many connections of one client port differ in the server only.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_ip_transparent_v4(true)?;
    socket.set_reuse_address(true)?;
    socket.set_mark(MARK_FROM_PROXY)
}

/// Whether an address is one of the node's own: the kernel then calls it from itself. Nothing is sent.
pub fn is_of_node(server: SocketAddr) -> bool {
    let route = || -> io::Result<Option<SocketAddr>> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None)?;
        socket.connect(&server.into())?;
        Ok(socket.local_addr()?.as_socket())
    };
    route().is_ok_and(|from| from.is_some_and(|from| from.ip() == server.ip()))
}

/// Options of an accepted connection that it does not inherit.
pub fn accepted(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // Neither can fail on a TCP socket; a connection without them would still be right.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// Makes the coming close a reset, as the other side did.
pub fn reset_on_close(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Ends the sending direction.
pub fn finish(stream: &TcpStream) {
    // A peer that has reset the connection makes this fail; the next read says so.
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}
