//! Small requests over keep-alive connections, every subject in interleaved rounds.
//!
//! Interleaved, because a machine's speed drifts: a slow minute then hits one round of every subject, and the median
//! leaves it out, instead of making one subject look bad.
//!
//! A window of full load shows what a request costs; one with a single request open at a time shows what a proxy adds to
//! its time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::rows::{Case, Row, Sample};
use crate::load::{self, Shape};
use crate::site::Site;
use crate::subject::{Setup, Subject};
use crate::work::{Protocol, Work};
use crate::{Common, cpu, report};

mod rows;

pub(crate) use self::rows::{median, round};

/// CPUs that may be busy with something else: about what an idle machine's daemons take.
const OTHER_WORK: f64 = 0.1;
const SUBJECTS: [Subject; 9] = [
    Subject::Direct,
    Subject::Weir,
    Subject::Envoy,
    Subject::Haproxy,
    Subject::Nginx,
    Subject::PodPlain,
    Subject::PodOpen,
    Subject::PodL4,
    Subject::PodL7,
];

/// `weir-bench http`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// What to ask of them.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Work::value_variants().to_vec())]
    work: Vec<Work>,
    /// With how many workers each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Vec<u32>,
    /// The subjects to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = SUBJECTS)]
    only: Vec<Subject>,
    /// Windows per row; the median of each figure is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds per window of full load.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Seconds per window of one request at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    single_seconds: u64,
    /// Seconds of load before each window of full load.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    warm_up: u64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests open at a time on each connection of HTTP/2.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    streams: u32,
}

/// Runs the bench: prints the table and the bars, writes `http.json`.
pub(crate) fn run(options: &Options) -> Result<()> {
    // All of them first: better now than after minutes.
    for subject in &options.only {
        subject.program(&options.common.weir)?;
    }
    for work in &options.work {
        load::check(*work)?;
    }
    let site = Site::build(&options.work.iter().map(|work| work.protocol()).collect::<Vec<Protocol>>())?;
    warn_of_other_work()?;
    let cases = rows::cases(&options.work, &options.workers, &options.only);
    let mut samples: Vec<(Case, Vec<Sample>)> = cases.into_iter().map(|case| (case, Vec::new())).collect();
    for round in 1..=options.rounds {
        for (case, samples) in &mut samples {
            let sample = measure(*case, &site, options).with_context(|| format!("measure {case}"))?;
            eprintln!("round {round} {case}: {:.0} requests/s", sample.load.requests_per_s);
            samples.push(sample);
        }
    }
    let rows: Vec<Row> = rows::of(&samples);
    rows::print(&rows);
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

fn measure(case: Case, site: &Site, options: &Options) -> Result<Sample> {
    let setup = Setup { protocol: case.work.protocol(), workers: case.workers };
    let running = case.subject.start(site, &options.common.weir, setup)?;
    let run = |connections, streams, seconds| {
        let shape = Shape { connections, streams, duration: Duration::from_secs(seconds) };
        load::run(site, &running, case.work, shape)
    };
    run(options.connections, options.streams, options.warm_up)?;
    let load = run(options.connections, options.streams, options.seconds)?;
    let single = run(1, 1, options.single_seconds)?;
    Ok(Sample { load, single })
}
