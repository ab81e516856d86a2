//! The agent: manifests → snapshot and wanted state → proxy and kernel; and the API.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::{
    net::UnixListener,
    sync::Notify,
    task::yield_now,
    time::{MissedTickBehavior, interval, sleep},
};
use weir_control::{
    api::{self, Api, EndpointStatus, ProgramStatus},
    flows::Flows,
    identities::{Floor, IdentityTable},
    link::Link,
    resolve::{Options, Resolver},
    store::Store,
    watch::Directory,
};
use weir_filters::http::check_rule;
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    policy::HttpRule,
    wanted::{Wanted, WantedEndpoint},
};
use weir_sockmap::{
    events::Events,
    kernel::{Kernel, Sizes},
    netlink::{self, Netlink},
    pins::Pins,
    reconcile::Reconciler,
};

use crate::{
    admin,
    check::check,
    cli::AgentOptions,
    flow_log::FlowLog,
    lock::{Lock, lock},
    signals,
    view::{View, status},
};

/// How long the kernel's new policy waits for the proxy to judge by it; a proxy that is gone is not waited for.
const PROXY_PATIENCE: Duration = Duration::from_millis(50);
/// Netlink reports a new pod's device in several steps.
const SETTLE: Duration = Duration::from_millis(5);
/// What could not be done or found is tried again so often.
const RETRY: Duration = Duration::from_millis(250);
/// Kernel and proxy records that the agent remembers.
const FLOWS: usize = 16_384;

/// `weir agent`: runs until it is told to end, and leaves the kernel state in force.
pub async fn main(options: &AgentOptions) -> anyhow::Result<()> {
    let ended = signals::terminated()?;
    let admin = admin::bind(options.admin()).await?;
    let (agent, log) = Agent::start(options).await?;
    let (view, link) = (Arc::clone(&agent.view), Arc::clone(&agent.link));
    let ready = move || view.picture().kernel_revision > 0;
    let admin = admin::serve(admin, Registry::default(), Some(Arc::clone(&agent.view)), ready);
    let result = tokio::select! {
        result = agent.run() => result,
        result = admin => result,
        // What the proxy recorded up to now is for this agent's log.
        () = async { ended.await; link.pull().await } => Ok(()),
    };
    log.finish();
    result
}

/// A started agent.
pub struct Agent {
    /// What it shows.
    pub view: Arc<View>,
    /// Its end of the socket to the proxy.
    pub link: Arc<Link>,
    resolver: Resolver,
    store: Store,
    directory: Directory,
    reconciler: Reconciler,
    events: Events,
    flows: Arc<Flows>,
    options: AgentOptions,
    locks: [Lock; 2],
}

impl Agent {
    /// Checks the kernel, loads the programs, takes over what is there. What can be refused without a trace comes first.
    pub async fn start(options: &AgentOptions) -> anyhow::Result<(Self, FlowLog)> {
        check(&[])?;
        let directory = Directory::open(&options.manifests)?;
        let run_dir = lock(&options.node.run_dir)?;
        let pins = Pins::new(&options.node.bpf_dir);
        pins.prepare()?;
        let locks = [run_dir, lock(&options.node.bpf_dir)?];
        let flows = Arc::new(Flows::new(FLOWS));
        let log = FlowLog::start(options.flow_log.as_deref(), Arc::clone(&flows), node_name(options))?;
        let sizes =
            Sizes { addresses: options.max_addresses, policy_entries: options.max_policy_entries, ..Sizes::default() };
        let mut kernel = Kernel::load(&pins, sizes)?;
        let (events, counters) = (kernel.events()?, kernel.counters()?);
        let reconciler = Reconciler::start(kernel, Netlink::connect()?).await?;
        // Without a record of the numbers in the kernel, none of them may come to mean somebody else.
        let floor = Floor {
            identity: Identity(reconciler.highest_identity().max(Identity::FIRST_ALLOCATED.0 - 1) + 1),
            endpoint: EndpointId(reconciler.highest_endpoint() + 1),
        };
        let (table, problem) = IdentityTable::load(&options.node.state_file(), floor);
        if let Some(problem) = problem {
            tracing::warn!(%problem, "identities are numbered anew");
        }
        let resolve = Options { node: options.node_name.clone(), node_name: node_name(options) };
        let check = |rule: &HttpRule| check_rule(rule).map_err(|error| (error.field.to_string(), error.reason));
        let agent = Self {
            view: Arc::new(View::new(counters)),
            link: Arc::new(Link::new(Arc::clone(&flows))),
            resolver: Resolver::new(resolve, table),
            store: Store::new(Arc::new(check)),
            directory,
            reconciler,
            events,
            flows,
            options: options.clone(),
            locks,
        };
        Ok((agent, log))
    }

    /// Runs for ever.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { view, link, resolver, store, directory, reconciler, events, flows, options, locks: _locks } = self;
        let status = {
            let (view, link, node) = (Arc::clone(&view), Arc::clone(&link), node_name(&options));
            Box::new(move || status(&view, &link, &node))
        };
        let api = Arc::new(Api { flows: Arc::clone(&flows), link: Arc::clone(&link), status });
        let api = api::serve(listen(&options.node.api_socket())?, api);
        let link_socket = listen(&options.node.link_socket())?;
        let state_file = options.node.state_file();
        let reconcile = ReconcileLoop { resolver, store, reconciler, view: &view, link: &link, state_file };
        tokio::select! {
            result = reconcile.run(directory) => result,
            result = api => result.context("serve the API"),
            result = link.serve(&link_socket) => result.context("serve the proxy"),
            result = record(events, &flows, &view) => result.context("read kernel events"),
        }
    }
}

