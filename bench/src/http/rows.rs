//! From windows to rows, and from rows to the table and the bars.

use std::fmt;

use serde::Serialize;

use crate::load::Window;
use crate::report;
use crate::subject::Subject;
use crate::work::{Protocol, Work};

/// weir's proxy CPU per request as a share of a peer's, in the same run.
const CPU_BARS: [(Protocol, Subject, f64); 4] = [
    (Protocol::H1, Subject::Envoy, 0.20),
    (Protocol::H1, Subject::Haproxy, 0.60),
    (Protocol::H2, Subject::Envoy, 0.25),
    (Protocol::Grpc, Subject::Envoy, 0.25),
];
/// The 99th percentile that weir adds to a single request, as a share of what Envoy adds.
const ADDED_BAR: f64 = 0.4;

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) work: Work,
    /// Of the proxy; 0 where there is none.
    pub(super) workers: u32,
    pub(super) subject: Subject,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.work.name(), self.subject.name())?;
        if self.subject.is_proxied() { write!(f, ", workers {}", self.workers) } else { Ok(()) }
    }
}

/// One round of a case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) load: Window,
    /// One request at a time.
    pub(super) single: Window,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(skip)]
    case: Case,
    work: &'static str,
    load: &'static str,
    subject: &'static str,
    workers: u32,
    requests_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us_per_request: f64,
    machine_us_per_request: f64,
    single_p50_us: f64,
    single_p99_us: f64,
    /// More than without anything in between, in this run.
    added_p50_us: Option<f64>,
    added_p99_us: Option<f64>,
}

