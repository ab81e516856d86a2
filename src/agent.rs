//! The agent: manifests → snapshot and wanted state → proxy and kernel; and the API.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::{
    net::UnixListener,
    sync::Notify,
    task::yield_now,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};
use weir_control::{
    api::{self, Api, EndpointStatus, ProgramStatus, Question},
    engine::{self, Engine},
    flows::Flows,
    identities::{Floor, IdentityTable},
    link::Link,
    manifests::ReadOptions,
    problem::Problem,
    store::Store,
    watch::{Batch, Directory},
};
use weir_filters::http::check_rule;
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    policy::HttpRule,
    snapshot::SnapshotChange,
    wanted::{WantedChange, WantedEndpoint},
};
use weir_sockmap::{
    events::Events,
    kernel::{Kernel, Sizes},
    netlink::{self, Netlink},
    pins::Pins,
    reconcile::{Reconciler, Report},
};

use crate::{
    admin,
    check::check,
    cli::AgentOptions,
    explain,
    flow_log::FlowLog,
    lock::{Lock, lock},
    signals,
    view::{Policies, View, status},
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
        let [identity, prefix] = reconciler.highest_identities();
        let floor = Floor {
            identity: Identity(identity.max(Identity::FIRST_ALLOCATED.0 - 1) + 1),
            prefix: Identity(prefix.max(Identity::FIRST_LOCAL.0 - 1) + 1),
            endpoint: EndpointId(reconciler.highest_endpoint() + 1),
        };
        let (table, problem) = IdentityTable::load(&options.node.state_file(), floor);
        if let Some(problem) = problem {
            tracing::warn!(%problem, "identities are numbered anew");
        }
        let engine = Engine::new(engine::Options { node: options.node_name.clone() }, table);
        let read = ReadOptions { requires: options.requires };
        let policies = Policies { store: Store::with_options(read, Arc::new(rule_check)), engine };
        let agent = Self {
            view: Arc::new(View::new(counters, policies)),
            link: Arc::new(Link::new(Arc::clone(&flows), node_name(options))),
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
        let Self { view, link, directory, reconciler, events, flows, options, locks: _locks } = self;
        let status = {
            let (view, link, node) = (Arc::clone(&view), Arc::clone(&link), node_name(&options));
            Box::new(move || status(&view, &link, &node))
        };
        let show = {
            let view = Arc::clone(&view);
            Box::new(move |question: &Question| explain::show(&view, question))
        };
        let api = Arc::new(Api { flows: Arc::clone(&flows), link: Arc::clone(&link), status, show });
        let api = api::serve(listen(&options.node.api_socket())?, api);
        let link_socket = listen(&options.node.link_socket())?;
        let state_file = options.node.state_file();
        let pending = VecDeque::new();
        let reconcile = ReconcileLoop { reconciler, pending, view: &view, link: &link, state_file };
        tokio::select! {
            result = reconcile.run(directory) => result,
            result = api => result.context("serve the API"),
            result = link.serve(&link_socket) => result.context("serve the proxy"),
            result = record(events, &flows, &view) => result.context("read kernel events"),
        }
    }
}

