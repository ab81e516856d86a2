//! The owner of it all: makes namespaces and processes, remembers them, and takes them away.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::netns::Netns;
use crate::pod::{self, NODE_V4, NODE_V6, Pod, PodSpec, Wiring};
use crate::process::{self, Process};
use crate::sweep::{self, sweep};

/// A node, its pods and their processes. All methods take `&self`, so handles can be kept while more is built.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    node: Netns,
    dir: PathBuf,
    made: Mutex<Made>,
}

/// What `Drop` has to undo.
#[derive(Debug, Default)]
struct Made {
    namespaces: Vec<Netns>,
    processes: Vec<Arc<process::Inner>>,
    bridges: Vec<String>,
    outsides: usize,
}

impl Lab {
    /// A lab named `wt-<pid>-<n>`, which no other lab of this machine has.
    pub fn unique() -> Result<Self> {
        Self::owned(sweep::PREFIXES[0])
    }

    /// A lab named `weir-demo-<pid>-<n>`, for people to look at.
    pub fn demo() -> Result<Self> {
        Self::owned(sweep::PREFIXES[1])
    }

    fn owned(kind: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let prefix = format!("{kind}{}-{n}", std::process::id());
            // Taken only by what a dead process of our own id has left; a later process will sweep it.
            if !std::env::temp_dir().join(&prefix).exists() {
                return Self::new(&prefix);
            }
        }
    }

    /// A lab whose namespaces are named `<prefix>-<name>`, with its node. First sweeps what dead owners left. Fails if a
    /// lab of this name exists: either it is in use, or its name does not say whose it was ([`sweep`]).
    pub fn new(prefix: &str) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "network namespaces need root: run this as root");
        sweep()?;
        let node = Netns::named(format!("{prefix}-node"));
        let dir = std::env::temp_dir().join(prefix);
        fs::create_dir(&dir).with_context(|| format!("create {}: is a lab of this name in use?", dir.display()))?;
        let lab = Self { prefix: prefix.to_owned(), node, dir, made: Mutex::default() };
        lab.create(&lab.node)?;
        lab.set_up_node()?;
        Ok(lab)
    }

    fn set_up_node(&self) -> Result<()> {
        for (key, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv6/conf/default/forwarding", "1"),
            // The larger of `all` and the device's own value is in force; new devices copy `default`.
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ] {
            self.node.sysctl(key, value)?;
        }
        self.node.ip([format!("addr add {NODE_V4}/32 dev lo"), format!("addr add {NODE_V6}/128 dev lo nodad")])
    }

    /// What all names of this lab begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The node: forwards IPv4 and IPv6, filters nothing by reverse path, has no default route.
    pub fn node(&self) -> &Netns {
        &self.node
    }

    /// A folder of this lab's own, removed with it: for configurations, manifests and sockets. Logs are in it too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where this lab's processes may pin BPF objects; removed with it.
    pub fn bpf_dir(&self) -> PathBuf {
        sweep::bpf_dir(&self.prefix)
    }

    /// Builds a pod. It is ready when this returns: no address is tentative, no route is missing.
    pub fn pod(&self, spec: PodSpec<'_>) -> Result<Pod> {
        let PodSpec { name, v4, v6, wiring } = spec;
        pod::check(v4, v6)?;
        let host_link = pod::host_link(name)?;
        let netns = Netns::named(format!("{}-{name}", self.prefix));
        self.create(&netns)?;
        let plan = match wiring {
            Wiring::Routed => pod::routed(&host_link, &netns, v4, v6),
            Wiring::Bridge(bridge) => {
                self.bridge(bridge)?;
                pod::bridged(bridge, &host_link, &netns, v4, v6)?
            }
        };
        self.node.ip(plan.node)?;
        netns.ip(plan.pod)?;
        Ok(Pod { netns, v4, v6, host_link })
    }

    /// Takes a pod away, as the end of a pod does: its processes, its link with all routes, its namespace.
    pub fn remove(&self, pod: Pod) -> Result<()> {
        // The namespace alone would take the link along too, but some time after this call.
        self.node.ip([format!("link del {}", pod.host_link)])?;
        sweep::remove(std::slice::from_ref(&pod.netns));
        self.made().namespaces.retain(|netns| *netns != pod.netns);
        Ok(())
    }

    /// Another machine: a namespace linked to the node's device `eth0` (the next one to `eth1`, and so on), with routes
    /// both ways. The node has no pod of that address, so to weir it is the world outside.
    pub fn outside(&self, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Result<Netns> {
        pod::check(v4, v6)?;
        let n = self.made().outsides;
        self.made().outsides += 1;
        let suffix = if n == 0 { String::new() } else { n.to_string() };
        let netns = Netns::named(format!("{}-outside{suffix}", self.prefix));
        self.create(&netns)?;
        let plan = pod::routed(&format!("eth{n}"), &netns, v4, v6);
        self.node.ip(plan.node)?;
        netns.ip(plan.pod)?;
        Ok(netns)
    }

    /// Starts a process, usually from [`Netns::command`]. It ends when the handle is dropped, and at the latest with the
    /// lab. `label` names it in messages.
    pub fn spawn(&self, label: &str, command: Command) -> Result<Process> {
        let mut made = self.made();
        let log = self.dir.join(format!("{}-{label}.log", made.processes.len()));
        let process = Process::spawn(label, log, command)?;
        made.processes.push(process.share());
        Ok(process)
    }

    /// Remembered before it exists, so that a half-made one is removed too.
    fn create(&self, netns: &Netns) -> Result<()> {
        ensure!(!netns.path().exists(), "{} exists; if no lab uses it: ip netns del {0}", netns.name());
        self.made().namespaces.push(netns.clone());
        netns.create()
    }

    fn bridge(&self, name: &str) -> Result<()> {
        let mut made = self.made();
        if made.bridges.iter().any(|bridge| bridge == name) {
            return Ok(());
        }
        // No snooping: it would learn first and deliver neighbour solicitations later.
        self.node.ip([
            format!("link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            format!("link set {name} up"),
        ])?;
        made.bridges.push(name.to_owned());
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made());
        for process in made.processes {
            process.end();
        }
        sweep::remove(&made.namespaces);
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_dir_all(self.bpf_dir());
    }
}

/// Whether the tests that need root can run. If not, says so loudly; in CI (`CI` is set) that is a failure.
///
/// # Panics
/// Without root, in CI.
pub fn runs_as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, and in CI a skip is a failure");
        eprintln!("SKIPPED: this test needs root (network namespaces)");
    }
    root
}
