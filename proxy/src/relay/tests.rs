//! The relay between real loopback sockets. The server is called plainly, since only root may call as another; all else
//! is as in the proxy.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    task::{JoinHandle, spawn_local},
    time::timeout,
};
use weir_model::policy::HttpRule;

use super::{Common, End, Relay, Timeouts};
use crate::{
    inspect::Session,
    metrics::{Metrics, WorkerMetrics},
    origin::Ends,
    record::{Recorder, Ring, SharedRing},
    world::{World, tests::world},
};

mod ends;
mod limits;
mod simulation;
mod watched;

/// Nothing here takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(20);
/// Small, so that a test of a few hundred kilobytes fills it.
const BUFFER: usize = 8 << 10;

const DENIED: &str =
    "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\nAccess denied\r\n";

/// A relay under test, and what it connects.
struct Rig {
    client: TcpStream,
    server: TcpListener,
    relay: JoinHandle<End>,
    common: Rc<Common>,
    world: Arc<ArcSwap<World>>,
    ring: SharedRing,
}

impl Rig {
    /// `/ok…` is allowed, everything else is denied.
    async fn new(timeouts: Timeouts) -> Self {
        let rules = vec![HttpRule { path: Some("/ok.*".into()), ..HttpRule::default() }];
        Self::with(world(1, rules), timeouts).await
    }

    async fn with(world: World, timeouts: Timeouts) -> Self {
        Self::open(world, timeouts, false).await
    }

    /// Denials say why.
    async fn explaining(world: World, timeouts: Timeouts) -> Self {
        Self::open(world, timeouts, true).await
    }

    async fn open(world: World, timeouts: Timeouts, explain: bool) -> Self {
        let front = listen();
        let server = listen();
        let client = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
        client.set_recv_buffer_size(BUFFER).expect("set the buffer's size");
        client.set_send_buffer_size(BUFFER).expect("set the buffer's size");
        // The backlog takes it before the other side runs.
        let _ = client.connect(&front.local_addr().expect("an address").into());
        let client = TcpStream::from_std(client.into()).expect("a stream");
        let (accepted, from) = front.accept().await.expect("accept");
        let ends = Ends { client: from, server: server.local_addr().expect("an address") };
        let ring = Arc::new(Mutex::new(Ring::new(16)));
        let recorder = Recorder::new(Arc::clone(&ring), Metrics::default().worker());
        let world = Arc::new(ArcSwap::from_pointee(world));
        let mut session = Session::open(&world, ends, recorder).expect("the server is a pod");
        if explain {
            session.explain_denials();
        }
        let common = Common::new(dial, timeouts);
        let member = common.drain.join(ends);
        let mut relay = Relay::new(accepted, session, Rc::clone(&common));
        let relay = spawn_local(async move {
            member.register().await;
            poll_fn(|cx| relay.poll(cx)).await
        });
        Self { client, server, relay, common, world, ring }
    }

    async fn patient() -> Self {
        Self::new(Timeouts { head: STUCK * 2, idle: STUCK * 2 }).await
    }

    /// The relay's connection to the server.
    async fn accept(&self) -> TcpStream {
        self.server.accept().await.expect("accept").0
    }

    /// Sends a request and takes it as the server.
    async fn begin(&mut self, request: &str) -> TcpStream {
        self.client.write_all(request.as_bytes()).await.expect("send the request");
        let mut server = self.accept().await;
        expect(&mut server, request).await;
        server
    }

    async fn ended(self) -> End {
        self.relay.await.expect("the relay does not panic")
    }
}

/// Runs a test on a runtime like a worker's; if it does not end, it is stuck.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    runtime.block_on(async { timeout(STUCK, test).await.expect("stuck: a wake-up was lost, or bytes were") })
}

fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
    socket.set_recv_buffer_size(BUFFER).expect("set the buffer's size");
    socket.set_send_buffer_size(BUFFER).expect("set the buffer's size");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
    socket.listen(8).expect("listen");
    TcpListener::from_std(socket.into()).expect("a listener")
}

fn dial(ends: Ends, _: &WorkerMetrics) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.set_send_buffer_size(BUFFER)?;
    let _ = socket.connect(&ends.server.into());
    TcpStream::from_std(socket.into())
}

async fn expect(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).await.expect("read what was sent");
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// Everything to the end of the stream, and whether it ended in order.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop);
    (bytes, end)
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("set linger");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
