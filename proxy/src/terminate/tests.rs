//! Terminated connections between real loopback sockets. The server is called plainly, since only root may call as another.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    task::{JoinHandle, spawn_local},
    time::timeout,
};
use weir_model::{
    flow::{Flow, FlowKind, HttpFlow, Verdict},
    policy::{HeaderAction, HeaderMatch, HttpRule, Mismatch},
};

use super::serve;
use crate::{
    inspect::Session,
    metrics::{Metrics, WorkerMetrics},
    origin::Ends,
    record::{Recorder, Ring, SharedRing},
    relay::{Common, End, Relay, Timeouts},
    world::{World, tests::world},
};

mod cut;
mod http1;
mod http2;

/// Nothing here takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// A connection under test, and what it connects.
struct Rig {
    client: TcpStream,
    server: TcpListener,
    served: JoinHandle<End>,
    common: Rc<Common>,
    world: Arc<ArcSwap<World>>,
    ring: SharedRing,
}

impl Rig {
    /// Serves by these rules: terminating if they edit.
    async fn with(rules: Vec<HttpRule>, timeouts: Timeouts) -> Self {
        let (front, server) = (listen(), listen());
        let client = TcpStream::connect(front.local_addr().expect("an address")).await.expect("connect");
        let (accepted, from) = front.accept().await.expect("accept");
        let ends = Ends { client: from, server: server.local_addr().expect("an address") };
        let ring = Arc::new(Mutex::new(Ring::new(64)));
        let recorder = Recorder::new(Arc::clone(&ring), Metrics::default().worker());
        let world = Arc::new(ArcSwap::from_pointee(world(1, rules)));
        let mut session = Session::open(&world, ends, recorder).expect("the server is a pod");
        session.explain_denials();
        let common = Common::new(dial, timeouts);
        let member = common.drain.join(ends);
        let shared = Rc::clone(&common);
        let served = spawn_local(async move {
            member.register().await;
            if session.must_leave() {
                serve(accepted, session, shared).await
            } else {
                let mut relay = Relay::new(accepted, session, shared);
                std::future::poll_fn(|cx| relay.poll(cx)).await
            }
        });
        Self { client, server, served, common, world, ring }
    }

    /// By [`editing`] rules.
    async fn new() -> Self {
        Self::with(editing(), Timeouts { head: STUCK * 2, idle: STUCK * 2 }).await
    }

    async fn accept(&self) -> TcpStream {
        self.server.accept().await.expect("accept").0
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.expect("send");
    }

    async fn ended(self) -> End {
        self.served.await.expect("it does not panic")
    }

    /// The records so far.
    fn flows(&self) -> Vec<(Verdict, HttpFlow)> {
        let http = |flow: Flow| match flow.kind {
            FlowKind::Http(http) => (flow.verdict, *http),
            other => panic!("{other:?}"),
        };
        self.ring.lock().expect("no panic").read_after(0).flows.into_iter().map(http).collect()
    }

    /// Nobody has called the server.
    async fn expect_no_call(&self) {
        assert!(timeout(Duration::ZERO, self.server.accept()).await.is_err(), "the server was called");
    }
}

/// Runs a test on a runtime like a worker's; if it does not end, it is stuck.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    runtime.block_on(async { timeout(STUCK, test).await.expect("stuck: a wake-up was lost, or bytes were") })
}

fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
    socket.listen(8).expect("listen");
    TcpListener::from_std(socket.into()).expect("a listener")
}

fn dial(ends: Ends, _: &WorkerMetrics) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    let _ = socket.connect(&ends.server.into());
    TcpStream::from_std(socket.into())
}

/// `/ok…` is allowed, and edited in every way.
fn editing() -> Vec<HttpRule> {
    let on = |name: &str, value: &str, mismatch| HeaderAction {
        header: HeaderMatch { name: name.into(), value: Some(value.into()) },
        mismatch,
    };
    let header_matches = vec![
        on("X-Log", "1", Mismatch::Log),
        on("X-Add", "1", Mismatch::Add),
        on("X-Delete", "1", Mismatch::Delete),
        on("X-Replace", "1", Mismatch::Replace),
    ];
    vec![HttpRule { path: Some("/ok.*".into()), header_matches, ..HttpRule::default() }]
}

/// `/ok…` is allowed as it is.
fn plain() -> Vec<HttpRule> {
    vec![HttpRule { path: Some("/ok.*".into()), ..HttpRule::default() }]
}
