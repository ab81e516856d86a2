//! Mixed traffic through weir while its policy changes twice a second.
//!
//! ```text
//!  client pod: callers (HTTP/1.1, HTTP/2, gRPC) ──▶ node: weir ──▶ server pod
//!      │                                             ▲
//!      ▼                                             │ a policy file, written anew
//!   sightings ──▶ oracle ◀── timeline ───────────────┘
//! ```
//!
//! The oracle knows nothing of weir: it replays the timeline of the edits and asks of each answer whether a policy that
//! could be in force between the request's first byte and the answer's gives that verdict. Beside it the run watches the
//! memory of weir's process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use fastrand::Rng;
use serde::Serialize;
use weir_lab::{Lab, PodSpec, Process, Wiring, runs_as_root};

use self::callers::Callers;
use self::oracle::{Keys, Oracle, Timeline};
use crate::Common;
use crate::probe::status;
use crate::report;
use crate::site::START_UP;

mod callers;
mod oracle;

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 3);
/// Of HTTP/1.1, and of HTTP/2 and gRPC.
const PORTS: [u16; 2] = [80, 81];
/// Between two edits.
const EDIT: Duration = Duration::from_millis(500);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// What comes before is start-up: caches, pools and rings fill.
const START: Duration = Duration::from_secs(300);
/// What memory may grow by afterwards.
const GROWTH: f64 = 1.05;

/// `weir-bench soak`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// How long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// Requests a second over all connections.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Repeats a run [default: random].
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
    subject: &'static str,
    seed: u64,
    minutes: u64,
    requests: u64,
    /// Of those, with a verdict that only one policy could give.
    decisive: u64,
    wrong: u64,
    broken: u64,
    edits: usize,
    rss_kib_after_start: u64,
    rss_kib_most_after: u64,
}

/// Runs the soak; a wrong verdict or a leak is an error.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(runs_as_root(), "the soak needs root: it builds network namespaces");
    let weir = &options.common.weir;
    ensure!(weir.is_file(), "{} is missing: cargo build --release", weir.display());
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}: {} minutes, {} requests/s, an edit every {EDIT:?}", options.minutes, options.rate);
    let mut rng = Rng::with_seed(seed);

    let lab = Lab::unique()?;
    let pod = |name, v4| lab.pod(PodSpec { name, v4: Some(v4), v6: None, wiring: Wiring::Routed });
    let (client, server) = (pod("client", CLIENT)?, pod("server", SERVER)?);
    let callers = Callers::start(&client.netns, &server.netns, PORTS.map(|port| SocketAddrV4::new(SERVER, port)))?;
    let policy = Policy::new(&lab)?;
    let mut timeline = Timeline::new();
    let write = |timeline: &mut Timeline, keys: Keys| -> Result<()> {
        let begun = Instant::now();
        policy.write(keys)?;
        timeline.edited(keys, begun, Instant::now());
        Ok(())
    };
    write(&mut timeline, Keys(1))?;
    let process = start_weir(&lab, weir, policy.folder())?;
    let target = SocketAddrV4::new(SERVER, PORTS[0]);
    process.wait_until("weir to deny", START_UP, || status(&client.netns, target, "/1/x").map(|s| s == 403))?;
    timeline.begins_now();

    let mut oracle = Oracle::default();
    let mut memory = Memory::default();
    let traffic = callers.call(options.rate, seed)?;
    let (started, length) = (Instant::now(), Duration::from_secs(options.minutes * 60));
    let mut looked = started;
    while started.elapsed() < length {
        std::thread::sleep(EDIT);
        write(&mut timeline, Keys(rng.u8(..)))?;
        oracle.judge(&timeline, traffic.sightings());
        timeline.forget_before(traffic.oldest());
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            memory.look(&process, started.elapsed())?;
            eprintln!("{:4.0} s: {oracle}; {memory}", started.elapsed().as_secs_f64());
        }
        if let Some(failure) = oracle.failure() {
            bail!("seed {seed}: {failure}\nweir printed:\n{}", process.log());
        }
    }
    traffic.stop()?;
    oracle.judge(&timeline, traffic.sightings());
    println!("{oracle}; {memory}; {} edits", timeline.edits());
    let row = Row {
        work: "soak",
        subject: "weir",
        seed,
        minutes: options.minutes,
        requests: oracle.requests,
        decisive: oracle.decisive,
        wrong: oracle.wrong,
        broken: oracle.broken,
        edits: timeline.edits(),
        rss_kib_after_start: memory.base,
        rss_kib_most_after: memory.most,
    };
    println!("written to {}", report::write(&options.common.out, "soak", &[row])?.display());
    if let Some(failure) = oracle.failure() {
        bail!("seed {seed}: {failure}\nweir printed:\n{}", process.log());
    }
    memory.check()
}

