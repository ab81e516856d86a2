//! Who reaches whom, tried out: sockets in every pod, and one attempt per pair, protocol, port and family.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket, UdpSocket},
    task::JoinSet,
    time::{sleep, timeout},
};
use weir_lab::{Netns, in_netns};

/// What is expected to pass has so long; it takes a millisecond if nothing else runs.
const PATIENCE: Duration = Duration::from_secs(8);
/// What is expected to be dropped is given up after this.
const SILENCE: Duration = Duration::from_millis(250);

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// One attempt, and what should come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Index of the caller.
    pub(super) from: usize,
    /// The address to call from.
    pub(super) source: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) transport: Transport,
    pub(super) allowed: bool,
}

/// Serves on both transports, for ever: TCP accepts, UDP sends back what comes.
pub(super) fn serve(netns: &Netns, at: SocketAddr) {
    let (listener, echo) = in_netns(netns, || {
        let listener = std::net::TcpListener::bind(at).expect("listen in the pod");
        (listener, std::net::UdpSocket::bind(at).expect("bind in the pod"))
    });
    listener.set_nonblocking(true).expect("set the listener");
    echo.set_nonblocking(true).expect("set the socket");
    let listener = TcpListener::from_std(listener).expect("register the listener");
    let echo = UdpSocket::from_std(echo).expect("register the socket");
    tokio::spawn(async move {
        // That the handshake was completed is all that the caller looks at; then it resets the connection.
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { stream.read(&mut [0]).await.map(drop) });
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 16];
        while let Ok((length, peer)) = echo.recv_from(&mut buffer).await {
            // A caller that is gone is its own affair.
            drop(echo.send_to(&buffer[..length], peer).await);
        }
    });
}

/// Makes all attempts at once; returns those that went otherwise than expected.
pub(super) async fn make(callers: &[Netns], attempts: &[Attempt]) -> Vec<Attempt> {
    let mut running = JoinSet::new();
    for (index, netns) in callers.iter().enumerate() {
        let own: Vec<Attempt> = attempts.iter().copied().filter(|attempt| attempt.from == index).collect();
        let sockets = in_netns(netns, || {
            own.iter().map(|attempt| socket(attempt).unwrap_or_else(|e| panic!("{attempt:?}: {e}"))).collect::<Vec<_>>()
        });
        for (attempt, socket) in own.into_iter().zip(sockets) {
            running.spawn(async move {
                let wait = if attempt.allowed { PATIENCE } else { SILENCE };
                let passed = matches!(timeout(wait, call(socket, &attempt)).await, Ok(Ok(())));
                (passed != attempt.allowed).then_some(attempt)
            });
        }
    }
    running.join_all().await.into_iter().flatten().collect()
}

/// A socket with the attempt's source address.
fn socket(attempt: &Attempt) -> io::Result<Socket> {
    let kind = if attempt.transport == Transport::Tcp { Type::STREAM } else { Type::DGRAM };
    let socket = Socket::new(Domain::for_address(attempt.to), kind.nonblocking(), None)?;
    socket.bind(&attempt.source.into())?;
    Ok(socket)
}

async fn call(socket: Socket, attempt: &Attempt) -> io::Result<()> {
    match attempt.transport {
        Transport::Tcp => {
            socket.set_linger(Some(Duration::ZERO))?;
            TcpSocket::from_std_stream(socket.into()).connect(attempt.to).await.map(drop)
        }
        Transport::Udp => {
            let socket = UdpSocket::from_std(socket.into())?;
            socket.connect(attempt.to).await?;
            loop {
                socket.send(b"weir").await?;
                let mut buffer = [0; 16];
                tokio::select! {
                    answer = socket.recv(&mut buffer) => return answer.map(drop),
                    () = sleep(Duration::from_millis(100)) => {}
                }
            }
        }
    }
}
