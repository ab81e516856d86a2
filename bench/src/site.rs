//! The machines of a bench, and the servers that answer in every row.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use weir_lab::{Lab, Netns, Pod, PodSpec, Process, Wiring, cache, in_netns, runs_as_root};

use crate::probe::status;
use crate::work::{EMPTY_MESSAGE, Protocol};

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 3);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 2);

/// How long anything here may take to come up.
pub(crate) const START_UP: Duration = Duration::from_secs(20);

/// One node with a client pod, a server pod, and a machine outside of it.
#[derive(Debug)]
pub(crate) struct Site {
    /// The servers' processes; before `lab`, so that they end while their files exist.
    pub(crate) servers: Vec<Process>,
    pub(crate) client: Pod,
    pub(crate) outside: Netns,
    /// A file with an empty gRPC message.
    pub(crate) message: PathBuf,
    pub(crate) lab: Lab,
}

impl Site {
    /// Builds the machines and starts the servers of these protocols.
    pub(crate) fn build(protocols: &[Protocol]) -> Result<Self> {
        if !runs_as_root() {
            bail!("the bench needs root: it builds network namespaces");
        }
        let lab = Lab::unique()?;
        let pod = |name, v4| lab.pod(PodSpec { name, v4: Some(v4), v6: None, wiring: Wiring::Routed });
        let client = pod("client", CLIENT)?;
        let server = pod("server", SERVER)?;
        let outside = lab.outside(Some(OUTSIDE), None)?;
        let message = lab.dir().join("message");
        fs::write(&message, EMPTY_MESSAGE).context("write the empty message")?;
        let mut servers = vec![nginx(&lab, &server)?];
        if protocols.contains(&Protocol::Grpc) {
            servers.push(interop_server(&lab, &server)?);
        }
        Ok(Self { servers, client, outside, message, lab })
    }

    /// Where the server of this protocol listens.
    pub(crate) fn server(&self, protocol: Protocol) -> SocketAddrV4 {
        SocketAddrV4::new(SERVER, protocol.port())
    }

    /// The file `name` in the lab's folder, made from `template`: with this site's addresses, the protocol's rule, and
    /// `values` for the names between `@` that only this template has.
    pub(crate) fn config(
        &self,
        name: &str,
        template: &str,
        protocol: Protocol,
        listen: SocketAddrV4,
        values: &[(&str, &str)],
    ) -> Result<PathBuf> {
        let (server, rule) = (self.server(protocol), protocol.rule());
        let mut text = template
            .replace("@dir@", &self.lab.dir().display().to_string())
            .replace("@method@", rule.method)
            .replace("@path@", rule.path)
            .replace("@listen@", &listen.to_string())
            .replace("@listen_host@", &listen.ip().to_string())
            .replace("@listen_port@", &listen.port().to_string())
            .replace("@server@", &server.to_string())
            .replace("@server_host@", &server.ip().to_string())
            .replace("@server_port@", &server.port().to_string())
            .replace("@client_host@", &CLIENT.to_string());
        for (name, value) in values {
            text = text.replace(&format!("@{name}@"), value);
        }
        let path = self.lab.dir().join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// One worker, on a port for each version of HTTP.
fn nginx(lab: &Lab, pod: &Pod) -> Result<Process> {
    let at = |protocol: Protocol| SocketAddrV4::new(SERVER, protocol.port());
    let config = lab.dir().join("server.conf");
    let text = include_str!("../peers/server.conf")
        .replace("@h1@", &at(Protocol::H1).to_string())
        .replace("@h2@", &at(Protocol::H2).to_string())
        .replace("@dir@", &lab.dir().display().to_string());
    fs::write(&config, text).context("write nginx's configuration")?;
    let mut command = pod.netns.command(program("nginx")?);
    command.arg("-c").arg(&config);
    let process = lab.spawn("server", command)?;
    let answers = || status(lab.node(), at(Protocol::H1), Protocol::H1.rule().allowed).map(|status| status == 200);
    process.wait_until("its answer", START_UP, answers)?;
    Ok(process)
}

/// The gRPC project's own, in Go.
fn interop_server(lab: &Lab, pod: &Pod) -> Result<Process> {
    let program = cache().join("conformance/go/interop-server");
    ensure!(program.is_file(), "the gRPC server is missing ({}): run scripts/setup bench", program.display());
    let mut command = pod.netns.command(program);
    command.args(["-port", &Protocol::Grpc.port().to_string()]);
    let process = lab.spawn("grpc-server", command)?;
    let at = SocketAddrV4::new(SERVER, Protocol::Grpc.port());
    let accepts = || in_netns(lab.node(), || TcpStream::connect_timeout(&at.into(), Duration::from_secs(1))).map(drop);
    process.wait_until("it accepts connections", START_UP, accepts)?;
    Ok(process)
}

/// Where a program of that name is, by `PATH`.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is missing: run scripts/setup bench"))
}
