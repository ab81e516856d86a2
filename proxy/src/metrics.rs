//! The proxy's metrics. Handles are resolved once per worker; a request adds to a few atomics.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use weir_model::flow::Verdict;

/// Seconds; the finest are those of a local server.
const LATENCY_BUCKETS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verdict: RequestVerdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are the label values")]
enum RequestVerdict {
    forwarded,
    denied,
    refused,
}

/// Everything that the proxy counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    latency: Histogram,
    connections: Counter,
    open: Gauge,
    port_fallbacks: Counter,
    upstream_failures: Counter,
    flows_lost: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            latency: Histogram::new(LATENCY_BUCKETS),
            connections: Counter::default(),
            open: Gauge::default(),
            port_fallbacks: Counter::default(),
            upstream_failures: Counter::default(),
            flows_lost: Counter::default(),
        }
    }
}

impl Metrics {
    /// Adds the metrics to a registry, under the names that the documentation lists.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("weir_http_requests", "HTTP requests by verdict", self.requests.clone());
        registry.register(
            "weir_http_request_duration_seconds",
            "From the end of a forwarded request's head to the end of its response's head",
            self.latency.clone(),
        );
        registry.register("weir_proxy_connections", "Connections taken by the proxy", self.connections.clone());
        registry.register("weir_proxy_connections_open", "Connections in the proxy now", self.open.clone());
        registry.register(
            "weir_upstream_port_fallbacks",
            "Upstream connections that could not use the client's own port",
            self.port_fallbacks.clone(),
        );
        registry.register("weir_upstream_failures", "Servers that did not accept", self.upstream_failures.clone());
        registry.register("weir_flows_lost", "Flow records overwritten before they were read", self.flows_lost.clone());
    }

    /// The handles of one worker.
    pub fn worker(&self) -> WorkerMetrics {
        let requests = |verdict| self.requests.get_or_create(&RequestLabels { verdict }).clone();
        WorkerMetrics {
            forwarded: requests(RequestVerdict::forwarded),
            denied: requests(RequestVerdict::denied),
            refused: requests(RequestVerdict::refused),
            latency: self.latency.clone(),
            connections: self.connections.clone(),
            open: self.open.clone(),
            port_fallbacks: self.port_fallbacks.clone(),
            upstream_failures: self.upstream_failures.clone(),
        }
    }

    /// Counts records that no reader saw in time.
    pub fn lost(&self, records: u64) {
        self.flows_lost.inc_by(records);
    }
}

/// Resolved handles.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    forwarded: Counter,
    denied: Counter,
    refused: Counter,
    latency: Histogram,
    connections: Counter,
    open: Gauge,
    port_fallbacks: Counter,
    upstream_failures: Counter,
}

impl WorkerMetrics {
    pub(crate) fn request(&self, verdict: Verdict, latency: Option<Duration>) {
        match verdict {
            Verdict::Forwarded | Verdict::Redirected => self.forwarded.inc(),
            Verdict::Dropped => self.denied.inc(),
            Verdict::Error => self.refused.inc(),
        };
        if let Some(latency) = latency {
            self.latency.observe(latency.as_secs_f64());
        }
    }

    /// A connection was taken; it counts as open until the guard is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    pub(crate) fn port_fallback(&self) {
        self.port_fallbacks.inc();
    }

    pub(crate) fn upstream_failure(&self) {
        self.upstream_failures.inc();
    }
}

/// Counts a connection as open while it lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