/// The policy's file.
struct Policy {
    folder: PathBuf,
}

impl Policy {
    fn new(lab: &Lab) -> Result<Self> {
        let folder = lab.dir().join("manifests");
        fs::create_dir_all(&folder)?;
        let pods = [("server", SERVER), ("client", CLIENT)].map(|(name, address)| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name}, namespace: soak, labels: {{ app: {name} }} }}\n\
                 spec: {{ nodeName: soak }}\nstatus: {{ podIPs: [{{ ip: {address} }}] }}\n---\n"
            )
        });
        fs::write(folder.join("pods.yaml"), pods.concat())?;
        Ok(Self { folder })
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    /// Allows the paths of these keys on both ports.
    fn write(&self, keys: Keys) -> Result<()> {
        let names: Vec<String> = keys.names().map(|key| key.to_string()).collect();
        // A rule that allows nothing, if no key is allowed.
        let path = format!("/({})/.*", if names.is_empty() { "none".into() } else { names.join("|") });
        let [h1, h2] = PORTS;
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{ name: soak, namespace: soak }}\nspec:\n  \
             endpointSelector: {{ matchLabels: {{ app: server }} }}\n  ingress:\n  \
             - fromEndpoints: [{{ matchLabels: {{ app: client }} }}]\n    toPorts:\n    \
             - ports: [{{ port: \"{h1}\", protocol: TCP }}, {{ port: \"{h2}\", protocol: TCP }}]\n      \
             rules: {{ http: [{{ path: \"{path}\" }}] }}\n"
        );
        fs::write(self.folder.join("policy.yaml"), text).context("write the policy")
    }
}

/// The resident memory of weir's process.
#[derive(Debug, Default)]
struct Memory {
    now: u64,
    /// When the start was over.
    base: u64,
    most: u64,
}

impl Memory {
    fn look(&mut self, process: &Process, at: Duration) -> Result<()> {
        let text = fs::read_to_string(format!("/proc/{}/status", process.id())).context("weir has ended")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        self.now = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
        if at >= START {
            if self.base == 0 {
                self.base = self.now;
            }
            self.most = self.most.max(self.now);
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    fn check(&self) -> Result<()> {
        let growth = self.most as f64 / self.base.max(1) as f64;
        ensure!(growth <= GROWTH, "memory grew to {growth:.2} times what it was after {START:?}");
        Ok(())
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RSS {} KiB, {} after the start, at most {} since", self.now, self.base, self.most)
    }
}

fn start_weir(lab: &Lab, weir: &Path, manifests: &Path) -> Result<Process> {
    let weir = weir.canonicalize().context("find the weir binary")?;
    let mut command = lab.node().command(weir);
    command.args(["--log", "warn", "run", "--workers", "2", "--node", "soak", "--manifests"]).arg(manifests);
    command.arg("--run-dir").arg(lab.dir().join("run")).arg("--bpf-dir").arg(lab.bpf_dir());
    lab.spawn("weir", command)
}
