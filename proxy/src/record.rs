//! Flow records of a worker: the one place where a request becomes a [`Flow`], when somebody reads it.
//!
//! A worker keeps its last records in a ring of its own; readers (the agent, when somebody observes or a log is
//! written) take them from there. So a record costs no system call, and nobody's reading slows a request down.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use weir_filters::http::NamedRule;
use weir_model::{
    flow::{Flow, FlowKind, HttpFlow, Party, Verdict},
    resolved::{Direction, RuleId},
};

use crate::metrics::WorkerMetrics;

/// The two sides of a connection; all its records share them.
#[derive(Debug)]
pub struct Parties {
    /// The client.
    pub source: Party,
    /// The server.
    pub destination: Party,
}

/// A [`Flow`] about a request, as it is kept until somebody reads it, if anybody does: in one piece, without allocations of
/// its own, and with what is the connection's shared.
#[derive(Debug)]
pub struct Record {
    /// As [`Flow::time_ns`].
    pub time_ns: u64,
    /// As [`Flow::verdict`].
    pub verdict: Verdict,
    /// As [`Flow::direction`].
    pub direction: Direction,
    /// As [`Flow::source`] and [`Flow::destination`].
    pub parties: Arc<Parties>,
    /// [`Flow::rule`], [`Flow::rule_id`] and [`Flow::policy_log`].
    pub rule: Option<NamedRule>,
    /// As [`Flow::kind`].
    pub http: HttpFlow,
}

impl Record {
    fn flow(&self) -> Flow {
        Flow {
            time_ns: self.time_ns,
            verdict: self.verdict,
            drop_reason: None,
            direction: self.direction,
            source: self.parties.source.clone(),
            destination: self.parties.destination.clone(),
            kind: FlowKind::Http(Box::new(self.http.clone())),
            rule: self.rule.as_ref().map(|rule| rule.origin.clone()),
            rule_id: self.rule.as_ref().map_or(RuleId::default(), |rule| rule.id),
            policy_log: self.rule.as_ref().and_then(|rule| rule.log.clone()),
        }
    }
}

/// The last records of one worker.
#[derive(Debug)]
pub struct Ring {
    records: VecDeque<Record>,
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
        Self { records: VecDeque::new(), capacity, next: 0 }
    }

    fn push(&mut self, record: Record) {
        if self.records.len() == self.capacity {
            self.records.pop_front();
        }
        self.records.push_back(record);
        self.next += 1;
    }

    /// The records from position `after` on. A position from another ring's life (greater than any here) reads all.
    pub fn read_after(&self, after: u64) -> Read {
        let oldest = self.next - self.records.len() as u64;
        let from = if after > self.next { oldest } else { after.max(oldest) };
        let lost = if after > self.next || after == 0 { 0 } else { from - after };
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        Read { flows: self.records.iter().skip(skip).map(Record::flow).collect(), next: self.next, lost }
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
    pub fn write(&self, record: Record) {
        self.metrics.request(record.verdict, latency(&record.http, record.verdict));
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).push(record);
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
