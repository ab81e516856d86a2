//! One window of load: a load generator, and who spent what meanwhile.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::meter::{Meter, Spent};
use crate::site::Site;
use crate::subject::Running;
use crate::work::Work;

mod ghz;
mod h2load;
mod wrk;

/// How much is asked at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Keep-alive connections.
    pub(crate) connections: u32,
    /// Requests that are open at a time on each, where the protocol can.
    pub(crate) streams: u32,
    pub(crate) duration: Duration,
}

/// What a load generator says of its window: every request was answered, and with success.
#[derive(Clone, Copy, Debug)]
struct Figures {
    requests: u64,
    requests_per_s: f64,
    p50_us: f64,
    p99_us: f64,
}

/// What one window showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the proxy's processes; 0 where there is none.
    pub(crate) cpu_us_per_request: f64,
    /// Of the whole machine, less load generator and servers.
    pub(crate) machine_us_per_request: f64,
}

/// Loads the subject. Any answer that is no success and any socket error is an error: a proxy that refuses is quick.
pub(crate) fn run(site: &Site, subject: &Running<'_>, work: Work, shape: Shape) -> Result<Window> {
    let forwarded = subject.forwarded(site)?;
    let meter = Meter::start(site, subject)?;
    let figures = match work {
        Work::H1 => wrk::run(site, subject, shape),
        Work::H2 => h2load::run(site, subject, shape, work.protocol()),
        Work::GrpcH2load => h2load::run(site, subject, shape, work.protocol()),
        Work::Grpc => ghz::run(site, subject, shape),
    }
    .with_context(|| work.load())?;
    let spent = meter.stop()?;
    if let (Some(before), Some(after)) = (forwarded, subject.forwarded(site)?) {
        ensure!(after - before >= figures.requests, "weir counted {before}, then {after}: requests went another way");
    }
    Ok(window(&figures, spent))
}

/// Whether the load generator of this work is there.
pub(crate) fn check(work: Work) -> Result<()> {
    match work {
        Work::Grpc => ghz::program().map(drop),
        other => crate::site::program(other.load()).map(drop),
    }
}

/// What a load generator prints.
fn output(mut command: Command) -> Result<String> {
    let output = command.output().context("start it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(text.into_owned())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run, far below 2^52")]
fn window(figures: &Figures, spent: Spent) -> Window {
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / figures.requests as f64;
    Window {
        requests_per_s: figures.requests_per_s,
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
        cpu_us_per_request: per_request(spent.proxy),
        machine_us_per_request: per_request(spent.machine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_is_divided_by_the_requests() {
        let figures = Figures { requests: 1000, requests_per_s: 500.0, p50_us: 210.0, p99_us: 900.0 };
        let spent = Spent { proxy: Duration::from_millis(10), machine: Duration::from_millis(30) };
        let window = window(&figures, spent);
        assert_eq!(window.cpu_us_per_request.round(), 10.0);
        assert_eq!(window.machine_us_per_request.round(), 30.0);
    }
}
