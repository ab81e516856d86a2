//! Ends sockets by their two ends, in any network namespace: `SOCK_DESTROY` of sock_diag(7). Wants CAP_NET_ADMIN there,
//! and a kernel with CONFIG_INET_DIAG_DESTROY.

use std::{
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    thread,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
    message::SockDiagDestroy,
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Transport protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// The one with this IP number.
    pub fn from_number(protocol: u8) -> Option<Self> {
        match protocol {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// The sockets of one network namespace. It keeps the namespace alive.
pub struct Sockets {
    socket: Socket,
}

impl Sockets {
    /// Those of the caller's namespace.
    ///
    /// # Errors
    /// If the kernel has no sock_diag.
    pub fn here() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        // The kernel has answered when `send` returns; should it ever not, nobody waits.
        socket.set_non_blocking(true)?;
        Ok(Self { socket })
    }

    /// Those of another namespace, of which `netns` is an open file.
    ///
    /// # Errors
    /// If it may not be entered (CAP_SYS_ADMIN), and as [`Self::here`].
    pub fn of(netns: &File) -> io::Result<Self> {
        // A netlink socket stays where it was made, whichever thread uses it. The thread that enters does nothing else.
        let made = || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            Self::here()
        };
        let joined = thread::scope(|scope| scope.spawn(made).join());
        joined.unwrap_or_else(|_| Err(io::Error::other("the thread that entered the namespace panicked")))
    }

    /// Ends the socket with exactly these two ends, whatever its state: its owner gets ECONNABORTED, and TCP resets the
    /// other side. Listeners and unconnected sockets are never touched. Returns whether there was one.
    ///
    /// # Errors
    /// If the kernel refuses, or says what cannot be understood.
    pub fn end(&self, transport: Transport, local: SocketAddr, remote: SocketAddr) -> io::Result<bool> {
        let Some(id) = self.find(transport, local, remote)? else { return Ok(false) };
        let destroy = SockDiagDestroy::new(request(transport, local, id));
        self.send(destroy, NLM_F_REQUEST | NLM_F_ACK)?;
        match self.answer()?.payload {
            NetlinkPayload::Error(error) => match error.code {
                None => Ok(true),
                // It went by itself.
                Some(code) if code.get() == -libc::ENOENT => Ok(false),
                Some(_) => Err(error.to_io()),
            },
            _ => Err(unexpected()),
        }
    }

    /// The socket with these two ends, with its cookie. The kernel also finds listeners and unconnected sockets that would
    /// get a packet between the two; these are not it.
    fn find(&self, transport: Transport, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<SocketId>> {
        let mut id = SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: 0,
            cookie: [0xff; 8],
        };
        if transport == Transport::Udp {
            // `udp_dump_one`: "src and dst are swapped for historical reasons".
            std::mem::swap(&mut id.source_port, &mut id.destination_port);
            std::mem::swap(&mut id.source_address, &mut id.destination_address);
        }
        self.send(request(transport, local, id), NLM_F_REQUEST)?;
        match self.answer()?.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
                let (header, id) = (&found.header, &found.header.socket_id);
                let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
                let exact = end(id.source_address, id.source_port) == end(local.ip(), local.port())
                    && end(id.destination_address, id.destination_port) == end(remote.ip(), remote.port());
                let listens = transport == Transport::Tcp && header.state == TCP_LISTEN;
                let id = SocketId {
                    source_address: local.ip(),
                    destination_address: remote.ip(),
                    // Which device it is bound to, the cookie says.
                    ..id.clone()
                };
                Ok((exact && !listens).then_some(id))
            }
            NetlinkPayload::Error(error) => match error.code {
                Some(code) if code.get() == -libc::ENOENT => Ok(None),
                _ => Err(error.to_io()),
            },
            _ => Err(unexpected()),
        }
    }

    fn send<M: NetlinkSerializable>(&self, message: M, flags: u16) -> io::Result<()> {
        // What an earlier request was answered too late.
        while self.socket.recv_from_full().is_ok() {}
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    fn answer(&self) -> io::Result<NetlinkMessage<SockDiagMessage>> {
        let (bytes, _) = self.socket.recv_from_full()?;
        NetlinkMessage::deserialize(&bytes).map_err(io::Error::other)
    }
}

fn unexpected() -> io::Error {
    io::Error::other("sock_diag answers what was not asked")
}

fn request(transport: Transport, local: SocketAddr, socket_id: SocketId) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family: if local.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: transport.number(),
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    })
}
