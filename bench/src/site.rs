//! The machines of a bench, and the server that answers in every row.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_lab::{Lab, Netns, Pod, PodSpec, Process, Wiring, in_netns, runs_as_root};

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 3);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 2);
/// What the rule is about.
const SERVER_PORT: u16 = 80;

/// A path that the rule allows, and the rule: every subject gets it in its own language, anchored at both ends.
pub(crate) const ALLOWED_PATH: &str = "/v1/items/42";
pub(crate) const PATH_REGEX: &str = "/v1/items/[0-9]+";
/// A path that the rule denies.
pub(crate) const DENIED_PATH: &str = "/v1/items/42/price";
/// How long anything here may take to come up.
pub(crate) const START_UP: Duration = Duration::from_secs(20);

/// One node with a client pod, a server pod, and a machine outside of it.
#[derive(Debug)]
pub(crate) struct Site {
    /// The server's process; before `lab`, so that it ends while its files exist.
    pub(crate) server_process: Process,
    pub(crate) client: Pod,
    pub(crate) server: SocketAddrV4,
    pub(crate) outside: Netns,
    pub(crate) lab: Lab,
}

impl Site {
    /// Builds the machines and starts the server.
    pub(crate) fn build() -> Result<Self> {
        if !runs_as_root() {
            bail!("the bench needs root: it builds network namespaces");
        }
        let nginx = program("nginx")?;
        let lab = Lab::unique()?;
        let pod = |name, v4| lab.pod(PodSpec { name, v4: Some(v4), v6: None, wiring: Wiring::Routed });
        let client = pod("client", CLIENT)?;
        let server_pod = pod("server", SERVER)?;
        let outside = lab.outside(Some(OUTSIDE), None)?;
        let server = SocketAddrV4::new(SERVER, SERVER_PORT);

        let config = lab.dir().join("server.conf");
        let text = include_str!("../peers/server.conf").replace("@listen@", &server.to_string());
        fs::write(&config, text.replace("@dir@", &lab.dir().display().to_string()))?;
        let mut command = server_pod.netns.command(nginx);
        command.arg("-c").arg(&config);
        let server_process = lab.spawn("server", command)?;
        server_process
            .wait_until("its answer", START_UP, || status(lab.node(), server, ALLOWED_PATH).map(|s| s == 200))?;
        Ok(Self { server_process, client, server, outside, lab })
    }

    /// The file `name` in the lab's folder, made from `template` with this site's addresses.
    pub(crate) fn config(&self, name: &str, template: &str, listen: SocketAddrV4) -> Result<PathBuf> {
        let text = template
            .replace("@dir@", &self.lab.dir().display().to_string())
            .replace("@path@", PATH_REGEX)
            .replace("@listen@", &listen.to_string())
            .replace("@listen_host@", &listen.ip().to_string())
            .replace("@listen_port@", &listen.port().to_string())
            .replace("@server@", &self.server.to_string())
            .replace("@server_host@", &self.server.ip().to_string())
            .replace("@server_port@", &self.server.port().to_string())
            .replace("@client_host@", &CLIENT.to_string());
        let path = self.lab.dir().join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// One GET on a connection of its own: the status of the answer.
pub(crate) fn status(from: &Netns, target: SocketAddrV4, path: &str) -> Result<u16> {
    let mut stream = in_netns(from, || TcpStream::connect_timeout(&target.into(), Duration::from_secs(1)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.get(..12).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
    head.strip_prefix("HTTP/1.1 ")
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("no HTTP answer: {head:?}"))
}

/// Where a program of that name is, by `PATH`.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is missing: run scripts/setup bench"))
}
