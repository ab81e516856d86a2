//! Requests through weir with bodies of random size, hashed at both ends.
//!
//! ```text
//!  client pod: sender ──requests──▶ node: weir ──▶ server pod: checks, answers
//!              checker ◀─responses─────────────────────┘
//! ```
//!
//! Everything about request `n` follows from the seed and `n` (see [`plan`]): both sizes, framing, chunks, pieces in which
//! it is written. The sender puts a hash of each body into a header or trailer, the receiver compares it with what came,
//! and the length, the number and the turn too. Client and server have framing code of their own ([`wire`]), so that
//! nothing of weir checks itself. The first difference ends the run, with the seed and the request's number.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use weir_lab::{Lab, PodSpec, Process, Wiring, runs_as_root};

use self::ends::Run;
use self::plan::{LARGEST, Plan};
use crate::Common;
use crate::probe::{forwarded, status};
use crate::report;
use crate::site::START_UP;

mod ends;
mod plan;
mod wire;

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 1, 3), 80);
const ADMIN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9091);
/// How often the run says how far it is.
const PROGRESS: Duration = Duration::from_secs(20);

/// `weir-bench integrity`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Requests in all.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Repeats a run [default: by the clock].
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
    subject: &'static str,
    workers: u32,
    seed: u64,
    requests: u64,
    connections: u32,
    request_bytes: u64,
    response_bytes: u64,
    seconds: f64,
    requests_per_s: f64,
}

/// Runs the bench; an error is a difference, or anything else that keeps a request from being answered right.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(runs_as_root(), "the bench needs root: it builds network namespaces");
    let weir = &options.common.weir;
    ensure!(weir.is_file(), "{} is missing: cargo build --release", weir.display());
    let seed = options.seed.unwrap_or_else(by_the_clock);
    println!("seed {seed}: {} requests over {} connections", options.requests, options.connections);
    println!("{}", plan::DISTRIBUTION);

    let lab = Lab::unique()?;
    let pod = |name, v4| lab.pod(PodSpec { name, v4: Some(v4), v6: None, wiring: Wiring::Routed });
    let (client, server) = (pod("client", CLIENT)?, pod("server", *SERVER.ip())?);
    let run = Arc::new(Run::new(seed, options.requests));
    run.serve(&server.netns)?;
    let process = start_weir(&lab, weir)?;
    process.wait_until("weir to deny", START_UP, || status(&client.netns, SERVER, "/denied").map(|s| s == 403))?;

    let started = Instant::now();
    let clients = run.call(&client.netns, SERVER, options.connections)?;
    let mut said = Instant::now();
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_millis(50));
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            eprintln!("{} requests after {:.0} s", run.done(), started.elapsed().as_secs_f64());
        }
    }
    let took = started.elapsed();
    if let Some(failure) = run.failure() {
        bail!("seed {seed}, {failure}\nweir printed:\n{}", process.log());
    }
    let forwarded = forwarded(lab.node(), ADMIN).context("weir's own count")?;
    ensure!(forwarded >= options.requests, "weir counted {forwarded} forwarded requests: the rest went another way");
    show(options, seed, took)
}

fn by_the_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Two workers, so that pairs of both are there.
fn start_weir(lab: &Lab, weir: &Path) -> Result<Process> {
    let manifests = lab.dir().join("manifests");
    fs::create_dir_all(&manifests)?;
    let text = include_str!("../peers/weir.yaml")
        .replace("@node@", "bench")
        .replace("@server_host@", &SERVER.ip().to_string())
        .replace("@client_host@", &CLIENT.to_string())
        .replace("@server_port@", &SERVER.port().to_string())
        .replace("@method@", "POST")
        .replace("@path@", "/n/[0-9]+")
        .replace("@peers@", "fromEndpoints: [{ matchLabels: { app: client } }]");
    fs::write(manifests.join("bench.yaml"), text)?;
    let weir = weir.canonicalize().context("find the weir binary")?;
    let mut command = lab.node().command(weir);
    command.args(["--log", "warn", "run", "--workers", "2", "--node", "bench", "--admin", &ADMIN.to_string()]);
    command.arg("--manifests").arg(manifests);
    command.arg("--run-dir").arg(lab.dir().join("run")).arg("--bpf-dir").arg(lab.bpf_dir());
    lab.spawn("weir", command)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn show(options: &Options, seed: u64, took: Duration) -> Result<()> {
    let plans = || (0..options.requests).map(|number| Plan::of(seed, number));
    let request_bytes: u64 = plans().map(|plan| plan.request.size as u64).sum();
    let response_bytes: u64 = plans().map(|plan| plan.response.size as u64).sum();
    let requests = options.requests as f64;
    let row = Row {
        work: "integrity",
        subject: "weir",
        workers: 2,
        seed,
        requests: options.requests,
        connections: options.connections,
        request_bytes,
        response_bytes,
        seconds: took.as_secs_f64(),
        requests_per_s: requests / took.as_secs_f64(),
    };
    let bytes = (request_bytes + response_bytes) as f64;
    println!(
        "no difference: {} requests in {:.1} s, {:.0} requests/s; bodies of 0 to {LARGEST} bytes, mean {:.0} of requests and \
         {:.0} of responses, {:.2} GB in all, {:.0} MB/s",
        row.requests,
        row.seconds,
        row.requests_per_s,
        request_bytes as f64 / requests,
        response_bytes as f64 / requests,
        bytes / 1e9,
        bytes / 1e6 / row.seconds,
    );
    println!("written to {}", report::write(&options.common.out, "integrity", &[row])?.display());
    Ok(())
}
