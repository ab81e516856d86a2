//! HTTP/2 with prior knowledge, and gRPC as HTTP/2: h2load, one thread.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{Figures, Shape, output};
use crate::site::{Site, program};
use crate::subject::Running;
use crate::work::{GRPC_FIELDS, Protocol};

pub(super) fn run(site: &Site, subject: &Running<'_>, shape: Shape, protocol: Protocol) -> Result<Figures> {
    // It appends.
    let log = site.lab.dir().join("h2load.log");
    let _ = fs::remove_file(&log);
    let mut h2load = subject.from.command(program("h2load")?);
    h2load.args(["-t1", &format!("-c{}", shape.connections), &format!("-m{}", shape.streams)]);
    h2load.arg(format!("-D{}", shape.duration.as_secs())).arg(format!("--log-file={}", log.display()));
    if protocol == Protocol::Grpc {
        h2load.args(GRPC_FIELDS.iter().flat_map(|field| ["-H", *field])).arg("-d").arg(&site.message);
    }
    h2load.arg(format!("http://{}{}", subject.target, protocol.rule().allowed));
    let text = output(h2load)?;
    let log = fs::read_to_string(&log).context("read its log")?;
    parse(&text, &log)
}

/// Rate and failures are printed, for people but in full; the log has a line per request, with the status and the time
/// it took in microseconds. What was open when time ran out counts nowhere.
fn parse(text: &str, log: &str) -> Result<Figures> {
    let requests_per_s = text.lines().find_map(|line| {
        let (_, rate) = line.strip_prefix("finished in ")?.split_once(", ")?;
        rate.split_once(" req/s")?.0.parse().ok()
    });
    let requests_per_s = requests_per_s.with_context(|| format!("no rate:\n{text}"))?;
    let count = |what: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with("requests: "))?;
        line.split([':', ',']).find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    let failures = ["failed", "errored", "timeout"].map(count);
    ensure!(failures == [Some(0); 3], "requests that failed, had an error, timed out: {failures:?}\n{text}");
    let mut times = log.lines().map(time).collect::<Result<Vec<u64>>>()?;
    ensure!(!times.is_empty(), "not one request was answered\n{text}");
    times.sort_unstable();
    Ok(Figures {
        requests: times.len() as u64,
        requests_per_s,
        p50_us: percentile(&times, 50),
        p99_us: percentile(&times, 99),
    })
}

/// Of one line: when it began, its status, how long it took.
fn time(line: &str) -> Result<u64> {
    let mut fields = line.split('\t').skip(1);
    let status = fields.next().unwrap_or_default();
    ensure!(status == "200", "a request was answered with {status:?}");
    fields.next().and_then(|time| time.parse().ok()).with_context(|| format!("line {line:?}"))
}

/// Nearest rank, of sorted values.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a bounded run, far below 2^52")]
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank.max(1) - 1] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "starting benchmark...\n\nfinished in 2.02s, 37029.00 req/s, 2.65MB/s\n\
        requests: 3 total, 5 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn rate_and_percentiles_are_found() {
        let figures = parse(TEXT, "1\t200\t30\n2\t200\t10\n3\t200\t20\n").expect("well-formed");
        assert_eq!((figures.requests, figures.requests_per_s.round()), (3, 37029.0));
        assert_eq!((figures.p50_us.round(), figures.p99_us.round()), (20.0, 30.0));
    }

    #[test]
    fn a_failure_is_an_error() {
        assert!(parse(TEXT, "1\t403\t30\n").is_err());
        assert!(parse(&TEXT.replace("0 errored", "1 errored"), "1\t200\t30\n").is_err());
        assert!(parse(TEXT, "").is_err());
        assert!(parse("nothing", "1\t200\t30\n").is_err());
    }
}
