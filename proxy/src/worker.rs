//! One thread, one runtime and one pair of listeners per core; nothing is shared on a request's way but the compiled
//! snapshot.

use std::{
    io,
    net::TcpListener as StdListener,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use socket2::Domain;
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::{mpsc, watch},
    task::spawn_local,
    time::{sleep, timeout},
};
use weir_model::snapshot::{Snapshot, SnapshotChange};
use weir_sockmap::{listeners::Listeners, pins::Pins};

use crate::{
    Error,
    accept::{Shared, accept},
    metrics::Metrics,
    record::{Recorder, Ring, SharedRing},
    relay::{Common, Timeouts},
    socket, upstream,
    world::{Touched, World},
};

/// Changes that come within it are one reason to look at the connections.
const BREATH: Duration = Duration::from_millis(5);

/// How the proxy shall run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads.
    pub workers: usize,
    /// Time limits of connections.
    pub timeouts: Timeouts,
    /// Flow records that each worker keeps.
    pub flows: usize,
    /// How long open exchanges may take to finish when the proxy ends.
    pub drain: Duration,
    /// Whether a denial has the header `x-weir-policy`, which names the rule, or that it is the default, and the side.
    pub explain: bool,
}

/// The running proxy.
pub struct Proxy {
    world: Arc<ArcSwap<World>>,
    rings: Vec<SharedRing>,
    metrics: Metrics,
    drain: watch::Sender<bool>,
    /// Tell each worker whose connections a change may concern.
    touched: Vec<mpsc::UnboundedSender<Arc<Touched>>>,
    threads: Vec<JoinHandle<()>>,
    v4: Vec<StdListener>,
    v6: Vec<StdListener>,
    listening: Arc<AtomicBool>,
}

impl Proxy {
    /// Opens the listeners and starts the workers. No connection comes before [`Proxy::apply`] has given a snapshot.
    ///
    /// # Errors
    /// If a socket or a thread is refused.
    pub fn start(config: &Config, registry: &mut Registry) -> Result<Self, Error> {
        let metrics = Metrics::default();
        metrics.register(registry);
        let (drain, _) = watch::channel(false);
        let mut proxy = Self {
            world: Arc::new(ArcSwap::from_pointee(World::default())),
            rings: Vec::new(),
            metrics,
            drain,
            touched: Vec::new(),
            threads: Vec::new(),
            v4: Vec::new(),
            v6: Vec::new(),
            listening: Arc::default(),
        };
        for number in 0..config.workers.max(1) {
            proxy.start_worker(number, config)?;
        }
        Ok(proxy)
    }

    fn start_worker(&mut self, number: usize, config: &Config) -> Result<(), Error> {
        let open = |domain, family| socket::listener(domain).map_err(|source| Error::Listen { family, source });
        let failed = |source| Error::Worker { number, source };
        let v4 = open(Domain::IPV4, "IPv4")?;
        let v6 = open(Domain::IPV6, "IPv6")?;
        let listeners = [v4.try_clone().map_err(failed)?, v6.try_clone().map_err(failed)?];
        self.v4.push(v4);
        self.v6.push(v6);
        let ring: SharedRing = Arc::new(Mutex::new(Ring::new(config.flows)));
        self.rings.push(Arc::clone(&ring));
        let recorder = Recorder::new(ring, self.metrics.worker());
        let world = Arc::clone(&self.world);
        let drain = self.drain.subscribe();
        let (timeouts, patience, explain) = (config.timeouts, config.drain, config.explain);
        let (told, touched) = mpsc::unbounded_channel();
        self.touched.push(told);
        let run = move || {
            let shared = Shared { world, recorder, common: Common::new(upstream::call, timeouts), explain, drain };
            if let Err(error) = work(listeners, shared, touched, patience) {
                tracing::error!(number, %error, "worker ended");
            }
        };
        let thread = thread::Builder::new().name(format!("weir-worker-{number}")).spawn(run).map_err(failed)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Judges by `snapshot` from the next request on; returns what could not be compiled.
    pub fn apply(&self, snapshot: &Snapshot) -> Vec<String> {
        self.put_in_force(self.world.load().replaced(snapshot), Touched::everybody())
    }

    /// As [`Self::apply`], by what the change makes of the snapshot in force.
    pub fn change(&self, change: &SnapshotChange) -> Vec<String> {
        let world = self.world.load();
        self.put_in_force(world.next(change), Touched::of(&world, change))
    }

    fn put_in_force(&self, world: World, touched: Touched) -> Vec<String> {
        let problems = world.problems().to_vec();
        self.world.store(Arc::new(world));
        let touched = Arc::new(touched);
        // A worker that has ended has no connections.
        self.touched.iter().for_each(|worker| drop(worker.send(Arc::clone(&touched))));
        problems
    }

    /// Lets the kernel hand connections over. To be called when a snapshot is in force, and again after the agent
    /// may have made the maps anew. A proxy that drains does nothing.
    ///
    /// # Errors
    /// If there are no maps yet, or the kernel refuses.
    pub fn listen(&mut self, pins: &Pins) -> Result<(), Error> {
        if self.v4.is_empty() {
            return Ok(());
        }
        Listeners::open(pins)?.fill(&self.v4, &self.v6)?;
        self.listening.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether connections can come.
    pub fn listening(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.listening)
    }

    /// The workers' flow records.
    pub fn rings(&self) -> &[SharedRing] {
        &self.rings
    }

    /// The proxy's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Stops accepting, and lets open exchanges finish within the configured time. What it returns waits until the workers
    /// have ended; it blocks.
    pub fn drain(&mut self) -> impl FnOnce() + Send + use<> {
        // The kernel forgets a listener when its last descriptor closes.
        self.v4.clear();
        self.v6.clear();
        self.listening.store(false, Ordering::Relaxed);
        let _ = self.drain.send(true);
        let threads = std::mem::take(&mut self.threads);
        move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a worker had panicked");
                }
            }
        }
    }
}

fn work(
    listeners: [StdListener; 2],
    shared: Shared,
    touched: mpsc::UnboundedReceiver<Arc<Touched>>,
    patience: Duration,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let mut drain = shared.drain.clone();
    let shared = Rc::new(shared);
    let [v4, v6] = listeners;
    runtime.block_on(async {
        spawn_local(look_at_connections(Rc::clone(&shared), touched));
        let v4 = spawn_local(accept(TcpListener::from_std(v4)?, Rc::clone(&shared)));
        let v6 = spawn_local(accept(TcpListener::from_std(v6)?, Rc::clone(&shared)));
        let _ = drain.wait_for(|drain| *drain).await;
        let _ = tokio::join!(v4, v6);
        // What is left are the connections; each ends when its exchange does.
        shared.common.drain.begin();
        if timeout(patience, shared.common.drain.ended()).await.is_err() {
            tracing::info!("connections were cut after the drain time");
        }
        Ok(())
    })
}

/// Has the connections polled that changes may concern: each asks the rules in force when it is.
async fn look_at_connections(shared: Rc<Shared>, mut touched: mpsc::UnboundedReceiver<Arc<Touched>>) {
    let mut changes = Vec::new();
    while touched.recv_many(&mut changes, usize::MAX).await > 0 {
        let world = shared.world.load_full();
        shared.common.drain.wake(|ends| changes.iter().any(|change| change.concerns(ends, &world)));
        changes.clear();
        sleep(BREATH).await;
    }
}
