//! A named network namespace, and the two ways into it: a command and a thread.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::ip;

/// The folder in which iproute2 keeps named namespaces.
pub(crate) const FOLDER: &str = "/run/netns";

/// A handle to a named network namespace. The [`Lab`](crate::Lab) that made it removes it; a handle owns nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
    path: PathBuf,
}

impl Netns {
    /// A handle for the namespace of that name, whether or not it exists.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        let path = Path::new(FOLDER).join(&name);
        Self { name, path }
    }

    /// Makes the namespace: loopback up, IPv6 on, and no duplicate address detection, which would keep every new
    /// address unusable for a second.
    pub(crate) fn create(&self) -> Result<()> {
        ip::run(&["netns", "add", &self.name])?;
        for scope in ["all", "default"] {
            self.sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "0")?;
            self.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0")?;
        }
        self.ip(["link set lo up"])
    }

    /// The name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `/run/netns/<name>`: the file that stands for the namespace.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs `program` in this namespace, through `nsenter`, which keeps the process id: the child *is*
    /// the program. Not `ip netns exec`, which mounts a new `/sys` without cgroups and `/sys/fs/bpf`.
    ///
    /// For tokio: `tokio::process::Command::from(netns.command("curl"))`.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command
    }

    /// Runs `ip` commands, given without the word `ip`, in this namespace, in order.
    pub fn ip<S: Into<String>>(&self, lines: impl IntoIterator<Item = S>) -> Result<()> {
        ip::batch(Some(&self.name), &lines.into_iter().map(Into::into).collect::<Vec<_>>())
    }

    /// Writes a kernel setting of this namespace; `key` is the path below `/proc/sys`, such as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        // /proc/sys/net shows the settings of the thread that opens it.
        in_netns(self, || fs::write(Path::new("/proc/sys").join(key), value))
            .with_context(|| format!("set {key} = {value} in {}", self.name))
    }
}

/// Runs `work` on a fresh thread that has entered `netns`, and gives back what it returned. Sockets made there stay in
/// that namespace, whichever thread uses them later.
///
/// # Panics
/// If the namespace cannot be entered (it is gone, or the caller is not root), and with the panic of `work`.
pub fn in_netns<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> T {
    let entered = || {
        let file = File::open(netns.path()).unwrap_or_else(|e| panic!("open {}: {e}", netns.path().display()));
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .unwrap_or_else(|e| panic!("enter {}: {e}; this needs root", netns.path().display()));
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
