//! Measures weir beside its peers, in one run.
//!
//! ```text
//!  outside machine ──eth0──▶ node: weir | Envoy | HAProxy | nginx | nothing ──▶ server pod (nginx)
//!  client pod ──────────────▶ node: weir | nothing ────────────────────────────▶ server pod
//! ```
//!
//! A bench walks these files: [`site`] builds the machines with a server for each protocol ([`work`]), [`subject`] starts
//! what is measured, [`probe`] proves that it forwards and enforces the rule, [`load`] drives it while [`meter`] watches who
//! spends what ([`cpu`]), [`report`] prints and writes the rows.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod body;
mod copy;
mod cpu;
mod http;
mod idle;
mod integrity;
mod load;
mod meter;
mod policy;
mod probe;
mod report;
mod rules;
mod site;
mod soak;
mod subject;
mod work;

/// Measures weir beside its peers, in one run. Needs root; `scripts/setup bench` installs the peers.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Small requests over keep-alive connections: rate, latency, CPU per request.
    Http(http::Options),
    /// A response of 1 GiB: CPU per GiB.
    Body(body::Options),
    /// Idle keep-alive connections: memory per connection.
    Idle(idle::Options),
    /// Random bodies through weir, hashed at both ends.
    Integrity(integrity::Options),
    /// Events in the control plane alone: compute from an object to the kernel's entries, and memory.
    Policy(policy::Options),
    /// Requests in the inspector alone: time by number of rules.
    Rules(rules::Options),
    /// Mixed traffic under changing policies: verdicts and memory.
    Soak(soak::Options),
    /// The proxy that only copies, of `http --only copy` and `body`.
    #[command(hide = true)]
    Copy(copy::Options),
}

/// What every bench takes.
#[derive(Debug, Args)]
struct Common {
    /// The weir binary.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// The folder for the figures as JSON.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = raise_descriptor_limit().and_then(|()| match cli.bench {
        Bench::Http(options) => http::run(&options),
        Bench::Body(options) => body::run(&options),
        Bench::Copy(options) => copy::run(&options),
        Bench::Idle(options) => idle::run(&options),
        Bench::Integrity(options) => integrity::run(&options),
        Bench::Policy(options) => policy::run(&options),
        Bench::Rules(options) => rules::run(&options),
        Bench::Soak(options) => soak::run(&options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `Debug`, which adds a backtrace of ours below the subject's own words.
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Subjects inherit it: a proxy needs two descriptors per connection, and shells often give 1024 in all.
fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raise the limit of open files")
}
