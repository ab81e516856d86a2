//! gRPC: ghz, which makes the call from a `.proto` file and counts the status of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use weir_lab::cache;

use super::{Figures, Shape, output};
use crate::site::Site;
use crate::subject::Running;
use crate::work::Protocol;

/// The part of its JSON that is used; times are in nanoseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    count: u64,
    rps: f64,
    #[serde(default)]
    status_code_distribution: BTreeMap<String, u64>,
    #[serde(default)]
    error_distribution: BTreeMap<String, u64>,
    #[serde(default)]
    latency_distribution: Option<Vec<Latency>>,
}

#[derive(Debug, Deserialize)]
struct Latency {
    percentage: u32,
    latency: u64,
}

/// Where `scripts/setup bench` has put it.
pub(super) fn program() -> Result<PathBuf> {
    let ghz = cache().join("bench/ghz/ghz");
    ensure!(ghz.is_file(), "ghz is missing ({}): run scripts/setup bench", ghz.display());
    Ok(ghz)
}

pub(super) fn run(site: &Site, subject: &Running<'_>, shape: Shape) -> Result<Figures> {
    fs::write(site.lab.dir().join("call.proto"), include_str!("../../peers/call.proto"))?;
    let mut ghz = subject.from.command(program()?);
    ghz.arg("--insecure").arg("--import-paths").arg(site.lab.dir()).args(["--proto", "call.proto"]);
    ghz.args(["--call", Protocol::Grpc.rule().allowed.trim_start_matches('/'), "--data", "{}", "--format", "json"]);
    ghz.args(["--connections", &shape.connections.to_string()]);
    ghz.args(["--concurrency", &(shape.connections * shape.streams).to_string()]);
    ghz.args(["--duration", &format!("{}s", shape.duration.as_secs()), "--duration-stop", "wait"]);
    ghz.arg(subject.target.to_string());
    parse(&output(ghz)?)
}

fn parse(text: &str) -> Result<Figures> {
    let said: Said = serde_json::from_str(text).with_context(|| format!("its JSON:\n{text:.2000}"))?;
    ensure!(
        said.status_code_distribution.keys().eq(["OK"]) && said.error_distribution.is_empty(),
        "not every call was answered with OK: {:?} {:?}",
        said.status_code_distribution,
        said.error_distribution
    );
    let latencies = said.latency_distribution.unwrap_or_default();
    let percentile = |percent| {
        let found = latencies.iter().find(|latency| latency.percentage == percent);
        found.map(|latency| microseconds(latency.latency)).with_context(|| format!("no percentile {percent}"))
    };
    let (p50_us, p99_us) = (percentile(50)?, percentile(99)?);
    Ok(Figures { requests: said.count, requests_per_s: said.rps, p50_us, p99_us })
}

#[expect(clippy::cast_precision_loss, reason = "times of a bounded run, far below 2^52")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_and_other_statuses_refused() {
        let text = |statuses: &str| {
            format!(
                r#"{{"count": 10, "total": 5, "rps": 200.5, "errorDistribution": {{}},
                "statusCodeDistribution": {statuses}, "latencyDistribution":
                [{{"percentage": 50, "latency": 81836}}, {{"percentage": 99, "latency": 2908939}}]}}"#
            )
        };
        let figures = parse(&text(r#"{"OK": 10}"#)).expect("well-formed");
        assert_eq!((figures.requests, figures.requests_per_s.round()), (10, 201.0));
        assert_eq!((figures.p50_us.round(), figures.p99_us.round()), (82.0, 2909.0));
        assert!(parse(&text(r#"{"OK": 9, "Unavailable": 1}"#)).is_err());
        assert!(parse(&text("{}")).is_err());
    }
}
