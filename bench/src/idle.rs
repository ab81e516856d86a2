//! Idle keep-alive connections: what one costs the proxy in user-space memory.
//!
//! weir keeps one connection to the server for each client's, a pair; Envoy, HAProxy and nginx (`--only`) share a few among
//! all clients, so their figure is of one socket and its state.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use weir_lab::{Process, in_netns};

use crate::Common;
use crate::report;
use crate::site::Site;
use crate::subject::{Setup, Subject};
use crate::work::Protocol;

mod http1;
mod http2;

/// User-space memory that weir may use per idle pair of HTTP/1.1.
const BAR_KIB: f64 = 4.0;

/// `weir-bench idle`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// The subjects to measure; only those with a process of their own can be.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Subject::Weir])]
    only: Vec<Subject>,
    /// What the connections speak: h1, h2.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Protocol::H1, Protocol::H2])]
    protocol: Vec<Protocol>,
    /// Connections to open; each costs a proxy two descriptors.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    pairs: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
    protocol: &'static str,
    subject: &'static str,
    workers: u32,
    pairs: u32,
    rss_bytes_per_pair: f64,
    anon_bytes_per_pair: f64,
}

/// Bytes of a process group's user-space memory.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    rss: u64,
    /// Anonymous memory, shared pages in proportion: the heap, without the program's own file pages.
    anon: u64,
}

/// Runs the bench: prints the table and the bar, writes `idle.json`.
pub(crate) fn run(options: &Options) -> Result<()> {
    for subject in &options.only {
        subject.program(&options.common.weir)?;
    }
    ensure!(!options.protocol.contains(&Protocol::Grpc), "an idle connection of gRPC is one of h2");
    let site = Site::build(&options.protocol)?;
    let mut rows = Vec::new();
    for protocol in &options.protocol {
        for subject in options.only.iter().filter(|subject| subject.speaks(*protocol)) {
            rows.push(measure(*subject, *protocol, &site, options)?);
        }
    }
    let kib = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    let cells = rows.iter().map(|row| {
        let title = format!("{:<8}  {}", row.protocol, row.subject);
        [title, row.pairs.to_string(), kib(row.rss_bytes_per_pair), kib(row.anon_bytes_per_pair)]
    });
    report::table(["protocol  subject", "pairs", "RSS KiB/pair", "anonymous KiB/pair"], &cells.collect::<Vec<_>>());
    for row in rows.iter().filter(|row| row.subject == "weir" && row.protocol == Protocol::H1.name()) {
        // The larger of the two: it may only be better than this.
        let bytes = row.rss_bytes_per_pair.max(row.anon_bytes_per_pair);
        report::bar("user-space memory per idle pair of HTTP/1.1, weir", bytes / 1024.0, BAR_KIB, " KiB");
    }
    println!("written to {}", report::write(&options.common.out, "idle", &rows)?.display());
    Ok(())
}

fn measure(subject: Subject, protocol: Protocol, site: &Site, options: &Options) -> Result<Row> {
    let running = subject.start(site, &options.common.weir, Setup { protocol, workers: 1 })?;
    let process = running.process.as_ref().with_context(|| format!("{} has no process", subject.name()))?;
    let before = memory(process)?;
    let target = running.target;
    let mut open = Vec::new();
    for n in 0..options.pairs {
        let stream = in_netns(running.from, || TcpStream::connect_timeout(&target.into(), Duration::from_secs(5)));
        let mut stream = stream.with_context(|| format!("connection {n} through {}", subject.name()))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        request(&mut stream, protocol, 0).with_context(|| format!("request on connection {n} ({})", subject.name()))?;
        open.push(stream);
    }
    // All of them still there: a proxy that closes idle connections early would look small.
    for (n, stream) in open.iter_mut().enumerate() {
        request(stream, protocol, 1)
            .with_context(|| format!("second request on connection {n} ({})", subject.name()))?;
    }
    let after = memory(process)?;
    let per_pair = |before: u64, after: u64| (f64_of(after.saturating_sub(before)) / f64::from(options.pairs)).round();
    Ok(Row {
        work: "idle",
        protocol: protocol.name(),
        subject: subject.name(),
        workers: 1,
        pairs: options.pairs,
        rss_bytes_per_pair: per_pair(before.rss, after.rss),
        anon_bytes_per_pair: per_pair(before.anon, after.anon),
    })
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes, far below 2^52")]
fn f64_of(bytes: u64) -> f64 {
    bytes as f64
}

/// Request number `n` of a connection.
fn request(stream: &mut TcpStream, protocol: Protocol, n: u32) -> Result<()> {
    match protocol {
        Protocol::H1 => http1::request(stream),
        Protocol::H2 | Protocol::Grpc => http2::request(stream, 2 * n + 1),
    }
}

/// Of the process and everything else in its group.
fn memory(process: &Process) -> Result<Memory> {
    let mut sum = Memory { rss: 0, anon: 0 };
    for pid in crate::cpu::group(process.id())? {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        let one = parse(&rollup.with_context(|| format!("memory of process {pid}"))?);
        sum = Memory { rss: sum.rss + one.rss, anon: sum.anon + one.anon };
    }
    Ok(sum)
}

fn parse(rollup: &str) -> Memory {
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default()
    };
    Memory { rss: kib("Rss") * 1024, anon: kib("Pss_Anon") * 1024 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_rollup() {
        let rollup =
            "5581 ---p 00000000 00:00 0  [rollup]\nRss:  1200 kB\nPss:  90 kB\nPss_Dirty: 7 kB\nPss_Anon:  512 kB\n";
        assert_eq!(parse(rollup), Memory { rss: 1200 * 1024, anon: 512 * 1024 });
    }
}
