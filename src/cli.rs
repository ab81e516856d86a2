//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use weir_control::hubble::{Filter, FlowProtocol};
use weir_model::flow::Verdict;
use weir_proxy::{relay::Timeouts, worker};

/// Node-level L7 proxy and socket accelerator: enforces CiliumNetworkPolicy on the connections of every pod of a node.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
pub struct Cli {
    /// What to log, to standard error: error, warn, info, debug, trace, or per module (weir_proxy=debug).
    #[arg(long, global = true, default_value = "info", env = "WEIR_LOG")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What weir can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Agent and proxy in one process; its end removes everything it put into the kernel.
    Run {
        /// The agent's options.
        #[command(flatten)]
        agent: AgentOptions,
        /// The proxy's options.
        #[command(flatten)]
        proxy: ProxyOptions,
    },
    /// Policy, kernel state and API. Its end leaves the kernel state in force.
    Agent {
        /// The agent's options.
        #[command(flatten)]
        agent: AgentOptions,
    },
    /// The sockets: judges and relays the connections that the kernel hands over.
    Proxy {
        /// Where this weir lives.
        #[command(flatten)]
        node: NodeOptions,
        /// The proxy's options.
        #[command(flatten)]
        proxy: ProxyOptions,
    },
    /// Show requests, connections and drops.
    Observe(ObserveOptions),
    /// Show programs, maps, endpoints, revisions and problems; exits with 1 if there are problems.
    Status(StatusOptions),
    /// Remove everything that weir has in the kernel and on disk.
    Cleanup {
        /// Where this weir lives.
        #[command(flatten)]
        node: NodeOptions,
    },
    /// Three pods, a policy, some calls, and what became of them.
    Demo(DemoOptions),
}

/// Where a weir lives. Two weirs on one machine need two of each, and two network namespaces.
#[derive(Args, Clone, Debug)]
pub struct NodeOptions {
    /// Directory for sockets and state.
    #[arg(long, default_value = "/run/weir", env = "WEIR_RUN_DIR")]
    pub run_dir: PathBuf,
    /// Directory for pinned maps and links, on the BPF file system.
    #[arg(long, default_value = "/sys/fs/bpf/weir", env = "WEIR_BPF_DIR")]
    pub bpf_dir: PathBuf,
    /// Address and port of /metrics, /healthz and /readyz [default: 127.0.0.1:9962, for `proxy` 127.0.0.1:9964].
    #[arg(long, env = "WEIR_ADMIN")]
    pub admin: Option<SocketAddr>,
}

impl NodeOptions {
    /// The socket of `weir observe` and `weir status`.
    pub fn api_socket(&self) -> PathBuf {
        self.run_dir.join("agent.sock")
    }

    /// The socket between agent and proxy.
    pub fn link_socket(&self) -> PathBuf {
        self.run_dir.join("proxy.sock")
    }

    /// Which label sets and pods have which numbers.
    pub fn state_file(&self) -> PathBuf {
        self.run_dir.join("identities.json")
    }
}

/// Options of the agent.
#[derive(Args, Clone, Debug)]
pub struct AgentOptions {
    /// Where this weir lives.
    #[command(flatten)]
    pub node: NodeOptions,
    /// Directory of Kubernetes YAML: Namespace, Pod, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy.
    #[arg(long)]
    pub manifests: PathBuf,
    /// The node's name: pods with another spec.nodeName are not of this node [default: every pod is of this node].
    #[arg(long = "node", env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// Also append every flow record to this file, as Hubble JSON.
    #[arg(long)]
    pub flow_log: Option<PathBuf>,
    /// Addresses that the kernel map holds.
    #[arg(long, default_value_t = 131_072)]
    pub max_addresses: u32,
    /// Policy entries that the kernel map holds, of all endpoints together.
    #[arg(long, default_value_t = 131_072)]
    pub max_policy_entries: u32,
}

impl AgentOptions {
    /// Where metrics are served.
    pub fn admin(&self) -> SocketAddr {
        self.node.admin.unwrap_or(([127, 0, 0, 1], 9962).into())
    }
}

/// Options of the proxy.
#[derive(Args, Clone, Debug)]
pub struct ProxyOptions {
    /// Threads [default: one per core].
    #[arg(long)]
    pub workers: Option<usize>,
    /// Seconds that a request head may take from its first byte to its last.
    #[arg(long, default_value_t = 60)]
    pub head_timeout: u64,
    /// Seconds without a byte after which a connection is closed.
    #[arg(long, default_value_t = 3600)]
    pub idle_timeout: u64,
    /// Seconds that open exchanges get to finish when the proxy ends.
    #[arg(long, default_value_t = 10)]
    pub drain: u64,
    /// Flow records that each worker keeps.
    #[arg(long, default_value_t = 4096)]
    pub flows: usize,
    /// Name the rule that denies a request, or that it is the default, in the header x-weir-policy of the answer.
    #[arg(long)]
    pub explain_denials: bool,
}

