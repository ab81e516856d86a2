//! HTTP/1.1: wrk, one thread.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{Figures, Shape, output};
use crate::site::{Site, program};
use crate::subject::Running;
use crate::work::Protocol;

/// The line that `report.lua` prints.
#[derive(Debug, Deserialize)]
struct Said {
    requests: u64,
    duration_us: u64,
    p50_us: f64,
    p99_us: f64,
    not_2xx: u64,
    socket_errors: u64,
}

pub(super) fn run(site: &Site, subject: &Running<'_>, shape: Shape) -> Result<Figures> {
    let script = site.lab.dir().join("report.lua");
    fs::write(&script, include_str!("../../peers/report.lua"))?;
    let mut wrk = subject.from.command(program("wrk")?);
    wrk.args(["-t1", &format!("-c{}", shape.connections), &format!("-d{}s", shape.duration.as_secs())]);
    wrk.arg("--latency").arg("-s").arg(script);
    wrk.arg(format!("http://{}{}", subject.target, Protocol::H1.rule().allowed));
    parse(&output(wrk)?)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run, far below 2^52")]
fn parse(text: &str) -> Result<Figures> {
    let line = text.lines().find_map(|line| line.strip_prefix("figures "));
    let line = line.with_context(|| format!("no figures:\n{text}"))?;
    let said: Said = serde_json::from_str(line).with_context(|| format!("figures: {line}"))?;
    ensure!(
        said.requests > 0 && said.not_2xx == 0 && said.socket_errors == 0,
        "not every request was answered with 2xx: {said:?}"
    );
    Ok(Figures {
        requests: said.requests,
        requests_per_s: said.requests as f64 / (said.duration_us as f64 / 1e6),
        p50_us: said.p50_us,
        p99_us: said.p99_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_and_failures_refused() {
        let text = |failed| {
            format!(
                "Running 5s test\n\nfigures {{\"requests\":1000,\"duration_us\":2000000,\"p50_us\":210.0,\
                 \"p99_us\":900.0,\"not_2xx\":{failed},\"socket_errors\":0}}\n"
            )
        };
        let figures = parse(&text(0)).expect("well-formed");
        assert_eq!((figures.requests, figures.requests_per_s.round()), (1000, 500.0));
        assert_eq!((figures.p50_us.round(), figures.p99_us.round()), (210.0, 900.0));
        assert!(parse(&text(1)).is_err());
    }

    #[test]
    fn a_crash_shows_its_words() {
        let error = parse("unable to connect to 198.18.0.1:80").expect_err("no figures").to_string();
        assert!(error.contains("unable to connect"), "{error}");
    }
}
