//! Flow records of a worker: the one place where a request becomes a [`Flow`].
//!
//! A worker keeps its last records in a ring of its own; readers (the agent, when somebody observes or a log is
//! written) take them from there. So a record costs no system call, and nobody's reading slows a request down.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use weir_model::flow::{Flow, FlowKind, HttpFlow, Verdict};

use crate::metrics::WorkerMetrics;

/// The last records of one worker.
#[derive(Debug)]
pub struct Ring {
    flows: VecDeque<Flow>,
    capacity: usize,
    /// Records ever written: the position after the last one.
    next: u64,
}

/// What a reader got.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The records, oldest first.
    pub flows: Vec<Flow>,
    /// The position to read on from.
    pub next: u64,
    /// Records that were overwritten since the last read.
    pub lost: u64,
}

impl Ring {
    /// A ring for so many records.
    pub fn new(capacity: usize) -> Self {
        Self { flows: VecDeque::new(), capacity, next: 0 }
    }

    fn push(&mut self, flow: Flow) {
        if self.flows.len() == self.capacity {
            self.flows.pop_front();
        }
        self.flows.push_back(flow);
        self.next += 1;
    }

    /// The records from position `after` on. A position from another ring's life (greater than any here) reads all.
    pub fn read_after(&self, after: u64) -> Read {
        let oldest = self.next - self.flows.len() as u64;
        let from = if after > self.next { oldest } else { after.max(oldest) };
        let lost = if after > self.next || after == 0 { 0 } else { from - after };
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        Read { flows: self.flows.iter().skip(skip).cloned().collect(), next: self.next, lost }
    }
}

/// A ring shared between its worker and the readers.
pub type SharedRing = Arc<Mutex<Ring>>;

/// A worker's recorder.
#[derive(Debug, Clone)]
pub struct Recorder {
    ring: SharedRing,
    metrics: WorkerMetrics,
}

impl Recorder {
    /// Records go to `ring` and `metrics`.
    pub fn new(ring: SharedRing, metrics: WorkerMetrics) -> Self {
        Self { ring, metrics }
    }

    /// The worker's metrics.
    pub fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    /// Writes one record.
    pub fn write(&self, flow: Flow) {
        if let FlowKind::Http(http) = &flow.kind {
            self.metrics.request(flow.verdict, latency(http, flow.verdict));
        }
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).push(flow);
    }
}

fn latency(http: &HttpFlow, verdict: Verdict) -> Option<Duration> {
    (matches!(verdict, Verdict::Forwarded | Verdict::Audited) && http.status != 0)
        .then(|| Duration::from_nanos(http.latency_ns))
}

/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
