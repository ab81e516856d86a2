//! Small GETs over keep-alive connections, every subject in interleaved rounds.
//!
//! Interleaved, because a machine's speed drifts: a slow minute then hits one round of every subject, and the median
//! leaves it out, instead of making one subject look bad.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::Common;
use crate::cpu;
use crate::load::{self, Window};
use crate::report;
use crate::site::Site;
use crate::subject::Subject;

/// weir's proxy CPU per request, as a share of Envoy's and of HAProxy's in the same run.
const BAR_ENVOY: f64 = 0.30;
const BAR_HAPROXY: f64 = 0.80;
/// CPUs that may be busy with something else: about what an idle machine's daemons take.
const OTHER_WORK: f64 = 0.1;

/// `weir-bench http`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// The subjects to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Subject::value_variants().to_vec())]
    only: Vec<Subject>,
    /// Windows per subject; the median of each figure is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds per window.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Seconds of load before each window.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    warm_up: u64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
    subject: &'static str,
    /// Of the proxy; 0 where there is none.
    workers: u32,
    requests_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us_per_request: f64,
    machine_us_per_request: f64,
}

/// Runs the bench: prints the table and the bars, writes `http.json`.
pub(crate) fn run(options: &Options) -> Result<()> {
    // All of them first: better now than after minutes.
    for subject in &options.only {
        subject.program(&options.common.weir)?;
    }
    let site = Site::build()?;
    warn_of_other_work()?;
    let mut windows: Vec<(Subject, Vec<Window>)> = options.only.iter().map(|subject| (*subject, Vec::new())).collect();
    for round in 1..=options.rounds {
        for (subject, windows) in &mut windows {
            let window = measure(*subject, &site, options).with_context(|| format!("measure {}", subject.name()))?;
            eprintln!("round {round} {}: {:.0} requests/s", subject.name(), window.requests_per_s);
            windows.push(window);
        }
    }
    let rows: Vec<Row> = windows.iter().map(|(subject, windows)| row(*subject, windows)).collect();
    print(&rows);
    println!("written to {}", report::write(&options.common.out, "http", &rows)?.display());
    Ok(())
}

/// The machine's figure cannot tell our work from anyone else's.
fn warn_of_other_work() -> Result<()> {
    let (start, before) = (Instant::now(), cpu::of_machine()?);
    thread::sleep(Duration::from_millis(500));
    let busy = (cpu::of_machine()? - before).as_secs_f64() / start.elapsed().as_secs_f64();
    if busy > OTHER_WORK {
        eprintln!("warning: {busy:.1} CPUs are busy before anything is measured; the machine's figures include that");
    }
    Ok(())
}

fn measure(subject: Subject, site: &Site, options: &Options) -> Result<Window> {
    let running = subject.start(site, &options.common.weir)?;
    load::run(site, &running, options.connections, Duration::from_secs(options.warm_up))?;
    load::run(site, &running, options.connections, Duration::from_secs(options.seconds))
}

fn row(subject: Subject, windows: &[Window]) -> Row {
    let of = |figure: fn(&Window) -> f64| round(median(windows.iter().map(figure).collect()));
    Row {
        work: "h1",
        subject: subject.name(),
        workers: u32::from(!matches!(subject, Subject::Direct | Subject::PodPlain)),
        requests_per_s: of(|w| w.requests_per_s),
        p50_us: of(|w| w.p50_us),
        p99_us: of(|w| w.p99_us),
        cpu_us_per_request: of(|w| w.cpu_us_per_request),
        machine_us_per_request: of(|w| w.machine_us_per_request),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// More digits than two would claim more than was measured.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn print(rows: &[Row]) {
    let cells = rows.iter().map(|row| {
        let cpu = if row.workers == 0 { "-".to_owned() } else { format!("{:.1}", row.cpu_us_per_request) };
        [
            row.subject.to_owned(),
            format!("{:.0}", row.requests_per_s),
            format!("{:.0}", row.p50_us),
            format!("{:.0}", row.p99_us),
            cpu,
            format!("{:.1}", row.machine_us_per_request),
        ]
    });
    let head = ["subject", "requests/s", "p50 µs", "p99 µs", "proxy CPU µs/req", "machine CPU µs/req"];
    report::table(head, &cells.collect::<Vec<_>>());

    let find = |name| rows.iter().find(|row| row.subject == name);
    for (peer, at_most) in [("envoy", BAR_ENVOY), ("haproxy", BAR_HAPROXY)] {
        if let (Some(weir), Some(peer)) = (find("weir"), find(peer)) {
            let ratio = weir.cpu_us_per_request / peer.cpu_us_per_request;
            report::bar(&format!("proxy CPU per request, weir / {}", peer.subject), ratio, at_most, "x");
        }
    }
    if let (Some(plain), Some(l7)) = (find("pod-plain"), find("pod-l7")) {
        let kept = 100.0 * l7.requests_per_s / plain.requests_per_s;
        println!(
            "request rate pod to pod with a rule: {kept:.0} % of that without weir (Cilium with Envoy keeps 14 %)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_ignores_the_outlier() {
        assert_eq!(round(median(vec![9.0, 1.0, 2.004])), 2.0);
        assert_eq!(round(median(vec![1.0, 4.0])), 2.5);
    }
}