/// Turns what the kernel reports into records, for ever.
async fn record(mut events: Events, flows: &Flows, view: &View) -> io::Result<()> {
    loop {
        events.drain(|event| flows.push(view.flow(&event, now_ns()))).await?;
        // In a storm of drops there is always more to read; the agent's other work gets its turn.
        yield_now().await;
    }
}

struct ReconcileLoop<'a> {
    resolver: Resolver,
    store: Store,
    reconciler: Reconciler,
    view: &'a View,
    link: &'a Link,
    state_file: PathBuf,
}

impl ReconcileLoop<'_> {
    async fn run(mut self, mut directory: Directory) -> anyhow::Result<()> {
        let changed = Arc::new(Notify::new());
        netlink::watch(Arc::clone(&changed))?;
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = directory.next() => {
                    self.store.apply(&batch?);
                    self.update().await;
                }
                () = changed.notified() => {
                    sleep(SETTLE).await;
                    self.reconcile().await;
                }
                _ = retry.tick() => self.retry().await,
            }
        }
    }

    async fn retry(&mut self) {
        if self.resolver.table().is_unsaved() && self.resolver.world().wanted.revision > 0 {
            self.update().await;
        } else if !self.view.picture().problems.is_empty() {
            self.reconcile().await;
        }
    }

    /// Resolves the objects, and lets the proxy know before the kernel: what the kernel then redirects, the proxy judges
    /// by rules at least as new.
    async fn update(&mut self) {
        self.resolver.update(&self.store);
        let mut rejected = self.store.problems();
        rejected.extend(self.resolver.world().problems.iter().cloned());
        for problem in &rejected {
            if !self.view.picture().rejected.contains(problem) {
                tracing::warn!(%problem, "rejected");
            }
        }
        let snapshot = Arc::clone(&self.resolver.world().snapshot);
        {
            let mut picture = self.view.picture();
            picture.rejected = rejected;
            picture.ignored = self.store.notes();
            picture.revision = snapshot.revision;
        }
        // Numbers that a restart would not know must reach neither proxy nor kernel.
        if let Err(error) = self.resolver.table().save(&self.state_file) {
            return self.problems(vec![error.to_string()]);
        }
        self.link.publish(snapshot, PROXY_PATIENCE).await;
        self.reconcile().await;
    }

    async fn reconcile(&mut self) {
        let world = self.resolver.world();
        let (snapshot, wanted) = (Arc::clone(&world.snapshot), Arc::clone(&world.wanted));
        // Nothing was read yet, or its numbers are not saved; what an older process left stays in force.
        if wanted.revision == 0 || self.resolver.table().is_unsaved() {
            return;
        }
        let report = match self.reconciler.reconcile(&wanted).await {
            Ok(report) => report,
            Err(error) => return self.problems(vec![error.to_string()]),
        };
        if report.done > 0 {
            tracing::info!(revision = wanted.revision, actions = report.done, "kernel state reconciled");
        }
        self.view.rename(&snapshot, self.reconciler.cookies().clone());
        self.problems(report.problems);
        let mut picture = self.view.picture();
        picture.kernel_revision = wanted.revision;
        picture.maps = self.reconciler.fill();
        picture.endpoints = endpoints(&wanted, &snapshot.identities.iter().cloned().collect(), &self.reconciler);
        picture.programs = programs(&self.reconciler);
    }

    /// Notes what went wrong, and logs what is new of it. Nothing of it ends the agent: the last good state is in force,
    /// and the work is tried again.
    fn problems(&self, problems: Vec<String>) {
        let mut picture = self.view.picture();
        for problem in problems.iter().filter(|problem| !picture.problems.contains(problem)) {
            tracing::warn!(%problem, "reconcile");
        }
        picture.problems = problems;
    }
}

fn endpoints(
    wanted: &Wanted,
    labels: &BTreeMap<Identity, weir_model::labels::LabelSet>,
    reconciler: &Reconciler,
) -> Vec<EndpointStatus> {
    let status = |(&endpoint, wanted): (&EndpointId, &WantedEndpoint)| EndpointStatus {
        endpoint,
        pod: wanted.name.clone(),
        identity: wanted.identity,
        labels: labels.get(&wanted.identity).map(|set| set.to_strings()).unwrap_or_default(),
        addresses: wanted.addresses.iter().copied().collect(),
        device: reconciler.devices().values().find(|device| device.endpoint == endpoint.0).map(|d| d.name.clone()),
        enforced: [("ingress", wanted.policy.enforce_ingress), ("egress", wanted.policy.enforce_egress)]
            .into_iter()
            .filter(|(_, enforced)| *enforced)
            .map(|(direction, _)| direction.into())
            .collect(),
    };
    wanted.endpoints.iter().map(status).collect()
}

fn programs(reconciler: &Reconciler) -> Vec<ProgramStatus> {
    let status = |(&ifindex, device): (&u32, &weir_sockmap::plan::Device)| ProgramStatus {
        device: device.name.clone(),
        ifindex,
        programs: device.hooks().iter().map(|hook| hook.program().into()).collect(),
    };
    reconciler.devices().iter().map(status).collect()
}

/// Listens on a unix socket for root only; what a dead process left there makes room.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// As given, or the machine's.
fn node_name(options: &AgentOptions) -> String {
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    options.node_name.clone().unwrap_or_else(machine)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
