//! The proxy's metrics. Handles are resolved once per worker; what every request adds to is the worker's own (`requests`).

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use weir_model::flow::Verdict;

use self::requests::{Counts, Requests};

mod requests;

/// Everything that the proxy counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests: Requests,
    connections: Counter,
    open: Gauge,
    port_fallbacks: Counter,
    upstream_failures: Counter,
    flows_lost: Counter<u64, AtomicU64>,
}

impl Metrics {
    /// Adds the metrics to a registry, under the names that the documentation lists.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.requests.clone()));
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
        WorkerMetrics {
            requests: self.requests.worker(),
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
    requests: Arc<Counts>,
    connections: Counter,
    open: Gauge,
    port_fallbacks: Counter,
    upstream_failures: Counter,
}

impl WorkerMetrics {
    pub(crate) fn request(&self, verdict: Verdict, latency: Option<Duration>) {
        self.requests.add(verdict, latency);
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
