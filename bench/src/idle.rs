//! Idle keep-alive connections: what one costs the proxy in user-space memory.
//!
//! weir keeps one connection to the server for each client's, a pair; Envoy, HAProxy and nginx (`--only`) share a few among
//! all clients, so their figure is of one socket and its state.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use weir_lab::{Process, in_netns};

use crate::Common;
use crate::report;
use crate::site::{ALLOWED_PATH, Site};
use crate::subject::Subject;

/// User-space memory that weir may use per idle pair.
const BAR_KIB: f64 = 8.0;

/// `weir-bench idle`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// The subjects to measure; only those with a process of their own can be.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Subject::Weir])]
    only: Vec<Subject>,
    /// Connections to open; each costs a proxy two descriptors.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    pairs: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
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
    let site = Site::build()?;
    let rows: Result<Vec<Row>> = options.only.iter().map(|subject| measure(*subject, &site, options)).collect();
    let rows = rows?;
    let kib = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    let cells = rows.iter().map(|row| {
        [row.subject.to_owned(), row.pairs.to_string(), kib(row.rss_bytes_per_pair), kib(row.anon_bytes_per_pair)]
    });
    report::table(["subject", "pairs", "RSS KiB/pair", "anonymous KiB/pair"], &cells.collect::<Vec<_>>());
    for row in rows.iter().filter(|row| row.subject == "weir") {
        // The larger of the two: it may only be better than this.
        let bytes = row.rss_bytes_per_pair.max(row.anon_bytes_per_pair);
        report::bar("user-space memory per idle pair, weir", bytes / 1024.0, BAR_KIB, " KiB");
    }
    println!("written to {}", report::write(&options.common.out, "idle", &rows)?.display());
    Ok(())
}

fn measure(subject: Subject, site: &Site, options: &Options) -> Result<Row> {
    let running = subject.start(site, &options.common.weir)?;
    let process = running.process.as_ref().with_context(|| format!("{} has no process", subject.name()))?;
    let before = memory(process)?;
    let target = running.target;
    let mut open = Vec::new();
    for n in 0..options.pairs {
        let stream = in_netns(running.from, || TcpStream::connect_timeout(&target.into(), Duration::from_secs(5)));
        let mut stream = stream.with_context(|| format!("connection {n} through {}", subject.name()))?;
        request(&mut stream, target).with_context(|| format!("request on connection {n} ({})", subject.name()))?;
        open.push(stream);
    }
    // All of them still there: a proxy that closes idle connections early would look small.
    for (n, stream) in open.iter_mut().enumerate() {
        request(stream, target).with_context(|| format!("second request on connection {n} ({})", subject.name()))?;
    }
    let after = memory(process)?;
    let per_pair = |before: u64, after: u64| (f64_of(after.saturating_sub(before)) / f64::from(options.pairs)).round();
    Ok(Row {
        work: "idle",
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

/// One GET on an open connection, read to the end of its answer.
fn request(stream: &mut TcpStream, target: SocketAddrV4) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("GET {ALLOWED_PATH} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(done) = complete(&answer) {
            return done;
        }
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0, "closed after {} bytes", answer.len());
        answer.extend_from_slice(&chunk[..n]);
    }
}

/// `None`: more bytes are needed. The server of this bench always gives a length.
fn complete(answer: &[u8]) -> Option<Result<()>> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let Some(length) = length else { return Some(Err(anyhow::anyhow!("no content-length in {head:?}"))) };
    (body.len() >= length).then(|| {
        ensure!(head.starts_with("HTTP/1.1 200"), "not 200: {head:?}");
        Ok(())
    })
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

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_not_before() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..answer.len() {
            assert!(complete(&answer[..end]).is_none(), "{end}");
        }
        assert!(complete(answer).is_some_and(|done| done.is_ok()));
        assert!(complete(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").is_some_and(|done| done.is_err()));
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_some_and(|done| done.is_err()));
    }
}