impl ProxyOptions {
    /// As the proxy wants them.
    pub fn config(&self) -> worker::Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        worker::Config {
            workers: self.workers.unwrap_or(cores),
            timeouts: Timeouts {
                head: Duration::from_secs(self.head_timeout.max(1)),
                idle: Duration::from_secs(self.idle_timeout.max(1)),
            },
            flows: self.flows.max(1),
            drain: Duration::from_secs(self.drain),
            explain: self.explain_denials,
        }
    }
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line per record, to read.
    Compact,
    /// The same, with the number of the rule that decided, and its log value.
    Wide,
    /// One JSON object per line, as Hubble's.
    Json,
}

/// Options of `weir observe`.
#[derive(Args, Clone, Debug)]
pub struct ObserveOptions {
    /// Where the agent lives.
    #[command(flatten)]
    pub node: NodeOptions,
    /// Go on with the records to come.
    #[arg(short, long)]
    pub follow: bool,
    /// Show so many of the last records.
    #[arg(long)]
    pub last: Option<usize>,
    /// Show records from a time on: 2026-01-31T12:00:00Z, or so long ago, as 5m.
    #[arg(long, value_parser = since)]
    pub since: Option<Timestamp>,
    /// Pods on either side: [namespace/]prefix.
    #[arg(long)]
    pub pod: Vec<String>,
    /// Pods that called.
    #[arg(long)]
    pub from_pod: Vec<String>,
    /// Pods that were called.
    #[arg(long)]
    pub to_pod: Vec<String>,
    /// Labels of either side, as a selector: `app=web`, `org in (empire,alliance)`.
    #[arg(short, long)]
    pub label: Vec<String>,
    /// Verdicts: forwarded, dropped, redirected, error.
    #[arg(long, value_parser = verdict)]
    pub verdict: Vec<Verdict>,
    /// Protocols: http, tcp, udp, sctp, icmp, icmpv4, icmpv6.
    #[arg(long, value_parser = protocol)]
    pub protocol: Vec<FlowProtocol>,
    /// Ports of either side.
    #[arg(long)]
    pub port: Vec<u16>,
    /// HTTP status: 404, or the beginning of one, as 5+.
    #[arg(long)]
    pub http_status: Vec<String>,
    /// HTTP methods.
    #[arg(long)]
    pub http_method: Vec<String>,
    /// Beginnings of HTTP paths.
    #[arg(long)]
    pub http_path: Vec<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Compact)]
    pub output: Format,
}

impl ObserveOptions {
    /// As the agent wants them.
    pub fn filter(&self) -> anyhow::Result<Filter> {
        let selector = |text: &String| {
            weir_control::manifests::parse_selector(text).map_err(|e| anyhow::anyhow!("--label {text}: {e}"))
        };
        Ok(Filter {
            pod: self.pod.clone(),
            from_pod: self.from_pod.clone(),
            to_pod: self.to_pod.clone(),
            label: self.label.iter().map(selector).collect::<Result<_, _>>()?,
            verdict: self.verdict.clone(),
            protocol: self.protocol.clone(),
            port: self.port.clone(),
            http_status: self.http_status.clone(),
            http_method: self.http_method.clone(),
            http_path: self.http_path.clone(),
            since_ns: self.since.map(|since| u64::try_from(since.as_nanosecond()).unwrap_or_default()),
            last: self.last,
            follow: self.follow,
        })
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago: SignedDuration =
        text.parse().map_err(|_| "is neither a time as 2026-01-31T12:00:00Z nor a duration as 5m")?;
    Timestamp::now().checked_sub(ago.abs()).map_err(|_| "is before all time".into())
}

fn verdict(text: &str) -> Result<Verdict, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "forwarded" => Verdict::Forwarded,
        "dropped" => Verdict::Dropped,
        "redirected" => Verdict::Redirected,
        "error" => Verdict::Error,
        _ => return Err("is none of forwarded, dropped, redirected, error".into()),
    })
}

fn protocol(text: &str) -> Result<FlowProtocol, String> {
    let name = serde_json::Value::String(text.to_ascii_lowercase());
    serde_json::from_value(name).map_err(|_| "is none of http, tcp, udp, sctp, icmp, icmpv4, icmpv6".into())
}

/// Options of `weir status`.
#[derive(Args, Clone, Debug)]
pub struct StatusOptions {
    /// Where the agent lives.
    #[command(flatten)]
    pub node: NodeOptions,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = StatusFormat::Text)]
    pub output: StatusFormat,
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// Tables.
    Text,
    /// One JSON object.
    Json,
}

/// Options of `weir demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoOptions {
    /// Leave everything running, and print commands to try; Ctrl-C ends it.
    #[arg(long)]
    pub keep: bool,
    /// The example's manifests.
    #[arg(long, default_value = "deploy/examples/star-wars")]
    pub manifests: PathBuf,
}
