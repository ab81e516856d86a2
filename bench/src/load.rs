//! One window of load: wrk, and who spent what meanwhile.

use std::fs;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use weir_lab::Process;

use crate::cpu;
use crate::site::{ALLOWED_PATH, Site, program};
use crate::subject::Running;

/// What one window showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the proxy's processes; 0 where there is none.
    pub(crate) cpu_us_per_request: f64,
    /// Of the whole machine, less load generator and server.
    pub(crate) machine_us_per_request: f64,
}

/// The line that `report.lua` prints.
#[derive(Debug, Deserialize, PartialEq)]
struct Figures {
    requests: u64,
    duration_us: u64,
    p50_us: f64,
    p99_us: f64,
    not_2xx: u64,
    socket_errors: u64,
}

/// Loads the subject for `duration` over `connections` keep-alive connections. Any answer that is not 2xx and any socket
/// error is an error: a proxy that refuses is quick.
pub(crate) fn run(site: &Site, subject: &Running<'_>, connections: u32, duration: Duration) -> Result<Window> {
    let script = site.lab.dir().join("report.lua");
    fs::write(&script, include_str!("../peers/report.lua"))?;
    let of = |process: Option<&Process>| process.map_or(Ok(Duration::ZERO), |process| cpu::of_group(process.id()));
    let read = || -> Result<[Duration; 4]> {
        let proxy = of(subject.process.as_ref())?;
        let server = of(Some(&site.server_process))?;
        Ok([proxy, server, cpu::of_ended_children()?, cpu::of_machine()?])
    };

    let before = read()?;
    let mut wrk = subject.from.command(program("wrk")?);
    wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{}s", duration.as_secs()), "--latency", "-s"]);
    wrk.arg(&script).arg(url(subject.target));
    let output = wrk.output().context("start wrk")?;
    let after = read()?;

    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    let figures = parse(&text)?;
    ensure!(
        figures.requests > 0 && figures.not_2xx == 0 && figures.socket_errors == 0,
        "not every request was answered with 2xx: {figures:?}"
    );
    let [proxy, server, wrk, machine] = std::array::from_fn(|i| after[i].saturating_sub(before[i]));
    Ok(window(&figures, proxy, machine.saturating_sub(server + wrk)))
}

fn url(target: SocketAddrV4) -> String {
    format!("http://{target}{ALLOWED_PATH}")
}

fn parse(text: &str) -> Result<Figures> {
    let line = text.lines().find_map(|line| line.strip_prefix("figures "));
    let line = line.with_context(|| format!("wrk printed no figures:\n{text}"))?;
    serde_json::from_str(line).with_context(|| format!("wrk's figures: {line}"))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run, far below 2^52")]
fn window(figures: &Figures, proxy: Duration, machine: Duration) -> Window {
    let requests = figures.requests as f64;
    Window {
        requests_per_s: requests / (figures.duration_us as f64 / 1e6),
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
        cpu_us_per_request: proxy.as_secs_f64() * 1e6 / requests,
        machine_us_per_request: machine.as_secs_f64() * 1e6 / requests,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 5s test\n  1 threads and 32 connections\n\n\
        figures {\"requests\":1000,\"duration_us\":2000000,\"p50_us\":210.0,\"p99_us\":900.0,\"not_2xx\":0,\"socket_errors\":0}\n";

    #[test]
    fn figures_are_found_and_divided() {
        let figures = parse(OUTPUT).expect("well-formed");
        let window = window(&figures, Duration::from_millis(10), Duration::from_millis(30));
        assert_eq!(window.requests_per_s.round(), 500.0);
        assert_eq!(window.cpu_us_per_request.round(), 10.0);
        assert_eq!(window.machine_us_per_request.round(), 30.0);
        assert_eq!((window.p50_us.round(), window.p99_us.round()), (210.0, 900.0));
    }

    #[test]
    fn a_crash_of_wrk_shows_its_words() {
        let error = parse("unable to connect to 198.18.0.1:80").expect_err("no figures").to_string();
        assert!(error.contains("unable to connect"), "{error}");
    }
}
