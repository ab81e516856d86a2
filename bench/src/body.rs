//! One long response, time and again: what a gibibyte costs a proxy.
//!
//! ```text
//!  outside: curl ──▶ node: weir | copy | HAProxy | Envoy | nothing ──▶ server pod: nginx, sendfile of a sparse file
//! ```

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::http::{median, round};
use crate::meter::{Meter, Spent};
use crate::site::{Site, program};
use crate::subject::{Running, Setup, Subject};
use crate::work::Protocol;
use crate::{Common, report};

/// Of the response.
const SIZE: u64 = 1 << 30;
/// Its last part says the size; the rule allows it.
const PATH: &str = "/v1/items/1073741824";
/// weir's CPU per GiB, as a share of that of a proxy that reads and writes.
const BAR: f64 = 0.6;
const SUBJECTS: [Subject; 6] =
    [Subject::Direct, Subject::Weir, Subject::Copy, Subject::Haproxy, Subject::HaproxySplice, Subject::Envoy];

/// `weir-bench body`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// The subjects to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = SUBJECTS)]
    only: Vec<Subject>,
    /// Windows per subject; the median of each figure is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Responses per window, one after another; one more before it is not counted.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    responses: u32,
}

/// One window.
#[derive(Clone, Copy, Debug)]
struct Window {
    spent: Spent,
    took: Duration,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip)]
    of: Subject,
    work: &'static str,
    subject: &'static str,
    workers: u32,
    cpu_s_per_gib: f64,
    machine_s_per_gib: f64,
    gib_per_s: f64,
}

/// Runs the bench: prints the table and the bars, writes `body.json`.
pub(crate) fn run(options: &Options) -> Result<()> {
    for subject in &options.only {
        subject.program(&options.common.weir)?;
    }
    let site = Site::build(&[Protocol::H1])?;
    // Sparse: the file costs no disk and the server no reading of it.
    let file = File::create(site.lab.dir().join("body")).context("create the response's file")?;
    file.set_len(SIZE).context("make the response's file long")?;
    let mut windows: Vec<(Subject, Vec<Window>)> = options.only.iter().map(|subject| (*subject, Vec::new())).collect();
    for round in 1..=options.rounds {
        for (subject, windows) in &mut windows {
            let window = measure(*subject, &site, options).with_context(|| format!("measure {}", subject.name()))?;
            eprintln!("round {round} {}: {:.1} s", subject.name(), window.took.as_secs_f64());
            windows.push(window);
        }
    }
    let rows: Vec<Row> =
        windows.iter().map(|(subject, windows)| row(*subject, windows, f64::from(options.responses))).collect();
    print(&rows);
    println!("written to {}", report::write(&options.common.out, "body", &rows)?.display());
    Ok(())
}

fn measure(subject: Subject, site: &Site, options: &Options) -> Result<Window> {
    let setup = Setup { protocol: Protocol::H1, workers: 1 };
    let running = subject.start(site, &options.common.weir, setup)?;
    fetch(&running)?;
    let (meter, start) = (Meter::start(site, &running)?, Instant::now());
    for _ in 0..options.responses {
        fetch(&running)?;
    }
    let took = start.elapsed();
    Ok(Window { spent: meter.stop()?, took })
}

/// The whole response, on a connection of its own.
fn fetch(subject: &Running<'_>) -> Result<()> {
    let mut curl = subject.from.command(program("curl")?);
    curl.args(["--silent", "--show-error", "--max-time", "60", "--output", "/dev/null"]);
    curl.args(["--write-out", "%{http_code} %{size_download}"]).arg(format!("http://{}{PATH}", subject.target));
    let output = curl.output().context("start curl")?;
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(said == format!("200 {SIZE}"), "curl: status and size {said:?}, not 200 and {SIZE}; {}", error.trim());
    Ok(())
}

fn row(subject: Subject, windows: &[Window], gib: f64) -> Row {
    let of = |figure: &dyn Fn(&Window) -> f64| median(windows.iter().map(figure).collect());
    Row {
        of: subject,
        work: "body",
        subject: subject.name(),
        workers: u32::from(subject.is_proxied()),
        // A tick of 10 ms is not more than this.
        cpu_s_per_gib: thousandths(of(&|w| w.spent.proxy.as_secs_f64() / gib)),
        machine_s_per_gib: thousandths(of(&|w| w.spent.machine.as_secs_f64() / gib)),
        gib_per_s: round(of(&|w| gib / w.took.as_secs_f64())),
    }
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn print(rows: &[Row]) {
    let cells = rows.iter().map(|row| {
        [
            row.subject.to_owned(),
            if row.of.is_proxied() { format!("{:.3}", row.cpu_s_per_gib) } else { "-".to_owned() },
            format!("{:.3}", row.machine_s_per_gib),
            format!("{:.2}", row.gib_per_s),
        ]
    });
    report::table(["subject", "proxy CPU s/GiB", "machine CPU s/GiB", "GiB/s"], &cells.collect::<Vec<_>>());
    let find = |subject| rows.iter().find(|row| row.of == subject);
    let Some((weir, copy)) = find(Subject::Weir).zip(find(Subject::Copy)) else { return };
    report::bar("proxy CPU per GiB, weir / copy", weir.cpu_s_per_gib / copy.cpu_s_per_gib, BAR, "x");
    report::bar("machine CPU per GiB, weir / copy", weir.machine_s_per_gib / copy.machine_s_per_gib, BAR, "x");
}
