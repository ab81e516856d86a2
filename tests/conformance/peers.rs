//! The real servers and clients: where they are, and how each starts. Servers listen on port 80 of their pod.

use std::{
    ffi::OsString,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use weir_lab::{Process, cache, in_netns, runs_as_root};

use crate::{
    site::{Member, SOON},
    stage::Stage,
};

/// `tests/conformance/peers`.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/peers");
/// What a JVM that lives for a second is quickest with.
const SHORT_LIVED: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/// What `scripts/setup test` has put into `conformance/` of weir's cache folder.
pub fn built(name: &str) -> PathBuf {
    cache().join("conformance").join(name)
}

/// Whether the tests can run: as root, with the peers. If not, says so; in CI that is a failure.
pub fn ready() -> bool {
    if !runs_as_root() {
        return false;
    }
    let built = ["go/peer", "go/h2spec", "go/interop-client", "java/libs", "python/bin/python"].map(built);
    let missing = built.into_iter().find(|path| !path.exists());
    if let Some(missing) = &missing {
        let why = format!("{} is missing: run scripts/setup test", missing.display());
        assert!(std::env::var_os("CI").is_none(), "{why}; in CI a skip is a failure");
        eprintln!("SKIPPED: {why}");
    }
    missing.is_none()
}

/// A server that can be started in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// HAProxy, `proto h2`: passes all of h2spec; answers every request with 200 once its body is there.
    Haproxy,
    /// Go's net/http and x/net: HTTP/1.1, prior knowledge and upgrade; see `peers/go/main.go`.
    Go,
    /// Node's http2, prior knowledge; see `peers/node/peer.js`.
    NodeJs,
    /// nghttpd, prior knowledge: a file `small`, and the echo of what is posted.
    Nghttpd,
    /// nginx: HTTP/1.1, with a log of what it has processed; see `peers/nginx.conf`.
    Nginx,
    /// Go's net/http: HTTP/1.1, with such a log; see `peers/go/main.go`.
    GoRecorder,
    /// The gRPC project's interop server in Go.
    GrpcGo,
    /// The same in Java, on Netty.
    GrpcJava,
}

impl Server {
    /// Starts it in the pod, and waits until it accepts connections.
    pub fn start(self, stage: &Stage, pod: &Member) -> Process {
        let address = pod.at(false, 80);
        let node = pod.netns();
        let command = match self {
            Self::Haproxy => {
                let file = configuration(stage, "haproxy.cfg", include_str!("peers/haproxy.cfg"), address);
                with(node.command("haproxy"), ["-db".into(), "-f".into(), file])
            }
            Self::Nginx => {
                let file = configuration(stage, "nginx.conf", include_str!("peers/nginx.conf"), address);
                with(node.command("nginx"), ["-c".into(), file])
            }
            Self::GoRecorder => with(node.command(built("go/peer")), ["record".into(), address.to_string().into()]),
            Self::Go => with(node.command(built("go/peer")), ["serve".into(), address.to_string().into()]),
            Self::NodeJs => {
                let address = [address.ip().to_string(), address.port().to_string()].map(OsString::from);
                let mut node = with(node.command("node"), [source("node/peer.js"), "serve".into()]);
                node.args(address);
                node
            }
            Self::Nghttpd => {
                let files = stage.dir().join("files");
                std::fs::create_dir_all(&files).expect("create the files folder");
                std::fs::write(files.join("small"), "small\n").expect("write a file");
                let mut nghttpd = node.command("nghttpd");
                nghttpd.args(["--no-tls", "--verbose", "--echo-upload", "--trailer", "x-end: yes"]);
                nghttpd.arg("-a").arg(address.ip().to_string()).arg("-d").arg(files).arg(address.port().to_string());
                nghttpd
            }
            Self::GrpcGo => with(node.command(built("go/interop-server")), ["-port".into(), "80".into()]),
            Self::GrpcJava => {
                let mut java = java(node.command("java"));
                java.args(["io.grpc.testing.integration.TestServiceServer", "--port=80", "--use_tls=false"]);
                java
            }
        };
        let process = stage.site.lab.spawn(&format!("{self:?}"), command).expect("start a server");
        let accepts = || in_netns(node, || TcpStream::connect(address)).map(drop);
        process.wait_until("it accepts connections", SOON, accepts).expect("the server starts");
        process
    }
}

/// Writes a configuration with this address and the stage's folder filled in.
fn configuration(stage: &Stage, name: &str, template: &str, address: SocketAddr) -> OsString {
    let file = stage.dir().join(name);
    let text = template.replace("ADDRESS", &address.to_string()).replace("DIR", &stage.dir().display().to_string());
    std::fs::write(&file, text).expect("write a configuration");
    file.into_os_string()
}

/// A file of `peers`.
pub fn source(file: &str) -> OsString {
    Path::new(SOURCES).join(file).into_os_string()
}

/// `java` with gRPC's interop tests in its class path.
pub fn java(mut java: Command) -> Command {
    java.args(SHORT_LIVED).arg("-cp").arg(built("java/libs").join("*"));
    java
}

/// The command with these arguments.
pub fn with<const N: usize>(mut command: Command, arguments: [OsString; N]) -> Command {
    command.args(arguments);
    command
}