/// Works × workers × subjects, less those that cannot be; where there is no proxy, its workers make no second row.
pub(super) fn cases(works: &[Work], workers: &[u32], subjects: &[Subject]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &work in works {
        for &workers in workers {
            for &subject in subjects.iter().filter(|subject| subject.speaks(work.protocol())) {
                let case = Case { work, workers: if subject.is_proxied() { workers } else { 0 }, subject };
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
        }
    }
    cases
}

/// The median of each figure of each case.
pub(super) fn of(samples: &[(Case, Vec<Sample>)]) -> Vec<Row> {
    let median_of = |case: Case, figure: fn(&Sample) -> f64| {
        let (_, samples) = samples.iter().find(|(other, _)| *other == case)?;
        Some(median(samples.iter().map(figure).collect()))
    };
    let row = |case: Case| {
        let of = |figure| round(median_of(case, figure).unwrap_or_default());
        let added = |figure| {
            let baseline = Case { workers: 0, subject: case.subject.baseline(), ..case };
            let without = median_of(baseline, figure).filter(|_| case.subject.is_proxied())?;
            Some(round(median_of(case, figure)? - without))
        };
        Row {
            case,
            work: case.work.name(),
            load: case.work.load(),
            subject: case.subject.name(),
            workers: case.workers,
            requests_per_s: of(|s| s.load.requests_per_s),
            p50_us: of(|s| s.load.p50_us),
            p99_us: of(|s| s.load.p99_us),
            cpu_us_per_request: of(|s| s.load.cpu_us_per_request),
            machine_us_per_request: of(|s| s.load.machine_us_per_request),
            single_p50_us: of(|s| s.single.p50_us),
            single_p99_us: of(|s| s.single.p99_us),
            added_p50_us: added(|s| s.single.p50_us),
            added_p99_us: added(|s| s.single.p99_us),
        }
    };
    samples.iter().map(|(case, _)| row(*case)).collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// More digits than two would claim more than was measured.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The table, then the bars.
pub(super) fn print(rows: &[Row]) {
    let title = |work: &str, workers: &str, subject: &str| format!("{work:<11}  {workers:<7}  {subject}");
    let cells = rows.iter().map(|row| {
        let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let proxied = row.case.subject.is_proxied();
        let workers = if proxied { row.workers.to_string() } else { "-".to_owned() };
        [
            title(row.work, &workers, row.subject),
            if proxied { format!("{:.1}", row.cpu_us_per_request) } else { "-".to_owned() },
            format!("{:.1}", row.machine_us_per_request),
            format!("{:.0}", row.requests_per_s),
            format!("{:.0}", row.p50_us),
            format!("{:.0}", row.p99_us),
            or_dash(row.added_p50_us),
            or_dash(row.added_p99_us),
        ]
    });
    let head = [
        &*title("work", "workers", "subject"),
        "proxy CPU µs/req",
        "machine CPU µs/req",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "added p50 µs",
        "added p99 µs",
    ];
    report::table(head, &cells.collect::<Vec<_>>());
    rows.iter().filter(|row| row.case.subject == Subject::Weir).for_each(|weir| print_bars(weir, rows));
    for row in rows.iter().filter(|row| row.case.subject.baseline() == Subject::PodPlain) {
        for (baseline, what) in [(Subject::PodPlain, "without weir"), (Subject::PodOpen, "without a policy")] {
            let found = find(rows, Case { workers: 0, subject: baseline, ..row.case });
            if let Some(plain) = found.filter(|_| row.case.subject != baseline && row.case.subject != Subject::PodPlain)
            {
                let kept = row.requests_per_s / plain.requests_per_s;
                println!("{}: {kept:.3} of the request rate pod to pod {what}", row.case);
            }
        }
    }
}

fn print_bars(weir: &Row, rows: &[Row]) {
    let Case { work, workers, .. } = weir.case;
    let title = |what: &str, peer: Subject| {
        format!("{} ({}), workers {workers}: {what}, weir / {}", work.name(), work.load(), peer.name())
    };
    for (_, subject, at_most) in CPU_BARS.into_iter().filter(|(protocol, ..)| *protocol == work.protocol()) {
        if let Some(peer) = find(rows, Case { subject, ..weir.case }) {
            let ratio = weir.cpu_us_per_request / peer.cpu_us_per_request;
            report::bar(&title("proxy CPU per request", subject), ratio, at_most, "x");
        }
    }
    let envoy = find(rows, Case { subject: Subject::Envoy, ..weir.case });
    if let Some((weir, envoy)) = weir.added_p99_us.zip(envoy.and_then(|row| row.added_p99_us)) {
        let title = title("added p99", Subject::Envoy);
        if envoy > 0.0 && weir >= 0.0 {
            report::bar(&title, weir / envoy, ADDED_BAR, "x");
        } else {
            println!("{title}: cannot be told, weir added {weir:.0} µs and Envoy {envoy:.0} µs: the machine was busy");
        }
    }
}

fn find(rows: &[Row], case: Case) -> Option<&Row> {
    rows.iter().find(|row| row.case == case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_ignores_the_outlier() {
        assert_eq!(round(median(vec![9.0, 1.0, 2.004])), 2.0);
        assert_eq!(round(median(vec![1.0, 4.0])), 2.5);
    }

    #[test]
    fn rows_are_works_by_workers_by_subjects_that_can() {
        let subjects = [Subject::Direct, Subject::Weir, Subject::Nginx];
        let cases: Vec<String> = cases(&[Work::H1, Work::H2], &[1, 2], &subjects).iter().map(Case::to_string).collect();
        let expected = ["h1 direct", "h1 weir, workers 1", "h1 nginx, workers 1", "h1 weir, workers 2"];
        let more = ["h1 nginx, workers 2", "h2 direct", "h2 weir, workers 1", "h2 weir, workers 2"];
        assert_eq!(cases, [expected, more].concat());
    }

    #[test]
    fn what_is_added_is_more_than_without_a_proxy() {
        let sample = |us| {
            let window = Window {
                requests_per_s: 1.0,
                p50_us: us,
                p99_us: us * 2.0,
                cpu_us_per_request: 1.0,
                machine_us_per_request: 1.0,
            };
            Sample { load: window, single: window }
        };
        let case = |subject, workers| Case { work: Work::H1, workers, subject };
        let rows = of(&[
            (case(Subject::Direct, 0), vec![sample(10.0)]),
            (case(Subject::Weir, 1), vec![sample(15.0), sample(16.0), sample(90.0)]),
            (case(Subject::PodL7, 1), vec![sample(15.0)]),
        ]);
        let added: Vec<_> = rows.iter().map(|row| (row.added_p50_us, row.added_p99_us)).collect();
        assert_eq!(added, [(None, None), (Some(6.0), Some(12.0)), (None, None)]);
    }
}
