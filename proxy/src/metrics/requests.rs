//! What is counted for every request: per worker, and summed when somebody reads. So no two workers write to one cache
//! line, and counting takes neither a lock nor a locked instruction.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, NoLabelSet},
    metrics::MetricType,
};
use weir_model::flow::Verdict;

/// Upper ends; the finest are those of a local server.
const BUCKETS: [Duration; 12] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2500),
    Duration::from_secs(10),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verdict: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are the label values")]
enum Label {
    forwarded,
    denied,
    refused,
    audited,
}

const LABELS: [Label; 4] = [Label::forwarded, Label::denied, Label::refused, Label::audited];

/// One worker's counts. Only that worker writes them, so a load and a store are enough.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    by_label: [AtomicU64; LABELS.len()],
    /// The last has no upper end.
    latency: [AtomicU64; BUCKETS.len() + 1],
    latency_ns: AtomicU64,
}

impl Counts {
    pub(super) fn add(&self, verdict: Verdict, latency: Option<Duration>) {
        let label = match verdict {
            Verdict::Forwarded | Verdict::Redirected => Label::forwarded,
            Verdict::Dropped => Label::denied,
            Verdict::Error => Label::refused,
            Verdict::Audited => Label::audited,
        };
        increase(&self.by_label[label as usize], 1);
        if let Some(latency) = latency {
            let bucket = BUCKETS.iter().position(|end| latency <= *end).unwrap_or(BUCKETS.len());
            increase(&self.latency[bucket], 1);
            increase(&self.latency_ns, u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

fn increase(count: &AtomicU64, by: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// The counts of all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Vec<Arc<Counts>>>>);

impl Requests {
    /// Counts for one more worker.
    pub(super) fn worker(&self) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counts));
        counts
    }

    fn sum(&self, of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().map(|counts| of(counts).load(Ordering::Relaxed)).sum()
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (name, help) = ("weir_http_requests", "HTTP requests by verdict.");
        let mut requests = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for verdict in LABELS {
            let count = self.sum(|counts| &counts.by_label[verdict as usize]);
            requests.encode_family(&Labels { verdict })?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let (name, help) = (
            "weir_http_request_duration_seconds",
            "From the end of a forwarded request's head to the end of its response's head.",
        );
        let mut latency = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let ends = BUCKETS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            ends.enumerate().map(|(index, end)| (end, self.sum(|counts| &counts.latency[index]))).collect();
        let sum = Duration::from_nanos(self.sum(|counts| &counts.latency_ns)).as_secs_f64();
        let count = buckets.iter().map(|(_, count)| count).sum();
        latency.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn the_workers_are_summed() {
        let requests = Requests::default();
        let workers = [requests.worker(), requests.worker()];
        workers[0].add(Verdict::Forwarded, Some(Duration::from_micros(250)));
        workers[1].add(Verdict::Forwarded, Some(Duration::from_secs(60)));
        workers[1].add(Verdict::Dropped, None);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(requests));
        let mut text = String::new();
        encode(&mut text, &registry).expect("write to a string");
        for line in [
            "# TYPE weir_http_requests counter",
            "weir_http_requests_total{verdict=\"forwarded\"} 2",
            "weir_http_requests_total{verdict=\"denied\"} 1",
            "weir_http_requests_total{verdict=\"refused\"} 0",
            "weir_http_request_duration_seconds_bucket{le=\"0.0001\"} 0",
            "weir_http_request_duration_seconds_bucket{le=\"0.00025\"} 1",
            "weir_http_request_duration_seconds_bucket{le=\"10.0\"} 1",
            "weir_http_request_duration_seconds_bucket{le=\"+Inf\"} 2",
            "weir_http_request_duration_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
