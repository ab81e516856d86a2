//! HTTP/2 without TLS by real clients and servers: prior knowledge and upgrade, bodies of 1 MiB both ways, trailers,
//! allowed and denied requests mixed on one connection.

use std::{fs, process::Command};

use weir_lab::Process;

use crate::{
    peers::{Server, built, ready, source, with},
    stage::Stage,
};

/// What every server may be asked. nghttp upgrades with `OPTIONS *` when it has a body to send.
const RULES: [&str; 3] = ["{path: \"/small\"}", "{path: \"/echo/.*\"}", "{method: OPTIONS}"];
const DENIED: &str = "Access denied\r\n";
const MIB: usize = 1 << 20;

/// Method, path and length of the body. The first is allowed: an upgrade happens with it. A denied upload must go on to its
/// end: curl 7.88 and httpx 0.28 give up an answer whose stream is reset while they still send.
const CALLS: [(&str, &str, usize); 7] = [
    ("GET", "/small", 0),
    ("GET", "/denied/a", 0),
    ("POST", "/echo/a", MIB),
    ("POST", "/denied/b", MIB),
    ("POST", "/echo/b", 10),
    ("GET", "/denied/c", 0),
    ("GET", "/small", 0),
];

/// A client that makes [`CALLS`] and prints, for each, status, HTTP version and a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Go,
    Node,
    Python,
    /// Begins with an upgrade.
    Java,
    Curl,
    CurlUpgrade,
}

impl Client {
    const PRIOR_KNOWLEDGE: [Self; 4] = [Self::Go, Self::Node, Self::Python, Self::Curl];
    const UPGRADE: [Self; 2] = [Self::Java, Self::CurlUpgrade];

    /// Whether it shows a response's trailers, and sends some.
    fn knows_trailers(self) -> bool {
        matches!(self, Self::Go | Self::Node)
    }

    /// The commands that make the calls, each of which prints its lines. curl 7.88 cannot use a connection of prior
    /// knowledge twice, so there it is one for each call.
    fn commands(self, stage: &Stage, url: &str, out: &str) -> Vec<Command> {
        let node = stage.client.netns();
        let mut command = match self {
            Self::Go => with(node.command(built("go/peer")), ["call".into()]),
            Self::Node => with(node.command("node"), [source("node/peer.js"), "call".into()]),
            Self::Python => with(node.command(built("python/bin/python")), [source("python/call.py")]),
            Self::Java => with(node.command("java"), [source("java/Client.java")]),
            Self::Curl | Self::CurlUpgrade => {
                let version = if self == Self::Curl { "--http2-prior-knowledge" } else { "--http2" };
                let calls: Vec<_> = CALLS.into_iter().enumerate().collect();
                let together = if self == Self::Curl { 1 } else { calls.len() };
                let curl = |calls: &[_]| curl(node.command("curl"), version, url, out, calls);
                return calls.chunks(together).map(curl).collect();
            }
        };
        command.arg(url).arg(out);
        for (method, path, length) in CALLS {
            command.args([method, path, &length.to_string()]);
        }
        vec![command]
    }
}

/// A number, and method, path and length of the body.
type Call = (usize, (&'static str, &'static str, usize));

/// curl with these calls, one after the other, on one connection if it can.
fn curl(mut curl: Command, version: &str, url: &str, out: &str, calls: &[Call]) -> Command {
    for (n, (method, path, length)) in calls {
        if *n > calls[0].0 {
            curl.arg("--next");
        }
        curl.args(["--silent", "--show-error", "--max-time", "20", version, "--request", method]);
        curl.args(["--write-out", "%{http_code} %{http_version} -\n", "--output", &format!("{out}/{n}")]);
        if *length > 0 {
            let file = format!("{out}/body{n}");
            fs::write(&file, body(*length)).expect("write a body");
            curl.args(["--header", "content-type: application/octet-stream", "--data-binary", &format!("@{file}")]);
        }
        curl.arg(format!("{url}{path}"));
    }
    curl
}

fn body(length: usize) -> Vec<u8> {
    (0..251).cycle().take(length).collect()
}

/// A server, what it has printed so far, and where it is.
struct Upstream {
    server: Server,
    process: Process,
    url: String,
}

impl Upstream {
    /// Whether it prints a line per request.
    fn logs(&self) -> bool {
        matches!(self.server, Server::Go | Server::NodeJs)
    }

