//! The agent: manifests → snapshot and wanted state → proxy and kernel; and the API.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use tokio::{
    net::UnixListener,
    sync::{Notify, oneshot},
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
    kernel::{Kernel, Sizes},
    netlink::{self, Netlink},
    pins::Pins,
    probe::probe,
    reconcile::Reconciler,
};

use crate::{
    admin,
    cli::AgentOptions,
    flow_log, signals,
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

/// `weir agent`.
pub async fn main(options: &AgentOptions) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    let agent = Agent::start(options, &mut registry).await?;
    let ready = {
        let view = Arc::clone(&agent.view);
        move || view.picture().kernel_revision > 0
    };
    let address = options.node.admin.unwrap_or(([127, 0, 0, 1], 9962).into());
    let admin = admin::serve(address, registry, Some(Arc::clone(&agent.view)), ready);
    tokio::select! {
        result = agent.run(None) => result,
        result = admin => result,
        result = signals::terminated() => result,
    }
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
    events: weir_sockmap::events::Events,
    flows: Arc<Flows>,
    options: AgentOptions,
}

impl Agent {
    /// Checks the kernel, loads the programs, takes over what is there.
    pub async fn start(options: &AgentOptions, _registry: &mut Registry) -> anyhow::Result<Self> {
        check_kernel()?;
        let directory = Directory::open(&options.manifests)?;
        fs::create_dir_all(&options.node.run_dir)
            .with_context(|| format!("create {}", options.node.run_dir.display()))?;
        let pins = Pins::new(&options.node.bpf_dir);
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
        let flows = Arc::new(Flows::new(FLOWS));
        Ok(Self {
            view: Arc::new(View::new(counters)),
            link: Arc::new(Link::new(Arc::clone(&flows))),
            resolver: Resolver::new(resolve, table),
            store: Store::new(Arc::new(check)),
            directory,
            reconciler,
            events,
            flows,
            options: options.clone(),
        })
    }

    /// Runs for ever. `first` is told when the kernel enforces the manifests.
    pub async fn run(self, first: Option<oneshot::Sender<()>>) -> anyhow::Result<()> {
        let Self { view, link, resolver, store, directory, reconciler, mut events, flows, options } = self;
        let api = Arc::new(Api {
            flows: Arc::clone(&flows),
            link: Arc::clone(&link),
            status: Box::new({
                let (view, link) = (Arc::clone(&view), Arc::clone(&link));
                {
                    let node = node_name(&options);
                    move || status(&view, &link, &node)
                }
            }),
        });
        let api = api::serve(listen(&options.node.api_socket())?, api);
        let link_socket = listen(&options.node.link_socket())?;
        let reconcile = ReconcileLoop { resolver, store, reconciler, view: &view, link: &link, options: &options };
        let record = async {
            loop {
                events.drain(|event| flows.push(view.flow(&event, now_ns()))).await?;
            }
        };
        let log = async {
            match &options.flow_log {
                Some(path) => flow_log::write(path, &flows, &node_name(&options)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = reconcile.run(directory, first) => result,
            result = api => result.context("serve the API"),
            result = link.serve(&link_socket) => result.context("serve the proxy"),
            result = record => { let result: io::Result<()> = result; result.context("read kernel events") }
            result = log => result,
        }
    }
}

struct ReconcileLoop<'a> {
    resolver: Resolver,
    store: Store,
    reconciler: Reconciler,
    view: &'a View,
    link: &'a Link,
    options: &'a AgentOptions,
}

impl ReconcileLoop<'_> {
    async fn run(mut self, mut directory: Directory, first: Option<oneshot::Sender<()>>) -> anyhow::Result<()> {
        let changed = Arc::new(Notify::new());
        netlink::watch(Arc::clone(&changed))?;
        let batch = directory.next().await?;
        self.store.apply(&batch);
        self.update().await?;
        self.reconcile().await?;
        if let Some(first) = first {
            // Whoever asked may be gone.
            let _ = first.send(());
        }
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = directory.next() => {
                    self.store.apply(&batch?);
                    self.update().await?;
                    self.reconcile().await?;
                }
                () = changed.notified() => {
                    sleep(SETTLE).await;
                    self.reconcile().await?;
                }
                _ = retry.tick() => {
                    if !self.view.picture().problems.is_empty() {
                        self.reconcile().await?;
                    }
                }
            }
        }
    }

    /// Resolves the objects, and lets the proxy know before the kernel: what the kernel then redirects, the proxy judges
    /// by rules at least as new.
    async fn update(&mut self) -> anyhow::Result<()> {
        let changed = self.resolver.update(&self.store);
        self.resolver.table().save(&self.options.node.state_file())?;
        let mut rejected = self.store.problems();
        rejected.extend(self.resolver.world().problems.iter().cloned());
        for problem in &rejected {
            if !self.view.picture().rejected.contains(problem) {
                tracing::warn!(%problem, "rejected");
            }
        }
        {
            let mut picture = self.view.picture();
            picture.rejected = rejected;
            picture.ignored = self.store.notes();
            picture.revision = self.resolver.world().snapshot.revision;
        }
        if changed {
            self.link.publish(Arc::clone(&self.resolver.world().snapshot), PROXY_PATIENCE).await;
        }
        Ok(())
    }

    async fn reconcile(&mut self) -> anyhow::Result<()> {
        let world = self.resolver.world();
        let (snapshot, wanted) = (Arc::clone(&world.snapshot), Arc::clone(&world.wanted));
        // Nothing was read yet; what an older process left stays in force.
        if wanted.revision == 0 {
            return Ok(());
        }
        let report = self.reconciler.reconcile(&wanted).await?;
        if report.done > 0 {
            tracing::info!(revision = wanted.revision, actions = report.done, "kernel state reconciled");
        }
        self.view.rename(&snapshot, self.reconciler.cookies().clone());
        let mut picture = self.view.picture();
        for problem in report.problems.iter().filter(|problem| !picture.problems.contains(problem)) {
            tracing::warn!(%problem, "reconcile");
        }
        picture.problems = report.problems;
        picture.kernel_revision = wanted.revision;
        picture.maps = self.reconciler.fill();
        picture.endpoints = endpoints(&wanted, &snapshot.identities.iter().cloned().collect(), &self.reconciler);
        picture.programs = programs(&self.reconciler);
        Ok(())
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

/// One line per finding; what is missing ends the start.
fn check_kernel() -> anyhow::Result<()> {
    let mut missing = false;
    for check in probe() {
        if check.present {
            tracing::debug!(feature = check.feature, "present");
        } else {
            missing = true;
            tracing::error!("missing {}: needed to {}; {}", check.feature, check.need, check.otherwise);
        }
    }
    if missing {
        bail!("this kernel or this process cannot do what weir needs; see the lines above");
    }
    Ok(())
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