/// Whether an HTTP rule can be enforced; else its field and the reason.
pub fn rule_check(rule: &HttpRule) -> Result<(), (String, String)> {
    check_rule(rule).map_err(|error| (error.field.to_string(), error.reason))
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
    reconciler: Reconciler,
    /// Not yet told to proxy and kernel, in order.
    pending: VecDeque<(SnapshotChange, WantedChange)>,
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
                batch = directory.next() => self.take(&batch?).await,
                () = changed.notified() => {
                    sleep(SETTLE).await;
                    if self.is_started() {
                        let report = self.reconciler.refresh().await;
                        self.report(report, true);
                    }
                }
                _ = retry.tick() => self.retry().await,
                () = at(self.reconciler.due()) => {
                    let report = self.reconciler.tend().await;
                    self.report(report, false);
                }
            }
        }
    }

    /// Whether anything was read yet; until then, what an older process left stays in force.
    fn is_started(&self) -> bool {
        self.view.picture().kernel_revision > 0
    }

    async fn retry(&mut self) {
        if self.is_started() {
            self.save();
            let report = self.reconciler.retry().await;
            self.report(report, false);
        }
    }

    async fn take(&mut self, batch: &Batch) {
        {
            let Policies { store, engine } = &mut *self.view.policies();
            let changes = store.apply(batch);
            let begun = Instant::now();
            self.pending.extend(engine.update(store, &changes));
            tracing::debug!(objects = changes.changed.len() + changes.removed.len(), took = ?begun.elapsed(), "resolved");
        }
        if let Some((latest, _)) = self.pending.back() {
            self.view.picture().revision = latest.revision;
        }
        self.tell().await;
        self.reject();
        self.save();
    }

    /// Saves the numbers that were given: a restart that does not know them gives others.
    fn save(&self) {
        let saved = self.view.policies().engine.table().save(&self.state_file);
        let problem = saved.err().map(|error| error.to_string());
        let mut picture = self.view.picture();
        if let Some(problem) = problem.as_ref().filter(|_| problem != picture.unsaved) {
            tracing::warn!(problem, "the numbers of pods and label sets are not saved");
        }
        picture.unsaved = problem;
    }

    /// Lets the proxy know before the kernel: what the kernel then redirects, the proxy judges by rules at least as new.
    async fn tell(&mut self) {
        while let Some((snapshot, wanted)) = self.pending.pop_front() {
            let begun = Instant::now();
            self.link.publish(&snapshot, PROXY_PATIENCE).await;
            self.view.people().apply(&snapshot);
            let proxy = begun.elapsed();
            let report = self.reconciler.change(&wanted).await;
            let kernel = begun.elapsed() - proxy;
            tracing::debug!(revision = wanted.revision, ?proxy, ?kernel, "in force");
            self.view.picture().kernel_revision = wanted.revision;
            self.report(report, !wanted.endpoints.is_empty() || !wanted.policies.is_empty());
        }
    }

    fn report(&self, report: Result<Report, weir_sockmap::Error>, endpoints_changed: bool) {
        let report = match report {
            Ok(report) => report,
            Err(error) => return self.problems(vec![error.to_string()]),
        };
        self.problems(report.problems);
        let endpoints = endpoints_changed.then(|| self.endpoints());
        let mut picture = self.view.picture();
        picture.maps = self.reconciler.fill();
        picture.cuts = self.reconciler.cuts();
        picture.refused_writes = self.reconciler.enforcer().refusals();
        if let Some(endpoints) = endpoints {
            picture.endpoints = endpoints;
            picture.programs = programs(&self.reconciler);
        }
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

    /// Notes which objects are not in force as they are written, and logs what is new of it.
    fn reject(&self) {
        let (rejected, gaps, ignored) = {
            let Policies { store, engine } = &*self.view.policies();
            let mut rejected = store.problems();
            rejected.extend(engine.problems(store));
            (rejected, store.gaps(), store.notes())
        };
        let mut picture = self.view.picture();
        let known: HashSet<&Problem> = picture.rejected.iter().collect();
        for problem in rejected.iter().filter(|problem| !known.contains(problem)) {
            tracing::warn!(%problem, "rejected");
        }
        let known: HashSet<&Problem> = picture.gaps.iter().collect();
        for gap in gaps.iter().filter(|gap| !known.contains(gap)) {
            tracing::warn!(%gap, "not enforced as written");
        }
        picture.gaps = gaps;
        picture.rejected = rejected;
        picture.ignored = ignored;
    }

    fn endpoints(&self) -> Vec<EndpointStatus> {
        let people = self.view.people();
        let book = self.reconciler.enforcer().book();
        let device = |id: EndpointId| self.reconciler.devices().values().find(|device| device.endpoint == id.0);
        let status = |(&endpoint, wanted): (&EndpointId, &WantedEndpoint)| EndpointStatus {
            endpoint,
            pod: wanted.name.clone(),
            identity: wanted.identity,
            labels: people.labels(wanted.identity).to_strings(),
            addresses: wanted.addresses.iter().copied().collect(),
            device: device(endpoint).map(|device| device.name.clone()),
            enforced: book.default_denied(endpoint).map(|direction| direction.to_string()).collect(),
        };
        book.endpoints().iter().map(status).collect()
    }
}

/// Never, without a time.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
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