    /// What it has printed since this much of its log.
    fn since(&self, before: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.process.log()[before..].lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn upstreams(stage: &mut Stage) -> [Upstream; 3] {
    [Server::Go, Server::NodeJs, Server::Nghttpd].map(|server| {
        let (process, address) = stage.server(server, &RULES);
        Upstream { server, process, url: format!("http://{address}") }
    })
}

/// All calls by one client to one server; with weir some are denied. What is wrong, if something is.
fn call(stage: &Stage, client: Client, upstream: &Upstream, weir: bool) -> Result<(), String> {
    let out = stage.dir().join("out");
    fs::create_dir_all(&out).expect("create a folder");
    let before = upstream.process.log().len();
    let mut printed = String::new();
    for command in client.commands(stage, &upstream.url, out.to_str().expect("a name")) {
        let ran = stage.run(&format!("{client:?}"), command);
        printed += &ran.printed;
        if !ran.status.success() {
            return Err(format!("{}: {printed}", ran.status));
        }
    }
    let printed: Vec<&str> = printed.lines().collect();
    if printed.len() != CALLS.len() {
        return Err(format!("{printed:#?}"));
    }
    let mut processed = Vec::new();
    for (n, (method, path, length)) in CALLS.into_iter().enumerate() {
        let denied = path.starts_with("/denied");
        let got = fs::read(out.join(n.to_string())).map_err(|error| format!("body {n}: {error}"))?;
        let trailers = client.knows_trailers();
        let (line, expected) = match (denied, weir) {
            (true, true) => ("403 2 -", DENIED.as_bytes().to_vec()),
            // What a server answers there is its own business.
            (true, false) => (printed[n], got.clone()),
            (false, _) if length == 0 => (if trailers { "200 2 yes" } else { "200 2 -" }, b"small\n".to_vec()),
            (false, _) => (if trailers { "200 2 yes" } else { "200 2 -" }, body(length)),
        };
        if printed[n] != line || got != expected {
            let shown = String::from_utf8_lossy(&got[..got.len().min(60)]).into_owned();
            return Err(format!("{method} {path}: {:?} with {} bytes {shown:?}, not {line:?}", printed[n], got.len()));
        }
        if !(denied && weir) {
            let sent = if length > 0 && trailers { "yes" } else { "-" };
            processed.push(format!("{method} {path} {length} {sent}"));
        }
    }
    processed.sort();
    let seen = upstream.since(before);
    if upstream.logs() && seen != processed {
        return Err(format!("the server has processed {seen:#?}, not {processed:#?}"));
    }
    Ok(())
}

/// Every client with every server that it can talk to.
fn matrix(stage: &Stage, upstreams: &[Upstream], weir: bool) -> Vec<String> {
    let mut failures = Vec::new();
    for upstream in upstreams {
        let upgrades = if upstream.server == Server::Go { &Client::UPGRADE[..] } else { &[] };
        for client in Client::PRIOR_KNOWLEDGE.iter().chain(upgrades) {
            let called = call(stage, *client, upstream, weir);
            failures.extend(called.err().map(|why| format!("{client:?} -> {:?}: {why}", upstream.server)));
        }
    }
    failures
}

#[test]
fn clients_and_servers_understand_each_other_and_denied_requests_are_answered() {
    if !ready() {
        return;
    }
    let mut stage = Stage::new();
    let upstreams = upstreams(&mut stage);
    let without = matrix(&stage, &upstreams, false);
    assert!(without.is_empty(), "without weir: {}", without.join("\n"));
    stage.run_weir();
    let through = matrix(&stage, &upstreams, true);
    assert!(through.is_empty(), "through weir: {}", through.join("\n"));
    let runs = Client::PRIOR_KNOWLEDGE.len() * upstreams.len() + Client::UPGRADE.len();
    let records = stage.records(runs * CALLS.len(), &[]);
    assert_eq!(records.len(), runs * CALLS.len(), "one record per request");
    for request in &records {
        let denied = request.path.starts_with("/denied");
        let expected = if denied { ("DROPPED", 403) } else { ("FORWARDED", 200) };
        assert_eq!((request.verdict.as_str(), request.code), expected, "{request:?}");
        // An upgrade's first request is one of HTTP/1.1.
        let upgraded = request.protocol == "HTTP/1.1" && (&*request.method, &*request.path) == (CALLS[0].0, CALLS[0].1);
        assert!(request.protocol == "HTTP/2" || upgraded, "{request:?}");
    }
}

#[test]
fn allowed_and_denied_streams_mix_on_one_connection() {
    if !ready() {
        return;
    }
    let mut stage = Stage::new();
    let upstreams = upstreams(&mut stage);
    let file = stage.dir().join("body");
    fs::write(&file, body(MIB)).expect("write a body");
    stage.run_weir();
    for upstream in &upstreams {
        let upgrades: &[bool] = if upstream.server == Server::Go { &[false, true] } else { &[false] };
        for upgrade in upgrades {
            for post in [false, true] {
                let mut nghttp = stage.client.netns().command("nghttp");
                nghttp.args(["--null-out", "--stat", "--timeout=20"]);
                if *upgrade {
                    nghttp.arg("--upgrade");
                }
                if post {
                    nghttp.arg("--data").arg(&file);
                }
                let paths = ["/echo/1", "/denied/1", "/echo/2", "/denied/2", "/denied/3", "/echo/3"];
                nghttp.args(paths.map(|path| format!("{}{path}", upstream.url)));
                let ran = stage.run("nghttp", nghttp);
                let what = format!("nghttp -> {:?}, upgrade: {upgrade}, post: {post}", upstream.server);
                check_nghttp(&what, &ran.printed, &paths, post || upstream.server != Server::Nghttpd);
            }
        }
        for post in [false, true] {
            let mut h2load = stage.client.netns().command("h2load");
            h2load.args(["-n", "360", "-c", "3", "-m", "10"]);
            if post {
                let small = stage.dir().join("small-body");
                fs::write(&small, body(5000)).expect("write a body");
                h2load.arg("-d").arg(small);
            }
            h2load.args(["/echo/1", "/denied/1", "/echo/2"].map(|path| format!("{}{path}", upstream.url)));
            let ran = stage.run("h2load", h2load);
            let answered = ran.printed.lines().find(|line| line.starts_with("status codes:")).unwrap_or_default();
            // The file server has no /echo to GET.
            let expected = if post || upstream.server != Server::Nghttpd {
                "240 2xx, 0 3xx, 120 4xx"
            } else {
                "0 2xx, 0 3xx, 360 4xx"
            };
            assert!(answered.contains(expected), "h2load -> {:?}, post: {post}: {}", upstream.server, ran.printed);
        }
        assert!(!upstream.process.log().contains("/denied"), "{:?} saw a denied request", upstream.server);
    }
}

/// Checks the table that `nghttp --stat` prints: `id responseEnd requestStart process code size path`.
fn check_nghttp(what: &str, printed: &str, paths: &[&str], found: bool) {
    let rows: Vec<Vec<&str>> =
        printed.lines().map(|line| line.split_whitespace().collect()).filter(|row: &Vec<_>| row.len() == 7).collect();
    for path in paths {
        let row = rows.iter().find(|row| row[6] == *path).unwrap_or_else(|| panic!("{what}: no {path}: {printed}"));
        let expected = match (path.starts_with("/denied"), found) {
            (true, _) => "403",
            (false, true) => "200",
            (false, false) => "404",
        };
        assert_eq!(row[4], expected, "{what}: {path}: {printed}");
        if expected == "403" {
            assert_eq!(row[5], DENIED.len().to_string(), "{what}: {path}: {printed}");
        }
    }
}

#[test]
fn an_upgrade_whose_request_is_denied_is_answered_and_the_next_may_upgrade() {
    if !ready() {
        return;
    }
    let mut stage = Stage::new();
    let (process, address) = stage.server(Server::Go, &RULES);
    stage.run_weir();
    let out = stage.dir().to_str().expect("a name").to_owned();
    let calls = [(0, ("GET", "/denied/a", 0)), (1, ("GET", "/small", 0)), (2, ("GET", "/denied/b", 0))];
    let url = format!("http://{address}");
    let ran = stage.run("curl", curl(stage.client.netns().command("curl"), "--http2", &url, &out, &calls));
    let statuses: Vec<&str> = ran.printed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(statuses, ["403", "200", "403"], "{}", ran.printed);
    assert!(ran.printed.lines().nth(2).is_some_and(|line| line.starts_with("403 2")), "{}", ran.printed);
    assert_eq!(process.log().trim(), "GET /small 0 -");
}
